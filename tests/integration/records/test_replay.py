"""A time range of recorded requests against another version: the comparison is right, and the same each time."""

import asyncio
import csv
import json
import time
from datetime import UTC, datetime

import joblib
import pyarrow.parquet
import pytest
from modelmesh.models.adapters.onnx_adapter import OnnxAdapter
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.adapters.sklearn_adapter import SklearnAdapter
from modelmesh.replay.replayer import Replay, ReplayRange
from modelmesh.schemas.errors import InvalidInput, NotFound
from sklearn.linear_model import LogisticRegression

from ...shell import printed, run
from ..waiting import until

pytestmark = pytest.mark.both_databases

REQUESTS = 120


@pytest.fixture(scope="module")
async def recorded(sdk, kafka_client, cancer, tmp_path_factory):
    """What was asked of the first of two versions and when; both models; the rows in the order of their requests."""
    rows, labels, first = cancer
    second = LogisticRegression(max_iter=50).fit(rows[:, :] / rows.max(axis=0), labels)
    second.coef_ = second.coef_ / rows.max(axis=0)
    await sdk.register_model("replayed", first, sample=rows[:20], data=rows)
    await sdk.register_model("replayed", second, sample=rows[:20], data=rows)
    begin = time.time()
    asked = {f"replay-{number}": number % len(rows) for number in range(REQUESTS)}
    for request_id, number in asked.items():
        await kafka_client.predict("replayed", rows[number].tolist(), request_id=request_id)
    return begin, time.time() + 0.01, asked, rows, labels, first, second


def test_the_report_is_what_comparing_by_hand_gives_and_the_same_twice(mesh, recorded, tmp_path, monkeypatch):
    begin, end, asked, rows, labels, first, second = recorded
    environment(mesh, monkeypatch)
    truths = tmp_path / "labels.csv"
    with truths.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["request_id", "label"])
        writer.writerows((request_id, labels[number]) for request_id, number in asked.items())
    documents = [
        report_of(begin, end, "--labels", str(truths), "--out", str(tmp_path / str(number))) for number in range(2)
    ]
    report = documents[0]["report"]
    assert report == documents[1]["report"]
    numbers = list(asked.values())
    ours, theirs = second.predict(rows[numbers]), first.predict(rows[numbers])
    assert report["requests"] == report["agreement"]["compared"] == REQUESTS
    assert report["agreement"]["agreed"] == (ours == theirs).sum()
    assert sum(change["count"] for change in report["label_changes"]) == (ours != theirs).sum()
    assert report["truth"]["replayed"]["accuracy"] == pytest.approx((ours == labels[numbers]).mean())
    assert report["truth"]["recorded"]["accuracy"] == pytest.approx((theirs == labels[numbers]).mean())
    assert len(report["drift"]) == rows.shape[1]
    written = [json.loads(line) for line in (tmp_path / "0" / "rows.jsonl").read_text().splitlines()]
    assert {row["request_id"] for row in written} == set(asked)
    assert (tmp_path / "0" / "rows.jsonl").read_bytes() == (tmp_path / "1" / "rows.jsonl").read_bytes()
    assert "<script" not in (tmp_path / "0" / "report.html").read_text()


def report_of(begin, end, *options):
    """What the command says of version 2.0.0 in the time range."""
    stretch = ["--from", text(begin), "--to", text(end)]
    done = run("replay", "--model", "replayed", "--version", "2.0.0", *stretch, "--json", *options)
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.output)


def text(moment):
    return datetime.fromtimestamp(moment, UTC).isoformat()


async def replay(mesh, recorded, tmp_path, model="replayed", **stretch):
    begin, end, _, rows, _, first, _ = recorded
    path = tmp_path / "model.joblib"
    adapter_for("sklearn").save(first, path, None)
    predictor = adapter_for("sklearn").load(path, None, rows[:5].tolist(), 1)
    where = ReplayRange(model, **({"begin": begin, "end": end} | stretch))
    return await Replay(mesh.settings, where, predictor).run()


def test_an_interrupted_replay_goes_on_and_says_the_same(mesh, recorded, tmp_path, monkeypatch):
    begin, end, _, *_ = recorded
    environment(mesh, monkeypatch)
    whole, part = tmp_path / "whole", tmp_path / "part"
    expected = report_of(begin, end, "--out", str(whole))
    report_of(begin, end, "--out", str(part), "--parquet")
    assert pyarrow.parquet.read_table(part / "rows.parquet")["request_id"].to_pylist() == [
        json.loads(line)["request_id"] for line in (whole / "rows.jsonl").read_text().splitlines()
    ]
    # As a kill in the middle of a row leaves it.
    (part / "report.json").unlink()
    lines = (part / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (part / "rows.jsonl").write_bytes(b"".join(lines[:100]) + lines[100][:7])
    ran = []
    load = OnnxAdapter.load

    def counted(self, *arguments):
        predictor = load(self, *arguments)
        return CountedPredictor(predictor, ran)

    monkeypatch.setattr(OnnxAdapter, "load", counted)
    done = run("replay", "--resume", "--out", part, "--json")
    assert json.loads(done.output)["report"] == expected["report"]
    assert (part / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()
    assert 0 < sum(ran) < REQUESTS


async def ended(sdk, replay_id):
    """The replay, once it is over."""
    found = {}

    async def over():
        found.update(await sdk.replay(replay_id))
        return found["state"] not in ("queued", "running")

    await until(over, f"{replay_id} is over")
    return found


async def test_a_replay_over_http_gives_the_same_report_and_waits_for_its_turn(sdk, http, mesh, recorded, monkeypatch):
    begin, end, *_ = recorded
    environment(mesh, monkeypatch)
    expected = await asyncio.to_thread(report_of, begin, end)
    stretch = {"to": datetime.fromtimestamp(end, UTC)}
    whole, few, nothing = [
        await sdk.start_replay("replayed", "2.0.0", datetime.fromtimestamp(since, UTC), **options)
        for since, options in (
            (begin, stretch),
            (begin, stretch | {"limit": 5}),
            (end + 3600, {"to": datetime.fromtimestamp(end + 7200, UTC)}),
        )
    ]
    assert whole["state"] == "queued"
    done = await ended(sdk, whole["id"])
    assert (done["state"], done["error"], done["report"]["report"]) == ("done", "", expected["report"])
    assert (await ended(sdk, few["id"]))["report"]["report"]["requests"] == 5
    failed = await ended(sdk, nothing["id"])
    assert (failed["state"], failed["report"]) == ("failed", None)
    assert "no request for replayed lies in" in failed["error"]
    listed = await sdk.replays("replayed")
    assert [replay["id"] for replay in listed] == [nothing["id"], few["id"], whole["id"]]
    async with http.get(f"/replays/{whole['id']}/page") as answer:
        assert "Replay of replayed" in await answer.text()
    for wish, error in (
        ({"version": "9.0.0", "model": "replayed", "from": text(begin)}, 404),
        ({"version": "2.0.0", "model": "replayed", "from": "yesterday"}, 422),
        ({"version": "2.0.0", "model": "replayed", "from": text(end), "to": text(begin)}, 422),
    ):
        async with http.post("/replays", json=wish) as answer:
            assert answer.status == error, await answer.text()
    with pytest.raises(NotFound, match="no replay"):
        await sdk.replay("replayed.nobody")


async def test_what_may_be_a_pickle_is_replayed_in_a_process_of_its_own(
    mesh, sdk, kafka_client, cancer, monkeypatch, tmp_path
):
    rows, _, forest = cancer
    await sdk.register_model("unpickled", forest, sample=rows[:20], compile=False)
    begin = time.time()
    for row in rows[:10].tolist():
        await kafka_client.predict("unpickled", row)
    environment(mesh, monkeypatch)
    loaded_here = []
    monkeypatch.setattr(SklearnAdapter, "load", lambda self, *arguments: loaded_here.append(arguments))
    joblib.dump(forest, tmp_path / "own.joblib")
    for which in (["--version", "1.0.0"], ["--file", str(tmp_path / "own.joblib")]):
        command = ["replay", "--model", "unpickled", "--from", text(begin), *which, "--json"]
        report = json.loads(await printed(*command))["report"]
        assert (report["requests"], report["agreement"]["share"]) == (10, 1.0)
    assert loaded_here == []


class CountedPredictor:
    """Notes how many rows the model was asked for."""

    def __init__(self, predictor, ran):
        self._predictor, self._ran = predictor, ran
        self.signature = predictor.signature

    def predict(self, tensors):
        self._ran.append(len(next(iter(tensors.values()))))
        return self._predictor.predict(tensors)


def environment(mesh, monkeypatch):
    for name, value in (
        ("kafka", mesh.settings.kafka),
        ("data", mesh.settings.data),
        ("database", mesh.settings.database),
        ("pickles", "allow"),
    ):
        monkeypatch.setenv(f"MODELMESH_{name.upper()}", str(value))


async def test_a_version_agrees_with_itself_and_a_limit_holds(mesh, recorded, tmp_path):
    report = (await replay(mesh, recorded, tmp_path)).document()
    assert report["agreement"]["share"] == 1.0
    assert report["score_distance"]["largest"] < 1e-5
    assert (await replay(mesh, recorded, tmp_path, limit=7)).requests == 7


async def test_a_time_range_without_requests_is_said_to_be_one(mesh, recorded, tmp_path):
    with pytest.raises(NotFound, match="no request"):
        await replay(mesh, recorded, tmp_path, begin=1.0, end=2.0)
    with pytest.raises(NotFound, match="nobody"):
        await replay(mesh, recorded, tmp_path, model="nobody")
    with pytest.raises(InvalidInput, match="ends before"):
        await replay(mesh, recorded, tmp_path, begin=2.0, end=1.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "yesterday", "--version", "2.0.0"], "yesterday"),
        (["--from", "2026-01-01T00:00"], "either --version or --file"),
        (["--from", "2026-01-01T00:00", "--version", "2.0.0", "--speed", "fast"], "fast"),
        (["--from", "2026-01-01T00:00", "--file", "/nowhere.onnx"], "/nowhere.onnx"),
        (["--from", "2026-01-01T00:00", "--version", "2.0.0", "--labels", "/nowhere.csv"], "/nowhere.csv"),
        (["--resume", "--out", "/nowhere"], "/nowhere"),
        (["--resume"], "--out"),
        (["--version", "2.0.0"], "--from"),
    ],
)
def test_what_cannot_be_replayed_is_explained(mesh, monkeypatch, options, says):
    monkeypatch.setenv("MODELMESH_KAFKA", mesh.settings.kafka)
    done = run("replay", "--model", "replayed", *options)
    assert done.exit_code != 0
    assert says in str(done.exception)

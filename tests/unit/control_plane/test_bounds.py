"""The control plane's state and records are bounded, and no record ends one of its agents."""

from types import SimpleNamespace

import numpy as np
import pytest
from modelmesh.control_plane.judge.deduplication import MAX_WORKERS, Deduplicator
from modelmesh.control_plane.judge.evidence import Evidence, take_in
from modelmesh.control_plane.releases.app import ReleasesApp
from modelmesh.control_plane.releases.bounded_table import TABLE_BYTES, BoundedTable
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import REMEMBERED_BYTES, ReleaseState
from modelmesh.models.proof.profile import MAX_LABELS
from modelmesh.schemas import records
from modelmesh.schemas.errors import RequestTooLarge
from modelmesh.schemas.payloads.commands import Deploy, read_command
from modelmesh.schemas.payloads.observations import Summary, VersionCounts
from modelmesh.schemas.payloads.releases import (
    RELEASE_BYTES,
    SAMPLE_BYTES,
    SAMPLE_ROWS,
    VersionSpec,
    served_sample,
    sizes_of,
)
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from modelmesh.schemas.settings import Settings
from structlog.testing import capture_logs


def version(number, **fields):
    return VersionSpec(
        version=f"{number}.0.0", framework="onnx", served_as="onnx", artifact="a", digest="0" * 64,
        signature=Signature(inputs=(TensorSpec(name="x", dtype="float64"),)), **fields,
    )  # fmt: skip


def deploy(spec, **fields):
    return Deploy(model="m", version=spec, issued_at=0.0, expires_at=9e9, **fields)


def test_a_release_that_is_too_large_is_refused_with_its_largest_parts():
    spec = version(1, sample=[["x" * RELEASE_BYTES]])
    state, event = step(ReleaseState(), deploy(spec), 1.0)
    assert state.release is None
    assert event.problem["status"] == 413
    assert f"sample {RELEASE_BYTES + 6}" in event.summary
    assert len(event.model_dump_json()) < 5000


def test_a_reason_that_is_too_large_is_refused():
    _, event = step(ReleaseState(), deploy(version(1), reason="r" * (RELEASE_BYTES + 1)), 1.0)
    assert event.problem["status"] == 413


def test_the_stored_answers_are_bounded():
    state = ReleaseState()
    for number in range(60):
        state, _ = step(state, deploy(version(1), reason="r" * 50_000), float(number))
    assert len(state.model_dump_json()) < REMEMBERED_BYTES + 100_000
    assert state.generation == 60


@pytest.mark.parametrize(("rows", "kept"), [(0, 0), (1, 1), (100, SAMPLE_ROWS)])
def test_small_rows_are_kept_for_the_warm_up(rows, kept):
    assert len(served_sample([[1.0, 2.0]] * rows)) == kept


@pytest.mark.parametrize(("side", "kept"), [(16, 4), (64, 0), (512, 0)])
def test_images_are_kept_within_the_limit_of_bytes(side, kept):
    rows = np.random.default_rng(0).normal(size=(8, 3, side, side)).round(6).tolist()
    found = served_sample(rows)
    assert (len(found) > 0) == (kept > 0)
    assert sizes_of(version(1, sample=found))[0] < SAMPLE_BYTES + 2000


def test_the_number_of_labels_and_workers_is_bounded():
    evidence, seen = Evidence(trial=1), Deduplicator()
    for number in range(2000):
        counts = VersionCounts(requests=1, outputs={f"label {number}": 1}, errors={f"error {number}": 1})
        summary = Summary(model="m", trial=1, worker=f"w{number}", epoch="e", seq=1, at=0.0, versions={"1.0.0": counts})
        take_in(evidence, summary, None)
        seen.is_new(f"w{number}", "e", 1)
    assert len(evidence.totals["1.0.0"].outputs) == MAX_LABELS + 1
    assert sum(evidence.totals["1.0.0"].outputs.values()) == 2000
    assert len(seen.root) == MAX_WORKERS
    assert not seen.is_new("w1999", "e", 1)


def test_a_table_refuses_a_value_too_large_for_its_changelog():
    held = {}
    table = BoundedTable(held)
    table["a"] = "x"
    with pytest.raises(RequestTooLarge):
        table["a"] = "é" * (TABLE_BYTES // 2 + 1)
    assert held == {"a": "x"}


async def test_a_record_on_which_an_agent_fails_is_dead_lettered_and_the_next_one_is_used(tmp_path):
    app, sent, used = ReleasesApp(Settings(data=tmp_path)), [], []

    class Topic:
        async def send(self, **fields):
            sent.append(fields)

    app._dead_letters, app._must_read = Topic(), False  # there is no Kafka here

    async def use(summary):
        if summary.model == "bad":
            raise RuntimeError("unexpected")
        used.append(summary.model)

    for offset, value in enumerate((b"junk", None, b'{"model": 1}', b"\xff" * 5_000_000, "bad", "good")):
        if isinstance(value, str):
            value = Summary(model=value, trial=1, worker="w", epoch="e", seq=1, at=0.0).model_dump_json().encode()
        message = SimpleNamespace(
            topic="t", partition=0, offset=offset, key=b"k", value=value, headers=[("h", b"x" * 90_000)]
        )
        with capture_logs():
            await app._process("summary", Summary.model_validate_json, message, use)
    assert used == ["good"]
    assert [dict(letter["headers"])[records.SOURCE] for letter in sent] == [b"t/0/%d" % offset for offset in range(5)]
    assert b"unexpected" in dict(sent[-1]["headers"])[records.STACK]
    assert all(len(letter["value"] or b"") + records.header_bytes(letter["headers"]) < 200_000 for letter in sent)
    assert app.dead_letter_count == 5


async def test_a_malformed_command_is_dead_lettered_with_the_reason(tmp_path):
    app, sent = ReleasesApp(Settings(data=tmp_path)), []

    class Topic:
        async def send(self, **fields):
            sent.append(dict(fields["headers"])[records.REASON])

    async def use(command):
        raise AssertionError("it was read")

    app._dead_letters, app._must_read = Topic(), False  # there is no Kafka here
    for value in (b'{"kind": 7}', b'{"kind": "remove", "issued_at": 0, "expires_at": 1}'):
        message = SimpleNamespace(topic="t", partition=0, offset=1, key=b"m", value=value, headers=[])
        with capture_logs():
            await app._process("command", read_command, message, use)
    assert sent[0].startswith(b"not a command: kind: ")
    assert sent[1] == b"not a command: remove.model: Field required"

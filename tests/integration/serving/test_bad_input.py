"""Each kind of bad input gets its own clear error, over HTTP and over Kafka, and stops nobody."""

import asyncio
import io
import os
import time
import uuid

import joblib
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from modelmesh.broker.kafka.topic_follower import TopicFollower
from modelmesh.schemas import records
from modelmesh.schemas.errors import (
    DeadlineExceeded,
    ModelFailed,
    ModelNotFound,
    NoWorker,
    RegistrationRefused,
)
from modelmesh.schemas.records import PredictionRequest


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"inputs": [1, 2]}', 422, "inputs"),
        (b'{"inputs": {"nope": 1}}', 422, "inputs"),
        (orjson.dumps({"inputs": ["x", *[1.0] * 29]}), 422, "inputs[0]"),
        (b'{"inputs": [NaN]}', 400, None),
        (b"{", 400, None),
        (b"{}", 400, "inputs"),
    ],
)
async def test_bodies_that_do_not_fit(http, kafka_client, forest, body, status, field):
    async with http.post(f"/predict/{forest}", data=body) as answer:
        problem = await answer.json()
        assert (answer.status, problem.get("field")) == (status, field)
        assert answer.content_type == "application/problem+json"
    reply = await kafka_client.send(forest, body)
    over_kafka = orjson.loads(reply.body)
    assert (reply.status, over_kafka) == (status, problem)


async def test_an_unknown_model_and_a_name_that_can_be_none(http):
    for name in ("nobody", "Not%20A%20Name"):
        async with http.post(f"/predict/{name}", json={"inputs": [1]}) as answer:
            assert answer.status == 404
            assert (await answer.json())["code"] == "model_not_found"


async def test_a_body_too_large(http, mesh, forest):
    async with http.post(f"/predict/{forest}", data=b" " * (mesh.settings.max_body_bytes + 1)) as answer:
        assert answer.status == 413

    async def chunks():
        for _ in range(mesh.settings.max_body_bytes // 65536 + 2):
            yield b" " * 65536

    async with http.post(f"/predict/{forest}", data=chunks()) as answer:
        assert answer.status == 413


@pytest.mark.parametrize("header", [{"X-Request-Id": "not an id"}, {"X-Timeout-Ms": "soon"}, {"X-Timeout-Ms": "-1"}])
async def test_headers_that_cannot_be_read(http, forest, header):
    async with http.post(f"/predict/{forest}", data=b"{}", headers=header) as answer:
        assert answer.status == 400
        assert (await answer.json())["field"] in header


async def test_routes_and_methods_that_do_not_exist(http):
    async with http.get("/nothing/here") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"
    async with http.delete("/models") as answer:
        assert answer.status == 405


class Fails:
    """A model that raises on negative rows and sleeps on large ones."""

    def predict(self, rows):
        if (rows < 0).any():
            raise RuntimeError("negative amounts are not served")
        time.sleep(float(rows.max()))
        return rows[:, 0]


class Dies:
    """A model that takes its process with it on negative rows."""

    def predict(self, rows):
        if (rows < 0).any():
            os._exit(1)
        return rows[:, 0]


@pytest.fixture(scope="module")
async def fails(sdk, tmp_path_factory):
    path = tmp_path_factory.mktemp("fails") / "fails.joblib"
    await asyncio.to_thread(_dump_by_value, Fails(), path)
    await sdk.register_model("fails", path, "sklearn", sample=[[0.0], [0.001]])
    return "fails"


def _dump_by_value(model, path):
    import cloudpickle

    path.write_bytes(cloudpickle.dumps(model))


async def test_a_model_that_raises_says_what_but_not_where(http, kafka_client, fails):
    async with http.post(f"/predict/{fails}", json={"inputs": [-1]}) as answer:
        text = await answer.text()
        assert answer.status == 500
        assert "negative amounts are not served" in text
        assert "Traceback" not in text
        assert ".py" not in text
    with pytest.raises(ModelFailed, match="negative amounts"):
        await kafka_client.predict(fails, [-1])


async def test_a_row_that_fails_does_not_spoil_its_batch(kafka_client, fails):
    rows = [[0.05], [0.001], [-1.0], [0.002], [0.003]]
    answers = await asyncio.gather(*(kafka_client.predict(fails, row) for row in rows), return_exceptions=True)
    assert isinstance(answers[2], ModelFailed)
    assert [answer["outputs"]["value"][0] for answer in answers[:2] + answers[3:]] == [0.05, 0.001, 0.002, 0.003]


async def test_a_model_that_dies_is_loaded_again(sdk, kafka_client, tmp_path):
    path = tmp_path / "dies.joblib"
    await asyncio.to_thread(_dump_by_value, Dies(), path)
    await sdk.register_model("dies", path, "sklearn", sample=[[1.0]])
    with pytest.raises(ModelFailed, match="died"):
        await kafka_client.predict("dies", [-1])
    assert (await kafka_client.predict("dies", [2], deadline=30))["outputs"]["value"] == [2.0]


async def test_a_deadline_that_passes_is_a_504(http, kafka_client, fails):
    async with http.post(f"/predict/{fails}", json={"inputs": [1.0]}, headers={"X-Timeout-Ms": "200"}) as answer:
        assert answer.status == 504
        assert (await answer.json())["code"] == "deadline_exceeded"
    with pytest.raises(DeadlineExceeded):
        await kafka_client.predict(fails, [1.0], deadline=0.2)


async def test_one_request_id_on_several_calls_at_once_is_several_requests(kafka_client, fails, forest, cancer):
    row = cancer[0][0].tolist()
    alone = await kafka_client.predict(forest, row)
    slow, other, again = await asyncio.gather(
        kafka_client.predict(fails, [0.3], request_id="twice"),
        kafka_client.predict(forest, row, request_id="twice"),
        kafka_client.predict(fails, [0.1], request_id="twice"),
    )
    assert [slow["model"], other["model"], again["model"]] == [fails, forest, fails]
    assert other["outputs"] == alone["outputs"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(records.ID, b"x")],
        [("junk", b"\xff\xfe")],
        PredictionRequest("r", "forest", 1e12, "somewhere-else", 0, b"{}").headers(),
        PredictionRequest("r", "forest", 1e12, "modelmesh.replies", 9999, b"{}").headers(),
    ],
)
@pytest.mark.parametrize("where", ["requests", "model"])
async def test_a_malformed_record_becomes_a_dead_letter_and_stops_nobody(
    mesh, kafka_client, forest, cancer, headers, where
):
    settings, marker = mesh.settings, uuid.uuid4().hex.encode()
    topics = settings.topics()
    topic = topics.requests if where == "requests" else topics.model(forest)
    found: asyncio.Future[dict[str, bytes]] = asyncio.get_running_loop().create_future()

    def look(record):
        if record.value == marker:
            found.set_result(dict(record.headers))

    follower = TopicFollower(settings, topics.dead_letters, look, from_end=True)
    following = asyncio.create_task(follower.run())
    await follower.ready.wait()
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        await producer.send_and_wait(topic.name, marker, headers=headers)
    letter = await asyncio.wait_for(found, 10)
    following.cancel()
    assert letter[records.REASON]
    assert letter[records.SOURCE].startswith(topic.name.encode())
    assert all(letter[name] == value for name, value in headers)
    rows, _, model = cancer
    answers = await kafka_client.predict_many(forest, rows[:100].tolist())
    assert [answer["outputs"]["label"][0] for answer in answers] == model.predict(rows[:100]).tolist()


async def test_a_malformed_command_or_release_stops_nobody(mesh, sdk, forest):
    topics = mesh.settings.topics()
    async with AIOKafkaProducer(bootstrap_servers=mesh.settings.kafka) as producer:
        for topic in (topics.commands, topics.deployments, topics.events, topics.replicas, topics.replies):
            for value in (b"junk", b"{}", None, b"\xff"):
                await producer.send_and_wait(topic.name, value, key=b"junk")
    deployed = await sdk.deploy(forest, "1.0.0")
    assert deployed["event"]["kind"] == "release.deployed"


async def test_registrations_that_do_not_prove_themselves(sdk, http, tmp_path, cancer):
    path = tmp_path / "junk.joblib"
    path.write_bytes(b"junk")
    with pytest.raises(RegistrationRefused, match="does not load"):
        await sdk.register_model("junk", path)
    joblib.dump({"no": "model"}, path)
    with pytest.raises(RegistrationRefused, match="neither predict"):
        await sdk.register_model("junk", path)
    with pytest.raises(ModelNotFound):
        await sdk.versions("junk")
    async with http.post("/models", json={"name": "x"}) as answer:
        assert answer.status == 400
    form = {"name": "Bad Name", "framework": "sklearn", "artifact": io.BytesIO(b"junk")}
    async with http.post("/models", data=form) as answer:
        assert answer.status == 422
        assert (await answer.json())["field"] == "name"


async def test_a_deployment_for_which_nobody_is_there_is_a_503(http, mesh, kafka_client):
    """A release on the log whose version no worker can load."""
    from modelmesh.schemas.payloads.releases import Release, Variant, VersionSpec
    from modelmesh.schemas.payloads.signatures import Signature, TensorSpec

    spec = VersionSpec(
        version="1.0.0",
        framework="onnx",
        served_as="onnx",
        artifact="file:///nowhere/at-all",
        digest="0" * 64,
        signature=Signature(inputs=(TensorSpec(name="x", dtype="float64"),)),
    )
    release = Release(
        model="lost",
        generation=1,
        strategy="full",
        variants=(Variant(name="stable", version="1.0.0", weight=1, role="stable"),),
        versions={"1.0.0": spec},
        updated_at=time.time(),
    )
    topics = mesh.settings.topics()
    async with AIOKafkaProducer(bootstrap_servers=mesh.settings.kafka) as producer:
        await producer.send_and_wait(topics.deployments.name, release.model_dump_json().encode(), key=b"lost")
        try:
            async with asyncio.timeout(10):
                while True:
                    async with http.post("/predict/lost", json={"inputs": [1]}) as answer:
                        if answer.status != 404:  # the router has not read it yet
                            break
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            with pytest.raises(NoWorker):
                await kafka_client.predict("lost", [1])
        finally:
            # Nobody else's readiness should wait for it.
            await producer.send_and_wait(topics.deployments.name, None, key=b"lost")

"""The SDK over HTTP and over Kafka: the same calls and answers; and other interfaces of a real mesh."""

import json
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
from aiokafka import AIOKafkaProducer
from modelmesh.schemas.errors import InvalidInput, ModelNotFound
from modelmesh.sdk import AsyncModelMeshClient, ModelMeshClient

from ...shell import run
from ..waiting import until


@pytest.fixture(params=["http", "kafka"])
def transport(request, mesh):
    return {"url": mesh.url} | ({"kafka": mesh.settings.kafka} if request.param == "kafka" else {})


async def test_both_transports_give_the_same_answers(transport, forest, cancer):
    rows, _, model = cancer
    async with AsyncModelMeshClient(**transport) as client:
        answer = await client.predict(forest, rows[0])
        assert answer.label == model.predict(rows[:1])[0]
        assert await client.models()
        with pytest.raises(InvalidInput):
            await client.predict(forest, [1.0])
        with pytest.raises(ModelNotFound):
            await client.predict("nobody", [1.0])


def test_the_blocking_client_has_both_transports(transport, forest, cancer):
    rows, _, model = cancer
    with ModelMeshClient(**transport) as client:
        assert client.predict(forest, rows[0]).label == model.predict(rows[:1])[0]


async def test_a_stream_keeps_the_order_and_gives_a_bad_rows_error_in_its_place(transport, forest, cancer):
    rows, _, model = cancer
    expected = model.predict(rows[:60]).tolist()
    given = [row.tolist() for row in rows[:60]]
    given[7] = [1.0]
    counts = []
    async with AsyncModelMeshClient(**transport) as client:
        answers = [
            answer async for answer in client.predict_stream(forest, given, in_flight=8, on_progress=counts.append)
        ]
    assert counts == list(range(1, 61))
    assert isinstance(answers.pop(7), InvalidInput)
    del expected[7]
    assert [answer.label for answer in answers] == expected


def test_a_stream_may_be_left_early(mesh, forest, cancer):
    with ModelMeshClient(mesh.url) as client:
        stream = client.predict_stream(forest, (row.tolist() for row in cancer[0]), in_flight=4)
        assert next(stream).version
        stream.close()
        assert client.health()["ready"]


async def test_every_path_is_there_under_its_version(http, forest, cancer):
    async with http.post(f"/v1/predict/{forest}", json={"inputs": cancer[0][0].tolist()}) as answer:
        assert answer.status == 200
    for path in ("/models", "/deployments", "/health", "/openapi.json", "/asyncapi.json"):
        async with http.get(f"/v1{path}") as answer:
            assert answer.status == 200, path


async def test_the_topics_are_described_for_clients_in_other_languages(mesh, http):
    async with http.get("/asyncapi.json") as answer:
        document = await answer.json()
    assert document["asyncapi"] == "3.0.0"
    assert document["servers"]["kafka"]["host"] == mesh.settings.kafka


@pytest.mark.both_databases
def test_the_doctor_finds_a_mesh_that_is_well_and_a_database_that_is_not(mesh, monkeypatch, tmp_path):
    for name in ("kafka", "data", "database", "redis"):
        monkeypatch.setenv(f"MODELMESH_{name.upper()}", str(getattr(mesh.settings, name)))
    done = run("doctor", "--url", mesh.url, "--json")
    found = {finding["what"]: finding for finding in json.loads(done.output)}
    assert {finding["state"] for finding in found.values()} <= {"good", "note"}, found
    assert done.exit_code == 0
    monkeypatch.setenv("MODELMESH_DATABASE", "postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    done = run("doctor", "--url", mesh.url)
    assert done.exit_code == 1
    assert "MODELMESH_DATABASE" in done.output.replace("\n", "")


def test_a_client_of_librdkafka_alone_gets_its_answer(mesh, forest, cancer):
    pytest.importorskip("confluent_kafka")
    rows, _, model = cancer
    example = Path(__file__).parents[3] / "examples" / "plain_kafka.py"
    for inputs, status in ((rows[0].tolist(), "200"), ([1.0], "422")):
        body = json.dumps({"inputs": inputs})
        done = subprocess.run(
            [sys.executable, str(example), mesh.settings.kafka, forest, body],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found, _, answer = done.stdout.partition(" ")
        assert found == status
        if status == "200":
            assert json.loads(answer)["outputs"]["label"] == model.predict(rows[:1]).tolist()


def test_settings_do_not_show_passwords(monkeypatch):
    monkeypatch.setenv("MODELMESH_DATABASE", "postgresql+asyncpg://me:hunter2@db/x")
    monkeypatch.setenv("MODELMESH_KAFKA_PASSWORD", "hunter2")
    done = run("settings", "--json")
    assert done.exit_code == 0
    assert "hunter2" not in done.output


async def test_an_artifact_comes_back_as_it_was_registered(http, sdk, cancer, tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(cancer[2], path)
    await sdk.register_model("downloaded", path, sample=cancer[0][:5])
    async with http.get("/models/downloaded/versions/1.0.0/artifact") as answer:
        assert answer.status == 200
        assert await answer.read() == path.read_bytes()
    async with http.get("/models/downloaded/versions/9.0.0/artifact") as answer:
        assert answer.status == 404


async def test_dead_letters_are_seen_and_sent_again_over_http(mesh, http):
    topics = mesh.settings.topics()
    async with AIOKafkaProducer(bootstrap_servers=mesh.settings.kafka) as producer:
        await producer.send_and_wait(topics.requests.name, b"nonsense", key=b"seen-over-http")

    async def there():
        async with http.get("/dead-letters") as answer:
            found[:] = [each for each in (await answer.json())["dead_letters"] if each["key"] == "seen-over-http"]
            return bool(found)

    found: list[dict] = []
    await until(there, "the dead letter is listed")
    number = found[0]["number"]
    assert "mm-id" in found[0]["reason"]
    async with http.post(f"/dead-letters/{number}/redrive") as answer:
        assert await answer.json() == {"status": None, "reply": None}
    async with http.get(f"/dead-letters/{number}") as answer:
        assert (await answer.json())["redriven"]
    async with http.get("/dead-letters/999999") as answer:
        assert answer.status == 404

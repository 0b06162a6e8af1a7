"""Nonsense on every topic and every route: no 500, no stopped consumer, and predictions go on."""

import asyncio
import random

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from modelmesh.broker.kafka.connection import make_producer
from modelmesh.cli.local.status import mesh_status
from modelmesh.schemas import records

from ..waiting import until

pytestmark = pytest.mark.both_databases

NAMES = [value for name, value in vars(records).items() if name.isupper() and isinstance(value, str)]
# Endless by design, and what a person would have to wait for.
LEFT_OUT = {"/events", "/ui/stream"}


def nonsense(generator):
    """Headers and a value that are a little like real ones."""
    interesting = [b"", b"1", b"-1", b"nan", b"1e999", b"id-1", b"forest", b"200", b"shadow", b"\xff\xfe", b"9" * 30]
    count = generator.randrange(len(NAMES))
    headers = [(generator.choice(NAMES), generator.choice(interesting)) for _ in range(count)]
    value = generator.choice(
        [None, b"", b"{", b"null", b"[]", b'{"model": 1}', generator.randbytes(50), b'{"inputs": [1]}']
    )
    return headers, value


async def test_nonsense_on_every_topic_stops_nobody(mesh, sdk, kafka_client, forest, cancer):
    rows, _, model = cancer
    before = {role["name"]: role["starts"] for role in (await mesh_status(mesh.settings))["roles"]}
    generator = random.Random(7)
    topics = mesh.settings.topics()
    producer = make_producer(mesh.settings)
    await producer.start()
    try:
        for topic in (*topics, topics.model(forest)):
            for _ in range(60):
                headers, value = nonsense(generator)
                key = generator.choice([None, b"", b"forest", b"\xff", b"a|b|c"])
                if value is None:
                    key = b"nobody"  # a tombstone means what it says
                await producer.send(topic.name, value, key=key, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()
    for number in range(50):
        answer = await kafka_client.predict(forest, rows[number].tolist())
        assert answer["outputs"]["label"] == model.predict(rows[number : number + 1]).tolist()
    assert (await sdk.deploy(forest, "1.0.0"))["ready"]

    async def at_rest():
        status = await mesh_status(mesh.settings)
        return status["healthy"] and sum(entry["lag"] for entry in status["lag"]) == 0

    await until(at_rest, "every consumer has read the nonsense")
    after = {role["name"]: role["starts"] for role in (await mesh_status(mesh.settings))["roles"]}
    assert after == before


@pytest.mark.timeout(600)
async def test_the_http_api_answers_whatever_fits_its_document(mesh, forest):
    document = schemathesis.openapi.from_url(f"{mesh.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) > 25
    for operation in operations:
        if operation.path not in LEFT_OUT:
            await asyncio.to_thread(_fuzz, operation, mesh.url)


def _fuzz(operation, url):
    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case):
        response = case.call(base_url=url, timeout=30, allow_redirects=False)
        assert response.status_code != 500, (case.as_curl_command(), response.text)
        if response.status_code >= 400:
            shown = (case.as_curl_command(), response.status_code, response.headers, response.text)
            assert says_what_is_wrong(operation.path, response), shown

    check()


def says_what_is_wrong(path, response):
    """An error is a problem document, but in the Open Inference Protocol, and for a batch where each row has its own."""
    kind, document = response.headers.get("content-type", [""])[0], response.json()
    if path.startswith("/v2"):
        return kind.startswith("application/json") and document["error"]
    if path.endswith("/batch") and "predictions" in document:
        return all(row["error"]["detail"] for row in document["predictions"])
    return kind.startswith("application/problem+json") and document["detail"]

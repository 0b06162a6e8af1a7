"""Each header, path part, parameter, field and record header of the real application with odd texts: no UTF-8, controls,
a megabyte, nothing, twice. An answer below 500 that names it, nothing held, no dead letter, and whole lines in the log."""

import io
import re
import sys
from types import SimpleNamespace

import orjson
import pytest
import structlog
from modelmesh.access.request_guard import _READ_HEADERS
from modelmesh.gateway.api.counterfactual import CounterfactualRequest
from modelmesh.gateway.api.keys import KeyRequest
from modelmesh.gateway.api.labels import LabelsRequest
from modelmesh.gateway.api.replays import ReplayRequest
from modelmesh.registry.registration import Registration
from modelmesh.schemas import records
from modelmesh.schemas.documents.releases import (
    CanaryRequest,
    ChangeRequest,
    DeploymentRequest,
    ExperimentRequest,
    PercentageRequest,
    ShadowRequest,
    StopExperimentRequest,
)
from modelmesh.schemas.errors import MalformedRecord
from modelmesh.schemas.records import PredictionRequest, Reply
from modelmesh.telemetry.logs import configure_logs

from .gateway_alone import gateway_alone

MEGABYTE = 1024 * 1024
HEADER_VALUES = [
    b"\xff\xfe", b"\xc3(", b"\x01", b"a\x00b", b"a\x7fb", b"x" * MEGABYTE, b"x" * 8000, b"", b" ", "é".encode(), b"a, b", b"%",
]  # fmt: skip
PATH_VALUES = [
    b"%ff", b"%c3(", b"%00", b"%0d%0a", b"%1b[31m", b"x" * MEGABYTE, b"x" * 8000, b"%20", b"%2e%2e%2f", "é".encode(), b"%25",
    b"\xff",
    b"'", b"*", b"-1", b"99999999999999999999",
]  # fmt: skip
QUERIES = (b"model page per_page status request_id version nonce framework strategy confirm from to limit").split()
TEXTS = ["", "\x00", "a\x1bb", "x" * 100_000, "é", "\U0001f600", "'; --", "../..", None, [], {}, 1e308, True, -1]
BODIES = [
    b"", b"\xff", b"null", b"[]", b"{}", b'"x"', b'{"\\u0000": 1}', b"[" * 5000, b'{"name": "\\ud800"}',
    b"{" + b'"a":1,' * 1000 + b'"b":2}',
]  # fmt: skip
DOCUMENTS = {
    "/deployments": DeploymentRequest, "/deployments/canary": CanaryRequest, "/deployments/shadow": ShadowRequest,
    "/experiments": ExperimentRequest, "/experiments/m/stop": StopExperimentRequest,
    "/deployments/canary/m/promote": ChangeRequest,
    "/deployments/canary/m/rollback": ChangeRequest, "/deployments/canary/m/percentage": PercentageRequest, "/keys": KeyRequest,
    "/labels/m": LabelsRequest, "/replays": ReplayRequest, "/deployments/canary/m/counterfactual": CounterfactualRequest,
}  # fmt: skip
JSON = b"Content-Type: application/json"


@pytest.fixture(scope="module")
async def alone(tmp_path_factory):
    kept = structlog.get_config()
    written = io.BytesIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stderr", SimpleNamespace(buffer=written))
        configure_logs("info", "gateway", "alone")
        patched.undo()
        async with gateway_alone(tmp_path_factory.mktemp("odd"), auth="keys", kafka="127.0.0.1:1") as running:
            running.auth = b"X-API-Key: " + running.key("predict", "deploy", "admin").encode()
            running.log = written
            yield running
    structlog.configure(**kept)


@pytest.fixture
def routes(alone):
    """Every route but those that ask Kafka itself, and but the same under /v1: method and path."""
    found = {
        (route.method, route.resource.canonical) for route in alone.app.router.routes() if route.resource is not None
    }
    return sorted(one for one in found if one[0] != "HEAD" and not one[1].startswith(("/v1/", "/dead-letters")))


def filled(path, value=b"m"):
    return re.sub(rb"\{\w+\}", lambda _: value, path.encode())


async def ask_and_look(alone, method, target, *headers, body=b"", auth=True):
    """Ask, and see that it ended as anything odd may end; return the status and the answer."""
    alone.log.seek(0)
    alone.log.truncate()
    status, answer = await alone.ask(method, target, *([alone.auth] if auth else []), *headers, body=body)
    what = method, target[:80], [header[:60] for header in headers], body[:80], answer[:400]
    # 503: what a control plane, a worker or Kafka would answer is not here.
    assert status in range(200, 500) or status == 503, what
    assert not any(alone.taken.values()), what
    assert not [topic for topic, *_ in alone.producer.sent if "dead" in topic], what
    for line in alone.log.getvalue().splitlines():
        written = orjson.loads(line)
        assert written["event"] != "http.failed", written
    for kind in ("access log", "metrics", "traces"):
        assert not alone.gateway.registry.get_sample_value("bookkeeping_failures_total", {"what": kind}), what
    return status, answer


async def test_headers_of_every_route(alone, routes):
    """One odd header at a time at each route; all headers at those that read the most."""
    for method, path in routes:
        for number, value in enumerate(HEADER_VALUES):
            name = sorted(_READ_HEADERS)[(number + len(path)) % len(_READ_HEADERS)]
            if name not in (b"content-length", b"host"):
                await ask_and_look(alone, method, filled(path), name + b": " + value)


@pytest.mark.parametrize("path", ["/predict/m", "/predict/m/batch", "/v2/models/m/infer", "/deployments", "/models"])
async def test_every_header_of_routes_that_read_them(alone, path):
    for name in sorted(_READ_HEADERS - {b"host", b"content-length", b"x-api-key"}):
        for value in HEADER_VALUES:
            status, answer = await ask_and_look(alone, "POST", path, name + b": " + value, body=b'{"inputs": [1]}')
            if value in (b"\xff\xfe", b"\xc3("):
                assert status == 400, (name, answer)
                assert name in answer.lower()
        status, answer = await ask_and_look(alone, "POST", path, name + b": 1", name + b": 2", body=b'{"inputs": [1]}')
        assert status == 400, (name, answer)
        assert name in answer.lower()


async def test_headers_that_nobody_reads_may_say_what_they_like(alone):
    for value in (b"\xff", "é".encode(), b"", b"x" * 8000):
        status, answer = await ask_and_look(alone, "GET", "/models", b"Cookie: " + value, b"Via: a", b"Via: b")
        assert status == 200, answer


async def test_parts_of_every_path(alone, routes):
    for method, path in routes:
        if "{" in path:
            for value in PATH_VALUES[len(path) % 2 :: 2]:  # one half at each: neighbours share their code
                await ask_and_look(alone, method, filled(path, value))


async def test_parameters_of_every_route(alone, routes):
    for method, path in routes:
        if method == "GET":
            for number, value in enumerate(PATH_VALUES[len(path) % 2 :: 2]):
                names = QUERIES if number % 5 == len(path) % 5 else QUERIES[:4]
                names = names[:1] if len(value) == MEGABYTE else names
                await ask_and_look(
                    alone, method, filled(path) + b"?" + b"&".join(name + b"=" + value for name in names)
                )
                await ask_and_look(alone, method, filled(path) + b"?" + value + b"=1&model=&model=m&page=&page=1")


async def test_bodies_of_every_route(alone, routes):
    for method, path in routes:
        if method == "POST":
            for body in BODIES:
                await ask_and_look(alone, method, filled(path), JSON, body=body)


@pytest.mark.parametrize(("path", "kind"), DOCUMENTS.items())
async def test_fields_of_every_document(alone, path, kind):
    for name in kind.model_fields:
        for value in TEXTS:
            known = {"model": "m", "name": "m", "version": "1.0.0", "scopes": ["predict"], "labels": {"a": 1}}
            document = {field: known[field] for field in kind.model_fields if field in known} | {name: value}
            status, answer = await ask_and_look(alone, "POST", path, JSON, body=orjson.dumps(document))
            if value == "\x00":
                assert status in (400, 404, 422), (name, answer)


async def form(alone, *parts):
    body = b"".join(
        b"--x\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + value + b"\r\n" for head, value in parts
    )
    kind = b"Content-Type: multipart/form-data; boundary=x"
    return await ask_and_look(alone, "POST", "/models", kind, body=body + b"--x--\r\n")


async def test_fields_of_a_form(alone):
    for field in Registration.model_fields:
        for value in (b"", b"\xff", b"\x00", b"\x01", b"x" * MEGABYTE, b"null", b"[" * 5000, b'"\\u0000"'):
            given = {b"name": b"m", b"framework": b"sklearn"} | {field.encode(): value}
            parts = [(b'name="%s"' % name, text) for name, text in given.items()]
            status, answer = await form(alone, *parts, (b'name="artifact"; filename="a"', b""))
            assert status in (400, 413, 422), (field, answer)
        status, answer = await form(alone, *2 * [(b'name="%s"' % field.encode(), b"1")])
        assert status in (400, 422), answer
    for head in (
        b'name="\xff"',
        b'name="a\x00b"',
        b'name=""',
        b"x",
        b"name*=utf-8''%ff",
        b'name="' + b"x" * 9000 + b'"',
        b"\xff: x",
    ):
        status, answer = await form(alone, (head, b"1"))
        assert status in (400, 422), (head[:40], answer)


async def test_fields_are_counted_before_they_are_held(alone, monkeypatch):
    monkeypatch.setattr("modelmesh.gateway.api.upload.LARGEST_FIELDS", 10_000)
    made_up = [(b'name="f%d"' % number, b"x" * 1000) for number in range(50)]
    status, answer = await form(alone, *made_up)
    assert status == 422
    assert b"no such field" in answer, "the first that is made up ends it"
    known = [(b'name="%s"' % name, b'"%s"' % (b"x" * 6000)) for name in (b"sample", b"reference")]
    status, answer = await form(alone, *known)
    assert status == 413
    assert b"reference" in answer


async def test_a_batch_costs_as_many_as_it_has_rows(alone):
    """The rows of a batch, of one request, and of the other protocol; a caller without a limit is asked nothing."""
    bodies = [
        ("/predict/m/batch", b'{"inputs": [[1], [2], [3]]}'),
        ("/predict/m", b'{"inputs": [[1], [2], [3]]}'),
        ("/predict/m", b'{"inputs": [{"x": 1}, {"x": 2}, {"x": 3}]}'),
        ("/v2/models/m/infer", b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [3, 1], "data": [1, 2, 3]}]}'),
    ]
    for path, body in bodies:
        key = b"X-API-Key: " + alone.key("predict", requests_per_minute=7).encode()
        left = []
        for expected in (200, 200, 429):
            status, answer = await ask_and_look(alone, "POST", path, key, JSON, body=body, auth=False)
            assert status == expected, (path, answer)
            left.append(int(re.search(rb"RateLimit-Remaining: (\d+)", answer)[1]))
        assert left[:2] == [4, 1], path
        status, answer = await ask_and_look(
            alone, "POST", "/predict/m/batch", JSON, body=orjson.dumps({"inputs": [[1]] * 50})
        )
        assert status == 200
    few = b"X-API-Key: " + alone.key("predict", requests_per_minute=2).encode()
    sent = len(alone.producer.sent)
    status, answer = await ask_and_look(alone, "POST", "/predict/m/batch", few, JSON, body=bodies[0][1], auth=False)
    assert status == 429
    assert b"3 rows" in answer
    assert len(alone.producer.sent) == sent, "no row of it was sent"


@pytest.mark.parametrize(
    "value", [b"\xff", b"", b"\x00", b"x" * MEGABYTE, None, b"9" * 5000, b"9" * 400, b"-1", b"nan", "٣".encode()]
)
def test_headers_of_records(value):
    """What a Kafka client writes is read, or refused by name; nothing else comes of it."""
    request = PredictionRequest(
        "r", "m", 1e9, "modelmesh.replies", 0, b"{}", nonce="n" * 32, routing_key="k", caller="c", traceparent="t"
    )
    reply = Reply("r", "m", 200, b"{}", version="1", nonce="n" * 32)
    names = {
        value for name, value in vars(records).items() if name.isupper() and isinstance(value, str) and value.islower()
    }
    for kind, given in ((PredictionRequest, request), (Reply, reply)):
        for name in names:
            others = [header for header in given.headers() if header[0] != name]
            for headers in (
                [*others, (name, value)],
                [*given.headers(), (name, value)],
                [(name, value), *given.headers()],
            ):
                try:
                    kind.from_record(headers, b"{}")
                except MalformedRecord as error:
                    assert error.field

"""A page in a user's browser is not the user: by its name (Host), its address (Origin) and what it may send it is told apart."""

import asyncio

import pytest
from modelmesh.access.request_guard import RequestGuard, known_hosts
from modelmesh.cli.local.commands import check_exposed
from modelmesh.schemas.errors import SetupError
from modelmesh.schemas.settings import Settings
from modelmesh.telemetry.admin_server import admin_server
from prometheus_client import CollectorRegistry

from ..shell import run
from .gateway_alone import gateway_alone

JSON = b"Content-Type: application/json"
FORM = b"Content-Type: multipart/form-data; boundary=x"
WRITES = [
    ("POST", "/models"), ("POST", "/deployments"), ("POST", "/deployments/canary"), ("POST", "/deployments/shadow"),
    ("POST", "/deployments/m/experiment"), ("POST", "/labels/m"), ("POST", "/keys"), ("POST", "/replays"),
    ("DELETE", "/models/m"), ("DELETE", "/keys/1"), ("POST", "/v1/models"), ("POST", "/predict/m"),
    ("POST", "/v2/models/m/infer"),
]  # fmt: skip


@pytest.fixture(scope="module")
async def alone(tmp_path_factory):
    async with gateway_alone(tmp_path_factory.mktemp("open")) as running:
        yield running


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000", "localhost.", "127.0.0.1:1"]
)
async def test_the_services_own_names_are_answered(alone, host):
    assert (await alone.ask("GET", "/models", host=host))[0] == 200


@pytest.mark.parametrize(
    "path", ["/models", "/inference-log", "/ui/state", "/ui", "/metrics", "/health", "/nothing", "/keys"]
)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.2", "10.0.0.1", "a b",
     "evil@127.0.0.1", "127.0.0.1, evil", "[::1", "[::2]", "127.0.0.1:x", "", "\xe9vil"],
)  # fmt: skip
async def test_under_another_name_nothing_is_to_be_had(alone, host, path):
    status, answer = await alone.ask("GET", path, host=host)
    assert status in (400, 421), answer
    assert b"in_flight" not in answer


async def test_two_names_are_none(alone):
    assert (await alone.ask("GET", "/models", b"Host: evil.example"))[0] == 400


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "page",
    [b"Origin: http://evil.example", b"Origin: null", b"Origin: http://127.0.0.1", b"Origin: http://localhost:3000",
     b"Origin: http://127.0.0.1.evil.example:%d", b"Origin: ", b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Site: same-site",
     b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate", b"Origin: file://", b"Origin: http://evil.example\r\nOrigin: x"],
)  # fmt: skip
async def test_a_page_of_elsewhere_changes_nothing(alone, method, path, page):
    page = page.replace(b"%d", b"%d" % alone.port)
    for kind in (JSON, FORM, b"Content-Type: text/plain", b"X-None: x"):
        status, answer = await alone.ask(method, path, page, kind, body=b"{}", host=f"127.0.0.1:{alone.port}")
        assert status in (400, 403), (kind, answer)
    assert not alone.producer.sent, "nothing was written to the log"


@pytest.mark.parametrize("path", ["/models", "/events", "/ui/stream", "/inference-log", "/metrics"])
async def test_a_page_of_elsewhere_reads_nothing_and_opens_no_stream(alone, path):
    for page in (b"Origin: http://evil.example", b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors"):
        assert (await alone.ask("GET", path, page))[0] == 403


async def test_a_link_from_elsewhere_leads_to_the_dashboard_which_no_frame_shows(alone):
    link = b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate"
    for path in ("/ui", "/docs"):
        status, answer = await alone.ask("GET", path, link)
        assert status == 200
        assert b"frame-ancestors 'none'" in answer


async def test_the_dashboards_own_requests_are_answered(alone):
    host = f"127.0.0.1:{alone.port}"
    own = b"Origin: http://%s\r\nSec-Fetch-Site: same-origin" % host.encode()
    assert (await alone.ask("GET", "/ui/state", own, host=host))[0] == 200
    status, answer = await alone.ask("POST", "/labels/m", own, JSON, body=b'{"labels": {"a": 1}}', host=host)
    assert status == 202, answer
    alone.producer.sent.clear()


@pytest.mark.parametrize(
    "kind",
    [b"text/plain", b"TEXT/PLAIN", b"text/plain;charset=utf-8", b" text/plain", b"application/x-www-form-urlencoded",
     b"multipart/form-data; boundary=x"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/deployments", "/labels/m", "/keys", "/replays", "/v1/keys"])
async def test_no_change_comes_as_what_pages_send_without_asking(alone, path, kind):
    status, answer = await alone.ask("POST", path, b"Content-Type: " + kind, body=b"{}")
    assert status == 415
    assert b"application/json" in answer


async def test_a_prediction_may_come_as_curl_sends_it(alone):
    form = b"Content-Type: application/x-www-form-urlencoded"
    status, answer = await alone.ask("POST", "/predict/m", form, body=b'{"inputs": [1]}')
    assert status == 200, answer
    alone.producer.sent.clear()


async def test_a_page_is_told_nothing_unless_it_is_named(alone, tmp_path):
    status, answer = await alone.ask(
        "OPTIONS", "/models", b"Origin: https://ours.example", b"Access-Control-Request-Method: GET"
    )
    assert status == 403
    assert b"access-control" not in answer.lower()
    async with gateway_alone(tmp_path, cors_origins="https://ours.example, http://b:3000", auth="keys") as opened:
        ours, key = b"Origin: https://ours.example", opened.key("predict").encode()
        asks = b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization"
        status, answer = await opened.ask("OPTIONS", "/predict/m", ours, asks)
        assert status == 204
        assert b"Access-Control-Allow-Origin: https://ours.example\r\n" in answer
        for headers, expected in (([b"Authorization: Bearer " + key], 200), ([], 401)):
            status, answer = await opened.ask("POST", "/predict/m", ours, JSON, *headers, body=b'{"inputs": [1]}')
            assert status == expected
            assert b"Access-Control-Allow-Origin: https://ours.example\r\n" in answer, "an error may be read too"
            assert b"Vary: Origin" in answer
        for other in (b"https://ours.example.evil", b"http://ours.example", b"https://ours.example:444", b"null"):
            status, answer = await opened.ask("OPTIONS", "/predict/m", b"Origin: " + other, asks)
            assert status == 403
            assert b"Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize("origins", ["*", "ours.example", "https://ours.example/", "https://a b"])
def test_a_page_that_cannot_be_named_is_refused_at_the_start(origins):
    with pytest.raises(SetupError, match="MODELMESH_CORS_ORIGINS"):
        RequestGuard(Settings(cors_origins=origins), "127.0.0.1")


def test_behind_a_proxy_with_keys_any_name_will_do():
    assert known_hosts(Settings(auth="keys"), "0.0.0.0") is None
    assert "mesh.example" in known_hosts(Settings(auth="keys", hosts="Mesh.example, b"), "0.0.0.0")
    assert known_hosts(Settings(hosts="*"), "127.0.0.1") is None
    assert "mesh.example" in known_hosts(Settings(hosts="mesh.example"), "127.0.0.1")
    assert "mesh.example" not in known_hosts(Settings(), "127.0.0.1")


async def test_the_ports_of_the_roles_know_their_names_too():
    guard = RequestGuard(Settings(), "127.0.0.1")
    async with admin_server("127.0.0.1", 0, CollectorRegistry(), lambda: {"ready": True}, guard.check) as port:
        for host, expected in ((b"127.0.0.1", b"200"), (b"evil.example", b"421")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).split()[1] == expected
            writer.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "mesh.example"])
def test_up_lets_others_in_only_with_keys_or_when_that_is_meant(host, tmp_path, monkeypatch):
    monkeypatch.delenv("MODELMESH_AUTH", raising=False)
    done = run("up", "--host", host, "--data", tmp_path)
    assert isinstance(done.exception, SetupError)
    assert "--insecure" in str(done.exception)
    assert list(tmp_path.iterdir()) == [], "nothing was started"
    assert check_exposed(Settings(host=host), insecure=True)
    assert not check_exposed(Settings(host=host, auth="keys"), insecure=False)
    with pytest.raises(SetupError, match="MODELMESH_ADMIN_HOST"):
        check_exposed(Settings(admin_host=host), insecure=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_this_machine_alone_needs_no_keys(host):
    assert not check_exposed(Settings(host=host), insecure=False)


def test_every_port_is_this_machines_own_unless_told_otherwise():
    settings = Settings.model_fields
    assert (settings["host"].default, settings["admin_host"].default) == ("127.0.0.1", "127.0.0.1")

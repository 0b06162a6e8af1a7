"""Two tenants on one mesh, each with an admin key for its own model. Every route of the real application is asked with A's
key, for lists and for what is B's: nothing of B's names, ids, bodies, actors or addresses comes back, and what is B's looks
to A like what is not there. A route that is added and not in the table fails the test."""

import asyncio
import re

import aiohttp
import grpc
import orjson
import pytest
from modelmesh.gateway.predict.grpc_service import GrpcService
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from benchmarks.models.chaos_models import chaos_model

from ..unit.application import real_application
from .tenant_routes import B_ADDRESS, NEEDLES, ROUTES, VALUE, A, B
from .two_tenants import ask, tenant


def routes_of_the_application(folder):
    """Every route that a gateway has: method and path, /v1 and the path without it being one."""
    return {
        (route.method, re.sub(r"^/v1(?=/)", "", route.resource.canonical), route.resource.canonical)
        for route in real_application(folder).router.routes()
        if route.method != "HEAD"
    }


async def test_the_table_has_every_route_and_no_other(tmp_path):
    assert {(method, path) for method, path, _ in routes_of_the_application(tmp_path)} == set(ROUTES)


@pytest.fixture(scope="module")
async def tenants(keyed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tenants")
    async with (
        tenant(keyed, folder, A, "1.0.0", "127.0.0.1", 3.0) as a,
        tenant(keyed, folder, B, "7.7.7", B_ADDRESS, 2.0) as b,
    ):
        yield a, b


def filled(path, values):
    return re.sub(r"\{(\w+)\}", lambda part: values[part[1]], path)


def values_of(b):
    model = {"model": B, "name": B, "id": f"{B}.2", "version": "7.7.7", "request_id": "bravo-request"}
    return model | {"number": str(b.letter), "replay": b.replay, "key_id": b.robot["id"], "file": "dashboard.js"}


# The same questions about what is not there.
GHOST = {
    "model": "ghost", "name": "ghost", "id": "ghost.2", "version": "7.7.7", "request_id": "ghost-request", "number": "99999",
    "replay": "ghost.000000000000", "key_id": "0" * 12, "file": "nothing.js",
}  # fmt: skip


async def asked(session, method, path, case, values, folder):
    """Ask as a case says, about what `values` name; return status, body and headers."""
    target = filled(path, values) + case.query.replace(B, values["name"])
    if case.form:
        form = aiohttp.FormData()
        for name, value in (("name", values["model"]), ("framework", "onnx"), ("version", "7.7.7")):
            form.add_field(name, value)
        form.add_field("artifact", (folder / "a.onnx").read_bytes(), filename="a.onnx")
        async with session.request(method, target, data=form) as answer:
            return answer.status, await answer.read(), answer.headers
    document = orjson.loads(case.body.replace("{model}", values["model"])) if case.body is not None else None
    return await ask(session, method, target, document)


def without(text, values):
    """A body without what the question itself said, and without what differs from answer to answer."""
    for value in sorted(values.values(), key=len, reverse=True):
        text = text.replace(value.encode(), b"*")
    return text


def leaks(body, headers):
    everything = body + b"\n" + "\n".join(f"{name}: {value}" for name, value in headers.items()).encode()
    return [needle for needle in NEEDLES if needle in everything]


async def test_no_route_shows_one_tenant_anything_of_the_other(tenants, tmp_path):
    a, b = tenants
    chaos_model(tmp_path / "a.onnx")
    theirs = values_of(b)
    for method, path, real in sorted(routes_of_the_application(tmp_path)):
        case, what = ROUTES[method, path], f"{method} {real}"
        if case.stream:
            continue  # below
        if not case.refused:
            status, body, headers = await asked(a.session, method, real, case, theirs, tmp_path)
            assert status in (200, 302), (what, body)
            assert not leaks(body, headers), (what, leaks(body, headers), body[:2000])
            if case.shows:
                assert A.encode() in body, f"{what} shows A what is A's"
                status, body, _ = await asked(b.session, method, real, case, theirs, tmp_path)
                assert case.shows in body, f"{what} could have shown it: {body[:2000]}"
            continue
        status, body, headers = await asked(a.session, method, real, case, theirs, tmp_path)
        assert status in case.refused, (what, status, body)
        mine = without(body, theirs)
        assert not leaks(mine, headers), (what, body)
        ghost_status, ghost, _ = await asked(a.session, method, real, case, GHOST, tmp_path)
        assert (status, mine) == (ghost_status, without(ghost, GHOST)), f"{what} tells what is there"


@pytest.mark.parametrize(
    "path",
    [
        "/deployments", "/deployments/canary", "/deployments/history", "/experiments", "/monitoring/latency",
        "/monitoring/errors", "/inference-log", "/replays", "/events", "/inference-log/same-id",
    ],
)  # fmt: skip
async def test_a_list_about_the_others_model_is_refused(tenants, path):
    a, _ = tenants
    for model in (B, "ghost"):
        status, body, _ = await ask(a.session, "GET", f"{path}?model={model}")
        assert status == 403, (model, body)
    status, body, _ = await ask(a.session, "GET", f"{path}?model={A}") if path != "/events" else (200, b"", {})
    assert status == 200, body


async def test_the_same_request_id_is_each_tenants_own(tenants):
    for one, value in zip(tenants, (1.5, VALUE), strict=True):
        status, body, _ = await ask(one.session, "GET", "/inference-log/same-id")
        assert status == 200, body
        assert orjson.loads(body)["request"] == {"inputs": [0, value]}
        status, body, _ = await ask(one.session, "GET", "/inference-log?request_id=same-id")
        assert [row["model"] for row in orjson.loads(body)["requests"]] == [one.model]


async def test_grpc_tells_one_tenant_nothing_of_the_other(tenants, keyed):
    """Every call of the service that is answered at all: refused for B's model as for one that is not there."""
    a, _ = tenants
    requests = {
        "ServerLive": lambda name: pb.ServerLiveRequest(),
        "ServerReady": lambda name: pb.ServerReadyRequest(),
        "ServerMetadata": lambda name: pb.ServerMetadataRequest(),
        "ModelReady": lambda name: pb.ModelReadyRequest(name=name),
        "ModelMetadata": lambda name: pb.ModelMetadataRequest(name=name),
        "ModelInfer": lambda name: pb.ModelInferRequest(model_name=name),
        "RepositoryIndex": lambda name: pb.RepositoryIndexRequest(),
        "RepositoryModelLoad": lambda name: pb.RepositoryModelLoadRequest(model_name=name),
        "RepositoryModelUnload": lambda name: pb.RepositoryModelUnloadRequest(model_name=name),
    }
    calls = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    ours = {name for name in calls if name in vars(GrpcService)}
    assert ours == {*requests, "ModelStreamInfer"}
    told = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{keyed.mesh.settings.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        metadata = (("authorization", f"Bearer {a.key['key']}"),)
        for name, request in requests.items():
            for model in (B, "ghost"):
                try:
                    answer = str(await getattr(stub, name)(request(model), metadata=metadata))
                except grpc.aio.AioRpcError as error:
                    answer = f"{error.code()} {error.details()}"
                told[name, model] = answer.replace(model, "*")
        for model in (B, "ghost"):
            stream = stub.ModelStreamInfer(iter([pb.ModelInferRequest(model_name=model)]), metadata=metadata)
            told["ModelStreamInfer", model] = str([answer async for answer in stream]).replace(model, "*")
    for name in ours:
        assert told[name, B] == told[name, "ghost"]
        assert not leaks(told[name, B].encode(), {}), name
    assert A in told["RepositoryIndex", B]


async def test_streams_bring_each_tenant_its_own_events(tenants):
    """What the gateway hears of B it has told B before it hears of A: until A's event came, A's stream had its chance."""
    a, b = tenants

    async def follow(session, path, needle):
        text = b""
        async with session.get(path) as answer:
            assert answer.status == 200
            opened.release()
            async for chunk in answer.content.iter_any():
                text += chunk
                if needle in text:
                    return text
        pytest.fail(f"{path} ended: {text[-2000:]}")

    async def step(tenant, percentage):
        body = {"percentage": percentage, "reason": f"{tenant.model}-step"}
        status, text, _ = await ask(tenant.session, "POST", f"/deployments/canary/{tenant.model}/percentage", body)
        assert status == 200, text

    for path in ("/events", "/ui/stream"):
        opened = asyncio.Semaphore(0)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            streams = [
                group.create_task(
                    follow(tenant.session, path, f'"kind":"canary.stepped","model":"{tenant.model}"'.encode())
                )
                for tenant in tenants
            ]
            for _ in streams:
                await opened.acquire()
            percentage = 60 if path == "/events" else 70
            await step(b, percentage)
            assert B.encode() in await streams[1]
            await step(a, percentage)
            seen = await streams[0]
        assert A.encode() in seen
        assert not [needle for needle in NEEDLES if needle in seen], seen


async def test_a_key_makes_no_key_that_may_do_more_than_itself(tenants, keyed):
    a, _ = tenants
    for wish in (
        {"scopes": ["admin"]},
        {"scopes": ["predict"], "models": []},
        {"scopes": ["predict"], "models": [B]},
        {"scopes": ["predict"], "models": [A, B]},
        {"scopes": ["admin"], "models": ["*"]},
    ):
        status, body, _ = await ask(a.session, "POST", "/keys", {"name": "more", **wish})
        assert status == 403, (wish, body)
    status, body, _ = await ask(a.session, "DELETE", f"/keys/{keyed.root.split('_')[1]}")
    assert status == 404, body
    async with keyed.session(keyed.root) as root:
        both = await keyed.make_key(root, "both", "admin", models=[A, B])
        short = await keyed.make_key(root, "short", "admin", models=[A], days=1, requests_per_minute=50)
    status, body, _ = await ask(a.session, "GET", "/keys")
    assert both["id"].encode() not in body
    assert (await ask(a.session, "DELETE", f"/keys/{both['id']}"))[0] == 404
    async with keyed.session(short["key"]) as session:
        child = {"name": "child", "scopes": ["admin"], "models": [A], "days": 0.5, "requests_per_minute": 50}
        for change, named_field in (
            ({"days": None}, "days"),
            ({"days": 2}, "days"),
            ({"requests_per_minute": None}, "requests_per_minute"),
            ({"requests_per_minute": 51}, "requests_per_minute"),
        ):
            status, body, _ = await ask(session, "POST", "/keys", child | change)
            assert (status, orjson.loads(body)["field"]) == (403, named_field), body
        assert (await ask(session, "POST", "/keys", child))[0] == 201


async def test_the_same_idempotency_key_of_a_key_of_the_same_name_answers_nobody_else(tenants, keyed):
    a, b = tenants
    wish = {"model": B, "version": "7.7.7"}
    twins = [await keyed.make_key(tenant.session, "twin", "admin", models=[tenant.model]) for tenant in (b, a)]
    answers = []
    for twin in twins:
        async with keyed.session(twin["key"]) as session:
            answers.append(
                await ask(
                    session, "POST", "/replays", wish | {"from": "2020-01-01T00:00:00"}, **{"Idempotency-Key": "k1"}
                )
            )
    assert answers[0][0] == 202, answers[0]
    assert answers[1][0] == 403, answers[1]
    assert "Idempotency-Replayed" not in answers[1][2]

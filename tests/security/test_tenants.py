"""Two tenants on one mesh, each with an admin key for its own model. Every route of the real application is asked with A's
key, for lists and for what is B's: nothing of B's names, ids, bodies, actors or addresses comes back, and what is B's looks
to A like what is not there. A route that is added and not in the table fails the test."""

import asyncio
import contextlib
import re
from dataclasses import dataclass, field

import aiohttp
import grpc
import orjson
import pytest
from modelmesh.broker.kafka.connection import make_producer
from modelmesh.gateway.predict.grpc_service import GrpcService
from modelmesh.gateway.replays.store import ReplayStore
from modelmesh.registry.storage.database import make_engine
from modelmesh.schemas.payloads.dead_letters import dead_letter
from modelmesh.schemas.records import PredictionRequest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from benchmarks.chaos_models import SAMPLE, chaos_model

from ..unit.application import real_application

A, B = "alpha", "bravo"
VALUE = 31337.25  # in all of B's bodies
B_ADDRESS = "127.0.0.2"
# What is B's alone; its keys, actors, ids and metadata have its model's name in them.
NEEDLES = (b"bravo", b"31337", B_ADDRESS.encode(), b"7.7.", b"62674.5")


@dataclass(frozen=True)
class Case:
    """How a route is asked. `body`: with {model} for a name. `shows`: what B's own key finds there, so that it could leak."""

    body: str | None = None
    query: str = ""
    form: bool = False
    shows: bytes = b""
    public: bool = False
    stream: bool = False
    refused: tuple[int, ...] = ()
    status: int = 200
    why: str = field(default="", compare=False)


def named(body=None, form=False, query=""):
    """A route that names something of B's, in the path or in the body."""
    return Case(body=body, form=form, query=query, refused=(403, 404))


def listed(shows=b"bravo", **options):
    """A route that shows what there is."""
    return Case(shows=shows, **options)


PUBLIC = Case(public=True)
MODEL = '{"model": "{model}", "version": "7.7.7"}'
ROUTES = {
    ("GET", "/"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/asyncapi.json"): PUBLIC,
    ("GET", "/ui"): PUBLIC,
    ("GET", "/ui/files/{file}"): PUBLIC,
    ("GET", "/health"): PUBLIC,
    ("GET", "/health/live"): PUBLIC,
    ("GET", "/health/ready"): PUBLIC,
    ("GET", "/v2"): PUBLIC,
    ("GET", "/v2/health/live"): PUBLIC,
    ("GET", "/v2/health/ready"): PUBLIC,
    ("GET", "/models"): listed(),
    ("GET", "/deployments"): listed(),
    ("GET", "/deployments/canary"): listed(),
    ("GET", "/deployments/history"): listed(B_ADDRESS.encode()),
    ("GET", "/experiments"): listed(),
    ("GET", "/monitoring/latency"): listed(),
    ("GET", "/monitoring/errors"): listed(),
    ("GET", "/inference-log"): listed(b"31337"),
    ("GET", "/inference-log/{request_id}"): named(),
    ("GET", "/inference-log/{request_id}/records"): named(),
    ("GET", "/dead-letters"): listed(b"31337"),
    ("GET", "/dead-letters/{number}"): named(),
    ("POST", "/dead-letters/{number}/redrive"): named(),
    ("GET", "/replays"): listed(),
    ("POST", "/replays"): named('{"model": "{model}", "version": "7.7.7", "from": "2020-01-01T00:00:00"}'),
    ("GET", "/replays/{replay}"): named(),
    ("GET", "/replays/{replay}/page"): named(),
    ("GET", "/keys"): listed(b"bravo-robot"),
    ("POST", "/keys"): named('{"name": "more", "scopes": ["predict"], "models": ["{model}"]}'),
    ("DELETE", "/keys/{key_id}"): named(),
    ("GET", "/metrics"): listed(),
    ("GET", "/ui/state"): listed(),
    ("GET", "/ui/stream"): Case(stream=True),
    ("GET", "/events"): Case(stream=True),
    ("POST", "/v2/repository/index"): listed(body="{}"),
    ("POST", "/v2/repository/models/{model}/load"): named("{}"),
    ("POST", "/v2/repository/models/{model}/unload"): named("{}"),
    ("POST", "/models"): named(form=True),
    ("POST", "/deployments"): named(MODEL),
    ("POST", "/deployments/canary"): named('{"model": "{model}", "candidate_version": "7.7.8"}'),
    ("POST", "/deployments/shadow"): named(
        '{"model": "{model}", "shadow_version": "7.7.8", "production_version": "9.9.9"}'
    ),
    ("POST", "/experiments"): named(
        '{"model": "{model}", "name": "e", "variants": [{"name": "x", "version": "7.7.7", "weight": 0.5}, '
        '{"name": "y", "version": "7.7.8", "weight": 0.5}]}'
    ),
    **{
        ("POST", path): named("{}")
        for path in (
            "/deployments/canary/{id}/percentage",
            "/deployments/canary/{id}/promote",
            "/deployments/canary/{id}/rollback",
            "/deployments/canary/{id}/counterfactual",
            "/deployments/shadow/{id}/stop",
            "/experiments/{id}/stop",
            "/labels/{model}",
            "/predict/{model}",
            "/predict/{model}/batch",
            "/v2/models/{model}/infer",
            "/v2/models/{model}/versions/{version}/infer",
        )
    },
    **{
        ("GET", path): named()
        for path in (
            "/models/{name}",
            "/models/{name}/versions",
            "/models/{name}/versions/{version}",
            "/models/{name}/versions/{version}/artifact",
            "/deployments/canary/{id}",
            "/experiments/{id}",
            "/monitoring/drift/{name}",
            "/monitoring/shadow/{name}",
            "/monitoring/accuracy/{name}",
            "/v2/models/{model}",
            "/v2/models/{model}/ready",
            "/v2/models/{model}/versions/{version}",
            "/v2/models/{model}/versions/{version}/ready",
        )
    },
    ("DELETE", "/models/{name}"): named(query="?confirm=bravo"),
    ("DELETE", "/models/{name}/versions/{version}"): named(),
}


def routes_of_the_application(folder):
    """Every route that a gateway has: method and path, /v1 and the path without it being one."""
    return {
        (route.method, re.sub(r"^/v1(?=/)", "", route.resource.canonical), route.resource.canonical)
        for route in real_application(folder).router.routes()
        if route.method != "HEAD"
    }


async def test_the_table_has_every_route_and_no_other(tmp_path):
    assert {(method, path) for method, path, _ in routes_of_the_application(tmp_path)} == set(ROUTES)


async def register(session, name, version, path):
    form = aiohttp.FormData()
    fields = {"name": name, "version": version, "framework": "onnx", "metadata": f'{{"note": "{name}-note"}}'}
    for field_name, value in (fields | {"sample": orjson.dumps(SAMPLE).decode()}).items():
        form.add_field(field_name, value)
    form.add_field("artifact", path.read_bytes(), filename="model.onnx")
    async with session.post("/models", data=form) as answer:
        return answer.status, await answer.read()


async def ask(session, method, path, document=None, **headers):
    async with session.request(method, path, json=document, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.read(), answer.headers


async def until_shown(session, path, needle):
    body = b""
    try:
        async with asyncio.timeout(60):
            while needle not in body:
                body = (await ask(session, "GET", path))[1]
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{path} never showed {needle!r}: {body[:2000]!r}")


class Tenant:
    """A model, an admin key for it alone, and sessions with that key."""

    def __init__(self, keyed, model, session, key):
        self.keyed, self.model, self.session, self.key = keyed, model, session, key


@contextlib.asynccontextmanager
async def tenant(keyed, folder, model, first, address, scale):
    """A tenant whose model has answered, with a canary, an ended experiment, labels, a replay and a dead letter."""
    async with contextlib.AsyncExitStack() as stack:
        root = await stack.enter_async_context(keyed.session(keyed.root))
        key = await keyed.make_key(root, f"{model}-operator", "admin", models=[model])
        session = await stack.enter_async_context(keyed.session(key["key"], address))
        found = Tenant(keyed, model, session, key)
        found.robot = await keyed.make_key(session, f"{model}-robot", "predict", models=[model])
        second = f"{first[:-1]}8"
        for number, version in enumerate((first, second)):
            path = chaos_model(folder / f"{model}-{number}.onnx", scale=scale)
            status, text = await register(session, model, version, path)
            assert status == 201, text
        for request_id in ("same-id", f"{model}-request"):
            body = {"inputs": [0, VALUE if model == B else 1.5]}
            status, text, _ = await ask(session, "POST", f"/predict/{model}", body, **{"X-Request-Id": request_id})
            assert status == 200, text
        assert (await ask(session, "POST", f"/labels/{model}", {"labels": {f"{model}-request": 1.0}}))[0] == 202
        arms = [{"name": "one", "version": first, "weight": 0.5}, {"name": "two", "version": second, "weight": 0.5}]
        wish = {"model": model, "name": f"{model}-experiment", "variants": arms}
        status, text, _ = await ask(session, "POST", "/experiments", wish)
        assert status == 201, text
        status, text, _ = await ask(session, "POST", f"/experiments/{model}/stop", {"winner": "one"})
        assert status == 200, text
        wish = {"model": model, "candidate_version": second, "initial_percentage": 50}
        status, text, _ = await ask(session, "POST", "/deployments/canary", wish)
        assert status == 201, text
        await put_aside(keyed, model)
        found.replay = await replayed(keyed, model)
        for path, needle in (
            ("/inference-log", f"{model}-request"),
            ("/deployments/history", "canary.started"),
            ("/experiments", f"{model}-experiment"),
            ("/monitoring/latency", model),
            ("/dead-letters", f"{model}-lost"),
        ):
            await until_shown(session, path, needle.encode())
        letters = orjson.loads((await ask(session, "GET", "/dead-letters"))[1])["dead_letters"]
        found.letter = letters[-1]["number"]
        yield found


async def put_aside(keyed, model):
    """A request that was put aside, as the router does it."""
    settings = keyed.mesh.settings
    body = orjson.dumps({"inputs": [0, VALUE if model == B else 1.5]})
    request = PredictionRequest(
        f"{model}-lost", model, 0.0, settings.topics().replies.name, 0, body, nonce=f"{model:x<32}", caller=model
    )
    value, headers = dead_letter(
        request.headers(),
        body,
        whole=10_000,
        reason=f"no luck, {model}",
        source=f"modelmesh.requests/0/{ord(model[0])}",
    )
    producer = make_producer(settings)
    await producer.start()
    try:
        await producer.send_and_wait(settings.topics().dead_letters.name, value, headers=headers)
    finally:
        await producer.stop()


async def replayed(keyed, model):
    """The id of a replay that is done."""
    engine = make_engine(keyed.mesh.settings.database_url)
    try:
        store = ReplayStore(engine)
        row = await store.add(model, {"model": model}, f"{model}-operator")
        await store.say(row.id, "done", report={"about": f"{model}-report"})
        return row.id
    finally:
        await engine.dispose()


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
    for tenant, value in zip(tenants, (1.5, VALUE), strict=True):
        status, body, _ = await ask(tenant.session, "GET", "/inference-log/same-id")
        assert status == 200, body
        assert orjson.loads(body)["request"] == {"inputs": [0, value]}
        status, body, _ = await ask(tenant.session, "GET", "/inference-log?request_id=same-id")
        assert [row["model"] for row in orjson.loads(body)["requests"]] == [tenant.model]


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

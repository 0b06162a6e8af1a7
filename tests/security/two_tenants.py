"""A tenant with a model, keys, releases, answers, dead letters and replays of its own, on a mesh that asks for keys."""

import asyncio
import contextlib

import aiohttp
import orjson
import pytest
from modelmesh.broker.kafka.connection import make_producer
from modelmesh.gateway.replays.store import ReplayStore
from modelmesh.registry.storage.database import make_engine
from modelmesh.schemas.payloads.dead_letters import dead_letter
from modelmesh.schemas.records import PredictionRequest

from benchmarks.models.chaos_models import SAMPLE, chaos_model

from .tenant_routes import VALUE, B


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
    """A dead letter of a request, as the router writes it."""
    settings = keyed.mesh.settings
    body = orjson.dumps({"inputs": [0, VALUE if model == B else 1.5]})
    request = PredictionRequest(
        f"{model}-lost", model, 0.0, settings.topics().replies.name, 0, body, nonce=f"{model:x<32}", caller=model
    )
    value, headers = dead_letter(
        request.headers(),
        body,
        max_bytes=10_000,
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
        await store.set_state(row.id, "done", report={"about": f"{model}-report"})
        return row.id
    finally:
        await engine.dispose()

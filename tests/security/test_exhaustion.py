"""On a real mesh, while somebody keeps it busy: models that sleep when they are proved, and tokens that nobody signed. Others'
predictions and downloads are answered before the attack is over, whatever the machine's speed."""

import asyncio
import base64
import contextlib
import itertools
import sys
import time

import aiohttp
import numpy as np
import orjson
import psutil
import pytest
from aiohttp import web
from modelmesh.schemas.settings import Settings

from ..by_value import by_value
from .conftest import keyed_mesh

# All of them sleep at once, and fill what threads they might share with others.
SLEEPERS = 8
# So long the attack lasts at least, in seconds; others' answers come before its end.
PROOF_TIMEOUT = 120.0
JUNK_AT_ONCE = 300
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="models' processes are looked for in /proc"),
    pytest.mark.timeout(400),
]


class Sleeps:
    """A model that never proves itself."""

    def predict(self, rows):
        import time

        time.sleep(10_000_000.0)


class Doubles:
    """A model of somebody else's, served in a process of its own as well."""

    def predict(self, rows):
        return np.asarray(rows)[:, 0] * 2


class Provider:
    """An identity provider that takes every question and answers none."""

    def __init__(self):
        self.asked, self.over = 0, asyncio.Event()

    async def answer(self, request):
        self.asked += 1
        await self.over.wait()
        return web.json_response({"keys": []})


@pytest.fixture(scope="module")
async def silent():
    provider = Provider()
    app = web.Application()
    app.router.add_get("/jwks", provider.answer)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    yield provider
    provider.over.set()
    await runner.cleanup()


@pytest.fixture(scope="module")
async def attacked(silent, tmp_path_factory):
    """A mesh with a model `quiet` of which a client knows the bytes."""
    settings = Settings(
        data=tmp_path_factory.mktemp("attacked"), port=0, auth="keys", jwt_jwks_url=silent.url,
        proofs_at_once=SLEEPERS, proof_timeout=PROOF_TIMEOUT, drain_timeout=1.0,
    )  # fmt: skip
    async with keyed_mesh(settings) as running:
        running.model = by_value(Doubles())
        async with running.session(running.root) as http:
            status, document = await register(http, "quiet", running.model)
            assert status == 201, document
            async with asyncio.timeout(120):
                while (await predict(http))[0] != 200:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.1)
        yield running


async def register(http, name, model):
    form = aiohttp.FormData({"name": name, "framework": "sklearn", "sample": "[[1.0]]"})
    form.add_field("artifact", model, filename="model", content_type="application/octet-stream")
    async with http.post("/models", data=form) as answer:
        return answer.status, await answer.json()


async def predict(http):
    async with http.post("/predict/quiet", json={"inputs": [[21.0]]}) as answer:
        return answer.status, await answer.text()


async def download(http):
    async with http.get("/models/quiet/versions/1.0.0/artifact") as answer:
        return answer.status, await answer.read()


def proving(mesh):
    """How many models the gateway proves now: a watcher and the model's own process are the fork server's for each."""
    (gateway,) = [member for member in mesh.supervisor.members if member.role == "gateway"]
    found = 0
    for each in psutil.Process(gateway.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            found += "modelmesh.models.sandbox.fork_server" in each.cmdline()
    return (found - 1) // 2


async def test_a_prediction_waits_for_no_sleeping_proof(attacked):
    async with contextlib.AsyncExitStack() as stack:
        root = await stack.enter_async_context(attacked.session(attacked.root))
        sleepers = []
        for number in range(SLEEPERS):  # a key each, for one key has one proof at a time
            key = (await attacked.make_key(root, f"sleeper-{number}", "deploy"))["key"]
            http = await stack.enter_async_context(attacked.session(key))
            sleepers.append(asyncio.create_task(register(http, f"sleeper-{number}", by_value(Sleeps()))))
        while proving(attacked.mesh) < SLEEPERS:
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in sleepers), [task.result() for task in sleepers if task.done()]
        for _ in range(20):
            assert (await predict(root))[0] == 200
            assert await download(root) == (200, attacked.model)
        async with root.get("/health/ready") as answer:
            assert answer.status == 200
        assert not any(task.done() for task in sleepers), "the attack was over: this shows nothing"
        assert proving(attacked.mesh) == SLEEPERS
        for task in sleepers:
            task.cancel()


def forged(key_id):
    """A token that names a key which its reader has to ask the provider for, and a signature that is none."""
    parts = [{"alg": "RS256", "kid": key_id}, {"sub": "ada", "exp": time.time() + 300, "scope": "admin"}]
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*map(orjson.dumps, parts), b"junk"]
    )


async def test_a_download_waits_for_no_junk_token(attacked, silent):
    serial, over = itertools.count(), asyncio.Event()
    seen = []

    async def junk(http):
        while not over.is_set():
            async with http.get("/models", headers={"Authorization": f"Bearer {forged(f'k{next(serial)}')}"}) as answer:
                seen.append(answer.status)
            await asyncio.sleep(2.0)

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        attacked.session(attacked.root) as root,
        aiohttp.ClientSession(attacked.mesh.url, connector=connector) as stranger,
    ):
        attack = [asyncio.create_task(junk(stranger)) for _ in range(JUNK_AT_ONCE)]
        while not silent.asked:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        for _ in range(20):
            assert await download(root) == (200, attacked.model)
            assert (await predict(root))[0] == 200
        assert not any(task.done() for task in attack)
        asked = silent.asked
        over.set()
        await asyncio.gather(*attack)
    assert set(seen) <= {401, 503}, set(seen)
    assert len(seen) >= JUNK_AT_ONCE
    assert asked <= 20, "the provider is asked seldom, however many ask"

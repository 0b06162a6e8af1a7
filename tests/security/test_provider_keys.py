"""Junk tokens while the identity provider is slow, broken or well: nobody else waits, and the provider is asked seldom."""

import asyncio
import json
import time

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from modelmesh.access import provider_keys
from modelmesh.access.json_web_tokens import ALGORITHMS, JsonWebTokens
from modelmesh.schemas.errors import Unauthorized, Unavailable
from modelmesh.schemas.settings import Settings

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


class Provider:
    """Publishes one key. `how`: well, broken, silent or junk."""

    def __init__(self):
        self.how, self.asked, self.go_on = "well", 0, asyncio.Event()

    async def answer(self, request):
        self.asked += 1
        if self.how == "silent":
            await self.go_on.wait()
        if self.how == "broken":
            raise web.HTTPInternalServerError
        if self.how == "junk":
            return web.Response(body=b"x" * 100)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())) | {"kid": "one", "use": "sig"}
        return web.json_response({"keys": [public]})


@pytest.fixture
async def provider():
    found = Provider()
    app = web.Application()
    app.router.add_get("/jwks", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    found.tokens = JsonWebTokens(Settings(jwt_jwks_url=found.url, jwt_audience="mm"))
    yield found
    found.go_on.set()
    await runner.cleanup()


def token(kid="one", key=KEY, algorithm="RS256", **claims):
    standard = {"sub": "ada", "aud": "mm", "exp": time.time() + 300, "scope": "predict"}
    return jwt.encode(standard | claims, key, algorithm=algorithm, headers={"kid": kid})


async def test_junk_has_the_provider_asked_once_and_not_again_for_a_moment(provider):
    found = await asyncio.gather(*(provider.tokens.check(token(f"k{n}")) for n in range(200)), return_exceptions=True)
    assert all(isinstance(error, Unauthorized) for error in found)
    assert provider.asked == 1
    for number in range(50):
        with pytest.raises(Unauthorized):
            await provider.tokens.check(token(f"l{number}"))
    assert provider.asked == 1


async def test_those_whose_key_is_known_wait_for_nothing(provider, monkeypatch):
    assert (await provider.tokens.check(token())).name == "ada"
    monkeypatch.setattr(provider_keys, "MIN_REFETCH_SECONDS", 0.0)
    provider.how = "silent"
    junk = [asyncio.create_task(provider.tokens.check(token(f"k{n}"))) for n in range(500)]
    async with asyncio.timeout(60):
        while provider.asked < 2:  # noqa: ASYNC110 - milliseconds
            await asyncio.sleep(0.01)
        assert (await provider.tokens.check(token(sub="eve"))).name == "eve"
    assert not any(task.done() for task in junk)
    # Threads are for others: none of them waits for the provider.
    assert await asyncio.to_thread(lambda: "free") == "free"
    provider.go_on.set()
    assert all(isinstance(error, Unauthorized) for error in await asyncio.gather(*junk, return_exceptions=True))
    assert provider.asked == 2


@pytest.mark.parametrize("how", ["broken", "junk"])
async def test_a_failure_is_remembered_for_a_moment(provider, how, monkeypatch):
    provider.how = how
    for _ in range(20):
        with pytest.raises(Unavailable) as refused:
            await provider.tokens.check(token())
        assert refused.value.retry_after
    assert provider.asked == 1
    monkeypatch.setattr(provider_keys, "MIN_REFETCH_SECONDS", 0.0)
    provider.how = "well"
    assert (await provider.tokens.check(token())).name == "ada"


async def test_whoever_leaves_stops_the_question_for_nobody_else(provider):
    provider.how = "silent"
    first, second = [asyncio.create_task(provider.tokens.check(token())) for _ in range(2)]
    async with asyncio.timeout(60):
        while not provider.asked:  # noqa: ASYNC110 - milliseconds
            await asyncio.sleep(0.01)
        first.cancel()
        provider.go_on.set()
        assert (await second).name == "ada"
    assert provider.asked == 1


async def test_a_token_is_signed_as_its_key_says_or_refused(provider):
    secret = "x" * 64
    wrong = [
        token(algorithm="HS256", key=secret),
        token(algorithm="ES256", key=CURVE),
        token(algorithm="EdDSA", key=ed25519.Ed25519PrivateKey.generate()),
        token(algorithm="RS256", key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        jwt.encode({"sub": "ada"}, None, algorithm="none", headers={"kid": "one"}),
        jwt.encode({"sub": "ada"}, KEY, algorithm="RS256"),
        token(scope=7), token(scope={"admin": 1}),
        "", ".", "..", "a.b.c", "no.token.atall", "\x00", "é.é.é", "x" * 100_000,
    ]  # fmt: skip
    for text in wrong:
        with pytest.raises(Unauthorized):
            await provider.tokens.check(text)
    assert "RS256" in ALGORITHMS

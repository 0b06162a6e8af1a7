"""A provider's tokens have so many requests a minute: by subject, however many tokens it has, as API keys have."""

import asyncio
import itertools
import time

import aiohttp
import pytest
from modelmesh.access.rate_limiter import RateLimiter
from modelmesh.schemas.errors import RateLimited, Unauthorized

from .gateway_alone import gateway_alone
from .test_provider_keys import provider, token  # noqa: F401 - a fixture

SERIAL = itertools.count()


def another(**claims):
    """A token that was never seen before, of the same subject unless it says otherwise."""
    return token(jti=str(next(SERIAL)), **claims)


async def statuses(url, *tokens):
    found = []
    async with aiohttp.ClientSession(url) as http:
        for each in tokens:
            headers = {"Authorization": f"Bearer {each}"}
            async with http.post("/predict/m", json={"inputs": [1.0]}, headers=headers) as answer:
                found.append((answer.status, answer.headers.get("RateLimit-Limit")))
    return found


@pytest.fixture
async def alone(provider, tmp_path):  # noqa: F811
    options = {"jwt_jwks_url": provider.url, "jwt_audience": "mm", "jwt_requests_per_minute": 4}
    async with gateway_alone(tmp_path, auth="keys", kafka="127.0.0.1:1", **options) as running:
        yield running


@pytest.fixture(autouse=True)
def within_one_minute(monkeypatch):
    """The window does not turn while a test counts."""
    frozen = time.time() // 60 * 60 + 1
    monkeypatch.setattr("limits.aio.strategies.time.time", lambda: frozen)


async def test_a_subject_has_the_settings_rate_over_all_its_tokens(alone):
    found = await statuses(alone.url, *(another() for _ in range(6)))
    assert found == [(200, "4")] * 4 + [(429, "4")] * 2
    assert await statuses(alone.url, another(sub="eve")) == [(200, "4")], "another subject has a minute of its own"


async def test_a_claim_says_more_or_less_than_the_setting(alone):
    less = [another(requests_per_minute=2, sub="less") for _ in range(3)]
    more = [another(requests_per_minute=6, sub="more") for _ in range(7)]
    assert await statuses(alone.url, *less) == [(200, "2")] * 2 + [(429, "2")]
    assert await statuses(alone.url, *more) == [(200, "6")] * 6 + [(429, "6")]


async def test_a_batch_costs_a_token_its_rows(alone):
    headers = {"Authorization": f"Bearer {another()}"}
    async with (
        aiohttp.ClientSession(alone.url, headers=headers) as http,
        http.post("/predict/m", json={"inputs": [[1.0]] * 5}) as answer,
    ):
        assert answer.status == 429, await answer.text()


@pytest.mark.parametrize("claim", [0, -1, True, "7", 1.5, [1], {}, 2**80, False])
async def test_a_claim_that_is_no_rate_lets_nobody_in(provider, claim):  # noqa: F811
    with pytest.raises(Unauthorized, match="requests a minute"):
        await provider.tokens.check(another(requests_per_minute=claim))


async def test_subjects_are_forgotten_when_their_minutes_are_over(monkeypatch):
    limiter, now = RateLimiter("", "test"), [time.time()]
    monkeypatch.setattr("time.time", lambda: now[0])
    for number in range(500):
        await limiter.take(f"token:{number}", 5)
    with pytest.raises(RateLimited):
        await limiter.take("token:0", 5, 5)
    held = limiter._local.storage
    assert len(held.storage) >= 500
    now[0] += 600
    await limiter.take("token:new", 5)
    await asyncio.sleep(0)  # they are forgotten in a task
    assert len(held.storage) <= 2
    assert len(held.expirations) <= 2
    assert len(held.locks) <= 4

"""Targets for generated load: a gateway over HTTP, or Kafka directly."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson

from ..producers.client import PredictionClient
from ..producers.load_generator import Ask
from ..schemas.errors import Unavailable, from_problem
from ..schemas.settings.client import ClientSettings


def bodies_of(rows: list[Any]) -> list[bytes]:
    """Return each row as the body of a prediction request."""
    return [orjson.dumps({"inputs": row}, option=orjson.OPT_SERIALIZE_NUMPY) for row in rows]


@contextlib.asynccontextmanager
async def http_target(url: str, model: str, bodies: list[bytes]) -> AsyncIterator[Ask]:
    """Yield a function that sends a request through a gateway; the bodies are sent in turn."""
    address = f"{url.rstrip('/')}/predict/{model}"
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(number: int) -> int:
            try:
                async with session.post(address, data=bodies[number % len(bodies)], headers=headers) as response:
                    body = await response.read()
            except (aiohttp.ClientError, OSError) as error:
                raise Unavailable(f"the gateway at {url} cannot be reached: {error}") from error
            if response.status != 200:
                raise from_problem(orjson.loads(body))
            return int(response.headers.get("X-Batch-Size", 1))

        yield ask


@contextlib.asynccontextmanager
async def kafka_target(settings: ClientSettings, model: str, bodies: list[bytes]) -> AsyncIterator[Ask]:
    """Yield a function that sends a request over Kafka; the bodies are sent in turn."""
    async with PredictionClient(settings) as client:

        async def ask(number: int) -> int:
            reply = await client.send(model, bodies[number % len(bodies)])
            if not reply.ok:
                raise from_problem(orjson.loads(reply.body))
            return reply.batch_size

        yield ask

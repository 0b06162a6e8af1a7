"""HTTP requests to a gateway: connection reuse, JSON responses, typed errors, and retries."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from ..schemas.errors import Unavailable, from_problem

RETRIES = 3
FIRST_DELAY = 0.1  # seconds; exponential backoff with full jitter


def is_retryable(method: str, path: str) -> bool:
    """Whether a request can be retried: it changes nothing, as a prediction does."""
    return method == "GET" or path.startswith("/predict/")


def model_query(model: str | None) -> dict[str, str]:
    """Return the query of a list that can be restricted to one model."""
    return {"model": model} if model else {}


class AllRowsFailed(Exception):
    """Every row of a batch failed; `document` has an error for each."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        super().__init__()


class GatewaySession:
    """A session with one gateway. When it cannot be reached, requests that change nothing are retried; changes never are."""

    def __init__(self, url: str, *, timeout: float, api_key: str, ca: str | Path | None) -> None:
        self.url = url.rstrip("/")
        self._api_key = api_key
        self._ca = ca
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Open the session; needs a running event loop."""
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            json_serialize=lambda document: orjson.dumps(document).decode(),
            headers={"Authorization": f"Bearer {self._api_key}"} if self._api_key else {},
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self._ca) if self._ca else True),
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def request(self, method: str, path: str, *, accept: tuple[int, ...] = (), **options: Any) -> Any:
        """Return the response's JSON. Raises the typed error of an error response, or Unavailable.

        A status in `accept` is not an error.
        """
        retryable = is_retryable(method, path)
        for attempt in range(RETRIES + 1 if retryable else 1):
            try:
                async with self._opened().request(method, self.url + path, **options) as response:
                    body = await response.read()
                break
            except aiohttp.ClientConnectionError as error:
                if not retryable or attempt == RETRIES:
                    raise self._unavailable(f"cannot be reached ({error})") from error
                await asyncio.sleep(random.uniform(0, FIRST_DELAY * 2**attempt))
            except TimeoutError as error:
                raise self._unavailable("did not answer in time") from error
        document = orjson.loads(body) if body else None
        if response.status < 400 or response.status in accept:
            return document
        if isinstance(document, dict) and "predictions" in document:
            raise AllRowsFailed(document)
        raise from_problem(document if isinstance(document, dict) else {"detail": f"HTTP {response.status}"})

    async def events(self, path: str, **options: Any) -> AsyncGenerator[Any, None]:
        """Iterate over the JSON of server-sent events, without end. Raises Unavailable if the connection breaks."""
        no_timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with self._opened().get(self.url + path, timeout=no_timeout, **options) as response:
                if response.status != 200:
                    raise from_problem(orjson.loads(await response.read()))
                async for line in response.content:
                    if line.startswith(b"data: "):
                        yield orjson.loads(line[6:])
        except aiohttp.ClientError as error:
            raise self._unavailable(f"cannot be reached ({error})") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the client as a context manager: async with AsyncModelMeshClient() as client")
        return self._session

    def _unavailable(self, why: str) -> Unavailable:
        return Unavailable(f"the gateway at {self.url} {why}; is it running? `modelmesh up` starts one")

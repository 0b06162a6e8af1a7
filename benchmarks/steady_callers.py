"""Callers over HTTP at a steady rate, who go to the other gateway when theirs is gone; every answer is checked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import orjson


@dataclass(slots=True)
class Call:
    """One request: when it was due, when its answer came, and what that was: right, wrong, or an error's code."""

    request_id: str
    due: float
    done: float = 0.0
    outcome: str = ""
    detail: str = ""
    answers: int = 0


@dataclass
class Callers:
    """An open loop of `rate` requests a second against several gateways in turn. Times are monotonic seconds."""

    urls: list[str]
    model: str
    rate: float
    prefix: str = "call"
    timeout_ms: int = 10_000
    calls: list[Call] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[Callers]:
        """Call for as long as the block lasts, then wait for the answers."""
        stop = asyncio.Event()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            task = asyncio.create_task(self._run(session, stop))
            try:
                yield self
            finally:
                stop.set()
                await task

    def between(self, begin: float, end: float) -> list[Call]:
        """Return the calls that were due in a span of time and have their answer."""
        return [call for call in self.calls if begin <= call.due < end and call.outcome]

    async def _run(self, session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        tasks: set[asyncio.Task[None]] = set()
        began = time.monotonic()
        while not stop.is_set():
            number = len(self.calls)
            due = began + number / self.rate
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            call = Call(f"{self.prefix}.{number}", due)
            self.calls.append(call)
            task = asyncio.create_task(self._call(session, call, number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    async def _call(self, session: aiohttp.ClientSession, call: Call, number: int) -> None:
        value = float(number % 1000)
        body = orjson.dumps({"inputs": [0.0, value]})
        headers = {
            "X-Request-Id": call.request_id,
            "X-Timeout-Ms": str(self.timeout_ms),
            "Content-Type": "application/json",
        }
        give_up = call.due + self.timeout_ms / 1000 + 5
        turn = number
        while True:
            url = f"{self.urls[turn % len(self.urls)]}/predict/{self.model}"
            try:
                async with session.post(url, data=body, headers=headers) as response:
                    answer = orjson.loads(await response.read())
            except (aiohttp.ClientError, OSError) as error:
                if time.monotonic() > give_up:
                    self._ended(call, "no gateway", str(error))
                    return
                turn += 1
                await asyncio.sleep(0.02)
                continue
            if response.status == 200:
                right = answer["outputs"]["value"] == [2.0 * value]
                self._ended(call, "right" if right else "wrong", "" if right else str(answer))
            else:
                self._ended(call, answer["code"], answer["detail"])
            return

    def _ended(self, call: Call, outcome: str, detail: str) -> None:
        call.answers += 1
        call.done, call.outcome, call.detail = time.monotonic(), outcome, detail

"""So many registrations of each key at once, and so many models being proved in all: those of one key take turns first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeAlias

from ...access.caller import Caller
from ...schemas.errors import Overloaded, RateLimited

RETRY_AFTER = 10.0
# Waits until a model may be proved, and lets the next one when the block ends.
Turn: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(slots=True)
class _Key:
    registrations: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class RegistrationPlaces:
    """A place is taken before the upload is read: files that wait are on this machine's disk.

    `most`: registrations of one key; `at_once`: proofs of all; `patience`: seconds that one waits for its turn.
    """

    def __init__(self, most: int, at_once: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._proofs = asyncio.Semaphore(at_once)
        self._keys: dict[str, _Key] = {}

    @contextlib.asynccontextmanager
    async def place(self, who: Caller) -> AsyncIterator[Turn]:
        """Hold a place for as long as the block lasts; yields what waits for the turn to prove. Raises RateLimited.

        Where no keys are asked for there is nobody to tell apart: only the limit for all holds.
        """
        key = self._keys.setdefault(who.key, _Key()) if who.known else _Key()
        if key.registrations >= self._most:
            raise RateLimited(
                f"{who.name!r} has {key.registrations} registrations under way, as many as may be: wait until one is done",
                retry_after=RETRY_AFTER,
            )
        key.registrations += 1
        try:
            yield lambda: self._turn(key)
        finally:
            key.registrations -= 1
            if not key.registrations and who.known:
                del self._keys[who.key]

    @contextlib.asynccontextmanager
    async def _turn(self, key: _Key) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience):
                    # Its key's first: so each key has one at most among those that wait for the others.
                    await held.enter_async_context(key.turn)
                    await held.enter_async_context(self._proofs)
            except TimeoutError:
                raise Overloaded(
                    f"other models are being proved, and this one's turn did not come within {self._patience:g} s; nothing "
                    "was registered",
                    retry_after=RETRY_AFTER,
                ) from None
            yield

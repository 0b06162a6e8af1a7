"""Limit the concurrent registrations of each API key and the concurrent proofs of all; a key has at most one proof at a time."""

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
# Returns a context manager that waits for a proof slot and releases it.
ProofSlot: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(slots=True)
class _Key:
    registrations: int = 0
    proof_lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RegistrationLimiter:
    """A slot is taken before the upload is read, since the files of waiting registrations use disk space.

    `max_per_key` limits the registrations of a key, `max_proofs` the proofs of all keys; `timeout` is how many seconds a
    registration waits for its proof.
    """

    def __init__(self, max_per_key: int, max_proofs: int, timeout: float) -> None:
        self._max_per_key = max_per_key
        self._timeout = timeout
        self._proofs = asyncio.Semaphore(max_proofs)
        self._keys: dict[str, _Key] = {}

    @contextlib.asynccontextmanager
    async def slot(self, who: Caller) -> AsyncIterator[ProofSlot]:
        """Hold a registration slot during the block; yield the function that waits for a proof slot. Raises RateLimited.

        Without authentication callers cannot be told apart, and only the limit of all proofs applies.
        """
        key = self._keys.setdefault(who.key, _Key()) if who.known else _Key()
        if key.registrations >= self._max_per_key:
            raise RateLimited(
                f"{who.name!r} has {key.registrations} registrations in progress, which is the limit: wait until one is done",
                retry_after=RETRY_AFTER,
            )
        key.registrations += 1
        try:
            yield lambda: self._proof_slot(key)
        finally:
            key.registrations -= 1
            if not key.registrations and who.known:
                del self._keys[who.key]

    @contextlib.asynccontextmanager
    async def _proof_slot(self, key: _Key) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._timeout):
                    # The key's lock first: then each key has at most one registration among those that wait for a proof.
                    await held.enter_async_context(key.proof_lock)
                    await held.enter_async_context(self._proofs)
            except TimeoutError:
                raise Overloaded(
                    f"other models are being proved, and no slot was free within {self._timeout:g} s; nothing was registered",
                    retry_after=RETRY_AFTER,
                ) from None
            yield

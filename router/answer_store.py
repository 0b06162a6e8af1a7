"""Storage of the prediction cache: the interface, and an in-memory LRU store. The Redis store is in redis_answers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from cachetools import TLRUCache


class AnswerKey(NamedTuple):
    """What an answer depends on. The identity tells a version from a later one that reuses its number."""

    model: str
    version: str
    identity: str
    inputs: str


class AnswerStore(ABC):
    """Answers by key. Methods do not raise: an unreachable cache behaves like an empty one."""

    @abstractmethod
    def get(self, key: AnswerKey, then: Callable[[bytes | None], None]) -> None:
        """Call `then` with the answer or None, immediately or within milliseconds."""

    @abstractmethod
    def put(self, key: AnswerKey, answer: bytes, ttl: float) -> None:
        """Store an answer for `ttl` seconds."""

    @abstractmethod
    def drop(self, model: str, version: str) -> None:
        """Delete all answers of a version."""

    @abstractmethod
    async def run(self) -> None:
        """Do background work until cancelled."""


class MemoryAnswers(AnswerStore):
    """Answers in this process, at most `max_bytes`; the least recently used are evicted first."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._answers: TLRUCache[AnswerKey, tuple[bytes, float]] = TLRUCache(
            max_bytes,
            ttu=lambda _, kept, now: now + kept[1],
            timer=clock,
            getsizeof=lambda kept: len(kept[0]) + ENTRY_BYTES,
        )

    def get(self, key: AnswerKey, then: Callable[[bytes | None], None]) -> None:
        """Call `then` immediately."""
        kept = self._answers.get(key)
        then(None if kept is None else kept[0])

    def put(self, key: AnswerKey, answer: bytes, ttl: float) -> None:
        """Store an answer, unless it alone exceeds the cache."""
        if len(answer) + ENTRY_BYTES <= self._answers.maxsize:
            self._answers[key] = answer, ttl

    def drop(self, model: str, version: str) -> None:
        """Delete all answers of a version."""
        for key in [key for key in self._answers if key.model == model and key.version == version]:
            self._answers.pop(key, None)

    async def run(self) -> None:
        """Return immediately: there is no background work."""


# Approximate overhead of an entry: its key and bookkeeping.
ENTRY_BYTES = 1024

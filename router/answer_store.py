"""Where the prediction cache keeps answers: in this process here, in Redis next door (redis_answers)."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from cachetools import TLRUCache


class AnswerKey(NamedTuple):
    """What an answer depends on: by its identity a version differs from another under the same number."""

    model: str
    version: str
    identity: str
    inputs: str


class AnswerStore(ABC):
    """Answers by key. Nothing here raises: a cache that is away is an empty cache."""

    @abstractmethod
    def get(self, key: AnswerKey, then: Callable[[bytes | None], None]) -> None:
        """Call `then` with the answer, or with None; at once or within milliseconds."""

    @abstractmethod
    def put(self, key: AnswerKey, answer: bytes, ttl: float) -> None:
        """Keep an answer for so many seconds."""

    @abstractmethod
    def drop(self, model: str, version: str) -> None:
        """Forget all answers of a version."""

    @abstractmethod
    async def run(self) -> None:
        """Do what cannot be done at once, until cancelled."""


class MemoryAnswers(AnswerStore):
    """Answers in this process: the least recently used go when there are more than so many bytes."""

    def __init__(self, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._answers: TLRUCache[AnswerKey, tuple[bytes, float]] = TLRUCache(
            most_bytes,
            ttu=lambda _, kept, now: now + kept[1],
            timer=clock,
            getsizeof=lambda kept: len(kept[0]) + ENTRY_BYTES,
        )

    def get(self, key: AnswerKey, then: Callable[[bytes | None], None]) -> None:
        """Call `then` at once."""
        kept = self._answers.get(key)
        then(None if kept is None else kept[0])

    def put(self, key: AnswerKey, answer: bytes, ttl: float) -> None:
        """Keep an answer, unless it alone is larger than the cache."""
        if len(answer) + ENTRY_BYTES <= self._answers.maxsize:
            self._answers[key] = answer, ttl

    def drop(self, model: str, version: str) -> None:
        """Forget all answers of a version."""
        for key in [key for key in self._answers if key.model == model and key.version == version]:
            self._answers.pop(key, None)

    async def run(self) -> None:
        """Nothing is left to do later."""


# What the key and the bookkeeping of one entry take beside the answer, about.
ENTRY_BYTES = 1024

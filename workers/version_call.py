"""A request in a worker: when it came, whether it is settled, and stable's turn when the candidate does not make it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..broker.kafka.delivery import Delivery
from ..schemas.errors import ModelMeshError


class VersionCall:
    """One version's try at a request; `patience` is how many seconds it has before stable is asked too.

    Stable's try at the same request `fallback_for` the candidate's. Whichever answers first settles the candidate's try; what
    comes after that is dropped.
    """

    __slots__ = ("_timer", "began", "delivery", "failed_after", "failure", "fallback_for", "patience", "settled")

    def __init__(
        self, delivery: Delivery, began: float, patience: float, fallback_for: VersionCall | None = None
    ) -> None:
        self.delivery = delivery
        self.began = began
        self.patience = patience
        self.fallback_for = fallback_for
        self.settled = False
        self.failed_after = 0.0
        self.failure: ModelMeshError | None = None
        self._timer: asyncio.TimerHandle | None = None

    def fail(self, error: ModelMeshError) -> None:
        """Note why stable is asked, and when that was."""
        self.failure = error
        self.failed_after = asyncio.get_running_loop().time() - self.began

    def stable_in(self, seconds: float, ask: Callable[[], None]) -> None:
        """Ask stable after so many seconds, unless there is an answer by then."""
        self._timer = asyncio.get_running_loop().call_later(seconds, ask)

    def cancel_timer(self) -> None:
        """There is an answer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

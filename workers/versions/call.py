"""A request in a worker: its start, its state, and the fallback to stable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...broker.kafka.delivery import Delivery
from ...schemas.errors import ModelMeshError


class VersionCall:
    """The call of one version for a request; after `timeout` seconds stable is called too.

    Stable's call for the same request is a fallback: `fallback_for` is the candidate's call. The first answer settles the
    candidate's call; a later one is dropped.
    """

    __slots__ = ("_timer", "began", "delivery", "failed_after", "failure", "fallback_for", "settled", "timeout")

    def __init__(
        self, delivery: Delivery, began: float, timeout: float, fallback_for: VersionCall | None = None
    ) -> None:
        self.delivery = delivery
        self.began = began
        self.timeout = timeout
        self.fallback_for = fallback_for
        self.settled = False
        self.failed_after = 0.0
        self.failure: ModelMeshError | None = None
        self._timer: asyncio.TimerHandle | None = None

    def fail(self, error: ModelMeshError) -> None:
        """Note the reason and time of the fallback."""
        self.failure = error
        self.failed_after = asyncio.get_running_loop().time() - self.began

    def start_timer(self, fall_back: Callable[[], None]) -> None:
        """Call `fall_back` after the timeout, unless the timer is cancelled."""
        self._timer = asyncio.get_running_loop().call_later(self.timeout, fall_back)

    def cancel_timer(self) -> None:
        """Cancel the timer: there is an answer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

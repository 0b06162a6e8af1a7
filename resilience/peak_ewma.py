"""A moving average that rises at once and falls slowly (peak EWMA, as in Finagle and tower)."""

from __future__ import annotations

import math


class PeakEwma:
    """An average over about `decay` seconds: a higher value replaces it, lower values reduce it gradually.

    Without new values it decays over about `fade` seconds, so that a target that was slow is tried again now and then.
    """

    def __init__(self, decay: float, fade: float) -> None:
        self._decay = decay
        self._fade = fade
        self._value = 0.0
        self._at = -math.inf

    def add(self, value: float, now: float) -> None:
        """Add one measurement."""
        before = self.read(now)
        kept = math.exp(-max(0.0, now - self._at) / self._decay) if value < before else 0.0
        self._value = kept * before + (1 - kept) * value
        self._at = now

    def read(self, now: float) -> float:
        """Return the average; 0 before the first value."""
        return self._value * math.exp(-max(0.0, now - self._at) / self._fade) if self._value else 0.0

"""A moving average that believes bad news at once and good news slowly (peak EWMA, as in Finagle and tower)."""

from __future__ import annotations

import math


class PeakEwma:
    """An average over about `decay` seconds: a value above it takes its place, values below pull it down by and by.

    With nothing new it fades over about `fade` seconds, so that whoever was slow once is tried again, though not often.
    """

    def __init__(self, decay: float, fade: float) -> None:
        self._decay = decay
        self._fade = fade
        self._value = 0.0
        self._at = -math.inf

    def add(self, value: float, now: float) -> None:
        """Take in one measurement."""
        before = self.read(now)
        kept = math.exp(-max(0.0, now - self._at) / self._decay) if value < before else 0.0
        self._value = kept * before + (1 - kept) * value
        self._at = now

    def read(self, now: float) -> float:
        """Return the average; 0 before the first value."""
        return self._value * math.exp(-max(0.0, now - self._at) / self._fade) if self._value else 0.0

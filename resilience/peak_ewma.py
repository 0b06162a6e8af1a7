"""A moving average that believes bad news at once and good news slowly (peak EWMA, as in Finagle and tower)."""

from __future__ import annotations

import math


class PeakEwma:
    """An average over about `decay` seconds: a value above it takes its place, values below pull it down by and by.

    With nothing new it fades, so that whoever was slow once is tried again.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._value = 0.0
        self._at = -math.inf

    def add(self, value: float, now: float) -> None:
        """Take in one measurement."""
        if value >= self._value:
            self._value = value
        else:
            kept = math.exp(-max(0.0, now - self._at) / self._decay)
            self._value = kept * self._value + (1 - kept) * value
        self._at = now

    def read(self, now: float) -> float:
        """Return the average; 0 before the first value."""
        return self._value * math.exp(-max(0.0, now - self._at) / self._decay) if self._value else 0.0

"""The cost of a batch, fixed and per request, learned from the batches that ran."""

from __future__ import annotations

_KEPT = 0.95


class BatchCost:
    """An exponentially weighted least-squares line through (requests, milliseconds).

    While all batches have the same size the slope is unknown, and all of the time counts as fixed cost.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._size = 0.0
        self._time = 0.0
        self._variance = 0.0
        self._covariance = 0.0

    def add(self, requests: int, milliseconds: float) -> None:
        """Take in a batch (West's incremental update of weighted means and covariance)."""
        self._weight = _KEPT * self._weight + 1
        step = 1 / self._weight
        size_off, time_off = requests - self._size, milliseconds - self._time
        self._size += step * size_off
        self._time += step * time_off
        self._variance = (1 - step) * (self._variance + step * size_off * size_off)
        self._covariance = (1 - step) * (self._covariance + step * size_off * time_off)

    @property
    def mean_size(self) -> float:
        """The moving average of requests in a batch; 0 before the first."""
        return self._size

    def full_batch(self, size: int) -> float:
        """Return the milliseconds per request in batches of `size`; 0 before the first batch."""
        if not self._weight:
            return 0.0
        slope = max(0.0, self._covariance / self._variance) if self._variance > 1e-9 else 0.0
        fixed = max(0.0, self._time - slope * self._size)
        return fixed / size + slope

"""What a batch costs: so much for itself and so much for each request in it, learned from those that ran."""

from __future__ import annotations

_KEPT = 0.95


class BatchCost:
    """An exponentially weighted least-squares line through (requests, milliseconds).

    While all batches have the same size nothing can be said of a single request, and all of the time is the batch's.
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
        """Requests in a batch, on average of late; 0 before the first."""
        return self._size

    def full_batch(self, size: int) -> float:
        """Return the milliseconds that each request costs when they come in batches of so many; 0 before the first."""
        if not self._weight:
            return 0.0
        slope = max(0.0, self._covariance / self._variance) if self._variance > 1e-9 else 0.0
        fixed = max(0.0, self._time - slope * self._size)
        return fixed / size + slope

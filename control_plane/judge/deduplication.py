"""Deduplicate summaries: delivery is at least once, so the last ones are read again after a crash."""

from __future__ import annotations

from pydantic import RootModel

MAX_WORKERS = 500


class Deduplicator(RootModel[dict[str, tuple[str, int]]]):
    """Each worker's epoch and last sequence number. The summaries of one worker arrive in order."""

    root: dict[str, tuple[str, int]] = {}

    def is_new(self, worker: str, epoch: str, seq: int) -> bool:
        """Record a summary; return whether it was new."""
        known = self.root.get(worker)
        if known is not None and known[0] == epoch and seq <= known[1]:
            return False
        # Least recently heard first, so that old workers are evicted: their names may change at each start.
        self.root.pop(worker, None)
        self.root[worker] = (epoch, seq)
        while len(self.root) > MAX_WORKERS:
            del self.root[next(iter(self.root))]
        return True

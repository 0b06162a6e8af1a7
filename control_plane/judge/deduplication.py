"""Which summaries a table has already taken in: after a crash the last ones come again."""

from __future__ import annotations

from pydantic import RootModel

MAX_WORKERS = 500


class Deduplicator(RootModel[dict[str, tuple[str, int]]]):
    """Each worker's epoch and its last sequence number; one worker's summaries come in order."""

    root: dict[str, tuple[str, int]] = {}

    def is_new(self, worker: str, epoch: str, seq: int) -> bool:
        """Note a summary; return whether it was not there before."""
        known = self.root.get(worker)
        if known is not None and known[0] == epoch and seq <= known[1]:
            return False
        # The latest at the end: workers whose names change with each start must not fill a table for ever.
        self.root.pop(worker, None)
        self.root[worker] = (epoch, seq)
        while len(self.root) > MAX_WORKERS:
            del self.root[next(iter(self.root))]
        return True

"""Which summaries a table has already taken in: after a crash the last ones come again."""

from __future__ import annotations

from pydantic import RootModel


class Seen(RootModel[dict[str, tuple[str, int]]]):
    """Each worker's epoch and its last sequence number; one worker's summaries come in order."""

    root: dict[str, tuple[str, int]] = {}

    def is_new(self, worker: str, epoch: str, seq: int) -> bool:
        """Note a summary; return whether it was not there before."""
        known = self.root.get(worker)
        if known is not None and known[0] == epoch and seq <= known[1]:
            return False
        self.root[worker] = (epoch, seq)
        return True

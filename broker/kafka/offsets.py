"""Which offsets of a partition may be committed when records finish in any order."""

from __future__ import annotations


class OffsetTracker:
    """Records taken from one partition and not finished yet.

    `committable` is the offset after the last record before which everything is finished: what a restart must go on from.
    """

    __slots__ = ("_finished", "_taken", "committable")

    def __init__(self) -> None:
        self._taken: dict[int, None] = {}  # in order of offset: a consumer gets them in order
        self._finished: set[int] = set()
        self.committable: int | None = None

    def __len__(self) -> int:
        """Records taken and not finished."""
        return len(self._taken) - len(self._finished)

    def __contains__(self, offset: int) -> bool:
        """Whether a record was taken and is not finished."""
        return offset in self._taken and offset not in self._finished

    def take(self, offset: int) -> None:
        """Note that a record was taken from the log."""
        self._taken[offset] = None

    def finish(self, offset: int) -> None:
        """Note that a record needs nothing more; what was taken before it may still be open."""
        if offset not in self._taken:
            return
        self._finished.add(offset)
        while self._taken:
            first = next(iter(self._taken))
            if first not in self._finished:
                return
            del self._taken[first]
            self._finished.discard(first)
            self.committable = first + 1

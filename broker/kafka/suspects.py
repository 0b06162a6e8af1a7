"""Find the record that kills its worker, by what the dead worker's last commit says.

A consumer that ends in order marks its last commit as clean. Without that mark its successor takes what was in the log then
one record at a time, and commits before each that it is being tried. If that kills it too, the next one knows which it was.
"""

from __future__ import annotations

from dataclasses import dataclass

IN_USE = ""
CLEAN = "clean"
TRYING = "trying"


@dataclass(frozen=True, slots=True)
class Suspects:
    """Records of one partition that may have killed a worker: those before `until`; the one at `killer` did it twice."""

    until: int
    killer: int | None = None

    @classmethod
    def from_commit(cls, offset: int | None, metadata: str, end: int) -> Suspects | None:
        """Return the suspects that a commit leaves in a partition that ends at `end`; None when there are none."""
        if offset is None or offset < 0 or metadata == CLEAN or offset >= end:
            return None
        return cls(end, offset if metadata == TRYING else None)

"""The state of one partition: records in hand, the offset to commit, and possible poison records. No I/O.

A poison record crashes each process that handles it. Kafka does not count deliveries, so the owner's state is kept in the
metadata of the offset commit: `IN_USE` while it works, `TRYING` while it handles the record at that offset alone, `CLEAN` after
an orderly end. After a crash, the successor handles the records that were in the log one at a time, each marked `TRYING` first.
A record that was being tried when its owner crashed is poison.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

IN_USE = ""
CLEAN = "clean"
TRYING = "trying"

# An offset to commit (all records before it are finished), and its metadata.
Commit: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class PoisonCheck:
    """Records before `until` are handled one at a time; the record at `poison` has crashed two processes."""

    until: int
    poison: int | None = None

    @classmethod
    def after(cls, offset: int | None, metadata: str, end: int) -> PoisonCheck | None:
        """Return the check that the previous owner's commit requires in a partition that ends at `end`, or None."""
        if offset is None or offset < 0 or metadata == CLEAN or offset >= end:
            return None
        return cls(end, offset if metadata == TRYING else None)


class PartitionState:
    """A partition from assignment to revocation. At `limit` records in hand it is paused until half of them are finished."""

    __slots__ = (
        "_checking",
        "_committed",
        "_finished",
        "_full",
        "_limit",
        "_position",
        "_taken",
        "_trying",
        "check",
        "owned",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[int, None] = {}  # in order of offset
        self._finished: set[int] = set()
        self._position: int | None = None  # the offset before which all are finished
        self._committed: int | None = None
        self._full = False
        self._checking = False
        self._trying: int | None = None
        self.owned = False  # whether the previous owner's commit has been checked
        self.check: PoisonCheck | None = None

    def __len__(self) -> int:
        """Records taken and not finished."""
        return len(self._taken) - len(self._finished)

    def __contains__(self, offset: int) -> bool:
        """Whether a record was taken and is not finished."""
        return offset in self._taken and offset not in self._finished

    @property
    def position(self) -> int | None:
        """The offset to resume from after a restart, or None if unknown. All records before it are finished."""
        # The commit on taking over may be ahead: it skips offsets that hold no record.
        return max((offset for offset in (self._position, self._committed) if offset is not None), default=None)

    @property
    def uncommitted(self) -> int:
        """Finished records that are not committed; they would come again after a crash."""
        return (self.position or 0) - (self._committed or 0)

    @property
    def paused(self) -> bool:
        """Whether no more records should be fetched."""
        return self._full or self._checking

    def take(self, offsets: Iterable[int]) -> None:
        """Add fetched records."""
        self._taken.update(dict.fromkeys(offsets))

    def finish(self, offset: int) -> bool:
        """Finish a record; earlier ones may be unfinished. Return whether to resume fetching."""
        taken, finished = self._taken, self._finished
        if offset not in taken:
            return False
        finished.add(offset)
        while taken:
            first = next(iter(taken))
            if first not in finished:
                break
            del taken[first]
            finished.discard(first)
            self._position = first + 1
        if offset == self._trying:
            self._trying = None
        if self._full and len(self) <= self._limit // 2:
            self._full = False
            return not self._checking
        return False

    def pause_if_full(self) -> bool:
        """Pause if the limit is reached; return whether it is paused for that."""
        self._full = self._full or len(self) >= self._limit
        return self._full

    def next_commit(self) -> Commit | None:
        """Return the next commit; None if nothing new is finished, or a record is being tried and its mark must stay."""
        position = self.position
        if position is None or position == self._committed or self._trying is not None:
            return None
        return position, IN_USE

    def last_commit(self) -> Commit | None:
        """Return the commit before the partition is revoked: `CLEAN` if all is finished and checked."""
        position = self.position
        if len(self) or self.check is not None or position is None:
            return self.next_commit()
        return position, CLEAN

    def committed(self, offset: int) -> None:
        """Note an acknowledged commit."""
        self._committed = offset

    def own(self, check: PoisonCheck | None, first: int) -> Commit | None:
        """Take over from the previous owner; `first` is the next offset. Return an `IN_USE` commit unless there is a check."""
        self.owned = True
        self.check = check
        return (next(iter(self._taken), first), IN_USE) if check is None else None

    def begin_check(self) -> None:
        """Pause while the records of a fetch are handled one at a time."""
        self._checking = True

    def may_try(self, offset: int) -> bool:
        """Whether all earlier records are finished, so that this one can be handled alone."""
        return next(iter(self._taken), offset) >= offset

    def try_alone(self, offset: int) -> Commit:
        """Return the commit that marks a record before it is handled alone."""
        self._trying = offset
        return offset, TRYING

    def end_check(self, last: int) -> None:
        """Continue as usual after a fetch that ended at offset `last`; end the check if it covered all suspects."""
        self._checking = False
        if self.check is not None and last + 1 >= self.check.until:
            self.check = None

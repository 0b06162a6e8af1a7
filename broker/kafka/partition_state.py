"""What a consumer has in hand of one partition, what may be committed of it, and which of its records may be poison. No I/O.

A poison record ends the process that handles it, and the next one that gets it. Kafka does not count deliveries, so the
metadata of the offset commit says how the last owner was doing: `CLEAN` once it has ended in order, `IN_USE` while it works,
`TRYING` while it handles the record at that offset alone. After an owner that did not end in order, its successor handles what
was in the log then one record at a time, each marked as being tried. The record that was being tried when the owner died is
poison.
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
    """Records before `until` are handled one at a time; the one at `poison` has ended two processes."""

    until: int
    poison: int | None = None

    @classmethod
    def after(cls, offset: int | None, metadata: str, end: int) -> PoisonCheck | None:
        """Return the check that the last owner's commit asks for in a partition that ends at `end`; None: no check."""
        if offset is None or offset < 0 or metadata == CLEAN or offset >= end:
            return None
        return cls(end, offset if metadata == TRYING else None)


class PartitionState:
    """One partition from its assignment to its revocation. At `limit` records in hand it is paused until half are finished."""

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
        self._taken: dict[int, None] = {}  # in order of offset: a consumer gets them in order
        self._finished: set[int] = set()
        self._position: int | None = None  # behind the last record before which all are finished
        self._committed: int | None = None
        self._full = False
        self._checking = False
        self._trying: int | None = None
        self.owned = False  # whether the last owner's commit has been looked at
        self.check: PoisonCheck | None = None

    def __len__(self) -> int:
        """Records taken and not finished."""
        return len(self._taken) - len(self._finished)

    def __contains__(self, offset: int) -> bool:
        """Whether a record was taken and is not finished."""
        return offset in self._taken and offset not in self._finished

    @property
    def position(self) -> int | None:
        """The offset to go on from after a restart: everything before it is finished. None: nothing is known yet."""
        return self._position if self._position is not None else self._committed

    @property
    def paused(self) -> bool:
        """Whether no more records should be fetched."""
        return self._full or self._checking

    def take(self, offsets: Iterable[int]) -> None:
        """Note that records were taken from the log."""
        self._taken.update(dict.fromkeys(offsets))

    def finish(self, offset: int) -> bool:
        """Note that nothing is left to do for a record; those before it may be open. Return whether to fetch again."""
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
        """Pause if as much is in hand as may be; return whether that is so."""
        self._full = self._full or len(self) >= self._limit
        return self._full

    def next_commit(self) -> Commit | None:
        """Return what to commit now; None: nothing new is finished, or a record is tried, whose mark must stay."""
        if self._position is None or self._position == self._committed or self._trying is not None:
            return None
        return self._position, IN_USE

    def last_commit(self) -> Commit | None:
        """Return what to commit before the partition is given up: a clean one if nothing is open or unchecked."""
        position = self.position
        if len(self) or self.check is not None or position is None:
            return self.next_commit()
        return position, CLEAN

    def committed(self, offset: int) -> None:
        """Note that the broker has taken a commit."""
        self._committed = offset

    def own(self, check: PoisonCheck | None, first: int) -> Commit | None:
        """Take over from the last owner; `first` is the next offset to be fetched. Return what says so, if nothing is checked."""
        self.owned = True
        self.check = check
        return (next(iter(self._taken), first), IN_USE) if check is None else None

    def begin_check(self) -> None:
        """Pause while the records of a fetch are handled one at a time."""
        self._checking = True

    def may_try(self, offset: int) -> bool:
        """Whether all records before this one are finished, so that it can be handled alone."""
        return next(iter(self._taken), offset) >= offset

    def try_alone(self, offset: int) -> Commit:
        """Return what to commit before a record is handled alone."""
        self._trying = offset
        return offset, TRYING

    def end_check(self, last: int) -> None:
        """Go on as usual after a fetch that ended with `last`; the check is over if that was the end of it."""
        self._checking = False
        if self.check is not None and last + 1 >= self.check.until:
            self.check = None

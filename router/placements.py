"""Which replicas have had a request, so that a retry goes to another one."""

from __future__ import annotations

from collections import OrderedDict

KEPT_SECONDS = 30.0
MAX_PLACEMENTS = 65_536


class Placements:
    """The replicas of each request by its identity, for KEPT_SECONDS and at most `MAX_PLACEMENTS` requests."""

    def __init__(self) -> None:
        self._placed: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()

    def __len__(self) -> int:
        """Number of requests."""
        return len(self._placed)

    def before(self, request: str) -> tuple[str, ...]:
        """Return the replicas that had the request, in order."""
        found = self._placed.get(request)
        return found[1] if found is not None else ()

    def note(self, request: str, replica: str, now: float) -> None:
        """Record where a request went, and drop old entries."""
        _, before = self._placed.pop(request, (now, ()))
        self._placed[request] = (now, (*before, replica))
        oldest = now - KEPT_SECONDS
        while len(self._placed) > MAX_PLACEMENTS or next(iter(self._placed.values()))[0] < oldest:
            self._placed.popitem(last=False)

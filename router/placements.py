"""Which replicas had a request before: a retry goes to another one."""

from __future__ import annotations

from collections import OrderedDict

KEPT_SECONDS = 30.0
MAX_PLACEMENTS = 65_536


class Placements:
    """Remembers the replicas of each request, by what is its alone, for a while, the newest `MAX_PLACEMENTS` of them."""

    def __init__(self) -> None:
        self._placed: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()

    def __len__(self) -> int:
        """Requests that are remembered."""
        return len(self._placed)

    def before(self, request: str) -> tuple[str, ...]:
        """Return the replicas that had the request, the last one last."""
        found = self._placed.get(request)
        return found[1] if found is not None else ()

    def note(self, request: str, replica: str, now: float) -> None:
        """Note where a request went; forget what is old."""
        _, before = self._placed.pop(request, (now, ()))
        self._placed[request] = (now, (*before, replica))
        oldest = now - KEPT_SECONDS
        while len(self._placed) > MAX_PLACEMENTS or next(iter(self._placed.values()))[0] < oldest:
            self._placed.popitem(last=False)

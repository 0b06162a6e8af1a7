"""Whether requests get through at all. Times are in seconds, on any clock that only goes on."""

from __future__ import annotations

import math


class Silence:
    """Nothing gets through when requests have been asked for `longest` seconds and none of them was answered.

    No request may wait longer than `longest`, so all of that time's have failed. An answer ends it; so does a pause as long, for
    whoever is asked nothing more (a load balancer sends the requests elsewhere) would never be answered again.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._since = math.inf  # when the first was asked of those that wait for any answer
        self._asked = -math.inf

    def asked(self, now: float) -> None:
        """A request is asked, whatever becomes of it."""
        if self._since > now or now - self._asked >= self._longest:
            self._since = now
        self._asked = now

    def answered(self) -> None:
        """An answer came, to whichever request."""
        self._since = math.inf

    def lasts(self, now: float) -> bool:
        """Whether nothing gets through."""
        return now - self._since >= self._longest > now - self._asked

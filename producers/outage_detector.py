"""Detects that no request gets an answer any more. Times are in seconds, on any monotonic clock."""

from __future__ import annotations

import math


class OutageDetector:
    """Reports an outage when requests have been sent for `max_deadline` seconds and none was answered.

    No request may wait longer than that, so all of them have failed. An answer ends the outage, and so does a pause of
    `max_deadline`: a gateway that a load balancer avoids gets no requests, and could not recover otherwise.
    """

    def __init__(self, max_deadline: float) -> None:
        self._max_deadline = max_deadline
        self._since = math.inf  # when the first request after the last answer was sent
        self._last_request = -math.inf

    def sent(self, now: float) -> None:
        """Note a request."""
        if self._since > now or now - self._last_request >= self._max_deadline:
            self._since = now
        self._last_request = now

    def answered(self) -> None:
        """Note an answer to any request."""
        self._since = math.inf

    def active(self, now: float) -> bool:
        """Whether no request gets an answer."""
        return now - self._since >= self._max_deadline > now - self._last_request

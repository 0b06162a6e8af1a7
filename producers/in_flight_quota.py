"""The limits on one client's requests in flight: their number and their bytes."""

from __future__ import annotations

from ..schemas.errors import Overloaded


class InFlightQuota:
    """Counts requests and bytes in flight up to a limit. Bodies that are still being received count as bytes too."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0

    def acquire(self, size: int) -> None:
        """Add a request of `size` bytes. Raises Overloaded without a change."""
        if self.requests >= self._max_requests:
            raise Overloaded(f"{self.requests} requests are in flight already, as many as may be")
        self.acquire_bytes(size)
        self.requests += 1

    def release(self, size: int) -> None:
        """Remove a request of `size` bytes."""
        self.requests -= 1
        self.bytes -= size

    def acquire_bytes(self, size: int) -> None:
        """Add bytes. Raises Overloaded without a change."""
        if self.bytes + size > self._max_bytes:
            raise Overloaded(f"requests with {self.bytes} bytes are in flight already, as many as may be")
        self.bytes += size

    def release_bytes(self, size: int) -> None:
        """Remove bytes."""
        self.bytes -= size

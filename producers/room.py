"""What the requests in flight of one client take: places and bytes. Whoever takes gives back the same, in one `finally`."""

from __future__ import annotations

from ..schemas.errors import Overloaded


class Room:
    """Places and bytes up to a limit; bytes of bodies that are still on their way in count too."""

    def __init__(self, places: int, size: int) -> None:
        self._most_places = places
        self._most_bytes = size
        self.places = 0
        self.bytes = 0

    def take(self, size: int) -> None:
        """Take a place and the bytes of a request. Raises Overloaded, and then nothing is taken."""
        if self.places >= self._most_places:
            raise Overloaded(f"{self.places} requests are in flight already, as many as may be")
        self.take_bytes(size)
        self.places += 1

    def give_back(self, size: int) -> None:
        """Give back what `take` took."""
        self.places -= 1
        self.bytes -= size

    def take_bytes(self, size: int) -> None:
        """Take bytes alone. Raises Overloaded, and then nothing is taken."""
        if self.bytes + size > self._most_bytes:
            raise Overloaded(f"requests with {self.bytes} bytes are in flight already, as many as may be")
        self.bytes += size

    def give_back_bytes(self, size: int) -> None:
        """Give back what `take_bytes` took."""
        self.bytes -= size

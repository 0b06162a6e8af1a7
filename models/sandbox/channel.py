"""Messages between a service and a model's process over a socket.

A message is a header and a body. Requests are pickles, since the model's process trusts the service. Replies are untrusted: a
JSON header and the raw bytes of arrays, with every length checked.
"""

from __future__ import annotations

import json
import math
import pickle
import socket
import struct
import time
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..values.outputs import plain_value
from ..values.tensors import Tensors

_PREFIX = struct.Struct("<IQ")
_CHUNK = 1 << 16
_ALIGNMENT = 16
_MAX_HEADER_BYTES = 1 << 26
_MAX_REQUEST_BYTES = 1 << 40  # the service itself limits requests
_MAX_TEXT = 2000
_RAW = "biufcmMUS"  # numpy kinds that are sent as raw bytes


class ChannelClosed(Exception):
    """The peer closed the socket."""


class BrokenMessage(Exception):
    """The peer sent a malformed message."""


class Channel:
    """One side of the socket. One message at a time, by one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray(_CHUNK)

    def send(self, header: bytes, body: Sequence[bytes | memoryview] = (), *, timeout: float | None = None) -> None:
        """Send one message. Raises ChannelClosed, or TimeoutError if the peer does not accept it within `timeout` seconds."""
        size = sum(len(part) for part in body)
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(b"".join((_PREFIX.pack(len(header), size), header, *body)))
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from None

    def receive(
        self, max_body_bytes: int, *, timeout: float | None = None, into: IO[bytes] | None = None
    ) -> tuple[bytes, memoryview]:
        """Return the next message's header and body. With `into`, the body is written to that file.

        Raises ChannelClosed, TimeoutError, or BrokenMessage for a message that is too large.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        first = b""
        while len(first) < _PREFIX.size:
            first += self._receive_some(_CHUNK, deadline)
        header_size, body_size = _PREFIX.unpack_from(first)
        if header_size > _MAX_HEADER_BYTES or body_size > max_body_bytes:
            raise BrokenMessage(f"a message of {header_size} and {body_size} bytes is larger than allowed")
        begin = _PREFIX.size + header_size
        if into is None:
            whole = bytearray(begin + body_size)
            self._fill(whole, first, deadline)
            return bytes(whole[_PREFIX.size : begin]), memoryview(whole)[begin:]
        head = bytearray(begin)
        self._fill(head, first[:begin], deadline)
        rest, left = first[begin:], body_size
        while True:
            into.write(rest)
            left -= len(rest)
            if left <= 0:
                return bytes(head[_PREFIX.size :]), memoryview(b"")
            rest = self._receive_some(left, deadline)

    def close(self) -> None:
        """Close this side."""
        self._socket.close()

    def _fill(self, whole: bytearray, first: bytes, deadline: float | None) -> None:
        if len(first) > len(whole):
            raise BrokenMessage("a message is longer than its declared size")
        whole[: len(first)] = first
        with memoryview(whole) as view:
            at = len(first)
            while at < len(whole):
                at += self._receive_into(view[at:], deadline)

    def _receive_some(self, limit: int, deadline: float | None) -> bytes:
        with memoryview(self._buffer)[:limit] as view:
            return bytes(view[: self._receive_into(view, deadline)])

    def _receive_into(self, buffer: bytearray | memoryview, deadline: float | None) -> int:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        try:
            self._socket.settimeout(left)
            count = self._socket.recv_into(buffer)
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from None
        if count == 0:
            raise ChannelClosed("end of file")
        return count


def send_request(channel: Channel, *request: Any, timeout: float | None = None) -> None:
    """Send a request. Raises ChannelClosed, or TimeoutError if it is not accepted within `timeout` seconds."""
    channel.send(b"", [pickle.dumps(request, protocol=5)], timeout=timeout)


def receive_request(channel: Channel) -> tuple[Any, ...]:
    """Return the next request. To be called only in a model's process."""
    _, body = channel.receive(_MAX_REQUEST_BYTES)
    request: tuple[Any, ...] = pickle.loads(body)  # nosec B301 - the service wrote it
    return request


def send_reply(channel: Channel, document: dict[str, Any], body: Sequence[bytes | memoryview] = ()) -> None:
    """Send a reply."""
    header = json.dumps(document).encode()
    # Pad the header, so that arrays are aligned.
    channel.send(header + b" " * (-(_PREFIX.size + len(header)) % _ALIGNMENT), body)


def read_reply(header: bytes) -> dict[str, Any]:
    """Return a reply's document. Raises BrokenMessage."""
    try:
        document = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise BrokenMessage(f"a reply is not JSON: {error}"[:300]) from None
    if not isinstance(document, dict):
        raise BrokenMessage("a reply is not a JSON object")
    return document


def text_in(document: dict[str, Any], name: str) -> str:
    """Return a text from a reply, shortened to a readable length."""
    return str(document.get(name) or "")[:_MAX_TEXT]


def write_tensors(tensors: Tensors) -> tuple[list[Any], list[bytes | memoryview]]:
    """Return the description of arrays for a header, and their bytes. Objects are put into the header as JSON values."""
    specs: list[Any] = []
    body: list[bytes | memoryview] = []
    for name, array in tensors.items():
        if array.dtype.kind in _RAW:
            raw = np.ascontiguousarray(array).tobytes()
            specs.append([str(name), array.dtype.str, list(array.shape)])
            body += [raw, bytes(-len(raw) % _ALIGNMENT)]
        else:
            specs.append([str(name), [plain_value(value) for value in array.ravel().tolist()], list(array.shape)])
    return specs, body


def read_tensors(specs: Any, body: memoryview) -> Tensors:
    """Return the arrays. Raises BrokenMessage."""
    try:
        tensors, at = {}, 0
        for name, kind, shape in specs:
            if isinstance(kind, list):
                values = np.empty(len(kind), object)
                values[:] = kind
                tensors[str(name)] = values.reshape(shape)
                continue
            dtype = np.dtype(kind)
            if dtype.kind not in _RAW or any(type(size) is not int or size < 0 for size in shape):
                raise BrokenMessage(f"{name!r} is not an array: {kind!r} {shape!r}"[:300])
            size = dtype.itemsize * math.prod(shape)
            if at + size > len(body):
                raise BrokenMessage(f"{name!r} is cut short")
            tensors[str(name)] = _validated(np.frombuffer(body[at : at + size], np.uint8).view(dtype).reshape(shape))
            at += size + -size % _ALIGNMENT
    except BrokenMessage:
        raise
    except Exception as error:  # the reply is untrusted
        raise BrokenMessage(f"the arrays of a reply cannot be read: {error}"[:300]) from None
    return tensors


def _validated(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array with valid booleans. Raises BrokenMessage for invalid characters: the bytes are untrusted."""
    if array.dtype.kind == "b":
        return np.asarray(array.view(np.uint8) != 0)
    if array.dtype.kind == "U" and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).view(array.dtype.byteorder.replace("|", "=") + "u4")
        if codes.size and codes.max() > 0x10FFFF:
            raise BrokenMessage("a text has invalid characters")
    return array

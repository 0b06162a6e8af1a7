"""Read past what a consumer cannot decode: it comes as one record without a value, and so ends where other junk does.

aiokafka raises from `getmany` on a batch whose compression it does not know, or that holds a header which is no UTF-8, and raises
again each time that the batch is fetched: one such record stopped every reader of its partition for good. And it unpacks a batch
whatever that becomes: zstd makes 100 GB of 8 MB. Here each batch has a limit, and what fails or is beyond it is passed over.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import aiokafka.codec
import aiokafka.record.default_records
import numpy as np
import structlog
from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException

from ...schemas.records import UNREADABLE

log = structlog.get_logger(__name__)
MIN_LIMIT = 128 * 1024 * 1024
_limit = MIN_LIMIT


class UnpackedTooLarge(ValueError):
    """A compressed batch has more bytes than may be unpacked."""

    def __init__(self) -> None:
        super().__init__(f"the batch unpacks to more than {_limit} bytes")


def read_tolerantly(largest: int) -> None:
    """From now on every consumer of this process passes over what it cannot decode, or what unpacks to more than `largest`."""
    global _limit
    _limit = max(_limit, largest)
    if fetcher.PartitionRecords is _TolerantRecords:
        return
    fetcher.PartitionRecords = _TolerantRecords
    modules = [aiokafka.record.default_records]
    try:
        from aiokafka.record._crecords import default_records as compiled

        modules.append(compiled)
    except ImportError:  # a build without the extension
        pass
    for module in modules:
        module.gzip_decode = _gunzip
        if aiokafka.codec.cramjam is not None:
            module.zstd_decode = _bounded(aiokafka.codec.cramjam.zstd)
            module.lz4_decode = _bounded(aiokafka.codec.cramjam.lz4)


class _Batches:
    """The batches of a fetch; `last` is the one that was given out last."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.last: Any = None

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        self.last = self._records.next_batch()
        return self.last


class _TolerantRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    next_fetch_offset: int

    def __init__(self, tp: Any, records: Any, *others: Any) -> None:
        super().__init__(tp, _Batches(records), *others)

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        while True:
            try:
                yield from super()._unpack_records()
                return
            except Exception as error:
                batch = self._records.last
                if batch is None or (isinstance(error, CorruptRecordException) and "CRC" in str(error)):
                    raise  # damaged on the way: another fetch may bring it whole
                yield self._pass_over(batch, error)

    def _pass_over(self, batch: Any, error: Exception) -> ConsumerRecord:
        """Return what stands for the rest of the batch, and go on behind it."""
        first, after = self.next_fetch_offset, batch.next_offset
        reason = f"offsets {first} to {after - 1} cannot be decoded: {type(error).__name__}: {error}"[:500]
        log.error("records.undecodable", topic=self._tp.topic, partition=self._tp.partition, reason=reason)
        self.next_fetch_offset = after
        # A time of its own, for those who read by time; no value, but no tombstone either.
        at = max(0, int(getattr(batch, "max_timestamp", 0) or 0))
        headers = ((UNREADABLE, reason.encode(errors="replace")),)
        return ConsumerRecord(self._tp.topic, self._tp.partition, first, at, 0, None, b"", None, -1, 0, headers)


def _gunzip(payload: Any) -> bytes:
    parts, room, rest = [], _limit, bytes(payload)
    while rest:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(rest, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise UnpackedTooLarge
        if not member.eof:
            raise ValueError("the gzip stream ends early")
        rest = member.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _bounded(codec: Any) -> Callable[[Any], bytes]:
    def decode(payload: Any) -> bytes:
        # Most batches are small; room for the largest is only taken where it is needed.
        for size in sorted({min(_limit, max(1 << 20, 16 * len(payload))), _limit}):
            room = np.empty(size, np.uint8)
            try:
                return room[: codec.decompress_into(payload, room)].tobytes()
            except aiokafka.codec.cramjam.DecompressionError as error:
                last = error
        if "whole buffer" in str(last):
            raise UnpackedTooLarge
        raise last

    return decode

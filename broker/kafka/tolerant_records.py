"""Lets consumers skip batches that they cannot decode. Each becomes one record with an empty value, for the dead letters.

aiokafka raises from `getmany` on a batch with an unknown compression or a header that is not UTF-8, and again at each fetch: one
such record would stop all readers of its partition. It also decompresses without a limit: zstd can expand 8 MB to 100 GB. Here
decompression is limited, and a batch that fails or exceeds the limit is skipped.
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


class DecompressedTooLarge(ValueError):
    """A batch decompresses to more than the limit."""

    def __init__(self) -> None:
        super().__init__(f"the batch decompresses to more than {_limit} bytes")


def read_tolerantly(limit: int) -> None:
    """Make all consumers of this process skip batches that do not decode, or decompress to more than `limit` bytes."""
    global _limit
    _limit = max(_limit, limit)
    if fetcher.PartitionRecords is _TolerantRecords:
        return
    fetcher.PartitionRecords = _TolerantRecords
    modules = [aiokafka.record.default_records]
    try:
        from aiokafka.record._crecords import default_records as compiled

        modules.append(compiled)
    except ImportError:  # built without the extension
        pass
    for module in modules:
        module.gzip_decode = _gunzip
        if aiokafka.codec.cramjam is not None:
            module.zstd_decode = _bounded(aiokafka.codec.cramjam.zstd)
            module.lz4_decode = _bounded(aiokafka.codec.cramjam.lz4)


class _Batches:
    """The batches of a fetch; `last` is the one returned last."""

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
                    raise  # damaged in transport: the next fetch may succeed
                yield self._skip(batch, error)

    def _skip(self, batch: Any, error: Exception) -> ConsumerRecord:
        """Return a record that stands for the rest of the batch, and continue behind it."""
        first, after = self.next_fetch_offset, batch.next_offset
        reason = f"offsets {first} to {after - 1} cannot be decoded: {type(error).__name__}: {error}"[:500]
        log.error("records.undecodable", topic=self._tp.topic, partition=self._tp.partition, reason=reason)
        self.next_fetch_offset = after
        # With a timestamp, for readers by time. The value is empty, not None, which would be a tombstone.
        at = max(0, int(getattr(batch, "max_timestamp", 0) or 0))
        headers = ((UNREADABLE, reason.encode(errors="replace")),)
        return ConsumerRecord(self._tp.topic, self._tp.partition, first, at, 0, None, b"", None, -1, 0, headers)


def _gunzip(payload: Any) -> bytes:
    parts, remaining, rest = [], _limit, bytes(payload)
    while rest:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(rest, remaining + 1))
        remaining -= len(parts[-1])
        if remaining < 0:
            raise DecompressedTooLarge
        if not member.eof:
            raise ValueError("the gzip stream ends early")
        rest = member.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _bounded(codec: Any) -> Callable[[Any], bytes]:
    def decode(payload: Any) -> bytes:
        # Most batches are small; a buffer of the full limit is allocated only if needed.
        for size in sorted({min(_limit, max(1 << 20, 16 * len(payload))), _limit}):
            buffer = np.empty(size, np.uint8)
            try:
                return buffer[: codec.decompress_into(payload, buffer)].tobytes()
            except aiokafka.codec.cramjam.DecompressionError as error:
                last = error
        if "whole buffer" in str(last):
            raise DecompressedTooLarge
        raise last

    return decode

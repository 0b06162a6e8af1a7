"""Batches that a consumer cannot decode: each is replaced by one record with the reason, and later ones are read."""

import gzip
import zlib

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.broker.kafka import tolerant_records
from modelmesh.broker.kafka.tolerant_records import read_tolerantly
from modelmesh.schemas.records import UNREADABLE

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def batch(offset, values, codec="none", headers=()):
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=CODECS[codec],
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for number, value in enumerate(values):
        assert builder.append(number, timestamp=1000, key=b"k", value=value, headers=list(headers)) is not None
    return bytes(builder.build())[8:], offset


def with_offset(body, offset):
    return offset.to_bytes(8, "big") + body


def read(*batches):
    read_tolerantly(0)
    data = b"".join(with_offset(*one) for one in batches)
    first = batches[0][1]
    return list(fetcher.PartitionRecords(TopicPartition("t", 0), MemoryRecords(data), [], first, None, None, True, 0))


def broken(body, old, new):
    """Replace bytes of the batch and correct its CRC."""
    from aiokafka.record.util import calc_crc32c

    assert body.count(old) == 1
    body = body.replace(old, new)
    return body[:9] + calc_crc32c(body[13:]).to_bytes(4, "big") + body[13:]


@pytest.mark.parametrize("codec", CODECS)
@given(values=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_decodable_batches_are_read_unchanged(codec, values):
    assert [record.value for record in read(batch(5, values, codec))] == values


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_batch_that_decompresses_to_too_much_is_skipped(codec, monkeypatch):
    read_tolerantly(0)
    monkeypatch.setattr(tolerant_records, "_limit", 2_000_000)
    found = read(
        batch(0, [b"a"]), batch(1, [bytes(1_500_000), bytes(1_500_000)], codec), batch(3, [bytes(1_900_000)], codec)
    )
    assert [(record.offset, len(record.value)) for record in found] == [(0, 1), (1, 0), (3, 1_900_000)]
    assert b"offsets 1 to 2 cannot be decoded" in dict(found[1].headers)[UNREADABLE]
    assert b"2000000" in dict(found[1].headers)[UNREADABLE]


def test_a_header_that_is_not_utf_8_is_skipped():
    body, _ = batch(1, [b"x"], headers=[("marker", b"1")])
    found = read(batch(0, [b"a"]), (broken(body, b"marker", b"\xff\xfe\xfdker"), 1), batch(2, [b"b"]))
    assert [(record.offset, record.value) for record in found] == [(0, b"a"), (1, b""), (2, b"b")]
    assert UNREADABLE in dict(found[1].headers)


def test_an_unknown_codec_is_skipped():
    body, _ = batch(1, [b"x"])
    attributes = body[13:15]
    assert attributes == b"\0\0"
    from aiokafka.record.util import calc_crc32c

    rest = b"\0\7" + body[15:]
    found = read((body[:9] + calc_crc32c(rest).to_bytes(4, "big") + rest, 1), batch(2, [b"b"]))
    assert [(record.offset, record.value) for record in found] == [(1, b""), (2, b"b")]


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_gunzip_reads_several_members_and_refuses_a_cut_stream(data, more):
    assert tolerant_records._gunzip(gzip.compress(data) + gzip.compress(more)) == data + more
    with pytest.raises((ValueError, zlib.error)):
        tolerant_records._gunzip(gzip.compress(data)[:-1])

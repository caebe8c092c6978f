"""Our unpacking of a batch against kafka-python's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from workers.kafka.kafka_python.unpacking import _PartitionRecords

TP = TopicPartition("readings", 3)
GZIP = 1

# Lengths around 64 and 8192 need one more byte each in a varint.
blobs = st.one_of(
    st.none(), st.binary(max_size=70), st.integers(8180, 8200).map(lambda n: b"v" * n)
)
headers = st.lists(st.tuples(st.text(max_size=70), st.binary(max_size=70)), max_size=3)
records = st.lists(st.tuples(st.integers(0, 2**41), blobs, blobs, headers), min_size=1, max_size=20)


def batch_of(items: list[tuple[Any, ...]], *, codec: int = 0) -> bytes:
    builder = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=2**24)
    for timestamp, key, value, head in items:
        assert builder.append(timestamp, key, value, head) is not None
    builder.close()
    return bytes(builder.buffer())


def read(kind: Any, data: bytes, *, fetch_offset: int = 0) -> tuple[list[Any], int]:
    """What a fetch of these bytes gives, and the offset of the next fetch."""
    part = kind(
        fetch_offset,
        TP,
        MemoryRecords(data),
        isolation_level=IsolationLevel.READ_COMMITTED,
    )
    found = part.take()
    return [
        (r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, list(r.headers))
        for r in found
    ], part.next_fetch_offset


@given(first=records, codec=st.sampled_from([0, GZIP]), fetch_offset=st.integers(0, 25))
def test_records_are_those_of_the_client(first, codec, fetch_offset):
    data = batch_of(first, codec=codec)
    ours = read(_PartitionRecords, data, fetch_offset=fetch_offset)
    assert ours == read(Fetcher.PartitionRecords, data, fetch_offset=fetch_offset)


@given(items=records, data=st.data())
def test_damaged_bytes_are_refused_or_read_as_the_client_reads_them(items, data):
    """Behind a sum that fits, so that the unpacking itself has to notice."""
    whole = bytearray(batch_of(items))
    place = data.draw(st.integers(61, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    try:
        expected = read_unsummed(Fetcher.PartitionRecords, bytes(whole))
    except CorruptRecordError:
        with pytest.raises(CorruptRecordError):
            read_unsummed(_PartitionRecords, bytes(whole))
    except UnicodeDecodeError:  # of a header's name; the client lets it through
        with pytest.raises((CorruptRecordError, UnicodeDecodeError)):
            read_unsummed(_PartitionRecords, bytes(whole))
    else:
        assert read_unsummed(_PartitionRecords, bytes(whole)) == expected


def read_unsummed(kind: Any, data: bytes) -> list[Any]:
    part = kind(0, TP, MemoryRecords(data), check_crcs=False)
    found = part.take()
    part._maybe_raise_next_inline_exception()
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in found]


def test_a_wrong_sum_is_refused():
    whole = bytearray(batch_of([(0, b"k", b"v", [])]))
    whole[-2] ^= 1
    with pytest.raises(CorruptRecordError):
        read(_PartitionRecords, bytes(whole))


def test_one_record_at_a_time_gives_the_same():
    data = batch_of([(i, b"k", str(i).encode(), []) for i in range(10)])
    part = _PartitionRecords(4, TP, MemoryRecords(data))
    taken = []
    while part:
        taken += part.take(1)
    assert [record.offset for record in taken] == list(range(4, 10))
    assert part.next_fetch_offset == 10

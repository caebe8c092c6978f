"""Our unpacking of a batch against kafka-python's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import decode_varint
from kafka.structs import TopicPartition

from workers.errors import CorruptLogError
from workers.kafka.kafka_python.consumer.record_batch import _PartitionRecords

TP = TopicPartition("readings", 3)
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
CODECS = [0, GZIP, SNAPPY, LZ4, ZSTD]
HEAD = 61  # bytes of a batch before its records

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


@given(first=records, codec=st.sampled_from(CODECS), fetch_offset=st.integers(0, 25))
def test_records_are_those_of_the_client(first, codec, fetch_offset):
    data = batch_of(first, codec=codec)
    ours = read(_PartitionRecords, data, fetch_offset=fetch_offset)
    assert ours == read(Fetcher.PartitionRecords, data, fetch_offset=fetch_offset)


@given(items=records, data=st.data())
def test_damaged_bytes_are_refused_or_read_as_the_client_reads_them(items, data):
    """Behind a sum that fits, so that the unpacking itself has to notice."""
    whole = bytearray(batch_of(items))
    place = data.draw(st.integers(HEAD, len(whole) - 1))
    assume(place not in attributes_of(whole))  # one byte, which the client reads as a varint
    whole[place] = data.draw(st.integers(0, 255))
    try:
        expected = read_unsummed(Fetcher.PartitionRecords, bytes(whole))
    except CorruptRecordError:
        if not has_foreign_name(bytes(whole)):
            with pytest.raises(CorruptLogError, match=r"readings\[3\] .* offset 0: "):
                read_unsummed(_PartitionRecords, bytes(whole))
    else:
        assert read_unsummed(_PartitionRecords, bytes(whole)) == expected


def attributes_of(whole: bytearray) -> set[int]:
    """Where the attributes of each record of a batch are."""
    places, at = set(), HEAD
    while at < len(whole):
        length, at = decode_varint(whole, at)
        places.add(at)
        at += length
    return places


def read_unsummed(kind: Any, data: bytes) -> list[Any]:
    part = kind(0, TP, MemoryRecords(data), check_crcs=False)
    found = part.take()
    if part:  # ended by an error: ours says it again, the client's keeps it
        part.take()
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in found]


def test_a_wrong_sum_is_refused():
    whole = bytearray(batch_of([(0, b"k", b"v", [])]))
    whole[-2] ^= 1
    with pytest.raises(CorruptLogError, match=r"offset 0: .*crc"):
        read(_PartitionRecords, bytes(whole))


def has_foreign_name(data: bytes) -> bool:
    """Whether the client stumbles over a header's name only, which ours reads."""
    try:
        for _ in MemoryRecords(data).next_batch():
            pass
    except CorruptRecordError as error:
        return "UnicodeDecodeError" in str(error)
    return False


def test_a_header_name_in_another_encoding_is_read():
    whole = batch_of([(0, b"k", b"v", [("nameX", b"1"), ("b", b"2")])])
    found = read_unsummed(_PartitionRecords, whole.replace(b"nameX", b"name\xe9"))
    assert found == [(0, 0, b"k", b"v", [("name\N{REPLACEMENT CHARACTER}", b"1"), ("b", b"2")])]


def test_a_header_without_a_value_is_read():
    # The client cannot write one: take a value of one byte away, and say that there is none.
    whole = bytearray(batch_of([(0, b"k", b"v", [("name", b"")])]))
    assert whole[-1] == 0  # the zigzag of a length of 0
    whole[-1] = 1  # ... and of -1
    assert read_unsummed(_PartitionRecords, bytes(whole))[0][-1] == [("name", None)]


def old_format(whole: bytearray) -> None:
    whole[16] = 1


def wrong_sum(whole: bytearray) -> None:
    whole[-2] ^= 1


@pytest.mark.parametrize("damage", [old_format, wrong_sum])
@pytest.mark.parametrize("codec", CODECS)
def test_a_damaged_batch_is_said_each_time_and_what_precedes_it_comes(damage, codec):
    """What kafka-python's loop needs: never an empty answer that promises more."""
    second = bytearray(batch_of([(0, b"k", b"lost" * 500, [])] * 2, codec=codec))
    second[:8] = (5).to_bytes(8, "big")  # its base offset
    damage(second)
    first = batch_of([(0, b"k", b"%d" % n, []) for n in range(5)])
    part = _PartitionRecords(0, TP, MemoryRecords(first + bytes(second)))

    assert [record.value for record in part.take(100)] == [b"%d" % n for n in range(5)]
    for _ in range(3):
        with pytest.raises(CorruptLogError, match=r"readings\[3\] cannot be read at offset 5"):
            part.take(100)


@pytest.mark.parametrize("error", [OSError("Not a gzipped file"), EOFError(), ZeroDivisionError()])
def test_whatever_a_codec_raises_is_a_damaged_log(error, monkeypatch):
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("workers.kafka.kafka_python.consumer.record_batch.uncompressed", fail)
    part = _PartitionRecords(
        0, TP, MemoryRecords(batch_of([(0, b"k", b"v" * 500, [])], codec=GZIP))
    )
    with pytest.raises(CorruptLogError, match="offset 0"):
        part.take()


def test_an_interrupted_fetch_promises_no_more(monkeypatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workers.kafka.kafka_python.consumer.record_batch._records", interrupt)
    part = _PartitionRecords(0, TP, MemoryRecords(batch_of([(0, b"k", b"v", [])])))
    with pytest.raises(KeyboardInterrupt):
        part.take()
    assert part.take() == []
    assert not part
    assert part.next_fetch_offset == 0


def test_one_record_at_a_time_gives_the_same():
    data = batch_of([(i, b"k", str(i).encode(), []) for i in range(10)])
    part = _PartitionRecords(4, TP, MemoryRecords(data))
    taken = []
    while part:
        taken += part.take(1)
    assert [record.offset for record in taken] == list(range(4, 10))
    assert part.next_fetch_offset == 10

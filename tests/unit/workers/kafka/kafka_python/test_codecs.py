"""Every way to compress a batch is read, up to a limit; a codec that is missing is named."""

from __future__ import annotations

import gzip
import random
import struct
import sys
from collections.abc import Callable

import lz4.frame
import pytest
import snappy
import zstandard
from kafka import codec as client
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from workers.errors import CorruptLogError, MissingCodecError, RunEndedError, SettingsError
from workers.kafka.kafka_python import codecs
from workers.kafka.kafka_python.codecs import missing_packages, uncompressed
from workers.kafka.kafka_python.consumer.record_batch import _PartitionRecords
from workers.kafka.kafka_python.options import check_options

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
TP = TopicPartition("readings", 3)
HIDDEN = {"lz4": "lz4.frame", "snappy": "snappy", "zstd": "zstandard"}
NUMBERS = {"snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}


def streamed_zstd(data: bytes) -> bytes:
    """As Java writes it: a frame that does not say how much it holds."""
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    packed = bytes(compressor.compress(data) + compressor.flush())
    assert zstandard.frame_content_size(packed) == -1
    return packed


def little_endian_xerial(data: bytes) -> bytes:
    """As Redpanda writes the versions of the header."""
    packed: bytes = client.snappy_encode(data)
    return packed[:8] + struct.pack("<ii", 1, 1) + packed[16:]


def halves(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :])


WAYS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "gzip": (GZIP, gzip.compress),
    "gzip in two members": (GZIP, halves(gzip.compress)),
    "snappy in blocks": (SNAPPY, client.snappy_encode),
    "snappy in blocks, little-endian header": (SNAPPY, little_endian_xerial),
    "snappy raw": (SNAPPY, snappy.compress),
    "lz4 with independent blocks": (LZ4, client.lz4_encode),
    "lz4 with linked blocks": (LZ4, lambda data: lz4.frame.compress(data, block_linked=True)),
    "lz4 without a size": (LZ4, lambda data: lz4.frame.compress(data, store_size=False)),
    "lz4 in two frames": (LZ4, halves(lz4.frame.compress)),
    "zstd": (ZSTD, client.zstd_encode),
    "zstd without a size": (ZSTD, streamed_zstd),
    "zstd in two frames": (ZSTD, halves(client.zstd_encode)),
}


def batch(codec: int) -> MemoryRecords:
    builder = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=2**20)
    builder.append(0, b"k", b"v" * 2000, [])
    builder.close()
    return MemoryRecords(bytes(builder.buffer()))


@pytest.mark.parametrize("size", [1, 5_000, 5 * 2**20])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_compress_is_read(way, size):
    codec, pack = WAYS[way]
    data = random.Random(size).randbytes(size // 5 + 1) * 5
    assert uncompressed(codec, memoryview(pack(data)), source="t[0]") == data


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_that_would_take_the_memory_is_refused(way, monkeypatch):
    codec, pack = WAYS[way]
    monkeypatch.setattr(codecs, "MAX_BATCH_BYTES", 2**20)
    packed = memoryview(pack(bytes(64 * 2**20)))
    with pytest.raises(ValueError, match="holds more than 1 MiB"):
        uncompressed(codec, packed, source="t[0]")


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_that_is_cut_off_is_never_taken_for_a_whole_one(way):
    codec, pack = WAYS[way]
    data = random.Random(1).randbytes(100_000)
    packed = pack(data)
    for left in (len(packed) // 3, len(packed) - 1):
        with pytest.raises(Exception):  # noqa: B017, PT011 - each codec has its own
            uncompressed(codec, memoryview(packed)[:left], source="t[0]")


@pytest.mark.parametrize("size", [0, 10, 300_000])
@pytest.mark.parametrize("options", [{}, {"write_checksum": True}, {"write_content_size": False}])
def test_zstd_ends_where_its_last_frame_does(size, options):
    """300,000 bytes are several blocks; zeros make blocks of one repeated byte."""
    pack = zstandard.ZstdCompressor(**options).compress
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    for data in (random.Random(size).randbytes(size), bytes(size)):
        packed = skipped + pack(data)
        whole = packed + packed
        assert uncompressed(ZSTD, memoryview(whole), source="t[0]") == data * 2
        near = {*range(1, 40), len(packed) // 2, *range(len(packed) - 40, len(packed))}
        for left in near.intersection(range(1, len(packed))) - {len(skipped)}:
            with pytest.raises((ValueError, zstandard.ZstdError)):
                uncompressed(ZSTD, memoryview(packed)[:left], source="t[0]")


@pytest.mark.parametrize(
    ("codec", "pack"),
    [(GZIP, gzip.compress), (LZ4, lz4.frame.compress), (ZSTD, zstandard.compress)],
)
def test_frames_of_nothing_are_no_work_without_end(codec, pack):
    empty = pack(b"")
    most = empty * codecs._MAX_FRAMES
    assert uncompressed(codec, memoryview(most), source="t[0]") == b""
    with pytest.raises(ValueError, match="more than 1000 compressed frames"):
        uncompressed(codec, memoryview(most + empty), source="t[0]")


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_codec_that_kafka_does_not_have_is_a_damaged_log(codec):
    with pytest.raises(ValueError, match=f"codec {codec}"):
        uncompressed(codec, memoryview(b"x"), source="t[0]")


@pytest.mark.parametrize("block", [b"", b"\xff" * 20])
def test_a_snappy_block_without_a_length_is_refused(block):
    with pytest.raises(ValueError, match="without a length"):
        uncompressed(SNAPPY, memoryview(block), source="t[0]")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_missing_package_is_named_each_time_and_is_no_damage(name, monkeypatch):
    """Hidden from the import system itself; the records were compressed before."""
    part = _PartitionRecords(0, TP, batch(NUMBERS[name]))
    monkeypatch.setitem(sys.modules, HIDDEN[name], None)
    assert missing_packages() == {name: codecs.PACKAGES[name]}
    for _ in range(3):
        with pytest.raises(MissingCodecError) as caught:
            part.take()
        said = str(caught.value)
        assert f"readings[3] holds records compressed with {name}" in said
        assert f"pip install {codecs.PACKAGES[name]}" in said
        assert not isinstance(caught.value, CorruptLogError | SettingsError)
        assert isinstance(caught.value, RunEndedError), "no restart helps"


@pytest.mark.parametrize("name", NUMBERS)
def test_compressing_without_its_package_is_a_wrong_setting(name, monkeypatch):
    check_options({"compression_type": name})
    monkeypatch.setitem(sys.modules, HIDDEN[name], None)
    with pytest.raises(SettingsError, match=f"pip install {codecs.PACKAGES[name]}"):
        check_options({"compression_type": name})


def test_nothing_is_missing_from_an_installation():
    assert missing_packages() == {}


def test_the_packages_are_those_that_the_client_compresses_with():
    for has in (client.has_lz4, client.has_snappy, client.has_zstd):
        assert has()

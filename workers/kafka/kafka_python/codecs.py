"""What a compressed batch holds, unpacked piece by piece and never more than a limit of it.

kafka-python unpacks without a limit, so that a batch of a kilobyte can take the memory of a worker;
copies the rest of a snappy batch for each of its blocks; and blames nobody in particular when a
codec is missing. The packages are the ones that it takes for compressing: one set to install.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from workers.errors import MissingCodecError

__all__ = ["MAX_BATCH_BYTES", "PACKAGES", "missing_packages", "uncompressed"]

PACKAGES: Final[Mapping[str, str]] = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}
"""The package that each codec takes; gzip comes with Python."""

MAX_BATCH_BYTES: Final = 256 * 2**20
"""What one batch may hold. A broker takes 1 MiB of it, compressed, unless it is told otherwise."""

_MODULES: Final = {"snappy": "snappy", "lz4": "lz4.frame", "zstd": "zstandard"}
_CODECS: Final = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_PIECE_BYTES: Final = 2**20
_WITH_GZIP_HEADER: Final = 31
_MAX_FRAMES: Final = 1000
"""Most frames of one batch; clients write one. Empty ones cost time and hold nothing."""
_ZSTD_MAGIC_BYTES: Final = 4
_ZSTD_CHECKSUM_BYTES: Final = 4
_ZSTD_BLOCK_HEADER_BYTES: Final = 3
_ZSTD_RLE: Final = 1
_ZSTD_SKIPPABLE: Final = 0x184D2A5
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
_WIDEST_LENGTH: Final = 5  # bytes of a varint that holds 32 bits


def missing_packages() -> dict[str, str]:
    """The package of each codec that cannot be used here, by the codec's name."""
    return {codec: package for codec, package in PACKAGES.items() if _found(codec) is None}


def uncompressed(codec: int, data: memoryview, *, source: str) -> bytes:
    """The records of a batch.

    Args:
        codec: its number in the attributes of the batch.
        data: what follows the header of the batch.
        source: where it is from, for the error.

    Raises:
        MissingCodecError: the package of this codec is not installed.
        ValueError: more than `MAX_BATCH_BYTES`, cut off, or a codec that Kafka does not have.
        Exception: whatever a codec makes of damaged bytes.
    """
    name = _CODECS.get(codec)
    if name is None:
        raise ValueError(f"compression codec {codec} is none of Kafka's")
    module = zlib if name == "gzip" else _found(name)
    if module is None:
        raise MissingCodecError(
            f"{source} holds records compressed with {name}, and the package {PACKAGES[name]} that "
            f"unpacks them is not installed: pip install {PACKAGES[name]} (on every machine with "
            "workers), then start again. Nothing was skipped."
        )
    pieces, size = [], 0
    for piece in _UNPACKING[name](module, data):
        size += len(piece)
        if size > MAX_BATCH_BYTES:
            raise ValueError(_too_much(name))
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _found(codec: str) -> Any:
    """The module of a codec; None if it, or what it needs, is not installed."""
    try:
        return import_module(_MODULES[codec])
    except ImportError:
        return None


def _too_much(name: str) -> str:
    return (
        f"a batch compressed with {name} holds more than {MAX_BATCH_BYTES // 2**20} MiB, which no "
        "worker takes"
    )


def _gzip(module: Any, data: memoryview) -> Iterator[bytes]:
    rest: Any = data
    frames = 0
    while rest:
        frames = _counted(frames)
        member = module.decompressobj(_WITH_GZIP_HEADER)
        while not member.eof:
            piece = member.decompress(rest, _PIECE_BYTES)
            rest = member.unconsumed_tail
            if not piece and not rest and not member.eof:
                raise ValueError("the compressed records are cut off")
            yield piece
        rest = member.unused_data


def _lz4(module: Any, data: memoryview) -> Iterator[bytes]:
    rest: Any = data
    frames = 0
    while rest:
        frames = _counted(frames)
        frame = module.LZ4FrameDecompressor()
        while not frame.eof:
            if frame.needs_input and not rest:
                raise ValueError("the compressed records are cut off")
            yield frame.decompress(rest, max_length=_PIECE_BYTES)
            rest = b""  # the frame keeps what it did not take
        rest = frame.unused_data


def _zstd(module: Any, data: memoryview) -> Iterator[bytes]:
    # The reader takes what is cut off for the end.
    _check_zstd_ends(module, data)
    # Java's frames do not say how much they hold, so `decompress` cannot be asked.
    reader = module.ZstdDecompressor().stream_reader(data, read_across_frames=True)
    while piece := reader.read(_PIECE_BYTES):
        yield piece


def _check_zstd_ends(module: Any, data: memoryview) -> None:
    """Raise ValueError unless the bytes end where their last frame does (RFC 8878, 3.1)."""
    at = frames = 0
    while at < len(data):
        frames = _counted(frames)
        head = bytes(data[at : at + 2 * _ZSTD_MAGIC_BYTES])
        if int.from_bytes(head[:_ZSTD_MAGIC_BYTES], "little") >> 4 == _ZSTD_SKIPPABLE:
            at += 2 * _ZSTD_MAGIC_BYTES + int.from_bytes(head[_ZSTD_MAGIC_BYTES:], "little")
            continue
        has_checksum = module.get_frame_parameters(data[at:]).has_checksum
        at += module.frame_header_size(data[at:])
        is_last = 0
        while not is_last:
            header = int.from_bytes(data[at : at + _ZSTD_BLOCK_HEADER_BYTES], "little")
            is_last, kind, size = header & 1, header >> 1 & 3, header >> 3
            at += _ZSTD_BLOCK_HEADER_BYTES + (1 if kind == _ZSTD_RLE else size)
            if at > len(data):
                break
        at += _ZSTD_CHECKSUM_BYTES if has_checksum else 0
    if at > len(data):
        raise ValueError("the compressed records are cut off")


def _counted(frames: int) -> int:
    """One frame more; raises ValueError at too many."""
    if frames >= _MAX_FRAMES:
        raise ValueError(f"a batch of more than {_MAX_FRAMES} compressed frames")
    return frames + 1


def _snappy(module: Any, data: memoryview) -> Iterator[bytes]:
    """One raw block, or blocks with their lengths behind a header, as Java has them (xerial)."""
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        yield _snappy_block(module, data)
        return
    at = _XERIAL_HEADER_BYTES  # the versions in it are ignored: some write them little-endian
    while at < len(data):
        size = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        at += _LENGTH_BYTES
        if at + size > len(data):
            raise ValueError("the compressed records are cut off")
        yield _snappy_block(module, data[at : at + size])
        at += size


def _snappy_block(module: Any, block: memoryview) -> bytes:
    """A raw block; it begins with how much it holds, which is believed only within the limit."""
    size = sum((byte & 127) << 7 * place for place, byte in enumerate(_varint(block)))
    if size > MAX_BATCH_BYTES:
        raise ValueError(_too_much("snappy"))
    unpacked: bytes = module.uncompress(block)
    return unpacked


def _varint(block: memoryview) -> bytes:
    for place, byte in enumerate(block[:_WIDEST_LENGTH]):
        if byte < 128:  # noqa: PLR2004 - the eighth bit says that more follows
            return bytes(block[: place + 1])
    raise ValueError("a snappy block without a length")


_UNPACKING: Final[Mapping[str, Callable[[Any, memoryview], Iterator[bytes]]]] = {
    "gzip": _gzip,
    "snappy": _snappy,
    "lz4": _lz4,
    "zstd": _zstd,
}

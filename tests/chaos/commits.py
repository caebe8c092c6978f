"""Every commit of a group, read from the broker's own topic of offsets: none is missed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from tests.support.broker import read_settled
from workers.kafka.client import Connection

OFFSETS: Final = "__consumer_offsets"
_NEWEST_PLAIN: Final = 3


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One committed position.

    Attributes:
        partition: of the source.
        next_offset: first offset not done.
        metadata: what the worker wrote beside it.
        at_ms: when, by the broker's clock.
        number: offset of the commit in the topic of offsets: their order.
    """

    partition: int
    next_offset: int
    metadata: str
    at_ms: int
    number: int


def read_commits(connection: Connection, group: str, topic: str) -> list[Commit]:
    """All commits of a group in a topic, in order; aborted ones are not among them."""
    found = (decode(record) for record in read_settled(connection, OFFSETS, within=60.0))
    return [commit for key, commit in found if key == (group, topic) and commit is not None]


def decode(record: Any) -> tuple[tuple[str, str], Commit | None]:
    """A record of the topic of offsets: ((group, topic), commit), empty names for other records."""
    text = Reader(record.key or b"\xff\xff")
    if text.int16() not in {0, 1}:  # of a group, not of an offset
        return ("", ""), None
    group, topic, partition = text.string(), text.string(), text.int32()
    if record.value is None:
        return (group, topic), None
    value = Reader(record.value)
    version = value.int16()
    next_offset = value.int64()
    if version >= _NEWEST_PLAIN:
        value.int32()  # leader epoch
    metadata = value.compact_string() if version > _NEWEST_PLAIN else value.string()
    return (group, topic), Commit(
        partition=partition,
        next_offset=next_offset,
        metadata=metadata,
        at_ms=value.int64(),
        number=record.offset,
    )


class Reader:
    """Reads the broker's own records field by field."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def int8(self) -> int:
        return self._unpack(">b")

    def int16(self) -> int:
        return self._unpack(">h")

    def int32(self) -> int:
        return self._unpack(">i")

    def int64(self) -> int:
        return self._unpack(">q")

    def string(self) -> str:
        return self._text(self.int16())

    def compact_string(self) -> str:
        return self._text(self.varint() - 1)

    def varint(self) -> int:
        number, shift = 0, 0
        while True:
            byte = self._content[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return number

    def _text(self, length: int) -> str:
        text = self._content[self._at : self._at + length].decode()
        self._at += length
        return text

    def _unpack(self, form: str) -> int:
        value: int = struct.unpack_from(form, self._content, self._at)[0]
        self._at += struct.calcsize(form)
        return value

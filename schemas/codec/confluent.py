"""Records in Confluent's wire format: the id of a schema, then bytes that only it explains.

Byte 0 is 0, bytes 1 to 4 hold the id, big-endian; what follows is one Avro record, or the indexes
of a Protobuf message and that message, or a JSON text. The schema says which of them it is, so
records of all three may lie in one topic, and of as many versions as there are.

Nothing is asked of a registry here: who makes the parser hands in what gives the reader of an id.
An id never gets another schema, so parsing stays a function of the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.columns import Gathering
from schemas.wire.errors import InvalidRecordError, MalformedRecordError, RecordError, excerpt

HEADER_BYTES = 5
"""Length of what stands before the payload: the mark and the id."""

Reader = Callable[[bytes], Any]
"""Makes a plain object of one payload; raises `RecordError` for bytes that are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaFile:
    """One text of a schema.

    Attributes:
        name: what other files call it: an Avro type's full name, a Protobuf file's path.
        text: as it was registered.
    """

    name: str
    text: str


class ConfluentParser:
    """Makes plain objects of records in Confluent's wire format; see `schemas.codec.parser`.

    Args:
        reader_of: gives the reader of a schema's id. It raises `RecordError` for an id whose
            records nobody can read: they become dead letters. Anything else that it raises passes
            through `parse`, and nothing is lost by that: whoever reads the log reads it again.
    """

    def __init__(self, reader_of: Callable[[int], Reader]) -> None:
        self._reader_of = reader_of

    def parse(
        self, values: Sequence[bytes], positions: Sequence[int], into: Gathering
    ) -> tuple[list[Any], Sequence[int]]:
        """Parse each record by itself; see `Parser.parse`."""
        readers: dict[bytes, Reader | RecordError] = {}
        items: list[Any] = []
        kept: list[int] = []
        for value, position in zip(values, positions, strict=True):
            header = value[:HEADER_BYTES]
            reader = readers.get(header)
            if reader is None:
                reader = readers[header] = self._choose(value)
            if isinstance(reader, RecordError):
                into.reject(position, reader)
                continue
            try:
                item = reader(value[HEADER_BYTES:])
                if type(item) is not dict:
                    raise InvalidRecordError(f"must be an object with fields, got {excerpt(item)}")
            except RecordError as error:
                into.reject(position, error)
            else:
                items.append(item)
                kept.append(position)
        return items, kept

    def _choose(self, value: bytes) -> Reader | RecordError:
        """The reader of a record, or why there is none."""
        try:
            return self._reader_of(_schema_id(value))
        except RecordError as error:
            return error


def _schema_id(value: bytes) -> int:
    """The id of the schema that explains a record.

    Raises:
        MalformedRecordError: it has no such id.
    """
    if len(value) < HEADER_BYTES:
        raise MalformedRecordError(
            f"{len(value)} bytes hold no schema id; records in Confluent's wire format begin with"
            f" {HEADER_BYTES} bytes for it"
        )
    schema_id = int.from_bytes(value[1:HEADER_BYTES], "big", signed=True)
    if value[0] != 0 or schema_id < 0:
        raise MalformedRecordError(
            "not in Confluent's wire format, which begins with a zero byte and a schema id;"
            f" this begins with {excerpt(value[:8])}"
        )
    return schema_id

"""Records in Confluent's wire format, as a producer writes them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from schemas.codec.confluent import Reader, SchemaFile
from schemas.columns import Failure, Gathering


def schema_of(text: str, name: str = "r") -> SchemaFile:
    return SchemaFile(name=name, text=text)


def avro_bytes(schema: Any, record: Mapping[str, Any], **named: Any) -> bytes:
    """One Avro record, by fastavro itself; its logical types take what Python has for them."""
    import fastavro

    known: dict[str, Any] = {}
    for each in named.values():
        fastavro.parse_schema(each, named_schemas=known)
    stream = io.BytesIO()
    fastavro.schemaless_writer(
        stream, fastavro.parse_schema(schema, named_schemas=known), dict(record)
    )
    return stream.getvalue()


def framed(schema_id: int, payload: bytes) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + payload


def parse(parser: Any, values: list[bytes]) -> tuple[dict[int, Any], dict[int, Failure]]:
    """What a parser makes of a batch: objects and failures by position, each in one of the two."""
    into = Gathering(n_channels=1)
    items, positions = parser.parse(values, range(len(values)), into)
    good = dict(zip(positions, items, strict=True))
    failed = {failure.position: failure for failure in into.failures}
    assert not good.keys() & failed.keys()
    assert good.keys() | failed.keys() == set(range(len(values)))
    return good, failed


def registry_of(readers: Mapping[int, Reader]) -> Any:
    """`reader_of` for schemas that are known."""
    return readers.__getitem__

"""Confluent's wire format: the id chooses, and what fails is a failure of its record alone."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec.confluent import ConfluentParser
from schemas.wire.errors import MalformedRecordError, SchemaError, Stage
from tests.support.framed import framed, parse


def parser_of(**readers: Any) -> ConfluentParser:
    """`_7=...` is the reader of schema 7."""
    return ConfluentParser(lambda schema_id: readers[f"_{schema_id}"])


def as_text(payload: bytes) -> dict[str, Any]:
    return {"text": payload.decode("ascii")}


def test_each_record_is_read_with_the_schema_that_it_names():
    sizes = {f"_{schema_id}": lambda payload: {"size": len(payload)} for schema_id in (2, 70_000)}
    parser = parser_of(_1=as_text, **sizes)
    good, failed = parse(parser, [framed(schema_id, b"ab") for schema_id in (1, 2, 70_000, 1)])
    assert good == {0: {"text": "ab"}, 1: {"size": 2}, 2: {"size": 2}, 3: {"text": "ab"}}
    assert not failed


@pytest.mark.parametrize(
    "value",
    [b"\0", b"\0\0\0\0", b'{"sensor_id": "a"}', b"\x01\0\0\0\x07ab", b"\0\xff\xff\xff\xffab"],
)
def test_what_is_not_framed_is_a_failure_and_asks_nobody(value):
    good, failed = parse(parser_of(), [value])
    assert not good
    assert (failed[0].stage, failed[0].exception) == (Stage.DECODE, "MalformedRecordError")


def test_failures_stay_with_their_record():
    def read(payload: bytes) -> Any:
        if payload == b"bad":
            raise MalformedRecordError("bad")
        return ["no object"] if payload == b"list" else {"x": 1}

    values = [framed(1, payload) for payload in (b"a", b"bad", b"list", b"b")]
    good, failed = parse(parser_of(_1=read), values)
    assert good == {0: {"x": 1}, 3: {"x": 1}}
    assert {position: failure.stage for position, failure in failed.items()} == {
        1: Stage.DECODE,
        2: Stage.SCHEMA,
    }


def test_an_unusable_schema_is_asked_for_once_a_batch():
    asked = []

    def reader_of(schema_id: int) -> Any:
        asked.append(schema_id)
        raise SchemaError(f"no schema {schema_id}")

    _, failed = parse(ConfluentParser(reader_of), [framed(9, b"")] * 50)
    assert asked == [9]
    assert {failure.message for failure in failed.values()} == {"no schema 9"}
    assert {failure.stage for failure in failed.values()} == {Stage.SCHEMA}


def test_an_outage_passes_through():
    class AwayError(Exception):
        pass

    def reader_of(_schema_id: int) -> Any:
        raise AwayError

    with pytest.raises(AwayError):
        parse(ConfluentParser(reader_of), [framed(9, b"")])

"""Records in Confluent's wire format on hostile bytes: each is an object or a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")
pytest.importorskip("google.protobuf", reason="pip install 'vigie[registry]'")

from schemas.codec.avro import avro_reader
from schemas.codec.confluent import ConfluentParser
from schemas.codec.protobuf import protobuf_reader
from schemas.wire.errors import SchemaError
from tests.support.framed import avro_bytes, framed, parse, schema_of
from tests.support.protos import (
    add_field,
    add_map,
    descriptors_of,
    file_of,
    message_class,
    reading_file,
)

UNHURRIED = settings(deadline=None)
MS_NS = 1_000_000
PLAIN = (dict, list, str, int, float, bool, type(None))

LOGICAL = [
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "timestamp-nanos"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "int", "logicalType": "date"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3},
    {"type": "string", "logicalType": "uuid"},
]
MORE: dict[str, Any] = {
    "type": "record",
    "name": "M",
    "fields": [{"name": f"f{i}", "type": ["null", kind]} for i, kind in enumerate(LOGICAL)],
}
READING: dict[str, Any] = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "sensor_id", "type": "string"},
        {"name": "ts", "type": LOGICAL[0]},
        {"name": "values", "type": {"type": "map", "values": ["null", "double"]}},
        {"name": "more", "type": {"type": "array", "items": MORE}},
        {"name": "state", "type": {"type": "enum", "name": "E", "symbols": ["ON", "OFF"]}},
        {"name": "raw", "type": {"type": "fixed", "name": "F", "size": 4}},
    ],
}  # fmt: skip
WANTED: dict[str, Any] = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "id", "type": "string", "aliases": ["sensor_id"]},
        {"name": "values", "type": {"type": "map", "values": ["null", "double"]}},
        {"name": "site", "type": "string", "default": "?"},
    ],
}
AVRO = avro_bytes(
    READING,
    {
        "sensor_id": "pump-07", "ts": 1_767_225_600_000_000, "values": {"a": 1.5, "b": None},
        "more": [{f"f{i}": None for i in range(len(LOGICAL))}] * 2, "state": "ON", "raw": b"abcd",
    },
)  # fmt: skip


def proto_file() -> Any:
    file = file_of()
    file.message_type.append(reading_file().message_type[0])
    file.enum_type.add(name="State").value.add(name="OFF", number=0)
    reading = file.message_type[0]
    kinds = ("Struct", "Duration", "DoubleValue", "Value")
    for number, kind in enumerate(kinds, start=4):
        add_field(reading, kind.lower(), number, f".google.protobuf.{kind}")
    add_field(reading, "state", 8, ".plant.State", repeated=True)
    add_field(reading, "raw", 9, "bytes")
    add_field(reading, "inner", 10, ".plant.Reading", repeated=True)
    add_map(reading, "others", 11, "int64", ".plant.Reading", of=".plant.Reading")
    return file


DESCRIPTORS = descriptors_of(proto_file())
MESSAGE = message_class(DESCRIPTORS, "plant.Reading")(
    sensor_id="pump-07", values={"a": 1.5}, raw=b"abcd", inner=[{"sensor_id": "b"}], state=[0]
)
MESSAGE.at.FromMilliseconds(1_767_225_600_000)
MESSAGE.struct.update({"a": [1, {"b": None}]})
PROTOBUF = b"\0" + MESSAGE.SerializeToString()

READERS = {
    1: avro_reader(schema_of(json.dumps(READING)), (), unit_ns=MS_NS),
    2: avro_reader(
        schema_of(json.dumps(READING)), (), unit_ns=MS_NS, wanted=schema_of(json.dumps(WANTED))
    ),
    3: protobuf_reader(DESCRIPTORS, "m.proto", unit_ns=MS_NS),
}
GOOD = {1: framed(1, AVRO), 2: framed(2, AVRO), 3: framed(3, PROTOBUF)}


def reader_of(schema_id: int) -> Any:
    if schema_id not in READERS:
        raise SchemaError(f"no schema {schema_id}")
    return READERS[schema_id]


PARSER = ConfluentParser(reader_of)


def is_plain(item: Any) -> bool:
    if type(item) is dict:
        return all(type(key) is str and is_plain(value) for key, value in item.items())
    if type(item) is list:
        return all(map(is_plain, item))
    return type(item) in PLAIN


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A good record with some bytes changed, cut out or put in, behind an id that is known."""
    value = bytearray(GOOD[draw(st.sampled_from(sorted(GOOD)))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(5, len(value)))
        cut = draw(st.integers(0, 3))
        value[at : at + cut] = draw(st.binary(max_size=3))
    return bytes(value)


def test_the_unharmed_records_are_plain_objects():
    good, failed = parse(PARSER, list(GOOD.values()))
    assert not failed
    assert all(map(is_plain, good.values()))
    assert good[2]["sensor_id"] == good[1]["id"] == good[0]["sensor_id"] == "pump-07"


@given(st.lists(st.one_of(mutations(), st.sampled_from(list(GOOD.values()))), max_size=8))
@UNHURRIED
def test_each_record_is_a_plain_object_or_a_failure_whatever_else_is_in_the_batch(values):
    good, failed = parse(PARSER, values)
    assert all(map(is_plain, good.values()))
    assert all(failure.message for failure in failed.values())
    for position, value in enumerate(values):
        alone, _ = parse(PARSER, [value])
        assert repr(list(alone.values())) == repr([good[position]] if position in good else [])


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(0, 4))
@UNHURRIED
def test_junk_is_an_object_or_a_failure(values, schema_id):
    good, _ = parse(PARSER, [framed(schema_id, value) for value in values] + values)
    assert all(map(is_plain, good.values()))


NAMES = st.sampled_from(["A", "B", "plant.A", "x", "ts"])
KINDS = st.recursive(
    st.one_of(
        st.sampled_from(["null", "int", "long", "double", "string", "bytes", "A", "plant.A"]),
        st.sampled_from(LOGICAL),
        st.builds(lambda n: {"type": "fixed", "name": f"F{n}", "size": n}, st.integers(0, 2)),
    ),
    lambda kinds: st.one_of(
        st.builds(lambda kind: {"type": "array", "items": kind}, kinds),
        st.builds(lambda kind: {"type": "map", "values": kind}, kinds),
        st.lists(kinds, min_size=1, max_size=3),
        st.builds(
            lambda name, fields: {
                "type": "record",
                "name": name,
                "fields": [{"name": f"f{i}", "type": kind} for i, kind in enumerate(fields)],
            },
            NAMES,
            st.lists(kinds, max_size=3),
        ),
    ),
    max_leaves=8,
)


@given(KINDS, st.binary(max_size=200))
@settings(deadline=None, max_examples=400)
def test_any_schema_is_usable_or_says_why_not_and_reads_any_bytes(schema, payload):
    try:
        reader = avro_reader(schema_of(json.dumps(schema)), (), unit_ns=MS_NS)
    except SchemaError:
        return
    good, _ = parse(ConfluentParser(lambda _id: reader), [framed(1, payload)])
    assert all(map(is_plain, good.values()))

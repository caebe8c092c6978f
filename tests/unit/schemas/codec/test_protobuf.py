"""Protobuf: which message, plain objects, and limits."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("google.protobuf", reason="pip install 'vigie[registry]'")

from schemas.codec.protobuf import MAX_VALUES, protobuf_reader
from schemas.wire.errors import InvalidRecordError, MalformedRecordError, SchemaError
from tests.support.protos import (
    add_field,
    add_map,
    descriptors_of,
    file_of,
    message_class,
    reading_file,
)

MS_NS = 1_000_000
FIRST = b"\0"


def reader_of(file: Any, *, unit_ns: int = MS_NS) -> Any:
    return protobuf_reader(descriptors_of(file), file.name, unit_ns=unit_ns)


def message_of(file: Any, name: str = "plant.Reading", **fields: Any) -> Any:
    return message_class(descriptors_of(file), name)(**fields)


def reading_with(kind: str, **more: Any) -> Any:
    """plant.Reading { <kind> x = 1; }, with an enumeration and a message at hand."""
    file = file_of()
    state = file.enum_type.add(name="State")
    state.value.add(name="OFF", number=0)
    state.value.add(name="ON", number=1)
    add_field(file.message_type.add(name="Reading"), "x", 1, kind, **more)
    add_field(file.message_type.add(name="Part"), "y", 1, "int32")
    return file


def test_a_reading_becomes_its_fields_by_name():
    message = message_of(reading_file(), sensor_id="pump-07", values={"flow": 1.5})
    message.at.FromMilliseconds(1_767_225_600_250)
    item = reader_of(reading_file())(FIRST + message.SerializeToString())
    assert item == {"sensor_id": "pump-07", "at": 1_767_225_600_250, "values": {"flow": 1.5}}


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("double", 0.5, 0.5),
        ("double", 0.0, 0.0),
        ("int64", -(2**62), -(2**62)),
        ("bool", True, True),
        ("string", "a", "a"),
        ("bytes", b"\x00\xff", "AP8="),
        (".plant.State", 1, "ON"),
        (".plant.State", 9, 9),
        (".plant.Part", {"y": 4}, {"y": 4}),
        (".plant.Part", None, None),
        (".google.protobuf.Duration", {"seconds": 2, "nanos": 500_000_000}, 2.5),
        (".google.protobuf.DoubleValue", {"value": 0.0}, 0.0),
        (".google.protobuf.DoubleValue", None, None),
        (".google.protobuf.BytesValue", {"value": b"\xff"}, "/w=="),
        (".google.protobuf.Timestamp", {"seconds": 1}, 1000),
        (
            ".google.protobuf.Timestamp",
            {"seconds": 1, "nanos": 1},
            "1970-01-01T00:00:01.000000001Z",
        ),
    ],
)
def test_a_field_becomes_plain(kind, given, expected):
    file = reading_with(kind)
    message = message_of(file, **({} if given is None else {"x": given}))
    item = reader_of(file)(FIRST + message.SerializeToString())
    assert item == {"x": expected}
    assert type(item["x"]) is type(expected)


def test_repeated_fields_become_lists_and_maps_objects_with_text_keys():
    file = reading_with("double", repeated=True)
    reading = file.message_type[0]
    add_field(reading, "parts", 2, ".plant.Part", repeated=True)
    add_map(reading, "by_number", 3, "int32", ".plant.Part", of=".plant.Reading")
    add_map(reading, "by_truth", 4, "bool", "string", of=".plant.Reading")
    message = message_of(file, x=[1.0, 2.0], parts=[{"y": 1}], by_truth={True: "yes"})
    message.by_number[7].y = 2
    assert reader_of(file)(FIRST + message.SerializeToString()) == {
        "x": [1.0, 2.0],
        "parts": [{"y": 1}],
        "by_number": {"7": {"y": 2}},
        "by_truth": {"true": "yes"},
    }


def test_a_field_that_knows_it_was_not_set_is_none_and_another_its_zero():
    file = reading_with("double", proto3_optional=True, oneof_index=0)
    file.message_type[0].oneof_decl.add(name="_x")
    add_field(file.message_type[0], "z", 2, "double")
    assert reader_of(file)(FIRST) == {"x": None, "z": 0.0}
    assert reader_of(file)(FIRST + message_of(file, x=0.0).SerializeToString())["x"] == 0.0


def test_a_declared_default_of_proto2_holds():
    file = file_of(syntax="proto2")
    reading = file.message_type.add(name="Reading")
    add_field(reading, "x", 1, "double", default_value="20")
    add_field(reading, "y", 2, "double")
    assert reader_of(file)(FIRST) == {"x": 20.0, "y": None}


def test_a_struct_becomes_the_object_that_it_is():
    file = reading_with(".google.protobuf.Struct")
    message = message_of(file)
    message.x.update({"a": [1, None, {"b": "c"}], "d": True})
    item = reader_of(file)(FIRST + message.SerializeToString())
    assert item == {"x": {"a": [1.0, None, {"b": "c"}], "d": True}}


def test_a_message_may_hold_others_of_its_kind_within_the_library_s_depth():
    file = reading_with(".plant.Reading")
    message = message_of(file)
    message.x.x.SetInParent()
    assert reader_of(file)(FIRST + message.SerializeToString()) == {"x": {"x": {"x": None}}}
    nested = b""
    for _ in range(150):
        nested = b"\x0a" + _varint(len(nested)) + nested
    with pytest.raises(MalformedRecordError, match="not a Protobuf message"):
        reader_of(file)(FIRST + nested)


def _varint(number: int) -> bytes:
    rest = b""
    while number > 127:
        rest += bytes([number & 0x7F | 0x80])
        number >>= 7
    return rest + bytes([number])


def test_indexes_choose_the_message_and_do_not_count_the_entries_of_maps():
    file = reading_file()
    part = file.message_type.add(name="Second")
    add_field(part, "a", 1, "int32")
    inner = file.message_type[0].nested_type.add(name="Inner")
    add_field(inner, "b", 1, "int32")
    read = reader_of(file)
    assert read(b"\x02\x02\x08\x05") == {"a": 5}
    assert read(b"\x04\x00\x00\x08\x05") == {"b": 5}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x02",
        b"\x02\x08",
        b"\x02\x01",
        b"\x01",
        b"\x80",
        b"\xff" * 9,
        b"\x7e",
        b"\x04\x00\x08",
    ],
)
def test_indexes_that_lead_nowhere_are_a_failure(payload):
    with pytest.raises(MalformedRecordError):
        reader_of(reading_file())(payload)


@pytest.mark.parametrize("payload", [b"\x0a\x05ab", b"\x0a\x01\xff", b"\x09", b"\x07"])
def test_bytes_of_another_message_are_a_failure(payload):
    with pytest.raises(MalformedRecordError, match=r"not a Protobuf message 'plant\.Reading'"):
        reader_of(reading_file())(FIRST + payload)


def test_a_time_beyond_the_calendar_is_a_failure():
    file = reading_with(".google.protobuf.Timestamp")
    message = message_of(file)
    message.x.seconds, message.x.nanos = 2**62, 1
    with pytest.raises(InvalidRecordError, match="out of range"):
        reader_of(file)(FIRST + message.SerializeToString())


def test_empty_messages_cannot_fill_the_memory():
    file = file_of()
    reading = file.message_type.add(name="Reading")
    part = file.message_type.add(name="Part")
    add_field(reading, "parts", 1, ".plant.Part", repeated=True)
    for number in range(1, 1001):
        add_field(part, f"f{number}", number, "double")
    enough = MAX_VALUES // 1001
    read = reader_of(file)
    assert len(read(FIRST + b"\x0a\x00" * (enough - 1))["parts"]) == enough - 1
    with pytest.raises(InvalidRecordError, match="more than"):
        read(FIRST + b"\x0a\x00" * (enough + 1))


@pytest.mark.parametrize("descriptors", [b"\xff", b"", descriptors_of(file_of(name="other.proto"))])
def test_descriptors_that_do_not_hold_the_file_are_a_schema_that_cannot_be_used(descriptors):
    with pytest.raises(SchemaError, match="cannot be used"):
        protobuf_reader(descriptors, "m.proto", unit_ns=MS_NS)

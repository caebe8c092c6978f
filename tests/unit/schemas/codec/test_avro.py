"""Avro: safe schemas, plain objects, and evolution by names."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")

from schemas.codec.avro import MAX_DEPTH, avro_reader
from schemas.wire.errors import MalformedRecordError, SchemaError
from tests.support.framed import avro_bytes, schema_of

MS_NS, US_NS = 1_000_000, 1_000
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_MS = 1_767_268_800_000


def record_of(*fields: dict[str, Any], name: str = "Reading") -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "plant", "fields": list(fields)}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def read(schema: Any, record: dict[str, Any], *, unit_ns: int = MS_NS, wanted: Any = None) -> Any:
    """Written by fastavro, read by us."""
    reader = avro_reader(
        schema_of(json.dumps(schema)),
        (),
        unit_ns=unit_ns,
        wanted=schema_of(json.dumps(wanted)) if wanted else None,
    )
    return reader(avro_bytes(schema, record))


def reader_of(schema: Any) -> Any:
    return avro_reader(schema_of(json.dumps(schema)), (), unit_ns=MS_NS)


def test_a_record_becomes_its_fields_by_name():
    schema = record_of(
        field("sensor_id", "string"),
        field("ts", "long"),
        field("values", {"type": "map", "values": "double"}),
        field("tags", {"type": "array", "items": "string"}),
        field("state", {"type": "enum", "name": "State", "symbols": ["ON", "OFF"]}),
        field("note", ["null", "string"]),
        field("site", record_of(field("id", "int"), name="Site")),
        field("good", "boolean"),
        field("single", "float"),
    )
    record = {
        "sensor_id": "pump-07", "ts": 5, "values": {"flow": 1.5}, "tags": ["a"], "state": "OFF",
        "note": None, "site": {"id": 3}, "good": True, "single": 0.5,
    }  # fmt: skip
    assert read(schema, record) == record


@pytest.mark.parametrize(
    ("kind", "given", "unit_ns", "expected"),
    [
        (logical("long", "timestamp-millis"), NOON, MS_NS, NOON_MS),
        (logical("long", "timestamp-millis"), NOON, US_NS, NOON_MS * 1000),
        (logical("long", "timestamp-millis"), NOON, 1, NOON_MS * 10**6),
        (logical("long", "timestamp-micros"), NOON, MS_NS, NOON_MS),
        (logical("long", "timestamp-micros"), NOON, 10**9, NOON_MS // 1000),
        (
            logical("long", "timestamp-micros"),
            NOON.replace(microsecond=7),
            MS_NS,
            "2026-01-01T12:00:00.000007000Z",
        ),
        (
            logical("long", "timestamp-nanos"),
            NOON_MS * 10**6 + 1,
            MS_NS,
            "2026-01-01T12:00:00.000000001Z",
        ),
        (
            logical("long", "local-timestamp-millis"),
            NOON.replace(tzinfo=None),
            MS_NS,
            "2026-01-01T12:00:00.000000000",
        ),
        (logical("int", "date"), date(2026, 1, 1), MS_NS, "2026-01-01"),
        (logical("bytes", "decimal", precision=6, scale=2), Decimal("-12.34"), MS_NS, -12.34),
        (
            {
                "type": "fixed",
                "name": "D",
                "size": 4,
                "logicalType": "decimal",
                "precision": 6,
                "scale": 1,
            },
            Decimal("0.3"),
            MS_NS,
            0.3,
        ),
        (logical("string", "uuid"), UUID(int=7), MS_NS, str(UUID(int=7))),
        ("bytes", b"\x00\xff", MS_NS, "AP8="),
        (["null", logical("long", "timestamp-micros")], NOON, MS_NS, NOON_MS),
        (["null", logical("long", "timestamp-micros")], None, MS_NS, None),
        (["string", logical("long", "timestamp-micros")], "now", MS_NS, "now"),
        ({"type": "array", "items": logical("long", "timestamp-micros")}, [NOON], MS_NS, [NOON_MS]),
        (
            {"type": "map", "values": logical("long", "timestamp-micros")},
            {"a": NOON},
            MS_NS,
            {"a": NOON_MS},
        ),
    ],
)
def test_what_json_does_not_have_becomes_what_it_has(kind, given, unit_ns, expected):
    item = read(record_of(field("x", kind)), {"x": given}, unit_ns=unit_ns)
    assert item == {"x": expected}
    assert type(item["x"]) is type(expected)


def test_a_stated_time_means_the_same_in_every_unit_of_the_settings():
    schema = record_of(field("ts", logical("long", "timestamp-micros")))
    found = {unit: read(schema, {"ts": NOON}, unit_ns=unit)["ts"] for unit in (1, 10**3, 10**6)}
    assert {number * unit for unit, number in found.items()} == {NOON_MS * 10**6}


def test_two_versions_of_a_schema_are_read_by_names():
    old = record_of(field("id", "string"), field("flow", "float"))
    new = record_of(field("site", "string"), field("id", "string"), field("flow", "double"))
    assert read(old, {"id": "a", "flow": 0.5}) == {"id": "a", "flow": 0.5}
    assert read(new, {"id": "a", "flow": 0.5, "site": "x"}) == {"id": "a", "flow": 0.5, "site": "x"}


def test_a_reader_schema_resolves_names_aliases_and_defaults():
    written = record_of(field("id", "string"), field("flow", "int"), field("extra", "string"))
    wanted = record_of(
        field("sensor_id", "string", aliases=["id"]),
        field("flow", "double"),
        field("pressure", ["null", "double"], default=None),
        field("ts", logical("long", "timestamp-micros"), default=1_000_000),
    )
    item = read(written, {"id": "a", "flow": 3, "extra": "?"}, wanted=wanted)
    assert item == {"sensor_id": "a", "flow": 3.0, "pressure": None, "ts": 1_000}


def test_a_record_that_lacks_what_the_reader_schema_requires_fails_by_its_schema():
    written = record_of(field("id", "string"))
    wanted = record_of(field("id", "string"), field("flow", "double"))
    with pytest.raises(SchemaError, match="No default value for field flow"):
        read(written, {"id": "a"}, wanted=wanted)


@pytest.mark.parametrize("wanted", ["long", logical("long", "timestamp-millis")])
def test_a_time_is_never_read_in_another_unit_than_it_was_written_in(wanted):
    written = record_of(field("t", logical("long", "timestamp-micros")))
    with pytest.raises(SchemaError, match=r"Reading\.t is written as timestamp-micros"):
        read(written, {"t": NOON}, wanted=record_of(field("ts", wanted, aliases=["t"])))


def test_a_plain_number_may_be_declared_a_time_by_the_reader_schema():
    wanted = record_of(field("t", logical("long", "timestamp-micros")))
    assert read(record_of(field("t", "long")), {"t": 5_000}, wanted=wanted) == {"t": 5}


def test_a_union_of_records_is_read_by_the_branch_that_was_written():
    one, two = record_of(field("a", "int"), name="One"), record_of(field("b", "int"), name="Two")
    assert read([one, two], {"b": 4}) == {"b": 4}


def test_named_types_of_other_schemas_are_found():
    geo = record_of(field("at", logical("long", "timestamp-micros")), name="Geo")
    site = record_of(field("geo", "plant.Geo"), name="Site")
    schema = record_of(field("site", ["null", "plant.Site"]), field("again", "Geo"))
    reader = avro_reader(
        schema_of(json.dumps(schema)),
        [schema_of(json.dumps(geo), "plant.Geo"), schema_of(json.dumps(site), "plant.Site")],
        unit_ns=MS_NS,
    )
    record = {"site": {"geo": {"at": NOON}}, "again": {"at": NOON}}
    item = reader(avro_bytes(schema, record, geo=geo, site=site))
    assert item == {"site": {"geo": {"at": NOON_MS}}, "again": {"at": NOON_MS}}


NODE = record_of(field("next", ["null", "plant.Node"]), name="Node")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (NODE, "refers to itself"),
        (record_of(field("tree", {"type": "array", "items": NODE})), "refers to itself"),
        (record_of(field("x", {"type": "array", "items": "null"})), "no bytes"),
        (
            record_of(field("x", {"type": "array", "items": record_of(name="Empty")})),
            "no bytes",
        ),
        (
            record_of(
                field("x", {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}})
            ),
            "no bytes",
        ),
        (record_of(field("x", logical("bytes", "decimal", precision=9, scale=10**9))), "scale"),
        ("string", "not that of a record"),
        ({"type": "map", "values": "double"}, "not that of a record"),
        (["null", record_of(field("a", "int"))], "not that of a record"),
        (record_of(field("x", "plant.Unheard")), "Unheard"),
        ({"type": "record"}, "cannot be used"),
        (
            record_of(field("x", [logical("int", "date"), logical("long", "timestamp-micros")])),
            "cannot be told apart",
        ),
    ],
)
def test_a_schema_that_is_not_safe_or_none_is_rejected(schema, reason):
    with pytest.raises(SchemaError, match=reason):
        reader_of(schema)


@pytest.mark.parametrize("text", ["", "{", "7", "null", "[" * 50_000, '{"type":' * 50_000])
def test_a_text_that_is_no_schema_is_rejected(text):
    with pytest.raises(SchemaError):
        avro_reader(schema_of(text), (), unit_ns=MS_NS)


def test_a_schema_nests_no_deeper_than_the_limit():
    kind: Any = "int"
    for _ in range(MAX_DEPTH):
        kind = {"type": "array", "items": kind}
    with pytest.raises(SchemaError, match=f"deeper than {MAX_DEPTH}"):
        reader_of(record_of(field("x", kind)))


def doubling(levels: int, kind: Any) -> dict[str, Any]:
    """Records with two fields of the next type, down to a type."""
    found = record_of(field("z", kind), name=f"R{levels}")
    for level in reversed(range(levels)):
        second = f"plant.R{level + 1}"
        found = record_of(field("a", found), field("b", second), name=f"R{level}")
    return found


def test_a_few_bytes_hold_no_thousands_of_values():
    for schema in (
        doubling(28, "null"),
        doubling(7, "null"),
        record_of(field("x", ["null", doubling(7, "null")])),
        record_of(field("x", {"type": "array", "items": ["null", doubling(7, "null")]})),
        record_of(field("x", {"type": "map", "values": doubling(7, "null")})),
    ):
        with pytest.raises(SchemaError, match=r"a few bytes hold \d+ values"):
            reader_of(schema)


def test_wide_records_and_optional_ones_are_read():
    wide = record_of(*(field(f"f{n}", ["null", "double"]) for n in range(2000)), name="Wide")
    record = {f"f{n}": None for n in range(2000)}
    fields = [field(f"t{n}", record_of(field("good", "boolean"), name=f"T{n}")) for n in range(500)]
    schema = record_of(
        field("a", wide),
        field("b", ["null", "plant.Wide"]),
        field("c", {"type": "array", "items": "plant.Wide"}),
        field("d", doubling(4, "null")),
        field("e", record_of(*fields, name="Tags")),
    )
    tags = {f"t{n}": {"good": n % 2 == 0} for n in range(500)}
    leaf: Any = {"z": None}
    for _ in range(4):
        leaf = {"a": leaf, "b": leaf}
    given = {"a": record, "b": record, "c": [record] * 3, "d": leaf, "e": tags}
    assert read(schema, given) == given


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        (record_of(field("x", "string")), b""),
        (record_of(field("x", "string")), b"\x08ab"),
        (record_of(field("x", "string")), b"\x02\xff"),
        (record_of(field("x", "string")), b"\x01ab"),
        (record_of(field("x", "string")), b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01ab"),
        (record_of(field("x", "double")), b"1234"),
        (record_of(field("x", ["null", "int"])), b"\x08"),
        (record_of(field("x", {"type": "enum", "name": "E", "symbols": ["A"]})), b"\x08"),
        (record_of(field("x", {"type": "array", "items": "int"})), b"\xfe\xff\xff\xff\x0f"),
        (record_of(field("x", logical("long", "timestamp-micros"))), b"\xff" * 9 + b"\x01"),
        (record_of(field("x", logical("int", "date"))), b"\xfe\xff\xff\xff\x0f"),
        (
            record_of(field("x", logical("bytes", "decimal", precision=4))),
            b"\xfe\x03" + b"\x7f" * 255,
        ),
    ],
)
def test_bytes_of_another_schema_are_a_failure(schema, payload):
    with pytest.raises(MalformedRecordError, match="Avro record"):
        reader_of(schema)(payload)


def test_bytes_left_over_are_a_failure():
    with pytest.raises(MalformedRecordError, match="3 bytes are left over"):
        reader_of(record_of(field("x", "int")))(b"\x02abc")

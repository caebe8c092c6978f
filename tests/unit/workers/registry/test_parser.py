"""From the settings to plain objects, against a registry on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import RegistrySettings, Settings
from schemas.wire.errors import Stage
from tests.support.framed import avro_bytes, framed, parse
from tests.support.registry import Registry, document, registry_running
from workers.errors import RegistryUnavailableError, SettingsError
from workers.registry.parser import parser_of, registry_parser

MS_NS = 1_000_000
OLD = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}]}
NEW = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "flow", "type": "double"},
        {"name": "id", "type": "string"},
    ],
}
WANTED = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "sensor_id", "type": "string", "aliases": ["id"]},
        {"name": "flow", "type": ["null", "double"], "default": None},
    ],
}


@pytest.fixture
def registry():
    pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")
    pytest.importorskip("grpc_tools", reason="pip install 'vigie[registry]'")
    with registry_running() as running:
        running.add(1, OLD)
        running.add(2, NEW)
        yield running


def reading(registry: Registry, **settings: Any) -> Any:
    return registry_parser(
        RegistrySettings(url=registry.url, timeout_s=2.0, **settings), unit_ns=MS_NS
    )


def test_versions_and_kinds_lie_in_one_topic(registry: Registry):
    registry.add(3, 'syntax = "proto3"; message R { string id = 1; }', "PROTOBUF")
    registry.add(4, {"type": "object"}, "JSON")
    values = [
        framed(1, avro_bytes(OLD, {"id": "a"})),
        framed(2, avro_bytes(NEW, {"id": "b", "flow": 1.5})),
        framed(3, b"\0\x0a\x01c"),
        framed(4, json.dumps({"id": "d"}).encode()),
    ]
    good, failed = parse(reading(registry), values)
    assert good == {0: {"id": "a"}, 1: {"id": "b", "flow": 1.5}, 2: {"id": "c"}, 3: {"id": "d"}}
    assert not failed


def test_a_reader_schema_makes_all_versions_alike(registry: Registry, tmp_path: Path):
    path = tmp_path / "reading.avsc"
    path.write_text(json.dumps(WANTED))
    values = [
        framed(1, avro_bytes(OLD, {"id": "a"})),
        framed(2, avro_bytes(NEW, {"id": "b", "flow": 1.5})),
    ]
    good, _ = parse(reading(registry, reader_schema=path), values)
    assert good == {0: {"sensor_id": "a", "flow": None}, 1: {"sensor_id": "b", "flow": 1.5}}


def test_what_nobody_can_read_fails_by_its_schema_and_names_id_and_address(registry: Registry):
    registry.add(5, {"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]})
    registry.add(6, "message {", "PROTOBUF")
    registry.add(7, "<xml/>", "XML")
    values = [framed(schema_id, b"") for schema_id in (5, 6, 7, 8)]
    good, failed = parse(reading(registry), values)
    assert not good
    for position, schema_id in enumerate((5, 6, 7, 8)):
        failure = failed[position]
        assert (failure.stage, failure.exception) == (Stage.SCHEMA, "SchemaError")
        assert registry.url in failure.message
        assert str(schema_id) in failure.message


def test_a_batch_is_parsed_again_when_the_registry_is_back(registry: Registry):
    parser = reading(registry)
    values = [
        framed(1, avro_bytes(OLD, {"id": "a"})),
        framed(2, avro_bytes(NEW, {"id": "b", "flow": 0.0})),
    ]
    parse(parser, values[:1])
    registry.stop()
    assert parse(parser, values[:1])[0] == {0: {"id": "a"}}, "what is known needs nobody"
    for _ in range(2):
        with pytest.raises(RegistryUnavailableError):
            parse(parser, values)
    registry.start()
    assert len(parse(parser, values)[0]) == 2


def test_a_rejection_passes_through(registry: Registry):
    registry.instead = lambda _path: document({"error_code": 40101}, 401)
    with pytest.raises(SettingsError, match="rejects us"):
        parse(reading(registry), [framed(1, b"")])


@pytest.mark.parametrize("package", ["fastavro", "google.protobuf", "grpc_tools"])
def test_without_the_extra_the_error_names_it(monkeypatch, package: str):
    pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=r"pip install 'vigie\[registry\]'"):
        registry_parser(RegistrySettings(url="http://localhost"), unit_ns=MS_NS)


def test_importing_the_parser_imports_no_extra():
    import subprocess

    code = (
        "import workers.registry.parser, sys;"
        "assert not {'fastavro', 'google.protobuf', 'grpc_tools'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("text", ["", "[", '"string"', '{"type": "record"}'])
def test_a_reader_schema_that_is_none_is_a_settings_error(registry, tmp_path: Path, text: str):
    path = tmp_path / "reading.avsc"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"registry\.reader_schema"):
        reading(registry, reader_schema=path)


def test_a_reader_schema_that_is_not_there_is_a_settings_error(registry, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"registry\.reader_schema.*none\.avsc"):
        reading(registry, reader_schema=tmp_path / "none.avsc")


def settings_with(registry_url: str = "", **places: Any) -> Settings:
    return Settings.model_validate({"input": places, "registry": {"url": registry_url}})


def test_json_needs_no_registry_and_the_others_say_what_is_missing():
    assert parser_of(settings_with()) is None
    pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")
    pytest.importorskip("grpc_tools", reason="pip install 'vigie[registry]'")
    for kind in ("avro", "protobuf"):
        with pytest.raises(SettingsError, match=r"registry\.url is not set"):
            parser_of(settings_with(format=kind))


@pytest.mark.parametrize(("unit", "expected"), [("s", 2), ("ms", 2_000), ("us", 2_000_000)])
def test_times_come_in_the_unit_that_the_settings_expect(registry, unit: str, expected: int):
    time = {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}
    schema = {"type": "record", "name": "R", "fields": [time]}
    registry.add(9, schema)
    parser = parser_of(settings_with(registry.url, format="avro", time_unit=unit))
    good, _ = parse(parser, [framed(9, avro_bytes(schema, {"ts": 2_000_000}))])
    assert good == {0: {"ts": expected}}

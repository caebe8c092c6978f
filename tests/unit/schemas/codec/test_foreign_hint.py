"""The first error about a foreign record names the setting that it asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.codec import Decoder

METRIC = {"fields": {"usage": 1.0}, "name": "cpu", "tags": {"host": "a"}, "timestamp": 5}


def said(value: bytes) -> str:
    (failure,) = Decoder(["flow"]).decode([value], [None]).failures
    return failure.message


@pytest.mark.parametrize(
    ("record", "preset"),
    [
        (METRIC, "telegraf"),
        ({"metrics": [METRIC]}, "telegraf"),
        ({"timestamp": 1, "metrics": [{"name": "flow", "value": 1.0}]}, "sparkplug"),
        ({"schema": {}, "payload": {"before": None, "after": {"id": 1}, "op": "c"}}, "debezium"),
        ({"before": None, "after": {"id": 1}, "op": "c"}, "debezium"),
        ({"schema": {}, "payload": {"sensor": "a"}}, "connect"),
        ({"sensorId": "a", "timestamp": 1, "flow": 2.0}, "flat"),
    ],
)
def test_a_well_known_record_names_its_preset(record: dict[str, Any], preset: str) -> None:
    text = said(json.dumps(record).encode())

    assert "field 'sensor_id' is missing" in text
    assert f'input.preset = "{preset}"' in text


@pytest.mark.parametrize(
    "record", [{}, {"metrics": []}, {"metrics": [3]}, {"metrics": {"a": 1}}, {"payload": [1]}]
)
def test_any_other_names_the_section(record: dict[str, Any]) -> None:
    text = said(json.dumps(record).encode())

    assert "[input]" in text
    assert "preset" not in text


def test_a_record_of_a_schema_registry_names_format_and_registry() -> None:
    text = said(b"\x00\x00\x00\x00\x07\x02a")

    assert "the id of a schema (7)" in text
    assert 'input.format = "avro"' in text
    assert "registry.url" in text


@pytest.mark.parametrize("value", [b"\x00", b"\x00\x00\x00\x00\x07", b"\x01\x00\x00\x00\x07a"])
def test_other_bytes_are_taken_for_nothing(value: bytes) -> None:
    assert "registry" not in said(value)

"""Which setting a record asks for that is in somebody else's format: for the first error's text."""

from __future__ import annotations

from typing import Any, Final

_TELEGRAF: Final = {"fields", "name", "tags", "timestamp"}
_REGISTRY_HEADER_BYTES: Final = 5
_GUIDE: Final = "say in [input] where things are (docs/guide-input.md)"


def hint_of_bytes(value: bytes) -> str:
    """What to set for bytes that are no JSON; empty when they look like nothing known."""
    if len(value) > _REGISTRY_HEADER_BYTES and value[0] == 0:
        number = int.from_bytes(value[1:_REGISTRY_HEADER_BYTES], "big")
        return (
            f"; it looks like a record with the id of a schema ({number}): set "
            'input.format = "avro" (or "protobuf") and registry.url'
        )
    return ""


def hint_of_object(item: dict[str, Any]) -> str:
    """What to set for an object without the fields of Vigie's own reading."""
    preset = _preset_of(item)
    if preset:
        return f'; it looks like a record for input.preset = "{preset}"'
    return f"; if it is in a format of its own, {_GUIDE}"


def _preset_of(item: dict[str, Any]) -> str:
    """The preset that fits an object, as far as its field names tell; empty for none."""
    metrics = item.get("metrics")
    first = metrics[0] if type(metrics) is list and metrics else None
    names = first.keys() if type(first) is dict else set()
    if item.keys() >= _TELEGRAF or names >= _TELEGRAF:
        return "telegraf"
    if names >= {"name", "value"}:
        return "sparkplug"
    payload = item.get("payload")
    row = payload if type(payload) is dict else item
    if "after" in row and ("op" in row or "before" in row):
        return "debezium"
    if type(payload) is dict:
        return "connect"
    return "flat" if {"sensorId", "timestamp"} <= item.keys() else ""

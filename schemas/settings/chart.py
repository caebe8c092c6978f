"""The part of the Helm chart's `values.schema.json` that is made of the settings.

``python -m schemas.settings.chart deploy/helm/vigie/values.schema.json`` writes ``$defs.settings``
(what `config` may hold) and ``$defs.secrets`` (which settings come from Secrets) anew and leaves
the rest of the file, which is written by hand. So helm rejects a setting that does not exist.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from schemas.settings.secret import SECRET_KEY
from schemas.settings.sections import Settings

OWNED: Final = frozenset(
    {
        "kafka.bootstrap",
        "model.path",
        "ray.address",
        "gateway.host",
        "gateway.port",
        "gateway.pipeline",
        "metrics.host",
        "metrics.port",
    }
)
"""Settings that the chart makes of other values, so that `config` may not hold them."""
CLIENT_OPTION: Final = r"^kafka\.client\.[a-z0-9_.]+$"
"""Options of the Kafka client may all come from Secrets."""


def config_schema() -> dict[str, Any]:
    """What `config` may hold: all settings but those of the chart, and no secret."""
    schema = Settings.model_json_schema()
    for section, table in _sections(schema):
        properties = table["properties"]
        for key in [*properties]:
            if f"{section}.{key}" in OWNED or _is_secret(properties[key]):
                del properties[key]
    client = schema["$defs"]["KafkaSettings"]["properties"]["client"]
    client["propertyNames"] = {"not": {"pattern": SECRET_KEY.pattern}}
    return {"$id": "urn:vigie:chart:settings", **schema}


def secrets_schema() -> dict[str, Any]:
    """By setting, which Secret holds it."""
    names = [
        f"{section}.{key}"
        for section, table in _sections(Settings.model_json_schema())
        for key, field in table["properties"].items()
        if _is_secret(field)
    ]
    return {
        "description": "Secret of each setting that is one: {setting: {name, key}}.",
        "type": "object",
        "propertyNames": {"anyOf": [{"enum": sorted(names)}, {"pattern": CLIENT_OPTION}]},
        "additionalProperties": {"$ref": "#/$defs/secretKey"},
    }


def with_settings(document: dict[str, Any]) -> dict[str, Any]:
    """The document of `values.schema.json` with the settings of this version."""
    written = {"settings": config_schema(), "secrets": secrets_schema()}
    return document | {"$defs": document["$defs"] | written}


def _sections(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and schema of each section; lists of tables have no secrets."""
    for name, field in schema["properties"].items():
        if "$ref" in field:
            yield name, schema["$defs"][field["$ref"].rpartition("/")[2]]


def _is_secret(field: dict[str, Any]) -> bool:
    """Whether pydantic conceals it."""
    return any(option.get("writeOnly", False) for option in (field, *field.get("anyOf", ())))


def text_of(document: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(text_of(with_settings(json.loads(path.read_text(encoding="utf-8")))), "utf-8")

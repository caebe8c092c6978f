"""What a setting allows, in words, from the settings' own JSON Schema."""

from __future__ import annotations

from functools import cache
from typing import Any

from schemas.settings.sections import Settings


@cache
def _schema() -> dict[str, Any]:
    return Settings.model_json_schema()


def allowed(key: tuple[str, ...]) -> str:
    """What the setting at `key` may be, such as "an integer in 1..10000"."""
    schema = _resolved(_schema())
    for part in key:
        properties = schema.get("properties", {})
        entry = properties.get(part, schema.get("items", schema.get("additionalProperties")))
        if not isinstance(entry, dict):
            return "a value of any type"
        schema = _resolved(entry)
    return _words(schema)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference points to."""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = _schema()["$defs"][name]
    return schema


def _words(schema: dict[str, Any]) -> str:
    schema = _resolved(schema)
    if "anyOf" in schema:
        kinds = [_words(option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(kinds)
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        return " or ".join(f'"{value}"' for value in choices)
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return f"{'an integer' if kind == 'integer' else 'a number'} {_range(schema)}".strip()
    if kind == "string":
        return _text(schema)
    if kind == "array":
        most = f" of at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"a list{most}, each {_words(schema['items'])}"
    return {"object": "a table", "boolean": "true or false"}.get(str(kind), "a value of any type")


def _range(schema: dict[str, Any]) -> str:
    """The bounds of a number."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f"in {low:g}..{high:g}" if high >= 1e6 else f"in {low}..{high}"  # noqa: PLR2004
    if above is not None and high is not None:
        return f"above {above:g} and at most {high:g}"
    return ""


def _text(schema: dict[str, Any]) -> str:
    """The limits of a string."""
    if schema.get("format") == "path":
        return "a path"
    text = "a string"
    if "maxLength" in schema:
        text += f" of {schema.get('minLength', 0)}..{schema['maxLength']} characters"
    if "pattern" in schema:
        text += f" that matches {schema['pattern']}"
    return text

"""The description of the interface: complete, current, and with examples that are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.api import access, incidents, subscriptions
from workers.api.export import description

DOCUMENT = Path(__file__).parents[4] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for path in document["paths"].values() for one in path.values()]


def test_the_description_is_current():
    assert DOCUMENT.read_text(encoding="utf-8") == description(), "run `make docs`"


def test_every_operation_says_what_it_does(written: dict[str, Any]):
    assert [one for one in operations(written) if not one.get("description")] == []
    names = [one["operationId"] for one in operations(written)]
    assert len(names) == len(set(names)) > 40


def test_every_body_has_an_example_that_is_right(written: dict[str, Any]):
    schemas, seen = written["components"]["schemas"], 0
    for one in operations(written):
        if "requestBody" not in one:
            continue
        schema = one["requestBody"]["content"]["application/json"]["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        examples = schemas[name]["examples"] if name else schema["examples"]
        for found in examples:
            seen += 1
            if name:
                model(name).model_validate_json(json.dumps(found))
    assert seen > 10


def model(name: str) -> type[BaseModel]:
    for module in (subscriptions, incidents, access):
        if hasattr(module, name):
            found: type[BaseModel] = getattr(module, name)
            return found
    raise AssertionError(name)

"""The JSON Schema files are current and describe what the codec does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas import export

FOLDER = Path(__file__).parents[3] / "docs" / "schemas"


@pytest.mark.parametrize("name", sorted(export.documents()))
def test_the_file_is_current(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text == export.documents()[name], "run: python -m schemas.export docs/schemas"


def test_no_file_is_left_over():
    assert {path.name for path in FOLDER.iterdir()} == set(export.documents())


def test_the_command_writes_every_file(tmp_path, capsys):
    assert export.main([str(tmp_path / "new")]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(export.documents())
    assert "reading.json" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--help"]])
def test_the_command_says_how_it_is_called(arguments, capsys):
    assert export.main(arguments) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(export.documents()))
def test_every_field_is_described(name):
    """Nothing in a contract goes without a word."""
    document = json.loads(export.documents()[name])
    for schema in (document, *document.get("$defs", {}).values()):
        for field, entry in schema.get("properties", {}).items():
            assert "description" in entry or "$ref" in entry, field

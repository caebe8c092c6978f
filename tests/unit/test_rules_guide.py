"""docs/guide-rules.md: each example does what the page says."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from detector.rules import HELD, RAISED
from schemas.settings import load_settings
from schemas.settings.off import OffSettings
from schemas.settings.rules import RuleSettings
from schemas.wire.timestamp import to_ns
from workers.stream.calendars import read_calendars
from workers.stream.state.off import off_rules_of
from workers.stream.state.rules import rules_of

PAGE = (Path(__file__).parents[2] / "docs" / "guide-rules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(toml|ics|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SENSOR = "pump-1"


def table_row(name):
    (cells,) = re.findall(rf"^\| {name} \|(.*)\|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in cells.split("|")]


CHANNELS = table_row("channel")
EXPECTED = np.array(table_row("expected"), dtype=float)
BAND = np.array(table_row("band, each side"), dtype=float)


def examples(section):
    found, calendar = [], ""
    for (kind, block), (next_kind, lines) in pairwise(BLOCKS):
        if kind == "ics":
            calendar = block
        if kind == "toml":
            assert next_kind == "text", block
            if f"[[{section}]]" in block:
                found.append((block, lines.splitlines(), calendar))
    return found


@pytest.fixture
def load(tmp_path, monkeypatch):
    def load(text):
        monkeypatch.chdir(tmp_path)
        Path("vigie.toml").write_text(text, encoding="utf-8")
        return load_settings(environ={})

    return load


def numbers(text):
    pairs = (pair.split("=") for pair in text.split())
    return {name: float("nan" if value == "missing" else value) for name, value in pairs}


@pytest.mark.parametrize("example", examples("rules"), ids=lambda one: one[0].split('"')[1])
def test_rules_hold_back_and_raise_what_the_page_says(load, example):
    text, lines, _ = example
    rules = rules_of(load(text).rules, CHANNELS)
    own = rules.for_sensor(SENSOR)
    assert own is not None
    for line in lines:
        seen, _, says = line.partition(": ")
        observed = EXPECTED.copy()
        for name, value in numbers(seen).items():
            observed[CHANNELS.index(name)] = value
        parts = ((observed - EXPECTED) / BAND) ** 2

        judged = own.judge(observed[None], EXPECTED[None], BAND, (parts / parts.sum())[None])

        told = {0: "alarm", HELD: "held back by ", RAISED: "raised by "}[int(judged.ruling[0])]
        assert told + ", ".join(rules.named(int(judged.by[0]))) == says, line


@pytest.mark.parametrize("example", examples("off"), ids=lambda one: one[0].split('"')[1])
def test_readings_are_off_when_the_page_says(load, example):
    text, lines, calendar = example
    entries = load(text).off
    Path("maintenance.ics").write_text(calendar, encoding="utf-8")
    rules = off_rules_of(entries, ["speed"], read_calendars(entries))
    own = rules.for_sensor(SENSOR)
    assert own is not None
    until: dict[str, int] = {}
    for line in lines:
        seen, _, says = line.partition(": ")
        when, _, values = seen.partition(" ")
        full = when if "T" in when else f"2026-11-30T{when}Z"
        ts_ns = to_ns(full)

        found = own.mask(np.array([ts_ns]), np.array([[numbers(values).get("speed", 0.0)]]), until)

        until = dict(found.until_ns)
        told = f"off, {rules.name(int(found.why[0]))}" if found.off[0] else "judged"
        assert told == says, line


def test_the_page_has_an_example_of_every_key():
    shown = "\n".join(block for kind, block in BLOCKS if kind == "toml")
    for key in {*RuleSettings.model_fields, *OffSettings.model_fields}:
        assert re.search(rf"^{key} = ", shown, re.MULTILINE), key

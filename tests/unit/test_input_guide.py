"""docs/guide-input.md: each record on the page is read by the settings below it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from schemas.settings import load_settings
from schemas.settings.input import PRESETS
from schemas.wire.timestamp import to_ns
from workers.stream.input import Candidate, Input

PAGE = (Path(__file__).parents[2] / "docs" / "guide-input.md").read_text(encoding="utf-8")
BLOCKS = [
    block
    for block in re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    if block[0] != "console"
]


class Example(NamedTuple):
    """A record, what it says beside its value, the settings, and the readings in it."""

    record: str
    beside: str
    settings: str
    readings: str


EXAMPLES = [
    Example(record[2], record[1], settings[2], readings[2])
    for record, settings, readings in zip(BLOCKS[::3], BLOCKS[1::3], BLOCKS[2::3], strict=True)
]


def candidate(example):
    beside = dict(part.split("=", 1) for part in shlex.split(example.beside))
    headers = [
        (name.removeprefix("header:"), value.encode())
        for name, value in beside.items()
        if name.startswith("header:")
    ]
    return Candidate(
        value=example.record.encode(),
        headers=headers,
        timestamp=int(beside.get("timestamp", -1)),
        key=beside["key"].encode() if "key" in beside else None,
    )


def test_the_page_is_records_settings_and_readings():
    assert [kind for kind, *_ in BLOCKS] == ["json", "toml", "text"] * len(EXAMPLES)
    assert len(EXAMPLES) > 15


def test_every_preset_is_on_the_page():
    shown = set(re.findall(r'^preset = "(\w+)"$', PAGE, re.MULTILINE))
    assert shown == set(PRESETS) - {"vigie"}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(PRESETS)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_each_example_is_read_as_the_page_says(example, tmp_path):
    path = tmp_path / "vigie.toml"
    path.write_text(example.settings, encoding="utf-8")
    settings = load_settings(path, environ={})
    lines = [line.split(" ") for line in example.readings.splitlines()]
    channels = [word.split("=")[0] for word in lines[0][2:]]

    batch = Input(channels, settings.stream, settings.input).accept([candidate(example)])

    assert batch.failures == []
    readings = batch.readings
    assert np.repeat(readings.sensors, readings.counts).tolist() == [line[0] for line in lines]
    assert readings.ts_ns.tolist() == [to_ns(line[1]) for line in lines]
    values = [[word.split("=")[1] for word in line[2:]] for line in lines]
    expected = [[float(v.replace("missing", "nan")) for v in row] for row in values]
    assert np.array_equal(readings.values, expected, equal_nan=True)

"""docs/guide-migration.md: each command runs, in its order, on the layouts of retired services."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from workers.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "guide-migration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\$ (vigie .+)$", "\n".join(BLOCKS), re.MULTILINE)
ROWS = 600
FAULT = range(400, 440)
TIMES = [datetime(2026, 1, 5) + timedelta(minutes=5 * i) for i in range(ROWS)]  # noqa: DTZ001
QUICK = ["--max-steps", "30", "--detector", "plain"]


def values(seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    made = 10 + seed + np.sin(np.arange(ROWS) / 15) + rng.normal(0, 0.05, ROWS)
    made[FAULT] += 5.0
    return [round(float(value), 3) for value in made]


def iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def short(time: datetime) -> str:
    """As Lookout for Equipment shows it: 2026/1/5 0:05."""
    return f"{time.year}/{time.month}/{time.day} {time.hour}:{time:%M}"


def write(path: Path, header: str, *columns: list[str] | list[float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([*filter(None, [header]), *rows, ""]), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in every layout of the page."""
    home = tmp_path_factory.mktemp("migration")
    times, shorts = [iso(t) for t in TIMES], [short(t) for t in TIMES]
    header = "timestamp,series_1,series_2,series_3"
    write(home / "onetable.csv", header, times, *map(values, range(3)))
    for seed, name in enumerate(("temperature", "humidity", "pressure")):
        write(home / "multitable" / f"{name}.csv", "timestamp,value", times, values(seed))
        asset = home / "assets" / f"pump-{seed}.csv"
        write(asset, "Timestamp,rpm,load", shorts, values(seed), values(9))
    for part in (slice(0, 300), slice(300, ROWS)):
        columns = (shorts[part], values(1)[part], values(2)[part])
        write(home / "pump-7" / "motor" / f"{part.start}.csv", "Timestamp,rpm,power", *columns)
    write(home / "pump-7" / "seal" / "data.csv", "Timestamp,leakage", shorts, values(3))
    american = [f"{t.month}/{t.day}/{t:%Y %H:%M}" for t in TIMES]
    write(home / "us.csv", "Timestamp,flow", american, values(1))
    countries, products = ["FR", "DE"] * (ROWS // 2), ["a", "a", "b", "b"] * (ROWS // 4)
    fours, header = [times[i - i % 4] for i in range(ROWS)], "timestamp,country,product,revenue"
    write(home / "sales.csv", header, fours, countries, products, values(1))
    write(home / "labels.csv", "", [times[FAULT[0]]], [times[FAULT[-1]]])
    (home / "azure-results.json").write_text(json.dumps({"results": [*azure_results()]}))
    lines = "".join(json.dumps(one) + "\n" for one in lookout_results())
    (home / "lookout-results.jsonl").write_text(lines)
    return home


def azure_results() -> Iterator[dict[str, object]]:
    for i, time in enumerate(TIMES):
        yield {"timestamp": iso(time), "value": {"isAnomaly": i in FAULT, "severity": 0.4}}


def lookout_results() -> Iterator[dict[str, object]]:
    for i, time in enumerate(TIMES):
        yield {"timestamp": f"{time:%Y-%m-%dT%H:%M:%S.%f}", "prediction": int(i in FAULT)}


def expanded(words: list[str], folder: Path) -> Iterator[str]:
    """The words as a shell gives them."""
    for word in words:
        if "*" in word:
            yield from sorted(str(path.relative_to(folder)) for path in folder.glob(word))
        else:
            yield word


def test_each_command_of_the_page_reads_its_layout(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(COMMANDS) >= 13
    monkeypatch.chdir(folder)
    for command in COMMANDS:
        words = [*expanded(shlex.split(command)[1:], folder)]

        code = main([*words, *QUICK] if words[0] == "train" else words)

        told = capsys.readouterr()
        assert code == 0, f"{command}\n{told.out}{told.err}"
        if words[0] == "backtest":
            assert "1 event" in told.out, "the results of the service are one event"

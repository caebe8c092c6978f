"""docs/guide-data.md: each command of the page runs, on files with the symptom that it names."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from workers.cli.main import main
from workers.data.layout import load_layout, make_layout

PAGE = (Path(__file__).parents[2] / "docs" / "guide-data.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`(vigie (?:inspect|train) [^`]+)`", PAGE)
ROWS = 240
START = datetime(2025, 10, 20, tzinfo=UTC)


def flow(n: int = ROWS, seed: int = 0) -> list[float]:
    """A pump's flow: a slow swing and noise."""
    rng = np.random.default_rng(seed)
    return [round(v, 2) for v in 50 + 5 * np.sin(np.arange(n) / 20) + rng.normal(0, 0.3, n)]


def times(n: int = ROWS, *, step_s: float = 1.0, form: str = "%Y-%m-%dT%H:%M:%SZ") -> list[str]:
    return [(START + timedelta(seconds=step_s * i)).strftime(form) for i in range(n)]


def csv(header: str, *columns: Iterable[object], mark: str = ",") -> str:
    lines = (mark.join(map(str, row)) for row in zip(*columns, strict=True))
    return "\n".join([header, *lines, ""])


def comma(values: Iterable[float]) -> list[str]:
    return [f"{value:.2f}".replace(".", ",") for value in values]


GERMAN = "%d.%m.%Y %H:%M:%S"
FILES: dict[str, Callable[[], str | bytes]] = {
    "pump.csv": lambda: csv("timestamp,flow,pressure", times(), flow(), flow(seed=1)),
    "zeit.csv": lambda: csv("Zeit;Durchfluss", times(form=GERMAN), comma(flow()), mark=";"),
    "dayfirst.csv": lambda: csv("time,flow", times(form=GERMAN), flow()),
    "two_columns.csv": lambda: csv(
        "Date,Time,flow", times(form="%d/%m/%Y"), times(form="%H:%M:%S"), flow()
    ),
    "local.csv": lambda: csv("time,flow", times(form="%Y-%m-%d %H:%M:%S"), flow()),
    "excel_days.csv": lambda: csv(
        "time,flow", [f"{45950 + i / 1440:.6f}" for i in range(ROWS)], flow()
    ),
    "cp1252.csv": lambda: csv("time,Druck [°]", times(), flow()).encode("cp1252"),
    "comma.csv": lambda: csv("time;flow", times(), comma(flow()), mark=";"),
    "thousands.csv": lambda: csv(
        "time;power", times(), [f"1.{i % 1000:03d},5" for i in range(ROWS)], mark=";"
    ),
    "bad.csv": lambda: csv("time,flow", times(), ["Bad", "I/O Timeout", *flow()[2:]]),
    "sentinel.csv": lambda: csv("time,flow", times(), [*flow()[:200], *[-9999] * 40]),
    "quality.csv": lambda: csv(
        "time,flow,status,flow_status",
        times(), flow(), ["Good", "Bad"] * (ROWS // 2), [192, 192, 0] * (ROWS // 3),
    ),
    "preamble.csv": lambda: "Logger 7\nSite North\n" + csv("time,flow", times(), flow()),
    "comments.csv": lambda: "% made by a logger\n" + csv("time,flow", times(), flow()),
    "units.csv": lambda: csv("time,flow", ["", *times()], ["m3/h", *flow()]),
    "long.csv": lambda: csv(
        "time,tag,value",
        [t for t in times(120) for _ in "ab"], ["flow", "pressure"] * 120, flow(),
    ),
    "ragged.csv": lambda: csv("time,tag,value", times(step_s=3), ["flow", "p"] * 120, flow()),
    "ten_hertz.csv": lambda: csv("time,flow", [t for t in times(24) for _ in range(10)], flow()),
    "machines.csv": lambda: csv(
        "time,machineID,flow",
        [t for t in times(48) for _ in range(5)], [*range(1, 6)] * 48, flow(),
    ),
    "north/data.csv": lambda: csv("time,flow", times(), flow()),
    "south/data.csv": lambda: csv("time,flow", times(), flow(seed=2)),
    "unit-7/flow.csv": lambda: csv("timestamp,value", times(), flow()),
    "unit-7/pressure.csv": lambda: csv("timestamp,value", times(), flow(seed=3)),
    "counter.csv": lambda: csv("time,volume_m3,flow", times(), np.cumsum(flow()).round(2), flow()),
    "words.csv": lambda: csv(
        "time,flow,label", times(), flow(), ["Normal"] * 230 + ["Attack"] * 10
    ),
    "faults.csv": lambda: "start,end\n2025-10-20T00:01:00Z,2025-10-20T00:01:30Z\n",
    "results.json": lambda: json.dumps(
        {"results": [{"timestamp": t, "value": {"isAnomaly": t == times()[60]}} for t in times()]}
    ),
    "extra.csv": lambda: csv("row,time,flow,comment", range(ROWS), times(), flow(), ["ok"] * ROWS),
    "rates.csv": lambda: csv(
        "time,sensor,flow",
        times(400) + times(400, step_s=60), ["a"] * 400 + ["b"] * 400, flow(800),
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, make in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        content = make()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(arguments: list[str]) -> int:
    return int(main(arguments))


def test_the_page_has_commands_and_each_of_its_files_is_made():
    assert len(COMMANDS) > 25
    words = {word for one in COMMANDS for word in shlex.split(one)}
    named = {word for word in words if word.endswith((".csv", ".json"))}
    assert named == set(FILES)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_does_what_it_says(folder, command, capsys):
    arguments = shlex.split(command)[1:]

    assert run(arguments) == 0, capsys.readouterr().err


def test_the_layout_of_the_page_is_one(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "layout.toml"
    path.write_text(block, encoding="utf-8")

    layout = make_layout(load_layout(path))

    assert layout.timezone == "Europe/Berlin"
    assert make_layout(load_layout_text(layout.to_toml(), tmp_path)) == layout


def load_layout_text(text: str, folder: Path) -> dict[str, object]:
    path = folder / "again.toml"
    path.write_text(text, encoding="utf-8")
    return load_layout(path)


def test_every_option_of_a_layout_is_on_the_page():
    for name in make_layout({}).model_fields_set | set(type(make_layout({})).model_fields):
        option = {"channels": "channel"}.get(name, name).replace("_", "-")
        assert f"--{option}" in PAGE or name in {"delimiter", "sheet"}, option

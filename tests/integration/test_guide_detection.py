"""docs/guide-detection.md: its commands run, and say what the guide says they do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from detector.calibration.budget import AlarmBudget
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.cli.main import build_app

GUIDE = (Path(__file__).parents[2] / "docs" / "guide-detection.md").read_text(encoding="utf-8")


def test_the_worked_example_finds_the_faults_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    said = {}

    for line in re.findall(r"^\$ vigie (.+)$", block, re.MULTILINE):
        words = shlex.split(line)
        code = cli.main(words)
        output = capsys.readouterr()
        assert code == ExitCode.OK, output.err
        said[words[0]] = " ".join(output.out.split())

    assert "budget 5 per sensor and day (extrapolated)" in said["train"]
    assert "1 per sensor and hour" in said["train"]
    assert "incidents 2, 0 of them false; 2 of 2 events found" in said["backtest"]
    assert "flow low" in said["backtest"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>flow</b> low" in page
    assert "the normal readings most like" in page


@pytest.mark.parametrize("words", sorted(set(re.findall(r'"(\d+ per [a-z0-9 ]+)"', GUIDE))))
def test_every_budget_of_the_guide_is_one(words):
    assert AlarmBudget.parse(words).false_alarms >= 1


def test_every_option_of_the_guide_exists():
    commands = typer.main.get_command(build_app()).commands  # type: ignore[attr-defined]
    known = {
        option
        for name in ("simulate", "train", "backtest", "report")
        for parameter in commands[name].params
        for option in parameter.opts
    }

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", GUIDE)) <= known

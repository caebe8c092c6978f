"""`python -m benchmarks.detection` from end to end, on simulated data."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from benchmarks.detection.__main__ import main
from benchmarks.detection.report import plain
from benchmarks.detection.runner import load, run_series
from benchmarks.detection.sets import Options

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.detection", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


DETECTORS = ("z-score", "row autoencoder")
SEED = 3


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    some = ["--quick", "--sets", "faults", "--half", "A", "--seed", str(SEED)]
    done = run(*some, "--detectors", *DETECTORS, "--json", str(path))
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())["series"]


def figures_of(series):
    return {key: value for key, value in series.items() if key not in {"fit_s", "score_s"}}


@pytest.fixture
def again():
    """Detectors on a series, in this process instead of those of the command."""
    options = Options(paths=(), seed=SEED, quick=True)
    made = {one.name: one for one in load(["faults"], options, keep="A")}
    threads = torch.get_num_threads()

    def judge(name, detectors):
        verdicts = run_series(made[name], detectors=detectors, seed=SEED, pictures=None)
        return [figures_of(json.loads(json.dumps(plain(asdict(one))))) for one in verdicts]

    yield judge
    torch.set_num_threads(threads)


def test_one_command_with_a_seed_reproduces_every_figure(figures, again):
    """Of every series by one detector, and of two by one that learns by chance."""
    assert len(figures) == 8 * 2  # seven kinds of fault and a healthy pump
    learned_again = {"spike-0", "healthy-0"}
    for number in range(0, len(figures), 2):
        name = figures[number]["series"]
        detectors = DETECTORS if name in learned_again else DETECTORS[:1]

        found = again(name, detectors)

        assert found == [figures_of(one) for one in figures[number : number + len(found)]]
        learned_again.discard(name)
    assert not learned_again


def test_level_shifts_and_broken_correlations_are_ranked_well_by_a_model_of_the_rows(figures):
    found = {
        (one["set"], one["series"]): one["average_precision"]
        for one in figures
        if one["detector"] == "row autoencoder"
    }

    for (name, _), precision in found.items():
        if name in {"pump: level-shift", "pump: broken-correlation", "pump: spike"}:
            assert precision > 0.9, name


@pytest.fixture
def main_with(monkeypatch):
    """The command in this process: what it refuses, it refuses before it starts any other."""

    def call(*arguments: str) -> int | str | None:
        monkeypatch.setattr(sys, "argv", ["benchmarks.detection", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return call


def test_without_a_set_the_command_says_what_to_give(main_with, tmp_path, capsys):
    told = main_with(str(tmp_path), "--sets", "skab")

    assert "no set is there: give folders of data" in str(told)  # a text ends a process with 1
    assert "SKIPPED skab: no folder with other/*.csv" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--workers", "0"], ["--budget-rows", "1"]])
def test_numbers_out_of_range_are_rejected(wrong, main_with, capsys):
    assert main_with(*wrong) == 2
    assert "must be" in capsys.readouterr().err

"""`python -m benchmarks.detection` from end to end, on simulated data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.detection", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    made = []
    for number in range(2):
        path = tmp_path_factory.mktemp("bench") / f"{number}.json"
        some = ["--quick", "--sets", "faults", "--half", "A", "--seed", "3"]
        done = run(*some, "--detectors", "z-score", "row autoencoder", "--json", str(path))
        assert done.returncode == 0, done.stderr
        made.append(json.loads(path.read_text()))
    return made


def figures_of(series):
    return {key: value for key, value in series.items() if key not in {"fit_s", "score_s"}}


def test_one_command_with_a_seed_reproduces_every_figure(figures):
    first, second = figures

    assert len(first["series"]) == 8 * 2  # seven kinds of fault and a healthy pump
    assert [figures_of(one) for one in first["series"]] == [
        figures_of(one) for one in second["series"]
    ]


def test_level_shifts_and_broken_correlations_are_ranked_well_by_a_model_of_the_rows(figures):
    found = {
        (one["set"], one["series"]): one["average_precision"]
        for one in figures[0]["series"]
        if one["detector"] == "row autoencoder"
    }

    for (name, _), precision in found.items():
        if name in {"pump: level-shift", "pump: broken-correlation", "pump: spike"}:
            assert precision > 0.9, name


def test_without_a_set_the_command_says_what_to_give(tmp_path):
    done = run(str(tmp_path), "--sets", "skab")

    assert done.returncode == 1
    assert "SKIPPED skab: no folder with other/*.csv" in done.stderr
    assert "no set is there: give folders of data" in done.stderr


@pytest.mark.parametrize("wrong", [["--workers", "0"], ["--budget-rows", "1"]])
def test_numbers_out_of_range_are_rejected(wrong):
    done = run(*wrong)

    assert done.returncode == 2
    assert "must be" in done.stderr

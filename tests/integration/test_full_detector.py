"""`vigie train`, `backtest` and `report` with the full detector, as they come without options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector.artifact import load
from tests.support.models import START_NS, plant_values
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.data.writer import open_readings

CHANNELS = ("flow", "pressure", "temperature")
QUICK = ["--latent-size", "4", "--max-steps", "60", "--device", "cpu"]


def write(
    path: Path,
    rows: int,
    *,
    seed: int,
    faulty: slice | None = None,
    dark: slice = slice(0),
    spoiled: int = 0,
) -> Path:
    values, labels = plant_values(rows, seed=seed), np.zeros(rows, np.int8)
    lost = np.random.default_rng(seed).random(values[dark].shape) < 0.75
    values[dark] = np.where(lost, np.nan, values[dark])
    if faulty is not None:
        values[faulty, 1] += 4.0
        labels[faulty] = 1
    values[rows // 2 : rows // 2 + spoiled, 0] = -9_999.0
    with open_readings(path, CHANNELS) as writer:
        writer.write(
            sensors=["pump"] * rows,
            ts_ns=START_NS + np.arange(rows, dtype=np.int64) * 10**9,
            values=values,
            labels=labels,
        )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a model has been trained on a history with three values that are none."""
    folder = tmp_path_factory.mktemp("full")
    path = write(folder / "train.csv", 2_400, seed=1, spoiled=3)
    code = cli.main(
        ["train", str(path), "-o", str(folder / "model"), *QUICK, "--budget", "1 per hour",
         "--lowest-bar", "calibration", "--long-event", "never-accept", "--max-duration", "5000",
         "--accept-after", "28800"]
    )  # fmt: skip
    assert code == ExitCode.OK
    return folder


@pytest.fixture
def say(capsys, monkeypatch, folder):
    monkeypatch.chdir(folder)

    def run(*arguments: object, code: ExitCode = ExitCode.OK) -> str:
        capsys.readouterr()
        got = cli.main([str(one) for one in arguments])
        output = capsys.readouterr()
        assert got == code, output.err
        return str(output.out if code == ExitCode.OK else output.err)

    return run


def test_the_full_detector_is_the_default_and_takes_its_dials(folder):
    detector = load(folder / "model", device="cpu")

    assert (detector.receptive_field, detector.warm_up) == (256, 32)
    assert detector.head.alarms is not None
    dials = detector.head.alarms.dials
    assert (dials.lowest, dials.learning, dials.accept, dials.longest) == (0.0, 0.0, 0.0, 5_000)
    assert dials.accept_after == 28_800  # of a reading per second
    assert detector.head.drift is not None


def test_the_summary_says_what_was_no_value_and_what_the_budget_is_worth(say):
    told = " ".join(say("train", "train.csv", "-o", "again", *QUICK).split())

    assert "3 values of flow far outside of all others (such as -9999) taken as missing" in told
    assert "budget 1 per sensor and week (hoped)" in told
    assert "Warning This budget is not certain:" in told
    assert "scored from its reading 32 on" in told


def test_strict_refuses_a_budget_that_nothing_speaks_for(say, folder):
    write(folder / "clean.csv", 900, seed=1)

    error = say("train", "clean.csv", "-o", "no", *QUICK, "--strict", code=ExitCode.FAILURE)

    assert "--strict, and no model was written" in error
    assert "The smallest honest budget is" in error
    assert not (folder / "no").exists()


def test_dials_that_contradict_each_other_are_a_usage_error(say):
    error = say(
        "train", "train.csv", *QUICK, "--opens-at", "5", "--opens-within", "3",
        code=ExitCode.USAGE,
    )  # fmt: skip

    assert "opens_at must be in 1..3, got 5" in " ".join(error.replace("│", " ").split())


def test_a_fault_is_one_incident_in_backtest_report_and_file(say, folder):
    write(folder / "test.csv", 1_200, seed=9, faulty=slice(700, 760))

    told = json.loads(say("backtest", "test.csv", "-m", "model", "-o", "s.csv", "--json"))
    reported = json.loads(say("report", "model", "test.csv", "--label", "label", "--json"))
    say("report", "model", "test.csv", "--normal", "train.csv", "-o", "r.html")

    (incident,) = told["incidents"]["listed"]
    assert incident["channels"][0]["channel"] == "pressure"
    assert incident["nearest"]["sensor"] == "pump"
    assert told["incidents"]["false"] == 0
    assert reported["incidents"] == told["incidents"]
    assert "the normal readings most like" in (folder / "r.html").read_text()
    lines = (folder / "s.csv").read_text().splitlines()
    assert lines[0].replace('"', "").split(",")[2:6] == ["score", "flagged", "settled", "incident"]


def test_values_that_go_missing_are_an_incident(say, folder):
    write(folder / "dark.csv", 1_200, seed=9, dark=slice(700, 760))

    told = json.loads(say("backtest", "dark.csv", "-m", "model", "--json"))

    (incident,) = told["incidents"]["listed"]
    assert incident["severity"] in {"medium", "high"}


def test_the_plain_detector_stays_selectable(say, folder):
    say("train", "train.csv", "-o", "plain", *QUICK, "--detector", "plain")

    kinds = [view.kind for view in load(folder / "plain", device="cpu").views]
    assert set(kinds) <= {"reconstruction", "denoising"}

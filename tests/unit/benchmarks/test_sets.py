"""The public sets: protocols, halves, windows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.detection.registry import DETECTORS
from benchmarks.detection.runner import load
from benchmarks.detection.series import DEFAULT_WINDOW, LabelledSeries, RootCause, vus_window
from benchmarks.detection.sets import SETS, MissingDataError, Options
from benchmarks.detection.sets.indexed import read_root_causes
from benchmarks.detection.sets.quiet import drifting
from benchmarks.detection.sets.skab import find_files
from benchmarks.detection.verdict import judge, run_detector
from detector.evaluation import PointCounts

RNG = np.random.default_rng(0)


def write_machines(root: Path, *names: str) -> None:
    folder = root / "smd"
    (folder / "interpretation").mkdir(parents=True)
    lines = ["name,channels,tr"]
    for name in names:
        label = np.zeros(50, dtype=np.uint8)
        label[30:35] = 1
        train, test = RNG.normal(size=(40, 3)), RNG.normal(size=(50, 3))
        np.savez(folder / f"{name}.npz", train=train, test=test, label=label)
        (folder / "interpretation" / f"{name}.txt").write_text("30-35:1,3\n")
        lines.append(f"{name},3,20")
    (folder / "index.csv").write_text("\n".join(lines) + "\n")


def test_protocol_1_learns_from_the_train_file_and_judges_the_test_file(tmp_path):
    write_machines(tmp_path, "machine-1-1")

    (series,) = SETS["smd-1"].load(Options(paths=(tmp_path,)))

    assert (series.n_train, len(series.rows)) == (40, 90)
    assert np.array_equal(series.judged, np.arange(90) >= 40)
    assert np.flatnonzero(series.labels).tolist() == [70, 71, 72, 73, 74]
    assert series.root_causes == (RootCause(start=70, end=75, channels=(0, 2)),)


def test_protocol_2_learns_from_the_first_rows_of_the_test_file_and_ranks_all(tmp_path):
    write_machines(tmp_path, "machine-1-1")

    (series,) = SETS["smd-2"].load(Options(paths=(tmp_path,)))

    assert (series.n_train, len(series.rows)) == (20, 50)
    assert series.judged.all()
    assert np.flatnonzero(series.alarm_judged)[0] == 20
    assert series.root_causes == (RootCause(start=30, end=35, channels=(0, 2)),)


def test_halves_take_turns_in_the_order_of_names(tmp_path):
    write_machines(tmp_path, "machine-2-1", "machine-1-1", "machine-1-2")

    series = list(SETS["smd-2"].load(Options(paths=(tmp_path,))))

    assert [(one.name, one.half) for one in series] == [
        ("machine-1-1", "A"),
        ("machine-1-2", "B"),
        ("machine-2-1", "A"),
    ]


def test_a_line_of_another_form_in_an_interpretation_is_named(tmp_path):
    path = tmp_path / "machine.txt"
    path.write_text("1-2:3\n5:7\n")

    with pytest.raises(ValueError, match="'5:7' is not start-end:channels"):
        read_root_causes(path)


def test_quiet_streams_have_no_label_and_drift_only_after_training(tmp_path, capsys):
    write_machines(tmp_path, "machine-1-1")

    still, moving = SETS["quiet"].load(Options(paths=(tmp_path,)))

    assert not still.labels.any()
    assert np.array_equal(still.rows[:21], moving.rows[:21])
    assert (moving.rows[21:] > still.rows[21:]).all()
    assert "without SKAB" in capsys.readouterr().err


def test_drift_is_two_training_deviations_in_ten_thousand_rows():
    rows = np.zeros((10_200, 1))
    rows[:200, 0] = np.tile([-3.0, 3.0], 100)  # deviation 3

    assert drifting(rows, 200)[10_199, 0] == pytest.approx(6.0, rel=1e-3)


def test_a_set_that_is_not_there_is_skipped_loudly(tmp_path, capsys):
    series = list(load(["skab", "smd-1"], Options(paths=(tmp_path,)), keep="both"))

    said = capsys.readouterr().err
    assert series == []
    assert "SKIPPED skab: no folder with other/*.csv" in said
    assert "SKIPPED smd-1: no folder with index.csv" in said


def test_an_incomplete_skab_says_which_files_are_missing(tmp_path):
    (tmp_path / "valve2").mkdir()
    (tmp_path / "valve2" / "0.csv").touch()

    with pytest.raises(MissingDataError, match=r"other \(0 of 14\).*valve2 \(1 of 4\)"):
        find_files(tmp_path)


def test_one_half_can_be_kept(tmp_path):
    write_machines(tmp_path, "machine-1-1", "machine-1-2")

    (series,) = load(["smd-2"], Options(paths=(tmp_path,)), keep="B")

    assert series.name == "machine-1-2"


@pytest.mark.parametrize("period", [6, 40, 250])
def test_the_window_is_the_period_of_a_cycle(period):
    assert vus_window(np.sin(2 * np.pi * np.arange(5_000) / period)) == period


@pytest.mark.parametrize(
    "column",
    [
        np.ones(500),
        np.arange(500.0),
        np.sin(2 * np.pi * np.arange(5_000) / 350),  # a peak beyond the bounds
        np.tile([0.0, 1.0, 0.0, 0.0, 0.0], 200),  # lag 5 is 2 after the first: below the bounds
    ],
    ids=["constant", "ramp", "too long", "too short"],
)
def test_without_a_peak_within_bounds_the_window_is_the_default(column):
    assert vus_window(column) == DEFAULT_WINDOW


def make_series(**changed):
    given: dict[str, Any] = {
        "name": "one",
        "set": "set",
        "half": "A",
        "rows": np.zeros((10, 2)),
        "n_train": 4,
        "labels": np.zeros(10, dtype=bool),
        "judged": np.ones(10, dtype=bool),
        "interval_s": 1.0,
        "budget_rows": 100,
    }
    return LabelledSeries(**given | changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": np.zeros(9, dtype=bool)}, "do not fit"),
        ({"n_train": 10}, "nothing to learn from, or to judge"),
        ({"judged": np.arange(10) < 4}, "nothing to learn from, or to judge"),
        ({"ts_ns": np.zeros(3, dtype=np.int64)}, "3 times for 10 rows"),
    ],
)
def test_a_series_whose_parts_do_not_fit_is_rejected(changed, message):
    with pytest.raises(ValueError, match=message):
        make_series(**changed)


def test_a_history_holds_the_training_rows_alone():
    series = make_series(rows=np.arange(20.0).reshape(10, 2))

    history = series.history(seed=3)

    assert np.array_equal(history.rows, series.rows[:4])
    assert len(history.ts_ns) == 4
    assert np.diff(history.ts_ns).tolist() == [1_000_000_000] * 3
    assert history.rate == 0.01


def test_flagging_every_row_of_skab_gives_the_known_f1():
    root = os.environ.get("VIGIE_DATA")
    if root is None:
        pytest.skip("VIGIE_DATA is not set: point it at a folder that holds skab")
    verdicts = []
    for series in SETS["skab"].load(Options(paths=(Path(root),))):
        scored, _, _ = run_detector(series, DETECTORS["all rows"], seed=0)
        verdicts.append(judge(series, scored, detector="all rows"))

    points = sum((one.points for one in verdicts), PointCounts())

    assert len(verdicts) == 34
    assert points.f1 == pytest.approx(0.698, abs=5e-4)
    assert sum(one.alarms.asked for one in verdicts) == pytest.approx(22, abs=0.1)

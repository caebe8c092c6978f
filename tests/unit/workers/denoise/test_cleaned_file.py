"""Clean values of the rows of files, in the shape that the files have."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from detector.scoring import Detector
from tests.support.files import START_NS, stamp, table
from tests.support.fleets import CHANNELS, make_fleet, trained
from workers.backtest.backtest import read_both_for
from workers.data.layout import make_layout
from workers.denoise.account import noise_account, removed_by_channel
from workers.denoise.cleaned_file import cleaned_table, write
from workers.denoise.cleaning import clean, settling, uncleaned

ROWS = 120
WARM_UP = 15
FLEET = make_fleet(rows=3000, seed=9)


@functools.cache
def model():
    """`trained`, with the version that a saved model has."""
    one = trained()
    return Detector(replace(one.identity, version="1"), one.views, one.head)


def written(path, header, *, rows=ROWS):
    """Two sensors, one row each in turn; a comment beside the readings, one value missing."""
    lines = [header]
    for row in range(rows):
        for sensor in range(2):
            values = [f"{one:.4f}" for one in FLEET.noisy[sensor][row]]
            if (row, sensor) == (50, 1):
                values[2] = ""
            lines.append([stamp(row), f"s{sensor}", *values, f"shift {row % 3}", row % 2])
    path.write_text(table(lines))
    return path


@pytest.fixture
def readings(tmp_path):
    return written(tmp_path / "in.csv", ["when", "machine", *CHANNELS, "remark", "valve"])


LAYOUT = {"time": ["when"], "sensor": ["machine"]}


def cleaned(path, *, settled=False, **layout):
    made = make_layout({**LAYOUT, **layout}, source="")
    detector = settling(model()) if settled else model()
    files, history = read_both_for(detector, [path], made)
    sensors = clean(history, detector)
    return cleaned_table(sensors, files, CHANNELS, made, mark=settled), sensors


def scored(number, *, settled=False):
    """Straight from the detector: values by row, NaN where there is none."""
    detector = model().settling() if settled else model()
    rows = np.round(FLEET.noisy[number][:ROWS], 4)
    if number == 1:
        rows[50, 2] = np.nan
    ends = np.arange(WARM_UP, ROWS)
    scores = detector.score(rows, ends, np.full(len(ends), number + 1, dtype=np.int32))
    values = np.full(rows.shape, np.nan)
    values[ends] = scores.denoised
    if settled:
        values[ends - detector.settled_lag] = scores.settled
    return rows, values


def test_a_file_keeps_its_columns_and_the_order_of_its_rows(readings):
    found, _ = cleaned(readings)

    assert found.column_names == ["when", "machine", *CHANNELS, "remark", "valve"]
    assert found.num_rows == 2 * ROWS
    assert found.column("machine").to_pylist() == ["s0", "s1"] * ROWS
    assert found.column("remark").to_pylist()[:4] == ["shift 0", "shift 0", "shift 1", "shift 1"]
    assert found.column("valve").to_pylist()[:4] == [0, 0, 1, 1]


@pytest.mark.parametrize("settled", [False, True])
def test_its_values_are_those_that_the_detector_scores_and_without_one_as_they_came(
    readings, settled
):
    found, sensors = cleaned(readings, settled=settled)

    for number in range(2):
        rows, values = scored(number, settled=settled)
        known = np.isfinite(values).all(axis=1)
        ours = np.column_stack([found.column(name).to_numpy()[number::2] for name in CHANNELS])
        np.testing.assert_array_equal(ours, np.where(known[:, None], values, rows))
        assert (sensors[number].cleaned == known).all()
        assert np.isfinite(ours[50]).all()  # a missing value has what it was predicted to be


def test_with_hindsight_each_row_says_how_it_was_cleaned(readings):
    found, _ = cleaned(readings, settled=True)

    lag = model().settled_lag
    first = found.column("settled").to_pylist()[::2]
    assert first == [None] * (WARM_UP - lag) + [1] * (ROWS - WARM_UP) + [0] * lag
    assert found.column_names[-1] == "settled"


def test_before_a_gap_nobody_knows_more_in_time(tmp_path):
    path = tmp_path / "in.csv"
    times = [*range(60), *range(5_000, 5_060)]
    lines = [
        [stamp(time), "s0", *(f"{one:.4f}" for one in FLEET.noisy[0][row]), 0]
        for row, time in enumerate(times)
    ]
    path.write_text(table([["when", "machine", *CHANNELS, "settled"], *lines]))

    found, _ = cleaned(path, settled=True)

    lag = model().settled_lag
    half = [None] * (WARM_UP - lag) + [1] * (60 - WARM_UP) + [0] * lag
    assert found.column("vigie_settled").to_pylist() == half + half
    assert found.column("settled").to_pylist() == [0] * 120


def test_rows_that_are_no_readings_stay_in_their_place(tmp_path, readings):
    lines = readings.read_text().splitlines(keepends=True)
    lines.insert(100, ",s0,1,2,3,4,no time,0\n")
    odd = tmp_path / "odd.csv"
    odd.write_text("".join(lines))

    found, _ = cleaned(odd)
    usual, _ = cleaned(readings)

    assert found.slice(99, 1).to_pylist()[0] == {
        "when": None, "machine": "s0", "speed": 1.0, "flow": 2.0, "pressure": 3.0,
        "temperature": 4.0, "remark": "no time", "valve": 0,
    }  # fmt: skip
    rest = [*range(99), *range(100, found.num_rows)]
    assert found.take(rest).to_pylist() == usual.to_pylist()


def test_a_renamed_channel_keeps_the_name_of_its_column(tmp_path):
    names = ["when", "machine", "n", "Q", "p", "T", "remark", "valve"]
    path = written(tmp_path / "in.csv", names)

    found, _ = cleaned(path, channels=dict(zip(CHANNELS, names[2:6], strict=True)))

    assert found.column_names == names
    usual, _ = cleaned(written(tmp_path / "b.csv", ["when", "machine", *CHANNELS, "r", "v"]))
    assert found.column("Q").equals(usual.column("flow"))


def test_a_file_of_another_shape_becomes_one_row_a_reading(readings):
    found, sensors = cleaned(readings, resample="2s")

    assert found.column_names == ["ts", "sensor_id", *CHANNELS]
    assert found.num_rows == sum(map(len, sensors)) < 1.1 * ROWS
    assert found.column("ts").to_pylist()[0].timestamp() * 1e9 == START_NS


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_it_is_written_as_what_it_is_called(readings, tmp_path, ending):
    found, _ = cleaned(readings)
    path = tmp_path / "new" / f"clean{ending}"

    write(found, path)

    read = pq.read_table(path) if ending == ".parquet" else pa_csv.read_csv(path)
    assert read.column_names == found.column_names
    assert read.column("flow").to_pylist() == found.column("flow").to_pylist()


def test_what_was_removed_is_about_what_was_expected(readings):
    _, sensors = cleaned(readings)
    account = noise_account(model())

    removed = removed_by_channel(sensors, account, channels=4)

    for one, told in zip(removed, account.channels, strict=True):
        expected = 1 - 10 ** (-told.gain_db["causal"] / 10)
        assert one.share is not None
        assert one.share == pytest.approx(expected, abs=0.25)
        assert one.rms == pytest.approx(told.noise * np.sqrt(one.share))
        assert told.from_bound_db("causal") == pytest.approx(
            told.gain_db["causal"] - told.bound_db["causal"], abs=0.01
        )
    assert [one.filled for one in removed] == [0, 0, 1, 0]


def test_a_sensor_too_short_is_told(tmp_path):
    path = written(tmp_path / "in.csv", ["when", "machine", *CHANNELS, "remark", "valve"], rows=9)

    found, sensors = cleaned(path)

    assert [one.sensor for one in uncleaned(sensors, model())] == ["s0", "s1"]
    assert found.column("speed").to_pylist()[0] == pytest.approx(FLEET.noisy[0][0, 0], abs=1e-4)

"""What looks wrong with files is found before their rows are sorted; what is like it is not."""

from __future__ import annotations

import numpy as np
import pytest

from workers.data.files import read_files
from workers.data.finding import Kind, with_keys
from workers.data.findings.checks import findings_of
from workers.data.layout import LabelColumn, Layout, Quality, SensorFrom

START_NS = 1_760_918_400_000_000_000  # 2025-10-20
SECOND = 10**9
N = 1_000


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def noisy(rng):
    """A channel that keeps to a level and is never twice the same."""
    return 50 + np.sin(np.arange(N) / 40) * 4 + rng.normal(0, 0.5, N)


@pytest.fixture
def make_file(tmp_path):
    def make(text, name="pump.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return make


def csv(columns, *, each=1, start=0):
    """Text of a file with a time a second, `each` rows to a time."""
    rows = zip(*columns.values(), strict=True)
    lines = [
        f"{np.datetime64(START_NS // SECOND + start + number // each, 's')}Z,"
        + ",".join(map(str, row))
        for number, row in enumerate(rows)
    ]
    return "\n".join(["time," + ",".join(columns), *lines, ""])


def read(*paths, **keys):
    layout = Layout(**keys)
    history = read_files(list(paths), layout)
    return findings_of(history, layout, now_ns=START_NS + 86_400 * SECOND)


def test_a_column_that_tells_rows_of_one_time_apart_looks_like_the_sensor(rng, make_file):
    machine = np.tile(np.arange(1, 6), 200)
    path = make_file(csv({"machine": machine, "flow": noisy(rng)}, each=5))

    first, second = read(path)[:2]

    assert (first.kind, first.option, first.certain) == (
        Kind.SENSOR_COLUMN,
        "--sensor machine",
        True,
    )
    assert (second.kind, second.option) == (Kind.REPEATED_TIMES, "")


def test_a_valve_position_and_a_coarse_reading_look_like_no_sensor(rng, make_file):
    valve = np.repeat(rng.integers(0, 5, 20), N // 20)
    coarse = rng.integers(0, 150, N)
    path = make_file(csv({"valve": valve, "coarse": coarse, "flow": noisy(rng)}, each=2))

    assert {f.kind for f in read(path)} == {Kind.REPEATED_TIMES}


def test_a_column_that_is_called_like_a_sensor_is_named_though_no_time_repeats(rng, make_file):
    device = np.arange(N) % 4
    path = make_file(csv({"deviceId": device, "flow": noisy(rng)}))
    numbers = make_file(csv({"unit_no": np.arange(N), "flow": noisy(rng)}), "numbers.csv")

    (finding,) = read(path)

    assert (finding.option, finding.certain) == ("--sensor deviceId", False)
    assert [f.kind for f in read(numbers)] == [Kind.ROW_NUMBER]


def test_milliseconds_in_a_column_of_their_own_are_no_sensor(rng, make_file):
    ms = np.tile(np.arange(10) * 100, N // 10)
    named = make_file(csv({"ms": ms, "flow": noisy(rng)}, each=10))
    even = make_file(csv({"part": ms, "flow": noisy(rng)}, each=10), "even.csv")

    for path in (named, even):
        first, second = read(path)
        assert (first.kind, first.option, first.certain) == (
            Kind.CLOCK_COLUMN,
            "--resample 1s",
            False,
        )
        assert (second.kind, second.option) == (Kind.REPEATED_TIMES, "")


def test_an_hour_beside_a_date_is_a_part_of_the_time(rng, make_file):
    rows = [f"2025-10-{1 + n // 24:02},{n % 24},{v}" for n, v in enumerate(noisy(rng)[:480])]
    path = make_file("\n".join(["Date,Hour,flow", *rows, ""]))

    finding = read(path)[0]
    history = read_files([path], with_keys(Layout(), finding.keys))

    assert (finding.kind, finding.certain) == (Kind.CLOCK_COLUMN, False)
    assert finding.option == "--time Date --time Hour --time-format '%Y-%m-%d %H'"
    assert (len(history), history.channels) == (480, ("flow",))
    assert set(np.diff(history.sensors[0].ts_ns)) == {3_600 * SECOND}


def test_a_number_that_rises_within_each_time_without_a_telling_name_is_not_certain(rng, make_file):
    row = np.tile(np.arange(1, 6), N // 5)

    finding = read(make_file(csv({"cell": row, "flow": noisy(rng)}, each=5)))[0]

    assert (finding.option, finding.certain) == ("--sensor cell", False)


def test_two_columns_that_tell_rows_of_one_time_apart_together_are_the_sensor(rng, make_file):
    line, cell = np.tile([1, 1, 2, 2], N // 4), np.tile([1, 2, 1, 2], N // 4)
    path = make_file(csv({"line": line, "cell": cell, "flow": noisy(rng)}, each=4))

    first, second = read(path)

    assert (first.option, first.certain) == ("--sensor line --sensor cell", False)
    assert (second.kind, second.option, second.certain) == (Kind.REPEATED_TIMES, "", False)
    assert [one.sensor for one in read_files([path], with_keys(Layout(), first.keys)).sensors] == [
        "1/1",
        "1/2",
        "2/1",
        "2/2",
    ]


def test_machines_that_take_turns_are_named_and_a_state_of_one_is_not(rng, make_file):
    engine = make_file(csv({"engine": np.arange(N) % 3 + 1, "flow": noisy(rng)}))
    turns = make_file(csv({"pump": np.arange(N) % 2, "flow": noisy(rng)}), "turns.csv")
    state = make_file(csv({"pump": np.arange(N) // 50 % 3, "flow": noisy(rng)}), "state.csv")

    assert [f.option for f in read(engine)] == ["--sensor engine"]
    assert read(turns) == ()
    assert read(state) == ()


def test_a_sensor_column_of_the_second_file_alone_is_found(rng, make_file):
    plain = make_file(csv({"device": [1] * N, "flow": noisy(rng)}), "a.csv")
    turns = make_file(csv({"device": np.arange(N) % 3, "flow": noisy(rng)}, start=2 * N), "b.csv")

    assert "--sensor device" in {f.option for f in read(plain, turns)}


def test_whole_values_without_repeated_times_look_like_no_sensor(rng, make_file):
    path = make_file(csv({"stage": np.arange(N) % 5, "flow": noisy(rng)}))

    assert read(path) == ()


def test_files_of_one_name_in_several_folders_may_be_several_sensors(rng, make_file):
    text, later = (csv({"flow": noisy(rng)}, start=start) for start in (0, 2 * N))
    paths = make_file(text, "pump-1/data.csv"), make_file(later, "pump-2/data.csv")

    (finding,) = read(*paths)

    assert (finding.kind, finding.option) == (Kind.MERGED_SENSORS, "--sensor-from folder")
    assert read(*paths, sensor_from=SensorFrom.FILE) == ()


def test_files_of_one_name_in_folders_of_days_are_one_sensor(rng, make_file):
    text, later = (csv({"flow": noisy(rng)}, start=start) for start in (0, 2 * N))

    assert read(make_file(text, "2025-10-20/a.csv"), make_file(later, "2025-10-21/a.csv")) == ()


def test_points_before_three_digits_beside_whole_values_are_thousands_marks(make_file):
    power = ["1.040", "987", "1.112", "1.003", "995", "1.020", "1.200"]

    (finding,) = [f for f in read(make_file(csv({"power": power}))) if f.kind is Kind.THOUSANDS]

    assert finding.option == "--thousands . --decimal ,"


@pytest.mark.parametrize(
    "values",
    [
        ["1.040", "0.987", "1.112", "1.003", "0.995", "1.020", "1.200"],  # three digits, always
        ["1.125", "2", "1.5", "3.375", "4.625", "1.875", "2.125"],  # eighths without zeros
        ["1.040", "1987", "1.112", "1.003", "1.200", "1.020", "987"],  # 1987 has no mark
    ],
)
def test_fractions_of_three_digits_are_no_thousands(make_file, values):
    assert Kind.THOUSANDS not in {f.kind for f in read(make_file(csv({"power": values})))}


def test_a_label_word_that_no_row_holds_is_named_with_the_one_that_is_there(rng, make_file):
    state = np.where(np.arange(N) < 900, "Normal", "Attack")
    path = make_file(csv({"flow": noisy(rng), "state": state}))

    (finding,) = read(path, label=LabelColumn("state", ("attack",)))

    assert (finding.kind, finding.option) == (Kind.LABEL_WORD, "--label state=Attack")
    assert read(path, label=LabelColumn("state", ("Attack",))) == ()


def test_a_file_without_anomalies_lacks_no_label_word(rng, make_file):
    path = make_file(csv({"flow": noisy(rng), "state": ["Normal"] * N}))

    assert read(path, label=LabelColumn("state", ("Attack",))) == ()


def test_a_quality_word_that_no_row_holds_is_named_with_the_frequent_one(rng, make_file):
    quality = np.where(np.arange(N) < 900, "GOOD", "BAD")
    path = make_file(csv({"flow": noisy(rng), "q": quality}))

    assert [f.option for f in read(path, quality=(Quality("q", "Good"),))] == ["--quality q=GOOD"]
    assert read(path, quality=(Quality("q", "GOOD"),)) == ()


# -- labels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["is_fault", "Fault", "attack"])
def test_a_channel_that_looks_like_a_label_is_named(rng, make_file, name):
    path = make_file(csv({"flow": noisy(rng), name: (np.arange(N) > 900).astype(int)}))

    (finding,) = read(path)

    assert (finding.kind, finding.certain) == (Kind.LABEL_COLUMN, False)
    assert finding.option == f"--label {name}"
    assert f"--ignore {name}" in finding.text


def test_beside_a_label_another_one_is_left_out(rng, make_file):
    flag = (np.arange(N) > 900).astype(int)
    path = make_file(csv({"flow": noisy(rng), "anomaly": flag, "changepoint": flag}))

    assert [f.option for f in read(path)] == ["--ignore changepoint"]
    assert read(path, ignore=("changepoint",)) == ()


def test_a_level_that_is_called_like_a_label_and_a_flag_that_is_not_are_none(rng, make_file):
    flag = (np.arange(N) > 900).astype(int)
    path = make_file(csv({"anomaly_score": noisy(rng), "default_on": flag, "pump": flag}))

    assert read(path) == ()


def test_a_label_of_most_rows_is_named(rng, make_file):
    label = np.where(np.arange(N) < 900, 1, -1)
    path = make_file(csv({"flow": noisy(rng), "label": label}))

    (finding,) = read(path)

    assert finding.kind is Kind.MOSTLY_LABELLED
    assert "1,000 of 1,000 rows" in finding.text
    assert "--label label=-1" in finding.text
    assert read(path, label=LabelColumn("label", ("-1",))) == ()
    assert "'1' the word of normal" in read(path, label=LabelColumn("label", ("1",)))[0].text


# -- the clock -------------------------------------------------------------------------------------


def local(rng, steps):
    """Text of a file whose times name no zone, at these minutes since a Sunday's midnight."""
    start = np.datetime64("2025-10-26T00:00:00")
    values = np.resize(noisy(rng), len(steps))
    rows = [f"{start + int(minute) * 60},{v}" for minute, v in zip(steps, values, strict=True)]
    return "\n".join(["time,flow", *rows, ""])


@pytest.mark.parametrize("minutes", [5, 60])
def test_an_hour_that_comes_twice_is_a_zone_that_is_not_named(rng, make_file, minutes):
    until, since = np.arange(0, 180, minutes), np.arange(120, 6_000, minutes)
    path = make_file(local(rng, [*until, *since]))

    def found(**keys):
        layout = Layout(**keys)
        return findings_of(read_files([path], layout), layout, now_ns=START_NS + 10**17)

    first, *others = found()

    assert first.kind is Kind.CLOCK_BACK
    assert "2025-10-26T02:00:00" in first.text
    assert "--timezone" in first.text
    assert {f.option for f in others} == {""}
    assert found(timezone="Europe/Berlin") == ()


def test_rows_that_repeat_elsewhere_are_no_end_of_summer_time(rng, make_file):
    twice = make_file(local(rng, np.sort([*range(0, 900, 5), *range(600, 700, 5)])))
    hourly = make_file(local(rng, np.sort([*range(0, 6_000, 60), 1_200])), "hourly.csv")

    for path in (twice, hourly):
        assert Kind.CLOCK_BACK not in {f.kind for f in read(path)}


@pytest.mark.parametrize(("year", "kinds"), [(2025, []), (2024, [Kind.LABEL_RANGES])])
def test_stretches_of_another_time_are_a_warning(rng, make_file, year, kinds):
    path = make_file(csv({"flow": noisy(rng)}))
    stretch = f"start,end\n{year}-10-20T00:05:00Z,{year}-10-20T00:06:00Z\n"

    found = read(path, label_ranges=make_file(stretch, "ranges.csv"))

    assert [f.kind for f in found] == kinds

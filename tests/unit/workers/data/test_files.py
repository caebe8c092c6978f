"""Files read whole: what is written is read back, and files are put together by sensor and time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.files import SECOND_NS, START_NS, stamp, table
from workers.data import files
from workers.data.errors import FileFormatError
from workers.data.files import read_files, read_ranges
from workers.data.layout import Layout
from workers.data.writer import open_readings


def write(path, ts_ns, values, *, sensors, labels):
    channels = tuple(f"c{i}" for i in range(values.shape[1]))
    with open_readings(path, channels) as writer:
        writer.write(sensors=sensors, ts_ns=ts_ns, values=values, labels=labels)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
VALUES = st.one_of(st.just(np.nan), st.floats(allow_infinity=False))


@pytest.mark.parametrize("name", ["back.csv", "back.parquet"])
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.dictionaries(
        st.integers(START_NS, START_NS + 10**15),
        st.tuples(NAMES, VALUES, VALUES, st.integers(0, 7)),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_written_is_read_back(tmp_path, name, rows):
    ts_ns = np.array(list(rows), np.int64)
    sensors, first, second, labels = zip(*rows.values(), strict=True)
    values = np.array([first, second]).T
    path = tmp_path / name
    write(path, ts_ns, values, sensors=list(sensors), labels=np.array(labels, np.int8))

    history = read_files([path])

    assert history.channels == ("c0", "c1")
    assert (history.read, history.left_out) == (len(rows), {})
    for one in history.sensors:
        mine = np.flatnonzero(np.array(sensors, object) == one.sensor)
        mine = mine[np.argsort(ts_ns[mine])]
        assert one.ts_ns.tolist() == ts_ns[mine].tolist()
        assert np.array_equal(one.values, values[mine], equal_nan=True)
        assert one.labels is not None
        assert one.labels.tolist() == [labels[i] != 0 for i in mine]
    assert {one.sensor for one in history.sensors} == set(sensors)


def test_sensors_are_gathered_over_files(make_file):
    one = make_file("ts,sensor,x\n1,a,1\n2,b,2\n3,a,3\n", "1.csv")
    two = make_file("ts,sensor,x\n4,b,4\n5,c,5\n", "2.csv")

    history = read_files([one, two], Layout(epoch="s"))

    assert history.channels == ("x",)
    assert [one.sensor for one in history.sensors] == ["a", "b", "c"]
    assert [one.values[:, 0].tolist() for one in history.sensors] == [[1, 3], [2, 4], [5]]
    assert (history.sensors[1].ts_ns // SECOND_NS).tolist() == [2, 4]
    assert history.sensors[0].labels is None


def test_more_values_than_fit_in_memory_are_an_error(make_file, monkeypatch):
    monkeypatch.setattr(files, "MAX_VALUES", 5)

    with pytest.raises(FileFormatError, match="more than 5 values in all"):
        read_files([make_file(table([["ts", "x"], *[[stamp(i), i] for i in range(3)]]))])


# -- stretches -------------------------------------------------------------------------------------

ROWS = table([["ts", "sensor", "x"], *[[stamp(i // 2), "ab"[i % 2], i] for i in range(12)]])


def labelled(make_file, ranges, **keys):
    layout = Layout(label_ranges=make_file(ranges, "ranges.csv"), **keys)
    history = read_files([make_file(ROWS)], layout)
    return {one.sensor: np.flatnonzero(np.array(one.labels)).tolist() for one in history.sensors}


def test_stretches_hold_both_their_ends_and_may_be_of_one_sensor(make_file):
    ranges = f"start;end;sensor\n{stamp(1)};{stamp(2)};\n{stamp(4)};{stamp(4)};b\n"

    assert labelled(make_file, ranges) == {"a": [1, 2], "b": [1, 2, 4]}


def test_stretches_are_in_the_zone_that_is_given(make_file):
    ranges = "Start,End\n2026-01-01 01:00:03,2026-01-01 01:00:03\n"

    assert labelled(make_file, ranges, timezone="Europe/Berlin") == {"a": [3], "b": [3]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from,to\n1,2\n", r"has the columns start and end, .*'from', 'to'"),
        (f"start,end\n{stamp(2)},{stamp(1)}\n", r"row 1: the end comes before the start"),
        (f"start,end\n{stamp(2)},\n", r"row 1: no end"),
        (f"start,end\n{stamp(2)},later\n", r"row 1, column 'end': 'later' is not a time"),
        (f"start,end\n{stamp(1)},{stamp(2)}\n" + f"{stamp(3)},{stamp(4)},x\n", r"line 3: .*fields"),
    ],
)
def test_a_file_of_stretches_that_cannot_be_read_is_an_error(make_file, text, message):
    with pytest.raises(FileFormatError, match=message):
        read_ranges(make_file(text, "ranges.csv"), Layout())

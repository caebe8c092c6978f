"""Files read whole: what is written is read back, and files are put together by sensor and time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.files import SECOND_NS, START_NS, stamp, table
from workers.data import files
from workers.data.errors import FileFormatError
from workers.data.files import read_files
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

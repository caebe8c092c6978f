"""Files that hold other channels of one sensor each, as retired services took them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support.files import SECOND_NS, START_NS, stamp, table
from workers.data.errors import FileFormatError
from workers.data.files import read_files
from workers.data.inspection import inspect_files
from workers.data.layout import make_layout


def variable(rows, *, scale=1.0, label=None):
    """One variable, a row a second."""
    names = ["timestamp", "value", *(["label"] if label is not None else [])]
    marks = [] if label is None else [label]
    return table([names, *[[stamp(i), i * scale, *marks] for i in rows]])


@pytest.fixture
def read_all(make_file):
    def run(contents, **keys):
        paths = [make_file(content, name) for name, content in contents.items()]
        return read_files(paths, make_layout(keys))

    return run


MULTI_TABLE = {
    "pump-1/flow.csv": variable(range(6)),
    "pump-1/pressure.csv": variable(range(2, 8), scale=10.0),
    "pump-2/flow.csv": variable(range(3), scale=-1.0),
}


def test_a_file_for_each_variable_makes_rows_of_all_variables(read_all):
    history = read_all(MULTI_TABLE, channel_from="file")

    first, second = history.sensors
    assert history.channels == ("flow", "pressure")
    assert (first.sensor, second.sensor) == ("pump-1", "pump-2")
    assert ((first.ts_ns - START_NS) // SECOND_NS).tolist() == list(range(8))
    nan = math.nan
    np.testing.assert_array_equal(first.values[:, 0], [0, 1, 2, 3, 4, 5, nan, nan])
    np.testing.assert_array_equal(first.values[:, 1], [nan, nan, 20, 30, 40, 50, 60, 70])
    np.testing.assert_array_equal(second.values[:, 1], [nan] * 3)
    assert history.read == 15
    assert not history.left_out
    assert not history.unordered


def test_one_sensor_may_be_named_for_all_files(read_all):
    history = read_all(
        {"a/flow.csv": variable(range(3)), "b/level.csv": variable(range(3))},
        channel_from="file",
        sensor_id="pump",
    )

    assert [one.sensor for one in history.sensors] == ["pump"]
    assert history.channels == ("flow", "level")


def test_a_folder_for_each_component_names_its_channels(read_all, tmp_path):
    wide = table([["Timestamp", "rpm", "power"], *[[stamp(i), i, 2 * i] for i in range(4)]])
    later = table([["Timestamp", "rpm", "power"], *[[stamp(i), i, 2 * i] for i in range(4, 6)]])
    history = read_all(
        {
            "motor/2026-01.csv": wide,
            "motor/2026-02.csv": later,
            "seal/2026-01.csv": variable(range(6)),
        },
        channel_from="folder",
    )

    (one,) = history.sensors
    assert one.sensor == tmp_path.name
    assert history.channels == ("motor/rpm", "motor/power", "seal")
    assert one.values.tolist() == [[i, 2 * i, i] for i in range(6)]
    assert not history.findings


def test_channels_are_chosen_and_renamed_among_those_of_all_files(read_all):
    """As a backtest does, for the channels of its model."""
    history = read_all(MULTI_TABLE, channel_from="file", channels={"p": "pressure"})

    assert history.channels == ("p",)
    assert history.sensors[0].values[:, 0].tolist() == [20, 30, 40, 50, 60, 70]
    with pytest.raises(FileFormatError, match=r"no file gives the channel 'level'.*'flow', 'press"):
        read_all(MULTI_TABLE, channel_from="file", channels={"level": "level"})


def test_rows_of_one_variable_in_two_files_at_one_time_are_an_error(read_all):
    with pytest.raises(FileFormatError, match="both hold rows of sensor"):
        read_all(
            {"flow.1.csv": variable(range(5)), "flow.2.csv": variable(range(3, 8))},
            channel_from="file",
        )


def test_a_row_is_anomalous_where_one_of_its_files_says_so(read_all):
    history = read_all(
        {"a.csv": variable(range(3), label=0), "b.csv": variable(range(1, 2), label=1)},
        channel_from="file",
    )

    assert history.sensors[0].labels.tolist() == [False, True, False]


def test_a_counter_in_a_file_of_its_own_becomes_a_rate(read_all):
    history = read_all(
        {"flow.csv": variable(range(4)), "volume.csv": variable(range(4), scale=5.0)},
        channel_from="file",
        rate="volume",
    )

    assert history.sensors[0].values[1:].tolist() == [[i, 5.0] for i in range(1, 4)]


def test_inspect_shows_what_was_put_together(make_file):
    paths = [make_file(content, name) for name, content in MULTI_TABLE.items()]

    found = inspect_files(paths, make_layout({"channel_from": "file"}), now_ns=2 * START_NS)

    assert not found.error
    assert [one.channel for one in found.channels] == ["flow", "pressure"]
    assert [(one.sensor, one.rows) for one in found.sensors] == [("pump-1", 8), ("pump-2", 3)]

"""A history has no order of arrival, and every row of every file is in it or counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.support.files import SECOND_NS, START_NS, stamp, table
from workers.data.errors import FileFormatError
from workers.data.file.rows import Reason
from workers.data.files import read_files
from workers.data.history import check_usable
from workers.data.layout import make_layout


def seconds(rows, *, first=0, label=None):
    """One sensor, a row a second, in the order given."""
    names = ["time", "flow", *(["label"] if label is not None else [])]
    return table(
        [names, *[[stamp(i), i, *([label] if label is not None else [])] for i in rows]]
    )  # fmt: skip


@pytest.fixture
def read_all(make_file):
    def run(*contents, names=(), **keys):
        given = names or [f"{i}.csv" for i in range(len(contents))]
        paths = [make_file(content, name) for content, name in zip(contents, given, strict=True)]
        return read_files(paths, make_layout(keys))

    return run


@pytest.mark.parametrize(
    ("order", "late"),
    [(range(10), 0), (range(9, -1, -1), 9), ([*range(5, 10), *range(5)], 5), ([0, 2, 1, 3], 1)],
    ids=["oldest first", "newest first", "newer block first", "one late"],
)
def test_rows_are_sorted_by_time_whatever_their_order(read_all, order, late):
    history = read_all(seconds(order))

    (one,) = history.sensors
    assert one.values[:, 0].tolist() == sorted(order)
    assert np.all(np.diff(one.ts_ns) > 0)
    assert history.unordered == ({"0": late} if late else {})


def test_rows_that_repeat_a_time_are_counted_and_the_first_counts(read_all):
    history = read_all(seconds([0, 1, 2]) + f"{stamp(1)},9\n{stamp(1)},8\n")

    assert history.sensors[0].values[:, 0].tolist() == [0, 1, 2]
    assert history.left_out == {(Reason.REPEATED, "0"): 2}
    assert history.read == 5


def test_files_of_one_sensor_may_touch_and_come_in_any_order(read_all):
    history = read_all(seconds(range(5, 9)), seconds(range(6)), sensor_id="p")

    assert history.sensors[0].values[:, 0].tolist() == list(range(9))
    assert history.left_out == {(Reason.REPEATED, "p"): 1}


def test_files_that_overlap_in_one_sensor_are_an_error_that_names_both(read_all):
    with pytest.raises(FileFormatError, match=r"1\.csv and .*0\.csv both hold rows of sensor 'p'"):
        read_all(seconds(range(6)), seconds(range(3, 9)), sensor_id="p")
    assert len(read_all(seconds(range(6)), seconds(range(3, 9)), sensor_from="file").sensors) == 2


def test_the_same_file_twice_is_an_error(make_file):
    path = make_file(seconds(range(5)))

    with pytest.raises(FileFormatError, match="the same file is given twice"):
        read_files([path, path])


def test_files_of_one_name_ask_for_their_folders(read_all):
    with pytest.raises(FileFormatError, match="--sensor-from folder"):
        read_all(seconds(range(5)), seconds(range(5)), names=["a/x.csv", "b/x.csv"])


def test_columns_go_by_name(read_all):
    history = read_all(f"time,a,b\n{stamp(0)},1,2\n", f"b,time,a\n4,{stamp(1)},3\n", sensor_id="p")

    assert history.channels == ("a", "b")
    assert history.sensors[0].values.tolist() == [[1, 2], [3, 4]]


def test_files_that_differ_in_their_channels_are_an_error(read_all):
    with pytest.raises(
        FileFormatError, match=r"1\.csv: its channels differ .* in 'b'; .*--channel"
    ):
        read_all(f"time,a,b\n{stamp(0)},1,2\n", f"time,a\n{stamp(1)},3\n")


def test_labels_of_some_files_only_are_kept(read_all):
    """Without them, training would learn from the rows that a file calls anomalous."""
    history = read_all(seconds([0, 1], label=1), seconds([2, 3]), sensor_id="p")

    assert history.sensors[0].labels.tolist() == [True, True, False, False]
    learned = history.without_labelled()
    assert learned.sensors[0].values[:, 0].tolist() == [2, 3]
    assert learned.left_out == {(Reason.LABELLED, "p"): 2}


def test_a_counter_becomes_its_rate_over_files(read_all):
    history = read_all(
        f"time,m3\n{stamp(0)},10\n{stamp(1)},12\n",
        f"time,m3\n{stamp(3)},18\n{stamp(4)},1\n",
        sensor_id="p", rate="m3",
    )  # fmt: skip

    assert history.channels == ("m3_per_s",)
    found = history.sensors[0].values[:, 0]
    assert np.array_equal(found, [np.nan, 2, 3, np.nan], equal_nan=True)


def test_several_readings_in_a_second_are_made_one(read_all):
    text = table([["time", "flow"], *[[stamp(i // 10), i] for i in range(40)]])

    history = read_all(text, resample="1s")

    assert history.left_out == {}
    assert history.sensors[0].values[:, 0].tolist() == [4.5, 14.5, 24.5, 34.5]


def test_the_rate_of_a_counter_with_ten_rows_a_second_is_that_of_the_second(read_all):
    text = table([["time", "m3"], *[[stamp(i // 10), i] for i in range(40)]])

    assert read_all(text, rate="m3").sensors[0].values[1:, 0].tolist() == [10, 10, 10]


def test_too_many_rows_that_cannot_be_used_are_an_error_with_the_way_out(read_all):
    text = table([["time", "flow"], *[[stamp(i // 10), i] for i in range(40)]])
    history = read_all(text)

    check_usable(history, 0.9)
    with pytest.raises(
        FileFormatError,
        match=r"36 of 40 rows cannot .*36 have a time that repeats \(sensor '0' 36\)"
        r".*--sensor.*--resample 1s.*--max-left-out 1",
    ):
        check_usable(history, 0.2)


def test_records_that_a_topic_rejected_are_said_in_a_sentence(read_all):
    left_out = Counter({("rejected at schema", ""): 4})
    history = replace(read_all(seconds(range(4))), left_out=left_out, read=8)

    with pytest.raises(FileFormatError, match="4 of 8 rows cannot be used: 4 were rejected at sch"):
        check_usable(history, 0.2)


def test_the_way_out_names_the_interval_that_the_rows_have(read_all):
    text = table([["time", "flow"], *[[stamp(i // 10 * 60), i] for i in range(400)]])

    with pytest.raises(FileFormatError, match=r"--resample 1min\."):
        check_usable(read_all(text), 0.2)


def test_the_way_out_of_hours_in_a_column_of_their_own_is_the_time(read_all):
    hours = [[f"2025-10-{1 + i // 24:02}", i % 24, i] for i in range(240)]
    text = table([["date", "hour", "flow"], *hours])

    with pytest.raises(FileFormatError, match=r"part of the time.*: --time date --time hour"):
        check_usable(read_all(text), 0.2)


def test_rows_come_in_the_order_of_time_over_sensors(read_all):
    text = table(
        [["time", "sensor", "x"], *[[stamp(i), "ab"[i % 2], i] for i in (3, 0, 1, 5, 2, 4)]]
    )

    parts = list(read_all(text).in_time(rows=4))

    assert [part.values[:, 0].tolist() for part in parts] == [[0, 1, 2, 3], [4, 5]]
    names = [part.sensors[code] for part in parts for code in part.sensor_codes]
    assert names == ["a", "b"] * 3
    assert parts[1].ts_ns.tolist() == [START_NS + i * SECOND_NS for i in (4, 5)]


def test_stretches_that_hold_no_row_are_said(make_file, read_all):
    ranges = make_file(f"start,end,sensor\n{stamp(1)},{stamp(2)},0\n{stamp(1)},{stamp(2)},x\n")

    history = read_all(seconds(range(5)), label_ranges=ranges)

    assert history.sensors[0].labels.tolist() == [False, True, True, False, False]
    assert history.notes == ("1 of 2 anomalous stretches hold no row",)


def test_the_unit_of_a_channel_comes_from_a_row_or_from_brackets(read_all):
    text = f"time,flow,p [bar],t (C)\nh,l/min,,\n{stamp(0)},1,2,3\n"

    assert read_all(text, units_row=True).units == {"flow": "l/min", "p [bar]": "bar", "t (C)": "C"}


@pytest.mark.parametrize(
    ("text", "keys", "said"),
    [
        ("time,flow\n", {}, "holds no row"),
        ("time,flow,q\n2026-01-01,1,Bad\n", {"quality": "q=Good"}, "no row is left of 1"),
    ],
)
def test_a_history_without_rows_is_an_error(read_all, text, keys, said):
    with pytest.raises(FileFormatError, match=said):
        check_usable(read_all(text, **keys), 1.0)

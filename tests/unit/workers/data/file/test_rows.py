"""Values: every one is read, missing because somebody says so, or named by row and column."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from tests.support.files import stamp, table
from workers.data.errors import FileFormatError
from workers.data.file.rows import Reason
from workers.data.files import read_files
from workers.data.finding import as_options
from workers.data.layout import make_layout


def values(history):
    return [row for one in history.sensors for row in one.values[:, 0].tolist()]


def column(*cells, name="flow"):
    """A file of one channel."""
    return f"time\t{name}\n" + "".join(f"{stamp(i)}\t{cell}\n" for i, cell in enumerate(cells))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5), ("-1.5", -1.5), ("+1.5", 1.5), (".5", 0.5), ("5.", 5), ("1e3", 1000),
        ("1E-3", 0.001), (" 1.5 ", 1.5), ("\u00a01.5", 1.5), ('"1.5"', 1.5), ("007", 7),
        ("True", 1), ("false", 0), ("9007199254740993", 2.0**53),
        ("18446744073709551615", 2.0**64),
        ("1" + "0" * 50, 1e50), ("1e308", 1e308),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("1e-320", 1e-320), ("1e-400", 0), ("-0", 0), ("0.1", 0.1), ("4.35", 4.35),
    ],
)  # fmt: skip
def test_a_number_is_the_nearest_float(read, text, value):
    assert values(read(column(text))) == [value]


@pytest.mark.parametrize("text", ["", "NaN", "nan", "null", "NA", "n/a", " ", "-", "None", "#N/A"])
def test_usual_words_mean_missing(read, text):
    found = values(read(column(text, "2")))

    assert [math.isnan(one) for one in found] == [True, False]


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("1,75", {"decimal": ","}, 1.75),
        ("1.039,5", {"decimal": ",", "thousands": "."}, 1039.5),
        ("1.039", {"decimal": ",", "thousands": "."}, 1039),
        ("987", {"decimal": ",", "thousands": "."}, 987),
        ("1,039.5", {"thousands": ","}, 1039.5),
        ("-1'234'567.5", {"thousands": "'"}, -1234567.5),
        ("1\u2019234.5", {"thousands": "\u2019"}, 1234.5),
        ("1 039,5", {"decimal": ",", "thousands": "space"}, 1039.5),
        ("1\u202f039,5", {"decimal": ",", "thousands": " "}, 1039.5),
        ("1\u00a0039,5", {"decimal": ",", "thousands": " "}, 1039.5),
    ],
)
def test_marks_between_digits_can_be_said(read, text, keys, value):
    assert values(read(column(text), **keys)) == [value]


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("high", {}, r"'high' is not a number"),
        ("inf", {}, r"'inf' is not a finite number: .*--missing inf"),
        ("-Infinity", {}, r"not a finite number"),
        ("1e400", {}, r"'1e400' is not a finite number"),
        ("1,5", {}, r"if the comma is the decimal mark, --decimal ,"),
        ("1,039", {}, r"decimal mark, --decimal ,; .* thousands mark, --thousands ,"),
        ("1,039.5", {}, r"--thousands ,"),
        ("1'039", {}, r"--thousands"),
        ("1 039", {}, r"--thousands space"),
        ("1.039", {"decimal": ","}, r"a point is a thousands mark.*--thousands \."),
        ("1.04", {"decimal": ","}, r"if the point is the decimal mark, --decimal \."),
        ("1.04", {"decimal": ",", "thousands": "."}, r"not a number: correct it"),
        ("1.000,35", {}, r"comma is the decimal mark .*--decimal , --thousands \."),
        ("1\u202f000,35", {}, r"'1 000,35' is .* blank a thousands.*--decimal , --thousands space"),
        ("12.34.567", {"decimal": ",", "thousands": "."}, r"not a number"),
        ("5.2 bar", {}, r"is 'bar' a unit behind the number\?"),
        ("5%", {}, r"is '%' a unit behind the number\?"),
        ("5-", {}, r"'5-' is not a number"),
        ("1_000", {}, r"'1_000' is not a number"),
        ("0x1F", {}, r"'0x1F' is not a number"),
        ("\uff15", {}, r"is not a number"),
        ("Bad", {}, r"'Bad' is not a number.*--missing Bad"),
        ("I/O Timeout", {}, r"--missing 'I/O Timeout'"),
    ],
)
def test_what_is_no_number_is_named_with_row_column_and_option(read, text, keys, message):
    with pytest.raises(FileFormatError, match=r"pump\.csv: row 3, column 'flow': .*" + message):
        read(column("1", "2", text, *"4567"), **keys)


def test_a_column_of_words_is_asked_about(read):
    text = table([["time", "state", "p"], *[[stamp(i), "ab"[i % 2], i] for i in range(9)]])

    with pytest.raises(
        FileFormatError, match=r"--ignore state; .*--label state=b; .*--sensor state; .*--long"
    ):
        read(text)


def test_what_an_error_says_is_what_it_proposes(read):
    """Each way out is in the sentence, as options."""
    for text in (
        column("989,16", "1 000,35", "1 001,15"),
        column("1.000,35", "989,16"),
        column("1", "Bad", "2", "Bad"),
        table([["time", "p", "Status"], *[[stamp(i), i, "OK"] for i in range(9)]]),
        table([["time", "p", "fault"], *[[stamp(i), i, "abc"[i % 3]] for i in range(9)]]),
        table([["time", "tag", "value"], *[[stamp(i // 2), "ab"[i % 2], i] for i in range(9)]]),
    ):
        with pytest.raises(FileFormatError) as caught:
            read(text)
        assert caught.value.ways_out
        for keys in caught.value.ways_out:
            assert as_options(keys) in str(caught.value)


def test_words_and_numbers_that_mean_missing_are_counted(read):
    cells = ["Bad", "-9999", "-9.999e3", "-9999.0", 7]
    text = table(
        [
            ["time", "flow", "p"],
            *[[stamp(i), cell, 1] for i, cell in enumerate(cells)],
            [stamp(9), 5, -9999],
        ]
    )  # fmt: skip

    history = read(text, missing=["Bad", "-9999"])

    (one,) = history.sensors
    assert np.isnan(one.values).tolist() == [[True, False]] * 4 + [[False, False], [False, True]]
    assert history.told_missing == Counter(flow=4, p=1)
    assert values(read(column("inf", "1"), missing="inf"))[1] == 1


# -- rows ------------------------------------------------------------------------------------------


def test_rows_without_sensor_or_of_bad_quality_are_counted_by_sensor(read):
    text = table(
        [
            ["time", "sensor", "flow", "q"],
            [stamp(0), "a", 1, 192], [stamp(1), "a", "Bad", 0], [stamp(2), "a", 3, 192.0],
            [stamp(3), "", 4, 192], [stamp(4), "b", 5, ""],
        ]
    )  # fmt: skip

    history = read(text, quality="q=192")

    assert values(history) == [1, 3]
    assert history.left_out == {
        (Reason.QUALITY, "a"): 1, (Reason.QUALITY, "b"): 1, (Reason.NO_SENSOR, ""): 1
    }  # fmt: skip
    assert history.unusable == {(Reason.NO_SENSOR, ""): 1}


def test_the_quality_of_one_channel_takes_its_values_only(read):
    text = table(
        [
            ["time", "flow", "flow_q", "p"],
            [stamp(0), 1, "Good", 5], [stamp(1), "I/O Timeout", "Bad", 6],
            [stamp(2), 3, "Uncertain", 7], [stamp(3), 4, "", 8],
        ]
    )  # fmt: skip

    history = read(text, quality=["flow:flow_q=Good", "flow:flow_q=Uncertain"])
    (one,) = history.sensors
    assert history.poor_values == {"flow": 2}

    nan = math.nan
    assert np.array_equal(
        one.values, np.array([[1, 5], [nan, 6], [3, 7], [nan, 8]]), equal_nan=True
    )


@pytest.mark.parametrize(
    ("cells", "label", "expected"),
    [
        (["1", "0", "", "2", "0.0"], None, [1, 0, 0, 1, 0]),
        (["True", "false", "TRUE", "NaN", "1"], None, [1, 0, 1, 0, 1]),
        (["yes", "no", "", "yes ", "YES"], "label=yes", [1, 0, 0, 1, 0]),
        (["nan", "0", "", "1", "x"], "label=nan", [1, 0, 0, 0, 0]),
        (["1", "1.0", "2", "", "x"], "label=1", [1, 1, 0, 0, 0]),
        (["a", "b", "c", "", "b"], ["label=a", "label=b"], [1, 1, 0, 0, 1]),
    ],
)
def test_labels_are_numbers_or_a_word(read, cells, label, expected):
    text = table([["time", "flow", "label"], *[[stamp(i), 1, c] for i, c in enumerate(cells)]])

    (one,) = read(text, **({"label": label} if label else {})).sensors

    assert one.labels.tolist() == [bool(flag) for flag in expected]


def test_labels_that_are_words_are_asked_about(read):
    text = "time,flow,label\n" + "".join(
        f"{stamp(i)},1,{'Attack' if i == 5 else 'Normal'}\n" for i in range(9)
    )

    with pytest.raises(FileFormatError, match=r"'Normal', 'Attack'.*--label label=Attack"):
        read(text)


# -- one value per row -----------------------------------------------------------------------------

LONG: list[list[object]] = [
    ["time", "sensor_id", "tag", "value"],
    [stamp(0), "a", "flow", 1], [stamp(0), "a", "p", 2], [stamp(1), "a", "flow", 3],
    [stamp(1), "b", "flow", 4], [stamp(0), "a", "flow", 9], [stamp(2), "a", "t", ""],
]  # fmt: skip


def test_long_rows_are_pivoted_and_those_that_repeat_time_and_tag_are_counted(read):
    history = read(table(LONG), long="tag=value")

    nan = math.nan
    assert history.channels == ("flow", "p", "t")
    a, b = history.sensors
    assert np.array_equal(
        a.values, np.array([[1, 2, nan], [3, nan, nan], [nan] * 3]), equal_nan=True
    )
    assert np.array_equal(b.values, np.array([[4, nan, nan]]), equal_nan=True)
    assert history.left_out == {(Reason.REPEATED, "a"): 1}
    assert history.read == 6


def test_tags_can_be_chosen_and_named(read):
    history = read(table(LONG), long="tag=value", channels={"q": "flow"})

    assert history.channels == ("q",)
    assert history.left_out == {(Reason.TAG, "a"): 2, (Reason.REPEATED, "a"): 1}
    with pytest.raises(FileFormatError, match=r"no row has the tag 'x'.*'flow', 'p', 't'"):
        read(table(LONG), long="tag=value", channels={"x": "x"})


def test_a_tag_can_be_left_out_of_long_rows(read):
    history = read(table(LONG), long="tag=value", ignore="t")

    assert history.channels == ("flow", "p")
    assert history.by_reason[Reason.TAG] == 1


def test_a_column_of_one_file_among_several_can_be_left_out(make_file):
    paths = [make_file(f"time,flow,note\n{stamp(0)},1,x\n", "a.csv")]
    paths.append(make_file(f"time,flow\n{stamp(1)},2\n", "b.csv"))

    assert len(read_files(paths, make_layout({"ignore": "note"}))) == 2


def test_told_missing_values_are_counted_in_every_column(read):
    """They are counted some columns at a time."""
    names = [f"c{number}" for number in range(40)]

    history = read(table([["time", *names], [stamp(0), *[-99] * 40]]), missing="-99")

    assert history.told_missing == dict.fromkeys(names, 1)

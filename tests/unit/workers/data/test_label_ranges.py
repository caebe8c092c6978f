"""Anomalous stretches: lists of them, and what other services found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.files import stamp, table
from workers.data.errors import FileFormatError
from workers.data.files import read_files
from workers.data.label_ranges import read_ranges
from workers.data.layout import Layout

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


def test_a_list_without_a_line_of_names_is_start_and_end(make_file):
    """As Amazon Lookout for Equipment takes it."""
    bare = f"{stamp(1)},{stamp(2)}\n{stamp(4)},{stamp(4)}\n"

    assert labelled(make_file, bare) == {"a": [1, 2, 4], "b": [1, 2, 4]}
    assert labelled(make_file, f"{stamp(5)},{stamp(5)},b\n") == {"a": [], "b": [5]}


def test_a_list_is_read_in_the_form_of_its_times(make_file):
    found = read_ranges(
        make_file("2/1/2026 0:05,2/3/2026 6:00\n", "ranges.csv"),
        Layout(time_format=("%m/%d/%Y %H:%M",)),
    )

    assert [(one.end_ns - one.start_ns) // 10**9 for one in found] == [
        2 * 86_400 + 5 * 3_600 + 3_300
    ]


def azure(*marks: int | None) -> str:
    """Batch results of Azure Anomaly Detector, a second apart; None is a time without a result."""
    values = [None if one is None else {"isAnomaly": bool(one), "score": 0.5} for one in marks]
    results = [{"timestamp": stamp(i), "value": one} for i, one in enumerate(values)]
    return json.dumps({"resultId": "1", "summary": {"status": "READY"}, "results": results})


def lookout(*marks: int) -> str:
    """Inference results of Lookout for Equipment, a line each; its times name no zone."""
    lines = [
        {"timestamp": stamp(i).removesuffix("Z") + ".000000", "prediction": one, "diagnostics": []}
        for i, one in enumerate(marks)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_consecutive_anomalous_results_are_a_stretch(make_file):
    for results in (azure(0, 1, 1, 0, None, 1), lookout(0, 1, 1, 0, 0, 1)):
        assert labelled(make_file, results)["a"] == [1, 2, 5]


def test_the_ranges_that_a_model_predicted_are_stretches(make_file):
    metrics = {"labeled_ranges": [], "predicted_ranges": [{"start": stamp(2), "end": stamp(3)}]}

    assert labelled(make_file, json.dumps(metrics))["a"] == [2, 3]


def test_times_of_results_without_a_zone_are_in_the_one_that_is_given(make_file):
    berlin = lookout(0, 1).replace("T00:", "T01:")

    assert labelled(make_file, berlin, timezone="Europe/Berlin")["a"] == [1]


@pytest.mark.parametrize(
    "text", ["{}", "{not json", '{"timestamp": "late", "prediction": 1}', "[1]"]
)
def test_json_that_holds_no_results_says_which_are_read(make_file, text):
    with pytest.raises(FileFormatError, match=r"ranges\.csv: not results.*Lookout for Equipment"):
        read_ranges(make_file(text, "ranges.csv"), Layout())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lookout(0, 1).replace("2026-", "9999-"), "9999-01-01T.* is not between 1678"),
        (lookout(1).replace("2026-", "0001-").replace('000000"', '000000+05:00"'), "0001-01-01T"),
        ("[" * 100_000, "too deep"),
        (lookout(0, 1).replace("1,", '"0",'), "'0' where 0 or 1"),
        (azure(1).replace("true", '"false"'), "'false' where 0 or 1"),
    ],
)
def test_results_that_are_not_what_they_should_be_say_what_is_wrong(make_file, text, message):
    with pytest.raises(FileFormatError, match=rf"ranges\.csv: not results.*{message}"):
        read_ranges(make_file(text, "ranges.csv"), Layout())


@pytest.mark.parametrize("delimiter", ";\t|")
def test_a_list_without_a_line_of_names_may_be_parted_by_other_marks(make_file, delimiter):
    assert labelled(make_file, f"{stamp(5)}{delimiter}{stamp(5)}{delimiter}b\n") == {
        "a": [],
        "b": [5],
    }

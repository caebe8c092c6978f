"""Rows that people took out of a history are gone, and counted by their sensor and the reason."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.wire.deed import Deed, format_deed
from tests.support.files import START_NS, stamp
from tests.support.wishes import NS, false_alarm, fault, forget, off
from workers.data.errors import FileFormatError
from workers.data.file.rows import Reason
from workers.data.files import read_files
from workers.data.forgotten import read_deeds, without_forgotten
from workers.data.layout import make_layout


@pytest.fixture
def history(make_file):
    """Two sensors, ten rows a second apart."""
    rows = [f"{stamp(n)},{sensor},{n}" for sensor in "ab" for n in range(10)]
    text = "\n".join(["time,sensor_id,flow", *rows]) + "\n"
    return read_files([make_file(text, "h.csv")], make_layout({}))


def period(make, number, start_s, end_s):
    return make(
        number, start_ns=START_NS + start_s * NS, end_ns=START_NS + end_s * NS, incident=number
    )


def forgotten(number, start_s, end_s):
    at = START_NS // NS
    return forget(number, at + start_s, at + end_s)


def seconds_of(history):
    return {
        one.sensor: ((one.ts_ns - START_NS) // NS).astype(np.int64).tolist()
        for one in history.sensors
    }


def test_both_ends_of_a_period_are_left_out_of_its_sensor_alone(history):
    deeds = [
        Deed(sensor="a", wish=forgotten(1, 2, 4)),
        Deed(sensor="b", wish=period(fault, 2, 8, 20)),
    ]
    left = without_forgotten(history, deeds)
    assert seconds_of(left) == {"a": [0, 1, 5, 6, 7, 8, 9], "b": list(range(8))}
    assert left.left_out == {(Reason.FORGOTTEN, "a"): 3, (Reason.FAULT, "b"): 2}
    assert sum(left.unusable.values()) == 0
    assert left.notes == history.notes


def test_a_row_of_two_periods_is_counted_once(history):
    deeds = [
        Deed(sensor="a", wish=forgotten(1, 2, 4)),
        Deed(sensor="a", wish=period(fault, 2, 3, 5)),
    ]
    left = without_forgotten(history, deeds)
    assert left.left_out == {(Reason.FAULT, "a"): 3, (Reason.FORGOTTEN, "a"): 1}
    assert left.read == len(left) + left.left_out.total()


def test_what_was_withdrawn_and_what_is_no_period_takes_no_row(history):
    deeds = [
        Deed(sensor="a", wish=forgotten(1, 2, 4)),
        Deed(sensor="a", wish=false_alarm(2)),
        Deed(sensor="*", wish=off(3)),
        Deed(sensor="a", wish=forgotten(1, 2, 4), withdrawn=True),
    ]
    left = without_forgotten(history, deeds)
    assert seconds_of(left) == seconds_of(history)
    assert left.notes == ("--verdicts names no fault and no period to forget",)


def test_periods_without_a_row_are_said(history):
    deeds = [
        Deed(sensor="a", wish=forgotten(1, 20, 30)),
        Deed(sensor="c", wish=forgotten(2, 0, 9)),
        Deed(sensor="a", wish=forgotten(3, 0, 0)),
    ]
    assert without_forgotten(history, deeds).notes == (
        "2 of the 3 periods of --verdicts hold no row",
    )


def test_a_row_that_was_resampled_goes_if_any_of_it_lies_in_the_period(history):
    """A row at 6 s made of three seconds tells of what came after 3 s."""
    deeds = [Deed(sensor="a", wish=forgotten(1, 2, 4))]
    left = without_forgotten(history, deeds, covers_ns=3 * NS)
    assert seconds_of(left)["a"] == [0, 1, 7, 8, 9]


def test_a_file_is_read_and_a_wrong_line_is_named(make_file):
    deed = Deed(sensor="a", wish=forgotten(1, 2, 4), after_ns=START_NS, offset=3)
    path = make_file(format_deed(deed) + "\n", "deeds.jsonl")
    assert read_deeds(path) == [deed]
    path = make_file(format_deed(deed) + "\nstart,end\n", "wrong.jsonl")
    with pytest.raises(FileFormatError, match=r"wrong\.jsonl: line 2 is no deed.*vigie verdict"):
        read_deeds(path)
    with pytest.raises(FileFormatError, match=r"cannot read .*none\.jsonl: No such file"):
        read_deeds(path.parent / "none.jsonl")

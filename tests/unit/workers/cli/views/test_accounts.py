"""What is said of the rows and sensors of a history."""

from __future__ import annotations

import csv
from collections import Counter
from typing import Any

import numpy as np

from detector.signal.scorable import Unscorable
from detector.training.fitted_scores import Stretch
from workers.cli.views.accounts import (
    account,
    history_facts,
    label_ranges,
    standing_out_facts,
    unscorable_facts,
)
from workers.data.history import History, SensorRows

NONE = np.zeros((0, 1))


def history(sensors=("a", "b"), **changes) -> History:
    rows = tuple(SensorRows(sensor=s, ts_ns=np.zeros(0, np.int64), values=NONE) for s in sensors)
    fields: dict[str, Any] = {
        "channels": ("x",), "sensors": rows, "read": 1000, "left_out": Counter(), "units": {},
        "told_missing": Counter(), "unordered": Counter(),
    }  # fmt: skip
    return History(**(fields | changes))


def slow(name: str, **changes) -> Unscorable:
    fields: dict[str, Any] = {
        "readings": 9,
        "longest": 1,
        "step_s": 60.0,
        "max_gap_s": 10.0,
        "needed": 32,
    }
    return Unscorable(sensor=name, **(fields | changes))


def stretch(sensor: str) -> Stretch:
    return Stretch(sensor=sensor, start_ns=0, end_ns=10**9, readings=2, factor=6.04)


def test_the_sensors_that_lost_most_are_named_and_the_others_counted():
    lost = Counter({("a time that repeats", f"s{n}"): 10 + n for n in range(8)})

    (_, (name, text)) = history_facts(history(left_out=lost))

    assert name == "left out"
    assert text == (
        "108 of 1,000 rows: a time that repeats (s7 17, s6 16, s5 15, s4 14, s3 13, 3 more)"
    )
    assert len(account(history(left_out=lost))["left_out"]["a time that repeats"]) == 8


def test_what_is_of_no_known_sensor_is_counted_without_a_name():
    """Such as a record of a topic that cannot be decoded."""
    lost = Counter({("rejected at decode", ""): 3})

    assert ("left out", "3 of 1,000 rows: rejected at decode") in history_facts(
        history(left_out=lost)
    )
    assert account(history(left_out=lost))["left_out"] == {"rejected at decode": {"": 3}}


def test_values_read_as_missing_rows_out_of_order_and_notes_are_told():
    facts = dict(
        history_facts(
            history(told_missing=Counter(x=130), unordered=Counter(a=7), notes=("a note",))
        )
    )

    assert facts["missing"] == "values that --missing took (x 130)"
    poor = history(poor_values=Counter(x=2))
    assert ("missing", "values of poor quality (x 2)") in history_facts(poor)
    assert account(poor)["poor_values"] == {"x": 2}
    assert facts["sorted"] == "7 rows came after a later one of the sensor (a 7)"
    assert facts["note"] == "a note"


def test_of_many_sensors_without_a_window_a_few_are_named_and_each_way_out_once():
    found = [slow(f"s{n}") for n in range(9)] + [slow("few", step_s=1.0)]

    facts = unscorable_facts(found, title="not scored")

    assert [name for name, _ in facts].count("not scored") == 6
    assert ("not scored", "and 5 more sensors (--json)") in facts
    one, two = (text for name, text in facts if name == "way out")
    assert "vigie train FILE... --only s0 --only s1 --only s2 --only s3 --only s4 ... -o" in one
    assert "--resample 60s" in one
    assert "a longer history" in two
    assert unscorable_facts([], title="not scored") == []


def test_the_lines_to_paste_are_a_file_of_label_ranges_whatever_the_name():
    name = 'pump, "7"'

    (header, row) = csv.reader(label_ranges([stretch(name)]).splitlines())

    assert header == ["start", "end", "sensor_id"]
    assert row[2] == name
    assert row[0].startswith("1970-01-01T00:00:00")


def test_what_stands_out_is_told_with_what_it_does():
    ((_, text),) = standing_out_facts([stretch("a")])

    assert "the threshold is 6.0 times what it would be without them" in text

"""Readings that are not judged: by a condition with settling, by a calendar, by both."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.settings.off import OffSettings
from workers.stream.state.off import (
    HOLDS,
    ChannelCondition,
    OffRule,
    OffRules,
    UntilNs,
    off_rules_of,
)

S = 1_000_000_000
NAN = float("nan")
CHANNELS = ("speed", "flow")
STOPPED = OffSettings(name="stopped", when="speed < 5", settle_s=10)


def sensor_of(*entries, calendars=None):
    found = off_rules_of(entries, CHANNELS, calendars or {}).for_sensor("pump-1")
    assert found is not None
    return found


def mask(sensor, seconds, speed, flow=None, until=None):
    values = np.stack([speed, [0.0] * len(speed) if flow is None else flow], axis=1)
    return sensor.mask(np.array(seconds, dtype=np.int64) * S, values.astype(float), until or {})


def test_a_pump_that_stands_still_is_off_and_settles_after_it_has_begun_to_turn():
    found = mask(sensor_of(STOPPED), [0, 1, 2, 3, 12, 13, 14], [9, 4, 0, 5, 9, 9, 9])

    assert found.off.tolist() == [False, True, True, True, True, False, False]
    assert found.why.tolist() == [-1, 0, 0, 0, 0, -1, -1]
    assert found.until_ns == {}


def test_settling_begins_when_the_pump_is_seen_turning_however_long_it_was_silent():
    found = mask(sensor_of(STOPPED), [0, 5000, 5009, 5010], [0, 9, 9, 9])

    assert found.off.tolist() == [True, True, True, False]


def test_without_settling_the_first_reading_beyond_the_condition_is_judged():
    found = mask(sensor_of(OffSettings(name="a", when="speed<5")), [0, 1, 2], [0, 9, 0])

    assert found.off.tolist() == [True, False, True]


def test_a_missing_value_leaves_things_as_they_were():
    sensor = sensor_of(STOPPED)

    assert mask(sensor, [0, 1, 2], [NAN, 0, NAN]).off.tolist() == [False, True, True]
    assert mask(sensor, [0, 1, 2], [9, NAN, NAN]).off.tolist() == [False, False, False]
    assert mask(sensor, [0, 1], [0, float("inf")]).off.tolist() == [True, True]
    assert mask(sensor, [9, 10], [NAN, NAN], until={"stopped": 10 * S}).off.tolist() == [
        True,
        False,
    ]


def test_what_is_carried_over_is_little_and_says_it_all():
    sensor = sensor_of(STOPPED)

    assert mask(sensor, [0], [9]).until_ns == {}
    assert mask(sensor, [0], [0]).until_ns == {"stopped": HOLDS}
    still = mask(sensor, [5], [NAN], until={"stopped": HOLDS})
    assert (still.off.tolist(), still.until_ns) == ([True], {"stopped": HOLDS})
    turns = mask(sensor, [7], [9], until={"stopped": HOLDS})
    assert (turns.off.tolist(), turns.until_ns) == ([True], {"stopped": 17 * S})
    assert mask(sensor, [], [], until={"stopped": 17 * S}).until_ns == {"stopped": 17 * S}
    assert mask(sensor, [17], [9], until={"stopped": 17 * S, "removed": HOLDS}).until_ns == {}


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("<", [1, 0, 0]),
        ("<=", [1, 1, 0]),
        (">", [0, 0, 1]),
        (">=", [0, 1, 1]),
        ("==", [0, 1, 0]),
        ("!=", [1, 0, 1]),
    ],
)
def test_every_comparison_means_what_it_says(sign, expected):
    sensor = sensor_of(OffSettings(name="a", when=f"flow {sign} 2.5"))

    found = mask(sensor, [0, 1, 2], [0, 0, 0], [2, 2.5, 3])

    assert found.off.tolist() == [bool(one) for one in expected]


CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:plant
BEGIN:VEVENT
DTSTART:19700101T000100Z
DURATION:PT1M
END:VEVENT
END:VCALENDAR
"""


def test_of_several_reasons_the_first_of_the_settings_is_told():
    service = OffSettings(name="service", calendar="plant.ics", settle_s=30.0)
    calendars = {"service": CALENDAR}
    rules = off_rules_of([service, STOPPED], CHANNELS, calendars)
    sensor = sensor_of(service, STOPPED, calendars=calendars)

    found = mask(sensor, [59, 60, 119, 149, 150], [0, 0, 0, 9, 9])

    assert found.why.tolist() == [1, 0, 0, 0, 1]
    assert [rules.name(why) for why in (0, 1)] == ["service", "stopped"]
    assert found.until_ns == {"stopped": 159 * S}


def test_a_sensor_that_no_entry_is_about_has_nothing_to_pay():
    rules = off_rules_of([OffSettings(name="a", when="speed<5", sensors="fan-*")], CHANNELS, {})

    assert rules.for_sensor("pump-1") is None
    assert rules.for_sensor("fan-2") is not None


def test_a_condition_on_a_channel_that_the_model_lacks_is_an_error_with_those_it_has():
    entry = OffSettings(name="stopped", when="sped < 5")

    with pytest.raises(ValueError, match="has no channel 'sped'; it has speed, flow") as caught:
        off_rules_of([entry], CHANNELS, {})
    assert str(caught.value).startswith("[[off]] 'stopped': when: ")


SIGNS = {"<": operator.lt, ">=": operator.ge, "!=": operator.ne}
CONDITIONS = st.builds(
    ChannelCondition,
    channel=st.integers(0, 1),
    comparison=st.sampled_from(sorted(SIGNS)),
    number=st.sampled_from([0.0, 1.0]),
    settle_ns=st.sampled_from([0, 1, 3]),
)
ROWS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([0.0, 1.0, 2.0, NAN]),
        st.sampled_from([0.0, 1.0, NAN]),
    ),
    max_size=20,
)


def slowly(conditions, rows):
    """Which rows are off: one row and one condition at a time, as the text says."""
    holds, until = [False] * len(conditions), [-(10**9)] * len(conditions)
    found = []
    for ts, *values in rows:
        why = -1
        for place, condition in reversed(list(enumerate(conditions))):
            value = values[condition.channel]
            if value == value:  # noqa: PLR0124 - NaN is the one that is not
                now = SIGNS[condition.comparison](value, condition.number)
                if holds[place] and not now:
                    until[place] = ts + condition.settle_ns
                holds[place] = now
            if holds[place] or ts < until[place]:
                why = place
        found.append(why)
    return found


@given(
    conditions=st.lists(CONDITIONS, min_size=1, max_size=3),
    steps=ROWS,
    begin=st.sampled_from([-30, 0, 10**18]),
    cuts=st.sets(st.integers(0, 20)),
)
@settings(max_examples=400)
def test_no_cut_changes_which_readings_are_off(conditions, steps, begin, cuts):
    entries = [
        OffRule(name=f"entry {i}", sensors=("*",), reason=reason)
        for i, reason in enumerate(conditions)
    ]
    times = begin + np.cumsum([step[0] for step in steps], dtype=np.int64)
    values = np.array([step[1:] for step in steps]).reshape(-1, 2)
    sensor = OffRules(entries).for_sensor("any")
    assert sensor is not None

    until: UntilNs = {}
    why = []
    for own_times, own_values in zip(
        np.split(times, sorted(cuts)), np.split(values, sorted(cuts)), strict=True
    ):
        found = sensor.mask(own_times, own_values, until)
        until = found.until_ns
        why += found.why.tolist()
        assert found.off.tolist() == (found.why >= 0).tolist()

    rows = [(int(ts), *row) for ts, row in zip(times, values.tolist(), strict=True)]
    assert why == slowly(conditions, rows)
    assert until == sensor.mask(times, values, {}).until_ns

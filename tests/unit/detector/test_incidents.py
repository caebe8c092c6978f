"""Alarms counted in incidents, against small cases by hand and a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detector.evaluation import (
    AlarmCounts,
    bootstrap_mean,
    count_alarms,
    hit_rate,
    merged_runs,
    ndcg,
)
from detector.signal.series import true_runs


def rows_of(n, *ranges):
    mask = np.zeros(n, dtype=bool)
    for start, end in ranges:
        mask[start:end] = True
    return mask


def incidents_of(*ranges):
    return np.array(ranges, dtype=np.int64).reshape(-1, 2)


def slow_merged(flags, gap):
    merged: list[list[int]] = []
    for row, flag in enumerate(flags):
        if flag and merged and row - merged[-1][1] < gap:
            merged[-1][1] = row + 1
        elif flag:
            merged.append([row, row + 1])
    return merged


def slow_count(incidents, labels, judged, rate):
    """Row by row, from the words of the definition."""
    n = len(labels)
    start_of_judging = next(row for row in range(n) if judged[row])
    openings, alarm = [], [False] * n
    for start, end in incidents:
        if end <= start_of_judging:
            continue
        openings.append(max(start, start_of_judging))
        for row in range(start, end):
            alarm[row] = bool(judged[row])
    openings = [row for row in openings if judged[row]]
    false = sum(not labels[row] and not any(labels[row : row + 16]) for row in openings)
    found, delays, events = 0, [], true_runs(labels & judged).tolist()
    for start, end in events:
        found += any(alarm[start:end])
        mine = [row for row in openings if start - 16 < row < end]
        if mine:
            delays.append(max(mine[0] - start, 0))
    normal = [row for row in range(n) if judged[row] and not labels[row]]
    return {
        "asked": rate * len(normal),
        "incidents": len(openings),
        "false": false,
        "events": len(events),
        "found": found,
        "opened": len(delays),
        "delays": delays,
        "alarm_rows": sum(alarm),
        "normal_alarm_rows": sum(alarm[row] for row in normal),
        "normal_rows": len(normal),
    }


@st.composite
def cases(draw):
    n = draw(st.integers(1, 90))
    labels = rows_of(n, *draw(st.lists(ranges(n), max_size=3)))
    judged = rows_of(n, *draw(st.lists(ranges(n), max_size=3)))
    judged[draw(st.integers(0, n - 1))] = True
    incidents = merged_runs(rows_of(n, *draw(st.lists(ranges(n), max_size=5))), gap=2)
    return incidents, labels, judged


def ranges(n):
    return st.tuples(st.integers(0, n - 1), st.integers(1, 25)).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1])
    )


@settings(max_examples=300, deadline=None)
@given(case=cases(), rate=st.sampled_from([0.0, 0.002, 0.1]))
def test_counts_equal_the_slow_twin_s(case, rate):
    incidents, labels, judged = case

    counted = count_alarms(incidents, labels, judged, rate=rate)

    expected = slow_count(incidents.tolist(), labels, judged, rate)
    assert {name: getattr(counted, name) for name in expected if name != "delays"} == {
        name: pytest.approx(value) for name, value in expected.items() if name != "delays"
    }
    assert counted.delays.tolist() == expected["delays"]


@given(flags=arrays(np.bool_, st.integers(0, 60)), gap=st.integers(1, 20))
def test_merged_runs_equal_the_slow_twin_s(flags, gap):
    assert merged_runs(flags, gap=gap).tolist() == slow_merged(flags.tolist(), gap)


def test_an_incident_just_before_an_event_is_the_event_s_and_one_earlier_is_false():
    labels, judged = rows_of(100, (50, 60)), rows_of(100, (0, 100))

    early = count_alarms(incidents_of((35, 37)), labels, judged, rate=0.01)
    earlier = count_alarms(incidents_of((34, 37)), labels, judged, rate=0.01)

    assert (early.false, early.opened, early.delays.tolist(), early.found) == (0, 1, [0], 0)
    assert (earlier.false, earlier.opened, earlier.delays.tolist()) == (1, 0, [])


def test_an_alarm_that_is_open_all_the_time_finds_the_event_but_did_not_open_in_it():
    labels, judged = rows_of(100, (50, 60)), rows_of(100, (20, 100))

    counted = count_alarms(incidents_of((0, 100)), labels, judged, rate=0.01)

    assert (counted.found, counted.opened, counted.false) == (1, 0, 1)
    assert counted.normal_alarm_share == 1.0


def make_counts(asked, false):
    return AlarmCounts(
        asked=asked,
        incidents=false,
        false=false,
        events=0,
        found=0,
        opened=0,
        delays=np.zeros(0, dtype=np.int64),
        alarm_rows=0,
        normal_alarm_rows=0,
        normal_rows=10,
    )


@pytest.mark.parametrize(
    ("asked", "false", "at_most_twice", "within_twice"),
    [
        (0.2, 1, True, False),
        (0.2, 2, False, False),
        (2.0, 4, True, True),
        (2.0, 5, False, False),
        (2.0, 1, True, True),
        (2.0, 0, True, False),
    ],
)
def test_the_budget_lets_one_incident_pass_where_little_was_asked(
    asked, false, at_most_twice, within_twice
):
    counts = make_counts(asked, false)

    assert counts.at_most_twice is at_most_twice
    assert counts.within_twice is within_twice


def test_unusable_incidents_are_rejected():
    with pytest.raises(ValueError, match="no row is judged"):
        count_alarms(incidents_of(), rows_of(3), rows_of(3), rate=0.1)
    with pytest.raises(ValueError, match=r"must lie in 0\.\.3"):
        count_alarms(incidents_of((1, 4)), rows_of(3), rows_of(3, (0, 3)), rate=0.1)


def test_hit_rate_counts_responsible_channels_among_the_first():
    relevant = np.array([True, False, True, False, False])
    blame = np.array([0.9, 0.8, 0.7, 0.1, 0.0])

    assert hit_rate(relevant, blame) == 0.5
    assert hit_rate(relevant, blame, share=1.5) == 1.0
    assert ndcg(relevant, blame) == pytest.approx(1.0 / (1.0 + 1.0 / np.log2(3)))


def test_channels_blamed_alike_are_taken_in_the_worst_order():
    relevant = np.array([True, False, False])

    assert hit_rate(relevant, np.zeros(3)) == 0.0
    assert ndcg(relevant, np.zeros(3)) == 0.0


def test_an_explanation_without_a_responsible_channel_cannot_be_judged():
    with pytest.raises(ValueError, match="a responsible one"):
        hit_rate(np.zeros(3, dtype=bool), np.zeros(3))
    with pytest.raises(ValueError, match="share must be > 0"):
        hit_rate(np.ones(3, dtype=bool), np.zeros(3), share=0.0)


def test_a_bootstrap_interval_holds_the_mean_and_its_seed_reproduces_it():
    values = np.array([0.1, 0.2, np.nan, 0.6, 0.9])

    interval = bootstrap_mean(values, np.random.default_rng(3))

    assert interval.mean == pytest.approx(0.45)
    assert 0.1 <= interval.low < 0.45 < interval.high <= 0.9
    assert interval == bootstrap_mean(values, np.random.default_rng(3))


def test_a_bootstrap_of_nothing_is_not_a_number():
    assert np.isnan(bootstrap_mean(np.array([np.nan]), np.random.default_rng(0)).mean)


def test_a_bootstrap_interval_is_about_two_standard_errors_to_each_side():
    values = np.random.default_rng(0).normal(size=400)

    interval = bootstrap_mean(values, np.random.default_rng(1))

    error = values.std() / 20
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.05)

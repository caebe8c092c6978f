"""Incidents of the last day and week against the budget, of sensors and of the desk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.calibration.budget import DAY_S, WEEK_S, Allowance
from workers.stream.state.alarm_model import AlarmModel, AlarmPolicy
from workers.stream.state.alarm_table import (
    QUARTER_NS,
    ROW,
    ROW_VERSION,
    AlarmTable,
    openings,
    packed,
    unpacked,
)
from workers.stream.state.budget_use import MOST_NAMED, BudgetUse, SensorUse, budget_use

NOW_NS = 1_800_000_000 * 10**9 // QUARTER_NS * QUARTER_NS + QUARTER_NS // 2
DAY_NS = int(DAY_S) * 10**9
WEEKLY = Allowance(sensor_per_s=1 / WEEK_S)
MODEL = AlarmModel(
    version="1",
    channels=("x",),
    rule=None,
    watch=None,
    likeness=None,
    policy=AlarmPolicy(),
    totals=np.ones(2),
    thresholds=np.ones((2, 1)),
    bands=np.ones((1, 1)),
)


def table_of(*incidents: list[int], last_ns: int = NOW_NS) -> AlarmTable:
    """Sensors whose incidents opened at these times, and who all had a reading at the last."""
    table = AlarmTable(MODEL, len(incidents))
    table.begin(np.arange(len(incidents)), np.zeros(len(incidents), np.int64))
    table.rows["last_ns"] = last_ns
    for row, times in enumerate(incidents):
        for ts_ns in sorted(times):
            table.count_opening(row, ts_ns)
    return table


def use_of(table: AlarmTable, allowance: Allowance | None = WEEKLY, *, open_: int = 0) -> BudgetUse:
    names = [f"s{number}" for number in range(len(table.rows))]
    return budget_use(names, table.rows, allowance, open_)


def test_incidents_of_a_silent_sensor_age_out_as_the_others_time_goes_on():
    table = table_of([NOW_NS - 1, NOW_NS - 2], [])
    assert (use_of(table).day, use_of(table).over) == (2, 1)
    table.rows["last_ns"][1] = NOW_NS + 2 * DAY_NS
    assert (use_of(table).day, use_of(table).week, use_of(table).sensors) == (0, 2, 2)
    table.rows["last_ns"][1] = NOW_NS + 9 * DAY_NS
    after = use_of(table)
    assert (after.week, after.over, after.farthest, after.sensors) == (0, 0, (), 1)


@given(ages=st.lists(st.integers(0, 60), max_size=30))
def test_a_day_are_four_quarters_and_a_week_twenty_eight(ages):
    table = table_of([NOW_NS - age * QUARTER_NS for age in ages])
    day, week = openings(table.rows, NOW_NS)
    assert day.tolist() == [sum(age < 4 for age in ages)]
    assert week.tolist() == [sum(age < 28 for age in ages)]


@pytest.mark.parametrize(
    ("times", "over"),
    [([], 0), ([0], 0), ([3], 0), ([1, 3], 1), ([3, 4], 1), ([3, 9], 0)],
)
def test_one_incident_is_never_too_many_and_a_second_one_in_the_week_is(times, over):
    use = use_of(table_of([NOW_NS - days * DAY_NS for days in times]))
    assert use.over == over


def test_a_day_can_be_over_a_budget_that_the_week_keeps():
    allowance = Allowance(sensor_per_s=14 / WEEK_S)
    assert use_of(table_of([NOW_NS] * 2), allowance).over == 0
    assert use_of(table_of([NOW_NS] * 3), allowance).over == 1


def test_without_a_budget_incidents_are_counted_and_nobody_is_over():
    use = use_of(table_of([NOW_NS] * 9), None)
    assert (use.day, use.over, use.desk_day, use.desk_week) == (9, 0, None, None)


def test_the_farthest_over_are_named_and_only_so_many():
    use = use_of(table_of(*([NOW_NS - 2 * DAY_NS] * n for n in range(20)), [NOW_NS] * 19))
    assert use.over == 19
    assert use.farthest[:2] == (SensorUse("s20", 19, 19), SensorUse("s19", 0, 19))
    assert len(use.farthest) == MOST_NAMED


def test_partitions_add_up_and_name_the_farthest_of_all():
    one = use_of(table_of([NOW_NS] * 3, []), open_=1)
    other = use_of(table_of([NOW_NS] * 5, last_ns=NOW_NS + DAY_NS // 2))
    both = BudgetUse() + one + other
    assert (both.sensors, both.day, both.week, both.open, both.over) == (3, 8, 8, 1, 2)
    assert [at.week for at in both.farthest] == [5, 3]
    assert both.desk_week == 3.0


def test_a_budget_of_the_desk_allows_the_same_whatever_the_number_of_sensors():
    budget = {"false_alarms": 10.0, "per_s": DAY_S, "scope": "desk"}
    desk = Allowance.of(1e-5, interval_s=2.0, training={"budget": budget})
    assert (desk.desk(DAY_S, 1), desk.desk(WEEK_S, 5_000)) == (10.0, 70.0)
    each = Allowance.of(1e-5, interval_s=2.0, training={"budget": budget | {"scope": "sensor"}})
    assert each.desk(DAY_S, 100) == pytest.approx(100 * each.sensor(DAY_S))
    assert each.sensor(DAY_S) == desk.sensor(DAY_S) == pytest.approx(0.432)


@pytest.mark.parametrize("mean", [0.2, 1.0, 2.5, 900.0])
def test_the_chance_to_be_over_a_budget_is_that_of_counts_drawn_at_it(mean):
    drawn = np.random.default_rng(1).poisson(mean, 100_000)
    chance = Allowance(sensor_per_s=mean / WEEK_S).chance_over(WEEK_S)
    assert chance == pytest.approx((drawn > max(mean, 1)).mean(), abs=0.01)


def test_incidents_of_the_model_before_count_although_no_reading_came_yet():
    """With another model the sensor's state begins anew, but not its openings."""
    table = table_of([NOW_NS, NOW_NS - 5 * DAY_NS], last_ns=np.iinfo(np.int64).min)
    use = use_of(table)
    assert (use.day, use.week, use.sensors) == (1, 2, 0)


def test_no_sensor_is_no_incident():
    assert use_of(table_of()) == BudgetUse(allowance=WEEKLY)


def test_rows_come_back_as_they_were_recorded_and_can_be_changed():
    rows = table_of([NOW_NS], [NOW_NS] * 3).rows
    back, known = unpacked((ROW_VERSION, state.decode()) for state in packed(rows))
    assert known.all()
    assert back.tobytes() == rows.tobytes()
    back["quarter"] += 1


def test_rows_of_another_version_or_damaged_are_not_known():
    (good,) = (state.decode() for state in packed(table_of([NOW_NS]).rows))
    states = [
        (ROW_VERSION + 1, good), (ROW_VERSION, good[:-4]), (ROW_VERSION, ""),
        (ROW_VERSION, "!" + good[1:]), (ROW_VERSION, "ä" + good[1:]), (ROW_VERSION, good),
    ]  # fmt: skip
    rows, known = unpacked(states)
    assert known.tolist() == [False] * 5 + [True]
    assert not any(rows[:5].tobytes())
    assert (unpacked([])[0].dtype, len(unpacked([])[0])) == (ROW, 0)

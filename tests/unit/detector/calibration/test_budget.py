import numpy as np
import pytest

from detector.calibration.budget import (
    SHORTEST_INCIDENT,
    AlarmBudget,
    Basis,
    Scope,
    worth,
)

HOUR_S, DAY_S, WEEK_S = 3_600.0, 86_400.0, 604_800.0


def test_a_budget_of_one_a_week_at_one_a_second():
    assert AlarmBudget().rate(1.0) == pytest.approx(1 / 604_800)
    assert AlarmBudget(false_alarms=2.0, per_s=DAY_S).rate(10.0) == pytest.approx(20 / DAY_S)


def test_a_budget_for_the_desk_is_divided_by_its_sensors():
    desk = AlarmBudget(false_alarms=10.0, per_s=DAY_S, scope=Scope.DESK)

    assert desk.rate(1.0, sensors=1000) == pytest.approx(0.01 / DAY_S)
    assert AlarmBudget().rate(1.0, sensors=1000) == AlarmBudget().rate(1.0)


@pytest.mark.parametrize(
    ("alarms", "per_s"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (float("nan"), 1.0)]
)
def test_a_budget_that_is_none_is_rejected(alarms, per_s):
    with pytest.raises(ValueError, match="greater than zero"):
        AlarmBudget(false_alarms=alarms, per_s=per_s)


@pytest.mark.parametrize(
    ("text", "false_alarms", "per_s", "scope"),
    [
        ("1 per week", 1.0, WEEK_S, "sensor"),
        ("2 per 3 days", 2.0, 3 * DAY_S, "sensor"),
        ("0.5/day", 0.5, DAY_S, "sensor"),
        (" 3 a month ", 3.0, 30.4375 * DAY_S, "sensor"),
        ("1 an hour", 1.0, HOUR_S, "sensor"),
        ("10 in 2 Weeks", 10.0, 14 * DAY_S, "sensor"),
        ("1 per sensor and week", 1.0, WEEK_S, "sensor"),
        ("1 per week per sensor", 1.0, WEEK_S, "sensor"),
        ("10 per day for the desk", 10.0, DAY_S, "desk"),
        ("10 a day for all sensors", 10.0, DAY_S, "desk"),
        ("10 per day in all", 10.0, DAY_S, "desk"),
    ],
)
def test_a_budget_reads_as_it_is_said(text, false_alarms, per_s, scope):
    wanted = AlarmBudget(false_alarms=false_alarms, per_s=per_s, scope=Scope(scope))

    assert AlarmBudget.parse(text) == wanted
    assert AlarmBudget.parse(str(wanted)).rate(1.0) == pytest.approx(wanted.rate(1.0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "week",
        "1 per fortnight",
        "one per week",
        "0 per week",
        "1 per 0 days",
        "-1 a day",
        "1 per sensor and week for the desk",
    ],
)
def test_what_is_no_budget_is_rejected_with_the_form_that_is(text):
    with pytest.raises(ValueError, match=r"per week|greater than zero"):
        AlarmBudget.parse(text)


def test_a_budget_of_incidents_without_room_between_them_is_rejected():
    just = AlarmBudget(false_alarms=1.0, per_s=SHORTEST_INCIDENT)
    assert just.rate(1.0) == 1 / SHORTEST_INCIDENT

    with pytest.raises(ValueError, match="leaves 31 readings to each false incident"):
        AlarmBudget(false_alarms=1.0, per_s=SHORTEST_INCIDENT - 1).rate(1.0)


def test_one_a_week_of_two_hours_of_one_machine_names_the_smallest_honest_budget():
    """Two hours at one reading a second; three false incidents expected is the least to count."""
    said = worth(AlarmBudget(), interval_s=1.0, readings=7_200, independent=28)

    assert said.basis is Basis.HOPED
    assert said.smallest == AlarmBudget(false_alarms=2.0, per_s=HOUR_S)
    assert said.warning is not None
    assert "2 hours of calibration of one sensor (28 independent stretches)" in said.warning
    assert "smallest honest budget is 2 per sensor and hour" in said.warning


def test_a_fleet_certifies_what_one_machine_cannot():
    alone = worth(AlarmBudget.parse("1 per day"), interval_s=1.0, readings=86_400, independent=300)
    fleet = worth(
        AlarmBudget.parse("1 per day"),
        interval_s=1.0,
        readings=86_400 * 8,
        independent=2_400,
        sensors=8,
    )

    assert alone.basis is Basis.EXTRAPOLATED
    assert "estimate from the tail" in str(alone)
    assert fleet.basis is Basis.COUNTED
    assert fleet.warning is None
    assert "8 sensors together" in str(fleet)


def test_the_smallest_honest_budget_is_honest():
    """Asking for what the warning names brings no warning."""
    for readings in (10, 400, 7_200, 10**6):
        for scope in Scope:
            asked = AlarmBudget(false_alarms=1e-6, per_s=WEEK_S, scope=scope)
            said = worth(asked, interval_s=5.0, readings=readings, independent=99, sensors=4)
            again = worth(
                said.smallest, interval_s=5.0, readings=readings, independent=99, sensors=4
            )
            assert again.basis is Basis.COUNTED or readings <= 3 * SHORTEST_INCIDENT


def test_too_few_independent_stretches_count_for_nothing_however_many_readings():
    said = worth(AlarmBudget.parse("1 per hour"), interval_s=1.0, readings=10**6, independent=3)

    assert said.basis is Basis.EXTRAPOLATED
    assert "less than 10 independent stretches" in str(said)


def test_a_history_of_nothing_is_rejected():
    with pytest.raises(ValueError, match="needs readings"):
        worth(AlarmBudget(), interval_s=1.0, readings=0, independent=0)


def test_counted_means_what_it_says():
    """With three incidents expected, a Poisson count of none has a chance of one in twenty."""
    said = worth(AlarmBudget.parse("3 per hour"), interval_s=1.0, readings=3_600, independent=20)
    assert said.basis is Basis.COUNTED

    seen = np.random.default_rng(1).poisson(said.expected, 100_000)

    assert (seen == 0).mean() == pytest.approx(0.05, abs=0.003)

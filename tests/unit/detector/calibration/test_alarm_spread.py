"""What an incident teaches of the spread, and what it gives back."""

import pytest

from detector.calibration import alarm_records
from detector.calibration.alarm_rule import EndReason
from tests.support.alarm_rules import make_rule, run, with_step


def test_a_second_equal_event_some_minutes_later_is_found():
    """What the first one taught of spread was its own; kept, it would hide the second."""
    levels = with_step(3_000, 500, 300, 8.0)
    levels[1_200:1_500] += 8.0
    out = run(make_rule(), levels)

    assert [one.first for one in out.opened] == [501, 1_201]
    assert [one.reason for one in out.ended] == [EndReason.RECOVERED] * 2


def test_an_incident_that_recovered_gives_the_spreads_back_and_not_the_centres():
    rule, levels = make_rule(), with_step(3_000, 500, 300, 8.0)
    before = run(rule, levels[:500]).states.view(alarm_records.STATE)[0, 0]
    (ended,) = run(rule, levels).ended
    closed = run(rule, levels[: ended.last + 1]).states.view(alarm_records.STATE)[0, 0]

    for view in ("long", "short"):  # the row that closes is a row of learning, too
        assert closed[f"spread_{view}"] == pytest.approx(before[f"spread_{view}"], rel=0.01)
        assert closed[f"centre_{view}"] > before[f"centre_{view}"] + 1.0


def test_a_new_normal_keeps_the_spread_that_it_was_learnt_with():
    levels = with_step(3_000, 500, 2_500, 40.0)
    before, after = (
        run(make_rule(), levels[:rows]).states.view(alarm_records.STATE)[0, 0]
        for rows in (500, 501 + 1_400)
    )

    assert after["reason"] == EndReason.NEW_NORMAL
    assert after["spread_long"] > 2 * before["spread_long"]

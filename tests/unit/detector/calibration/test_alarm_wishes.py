"""What people say to the alarm rule, and what becomes of a sensor then."""

import numpy as np
import pytest

from detector.calibration.alarm_records import STATE
from detector.calibration.alarm_rule import EndReason, Ruling, open_incidents
from detector.calibration.alarm_wishes import begin_anew, forget, forgive, mark_fault, revert
from tests.support.alarm_rules import ONE, make_rule, noise, ruled, run, with_step

LEARNT = ("centre_long", "spread_long", "centre_short", "spread_short")


def column(states, name):
    return float(states.view(STATE)[0, 0][name])


def go_on(rule, levels, states, rulings=None):
    return rule.advance(levels, np.array([len(levels)]), ONE, states, rulings)


def begun(rule, states):
    return begin_anew(states, rule, ONE)


def test_a_new_normal_ends_the_incident_at_the_next_row_without_a_charge():
    rule, levels = make_rule(accept=0.0), with_step(3_000, 500, 2_500, 12.0)
    states, _ = begun(rule, run(rule, levels[:900]).states)
    out = go_on(rule, levels[900:], states)

    assert len(open_incidents(states)) == 1
    (ended,) = out.ended
    assert (ended.first, ended.last, ended.ended) == (501, 899, 900)
    assert (ended.reason, ended.charge) == (EndReason.NEW_NORMAL, 0.0)
    assert not out.alarm.any()
    assert not out.opened


def test_an_incident_ends_at_the_next_row_even_if_it_is_not_scored():
    rule = make_rule(accept=0.0)
    states, _ = begun(rule, run(rule, with_step(600, 500, 100, 12.0)).states)
    (ended,) = go_on(rule, np.full((1, 2), np.nan), states).ended

    assert (ended.ended, ended.reason) == (600, EndReason.NEW_NORMAL)


def test_a_new_normal_that_meets_a_raised_row_opens_the_next_incident():
    rule = make_rule(accept=0.0)
    states, _ = begun(rule, run(rule, with_step(600, 500, 100, 12.0)).states)
    out = go_on(rule, noise(1) + 12.0, states, np.array([Ruling.RAISED], np.int8))

    assert [one.ended for one in out.ended] == [600]
    assert [one.first for one in out.opened] == [600]


def test_an_incident_that_had_recovered_keeps_its_reason():
    rule, levels = make_rule(merge_gap=500), with_step(1_000, 500, 100, 12.0)
    states, _ = begun(rule, run(rule, levels[:700]).states)
    (ended,) = go_on(rule, levels[700:], states).ended

    assert (ended.ended, ended.reason) == (700, EndReason.RECOVERED)


def test_an_incident_that_was_not_reported_is_dropped():
    rule, levels = make_rule(shortest=300), with_step(1_000, 500, 500, 12.0)
    states, _ = begun(rule, run(rule, levels[:600]).states)
    out = go_on(rule, levels[600:], states)

    assert not open_incidents(states)
    assert not out.ended
    assert not out.opened


def test_a_new_reference_is_the_running_mean_of_its_first_rows():
    rule, levels = make_rule(), noise(2_500, seed=2) + 30.0
    states, _ = begun(rule, run(rule, noise(500)).states)

    for rows in (1, 2, 10, 300):
        after = go_on(rule, levels[:rows], states).states
        assert column(after, "centre_long") == pytest.approx(levels[:rows, 0].mean())
        assert column(after, "centre_short") == pytest.approx(levels[:rows, 1].mean())
    assert column(go_on(rule, levels, states).states, "learnt_long") == 2_000.0


def test_a_row_over_the_bars_before_a_new_normal_opens_nothing_after_it():
    rule, levels = make_rule(), noise(600)
    levels[[499, 501]] += 12.0
    states = run(rule, levels[:500]).states

    assert len(go_on(rule, levels[500:], states).opened) == 1
    assert not go_on(rule, levels[500:], begun(rule, states)[0]).opened


def test_a_view_that_is_not_known_yet_begins_when_it_is():
    rule, levels = make_rule(), noise(400) + 30.0
    levels[:300, 0] = np.nan
    states, _ = begun(rule, run(rule, noise(500)).states)
    out = go_on(rule, levels, states)

    assert not out.opened
    assert column(out.states, "centre_long") == pytest.approx(levels[300:, 0].mean())
    assert column(out.states, "learnt_long") == 100.0


@pytest.mark.parametrize("ruling", [Ruling.RAISED, Ruling.FORGOTTEN, Ruling.OFF])
def test_what_is_no_normal_row_is_no_beginning(ruling):
    rule, levels = make_rule(), noise(100) + 30.0
    states, _ = begun(rule, run(rule, noise(500)).states)
    levels[:40] += 60.0
    out = go_on(rule, levels, states, ruled(100, 0, 40, ruling))

    assert column(out.states, "centre_long") < 35.0


def test_a_lower_new_normal_lowers_no_bar():
    rule = make_rule()
    begin = run(rule, noise(500)).states
    states, _ = begun(rule, begin)
    lower, same = (go_on(rule, noise(600) + by, states).threshold[0] for by in (-9.0, 0.0))

    assert lower == pytest.approx(same, rel=0.1)


def test_a_new_normal_is_found_to_be_left_again():
    rule = make_rule()
    states, _ = begun(rule, run(rule, with_step(900, 500, 400, 12.0)).states)
    later = noise(3_000) + 12.0
    later[2_000:2_100] += 12.0

    assert [one.first for one in go_on(rule, later, states).opened] == [900 + 2_001]


def test_reverted_the_reference_is_what_it_was():
    rule = make_rule()
    before = run(rule, noise(5_000)).states
    states, reference = begun(rule, before)
    anew = go_on(rule, noise(300) + 12.0, states).states
    again = revert(anew, reference)

    assert reference.shape == (1, 6)
    assert [column(again, name) for name in LEARNT] == [column(before, name) for name in LEARNT]
    out = go_on(rule, noise(3_000, seed=1) + 12.0, again)
    assert out.opened[0].first == 5_301


def test_reverted_an_incident_gives_no_other_spread_back():
    rule = make_rule(learning=0.0)
    states, reference = begun(rule, run(rule, noise(5_000)).states)
    anew = go_on(rule, with_step(300, 250, 50, 12.0), states).states
    assert open_incidents(anew)
    out = go_on(rule, noise(30), revert(anew, reference))

    assert column(out.states, "spread_long") == pytest.approx(reference[0, 2], rel=0.02)


def test_of_a_sensor_in_alarm_the_spread_before_the_alarm_is_kept():
    rule, levels = make_rule(), with_step(900, 500, 400, 12.0)
    _, reference = begun(rule, run(rule, levels).states)

    assert reference[0, 2] == column(run(rule, levels[:501]).states, "spread_long")


def test_forgotten_a_sensor_is_what_it_was_on_its_first_day_and_still_in_alarm():
    rule, levels = make_rule(), with_step(5_300, 5_000, 300, 12.0)
    before = run(rule, levels).states
    after = forget(before, rule, ONE)
    start = rule.start(ONE)

    names = (*LEARNT, "offset", "learnt_long")
    assert [column(after, name) for name in names] == [column(start, name) for name in names]
    assert open_incidents(after) == open_incidents(before)
    (ended,) = go_on(rule, noise(300), after).ended
    assert ended.reason is EndReason.RECOVERED
    spread = column(go_on(rule, noise(30), after).states, "spread_long")
    assert spread == pytest.approx(column(start, "spread_long"), rel=0.02)


def test_a_charge_that_is_forgiven_lifts_the_bar_no_longer():
    rule, levels = make_rule(), with_step(900, 500, 60, 12.0)
    out = run(rule, levels)
    (ended,) = out.ended
    after = forgive(out.states, rule, np.array([ended.charge]))

    without = run(rule, noise(900)).states
    assert ended.charge > 0.8
    assert column(after, "offset") == pytest.approx(column(without, "offset"))


def test_what_has_sunk_since_is_not_forgiven_twice():
    rule = make_rule()
    states = run(rule, noise(20_000)).states

    assert column(forgive(states, rule, np.array([5.0])), "offset") == rule.dials.lowest


def test_a_fault_costs_and_teaches_nothing_and_is_never_accepted():
    rule, levels = make_rule(), with_step(5_000, 500, 4_000, 12.0)
    states = run(rule, levels[:502]).states
    marked = mark_fault(states, rule)
    out = go_on(rule, levels[502:], marked)

    (ended,) = out.ended
    assert (ended.reason, ended.charge) == (EndReason.RECOVERED, 0.0)
    assert 4_500 <= ended.last < 4_540
    during = go_on(rule, levels[502:4_000], marked).states
    assert [column(during, name) for name in LEARNT] == [column(states, name) for name in LEARNT]


def test_a_fault_that_may_be_taken_up_again_is_forgiven():
    rule, levels = make_rule(merge_gap=500), with_step(900, 500, 60, 12.0)
    pending = run(rule, levels[:700]).states
    (known,) = open_incidents(pending)
    marked = mark_fault(pending, rule)

    assert known.charge > 0.8
    assert open_incidents(marked)[0].charge == 0.0
    assert column(marked, "offset") == column(pending, "offset") - known.charge


@pytest.mark.parametrize(
    "levels", [noise(900), with_step(900, 500, 60, 12.0)], ids=["none", "over"]
)
def test_without_an_incident_there_is_no_fault(levels):
    rule = make_rule()
    states = run(rule, levels).states

    np.testing.assert_array_equal(mark_fault(states, rule), states)


def test_wishes_leave_the_states_that_they_were_given():
    rule = make_rule()
    states = run(rule, with_step(600, 500, 100, 12.0)).states
    kept = states.copy()
    _, reference = begun(rule, states)
    revert(states, reference)
    forget(states, rule, ONE)
    forgive(states, rule, np.array([1.0]))
    mark_fault(states, rule)

    np.testing.assert_array_equal(states, kept)

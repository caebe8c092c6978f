"""What rules, wishes and calendars say of rows, beside their levels."""

import numpy as np
import pytest

from detector.calibration.alarm_records import STATE
from detector.calibration.alarm_rule import EndReason, Fired, Ruling, open_incidents
from tests.support.alarm_rules import make_rule, noise, random_levels, ruled, run, with_step

LEARNT = ("centre_long", "spread_long", "centre_short", "spread_short", "offset")


def state(out):
    return out.states.view(STATE)[0, 0]


def learnt(out):
    return [float(state(out)[name]) for name in LEARNT]


def test_no_rulings_are_rulings_of_nothing():
    levels = random_levels(np.random.default_rng(4), 3_000)
    rule = make_rule(rate=1 / 300, memory=150.0)
    without, nothing = run(rule, levels), run(rule, levels, np.zeros(3_000, np.int8))

    np.testing.assert_array_equal(without.states, nothing.states)
    assert (without.opened, without.ended) == (nothing.opened, nothing.ended)


def test_rows_held_back_open_nothing_and_keep_their_strength():
    levels = with_step(2_000, 500, 100, 12.0)
    out = run(make_rule(), levels, ruled(2_000, 400, 400, Ruling.HELD))

    assert not out.opened
    assert not out.alarm.any()
    assert (out.strength[501:600] > 0).all()
    assert state(out)["centre_long"] < 1.0  # learnt like quiet rows, over 2,000 of them


def test_rows_held_back_are_calm_and_raise_no_peak():
    levels = with_step(2_000, 500, 400, 12.0)
    levels[520:900] += 30.0
    out = run(make_rule(), levels, ruled(2_000, 520, 480, Ruling.HELD))

    (ended,) = out.ended
    assert ended.last == 520 + 23
    assert ended.reason is EndReason.RECOVERED
    assert ended.peak == out.strength[501:520].max()
    assert ended.peak < out.strength[520:540].max()


def test_a_row_held_back_between_two_does_not_count():
    levels = noise(1_000)
    levels[[500, 502]] += 12.0

    assert len(run(make_rule(), levels).opened) == 1
    assert not run(make_rule(), levels, ruled(1_000, 500, 1, Ruling.HELD)).opened


def test_a_raised_row_opens_at_once_and_costs_nothing():
    quiet = run(make_rule(), noise(2_000))
    out = run(make_rule(), noise(2_000), ruled(2_000, 700, 30, Ruling.RAISED))

    (ended,) = out.ended
    assert (ended.first, ended.opened, ended.fired) == (700, 700, Fired.RULE)
    assert (ended.strength, ended.charge) == (0.0, 0.0)
    assert ended.reason is EndReason.RECOVERED
    assert ended.last == 729 + 24
    assert state(out)["offset"] == state(quiet)["offset"]


def test_a_raised_incident_that_the_levels_would_have_opened_is_charged():
    levels = with_step(2_000, 710, 60, 12.0)
    (ended,) = run(make_rule(), levels, ruled(2_000, 700, 30, Ruling.RAISED)).ended

    assert (ended.first, ended.fired) == (700, Fired.RULE)
    assert ended.charge > 0.8
    assert ended.peak > 5.0


def test_what_the_levels_open_at_a_raised_row_is_theirs():
    levels = with_step(2_000, 500, 60, 12.0)
    (opened,) = run(make_rule(), levels, ruled(2_000, 501, 10, Ruling.RAISED)).opened

    assert opened.fired is Fired.SHORT


def test_a_raised_incident_is_neither_calm_nor_accepted_nor_learnt_but_cut():
    rule = make_rule(memory=100.0, longest=1_000)
    levels = with_step(3_000, 500, 2_500, 12.0)
    out = run(rule, levels, ruled(3_000, 490, 2_510, Ruling.RAISED))
    before = run(rule, levels[:490])

    assert [one.reason for one in out.ended] == [EndReason.MAXIMUM_DURATION] * 2
    assert [one.first for one in out.opened] == [490, 1_490, 2_490]
    assert learnt(out)[:4] == learnt(before)[:4]


def test_a_raised_row_without_levels_opens_and_lasts_and_teaches_nothing():
    levels = noise(600)
    levels[:300] = np.nan
    out = run(make_rule(), levels, ruled(600, 100, 50, Ruling.RAISED))
    start = run(make_rule(), levels[:300])

    (opened,) = out.opened
    assert (opened.first, opened.opened, opened.fired, opened.peak) == (100, 100, Fired.RULE, 0.0)
    assert np.isnan(out.threshold[100:150]).all()
    assert out.alarm[100:150].all()
    assert not out.alarm[150:300].any()
    assert learnt(run(make_rule(), levels[:150], ruled(150, 100, 50, 2))) == learnt(start)
    (ended,) = out.ended
    assert ended.reason is EndReason.RECOVERED
    assert ended.last == 300 + 23


def test_raised_rows_without_levels_are_cut_and_go_on():
    levels = np.full((200, 2), np.nan)
    out = run(make_rule(longest=64), levels, np.full(200, Ruling.RAISED, np.int8))

    assert [one.first for one in out.opened] == [0, 64, 128, 192]
    assert [one.reason for one in out.ended] == [EndReason.MAXIMUM_DURATION] * 3


@pytest.mark.parametrize("levels", [noise(300), np.full((300, 2), np.nan)], ids=["scored", "not"])
def test_a_raised_incident_is_reported_when_it_has_lasted(levels):
    out = run(make_rule(shortest=10), levels, ruled(300, 100, 20, Ruling.RAISED))
    never = run(make_rule(shortest=100), levels, ruled(300, 100, 20, Ruling.RAISED))

    assert [(one.first, one.opened) for one in out.opened] == [(100, 109)]
    assert not never.opened


def test_raised_beats_held():
    out = run(make_rule(), noise(300), ruled(300, 100, 20, Ruling.RAISED | Ruling.HELD))

    assert [one.first for one in out.opened] == [100]


def test_off_beats_all_and_judges_nothing():
    levels = with_step(1_000, 500, 100, 12.0)
    every = Ruling.OFF | Ruling.RAISED | Ruling.HELD | Ruling.FORGOTTEN
    out = run(make_rule(), levels, ruled(1_000, 400, 300, every))
    before = run(make_rule(), levels[:400])
    during = run(make_rule(), levels[:700], ruled(700, 400, 300, every))

    assert not out.opened
    assert np.isnan(out.threshold[400:700]).all()
    assert np.isnan(out.strength[400:700]).all()
    assert learnt(during) == learnt(before)


def test_off_ends_what_is_open_without_charge_and_gives_the_spread_back():
    levels = with_step(1_000, 500, 200, 12.0)
    before = run(make_rule(), levels[:501])
    out = run(make_rule(), levels[:620], ruled(620, 600, 20, Ruling.OFF))

    (ended,) = out.ended
    assert (ended.reason, ended.last, ended.ended) == (EndReason.OFF, 599, 600)
    assert ended.charge == 0.0
    assert not out.alarm[600:].any()
    assert state(out)["spread_long"] == state(before)["spread_long"]
    assert not open_incidents(out.states)


def test_off_ends_what_could_have_been_taken_up_again():
    levels = with_step(1_000, 500, 60, 12.0)
    (plain,) = run(make_rule(merge_gap=200), levels).ended
    at = plain.last + 5
    (ended,) = run(make_rule(merge_gap=200), levels, ruled(1_000, at, 1, Ruling.OFF)).ended

    assert (ended.reason, ended.ended) == (EndReason.OFF, at)
    assert ended.charge == plain.charge > 0.0


def test_off_drops_what_was_not_reported():
    levels = with_step(1_000, 500, 200, 12.0)
    out = run(make_rule(shortest=50), levels[:540], ruled(540, 520, 20, Ruling.OFF))

    assert not out.opened
    assert not out.ended
    assert not open_incidents(out.states)


def test_many_rows_of_off_between_raised_ones_leave_room_for_every_event():
    rulings = np.tile(np.array([Ruling.RAISED, Ruling.OFF], np.int8), 500)
    out = run(make_rule(), noise(1_000), rulings)

    assert len(out.opened) == len(out.ended) == 500


def test_forgotten_rows_are_judged_and_teach_nothing():
    levels = with_step(2_000, 500, 100, 12.0)
    rulings = ruled(2_000, 400, 600, Ruling.FORGOTTEN)
    before = run(make_rule(), levels[:400])
    during = run(make_rule(), levels[:1_000], rulings[:1_000])

    assert [one.first for one in during.opened] == [501]
    assert [(one.reason, one.charge) for one in during.ended] == [(EndReason.RECOVERED, 0.0)]
    assert learnt(during) == learnt(before)


def test_an_incident_from_before_a_forgotten_period_is_charged():
    levels = with_step(2_000, 500, 100, 12.0)
    (ended,) = run(make_rule(), levels, ruled(2_000, 520, 600, Ruling.FORGOTTEN)).ended

    assert ended.charge > 0.0


def test_no_level_is_accepted_in_a_forgotten_period():
    rule = make_rule(learning=0.0, memory=100.0)
    levels = with_step(2_000, 500, 1_500, 12.0)
    (ended,) = run(rule, levels, ruled(2_000, 400, 1_000, Ruling.FORGOTTEN)).ended

    assert (ended.reason, ended.ended) == (EndReason.NEW_NORMAL, 1_400)


def test_rulings_that_do_not_fit_are_rejected():
    with pytest.raises(ValueError, match="as many rulings"):
        run(make_rule(), noise(10), np.zeros(9, np.int8))

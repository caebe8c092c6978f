"""The demo's verdict: incidents against faults, and what of it is printed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.evaluation.incidents import count_alarms
from tests.support.demo_records import make_fault, make_incident, make_ledger
from workers.demo.ledger import Ledger
from workers.demo.verdict import Verdict, gain_db, in_words, judge
from workers.plant.faults import Fault

WARM_UP = 5
"""So a fault counts as present for four rows more."""


def make_verdict(*incidents, faults, rows=100, rate=0.01) -> Verdict:
    ledger = make_ledger()
    for event in incidents:
        ledger.add_incident(event)
    return judge(ledger, faults, rows=rows, warm_up=WARM_UP, rate=rate)


@given(start=st.integers(20, 80), length=st.integers(1, 10), at=st.integers(5, 99))
def test_a_fault_is_found_by_an_incident_that_opens_from_shortly_before_it_on(start, length, at):
    verdict = make_verdict(make_incident("pump-1", at), faults=[make_fault(start, start + length)])

    found = start - 16 < at < start + length + WARM_UP - 1
    assert (verdict.found, verdict.false) == (int(found), int(not found))
    assert verdict.faults[0].delay_rows == (max(at - start, 0) if found else None)


def test_the_first_of_several_incidents_of_a_fault_is_its_delay():
    late, early = make_incident("pump-1", 48), make_incident("pump-1", 43)
    verdict = make_verdict(late, early, faults=[make_fault(40, 60)])

    assert [one.opened_row for one in verdict.incidents] == [43, 48]
    assert (verdict.median_delay_rows, verdict.precision, verdict.recall) == (3.0, 1.0, 1.0)


def test_an_incident_of_another_pump_finds_nothing():
    verdict = make_verdict(make_incident("pump-2", 11), faults=[make_fault(10, 20)])

    assert (verdict.found, verdict.precision) == (0, 0.0)


def test_an_incident_that_was_open_before_a_fault_finds_it_not():
    verdict = make_verdict(make_incident("pump-1", 10, 60), faults=[make_fault(40, 50)])

    assert (verdict.found, verdict.false) == (0, 1)


def test_a_fault_at_the_very_end_is_not_judged_and_excuses_its_incident_all_the_same():
    verdict = make_verdict(make_incident("pump-1", 98), faults=[make_fault(97, 120)])

    assert verdict.faults == ()
    assert verdict.false == 0
    assert np.isnan(verdict.recall)


def test_of_no_incident_there_is_no_precision():
    assert np.isnan(make_verdict(faults=[make_fault(10, 20)]).precision)


def test_healthy_time_is_what_is_scored_outside_of_faults_and_their_last_windows():
    verdict = make_verdict(
        make_incident("pump-1", 18, 30), make_incident("pump-2", 90), faults=[make_fault(10, 20)]
    )

    assert verdict.healthy_rows == 2 * 96 - 14
    assert verdict.allowed == pytest.approx(1.78)
    assert verdict.healthy_alarm_rows == (30 - 24) + (100 - 90)
    assert verdict.healthy_alarm_share == pytest.approx(16 / 178)


def test_what_nobody_was_told_of_and_drifts_are_counted_beside():
    said = {"reason": "alike", "wish": "0" * 32, "incident": "1" * 32}
    verdict = make_verdict(
        make_incident("pump-1", 12, suppressed=said),
        make_incident("pump-1", 50, kind="drift", seen_by="drift"),
        faults=[make_fault(10, 20)],
    )

    assert (verdict.held_back, verdict.drifts) == (1, 1)
    assert (verdict.found, verdict.incidents) == (0, ())


@settings(deadline=None)
@given(data=st.data())
def test_it_agrees_with_the_counts_of_the_benchmarks(data):
    """What `detector.evaluation` counts, of each pump by itself."""
    rows = 400
    ledger, faults, alarms = make_ledger(), list[Fault](), dict[int, list[tuple[int, int]]]()
    for machine, pump in enumerate(ledger.machines):
        # Faults of a pump stay apart, as those of the simulator do.
        for slot in data.draw(st.sets(st.integers(0, 3))):
            start = 100 * slot + data.draw(st.integers(10, 40))
            faults.append(make_fault(start, start + data.draw(st.integers(1, 20)), machine=machine))
        cuts = sorted(data.draw(st.sets(st.integers(WARM_UP, rows - 1), max_size=12)))
        alarms[machine] = list(zip(cuts[::2], cuts[1::2], strict=False))
        for start, end in alarms[machine]:
            ledger.add_incident(make_incident(pump, start, end))

    verdict = judge(ledger, faults, rows=rows, warm_up=WARM_UP, rate=0.01)

    labels, judged = np.zeros((rows, 2), np.bool_), np.arange(rows) >= WARM_UP - 1
    for fault in faults:
        labels[fault.start_row : fault.end_row + WARM_UP - 1, fault.machine] = True
    counts = [
        count_alarms(
            np.array(alarms[machine], np.int64).reshape(-1, 2),
            labels[:, machine],
            judged,
            rate=0.01,
        )
        for machine in (0, 1)
    ]
    assert verdict.false == sum(one.false for one in counts)
    assert verdict.found == sum(one.opened for one in counts)
    assert len(verdict.incidents) == sum(one.incidents for one in counts)
    assert verdict.healthy_rows == sum(one.normal_rows for one in counts)
    assert verdict.healthy_alarm_rows == sum(one.normal_alarm_rows for one in counts)
    assert verdict.allowed == pytest.approx(sum(one.asked for one in counts))
    delays = sorted(one.delay_rows for one in verdict.faults if one.delay_rows is not None)
    assert delays == sorted(np.concatenate([one.delays for one in counts]).tolist())


def test_a_fault_in_words_names_its_channels():
    fault = replace(make_fault(0, 9), channels=("flow", "motor_temperature"))

    assert in_words(fault) == "level shift of flow and motor temperature"


def test_of_an_incident_the_newest_event_counts_in_whatever_order_they_come():
    ledger: Ledger = make_ledger()
    for event in (make_incident("pump-1", 5, 9, number=3), make_incident("pump-1", 5, number=2)):
        ledger.add_incident(event)

    (event,) = ledger.incidents.values()
    assert event.type == "incident.resolved"
    assert len(ledger.incident_events) == 2


def test_ten_times_less_error_is_twenty_decibels():
    truth = np.zeros((4, 2))
    noisy, denoised = np.full((4, 2), 10.0), np.full((4, 2), 1.0)
    noisy[0], denoised[1] = np.nan, np.nan

    assert gain_db(truth, noisy, denoised) == pytest.approx([20.0, 20.0])

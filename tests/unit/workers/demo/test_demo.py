"""The demo's pure parts: what is sent, the books, the accounts, the verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from schemas.codec import READING_JSON, Decoder
from schemas.wire.anomaly import Anomaly, ModelRef, Severity, Source, anomaly_id
from schemas.wire.dead_letter import DeadLetter
from schemas.wire.denoised import DenoisedFrame
from workers.demo.accounts import Broker, balance
from workers.demo.feeder import Sent
from workers.demo.ledger import Ledger
from workers.demo.scenario import BAD_RECORDS, Scenario
from workers.demo.screen import Alarm, View, draw, one_line
from workers.demo.verdict import gain_db, judge, merged
from workers.plant.faults import Fault, FaultKind
from workers.plant.physics import CHANNEL_NAMES
from workers.stream.state.counts import Counts

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
KEPT_ROWS = 500
INTERVAL_NS = 20 * MS
PUMPS = ("pump-1", "pump-2")


def make_ledger() -> Ledger:
    return Ledger(
        machines=PUMPS,
        channels=("flow",),
        start_ns=START_NS,
        interval_ns=INTERVAL_NS,
        kept_rows=KEPT_ROWS,
    )


def make_frame(pump: str, rows: list[int], scores: list[float]) -> DenoisedFrame:
    return DenoisedFrame.model_validate(
        {
            "sensor_id": pump,
            "ts": [START_NS + row * INTERVAL_NS for row in rows],
            "values": {"flow": [float(row) for row in rows]},
            "score": scores,
            "offset": rows,
            "model": "m@1",
            "topic": "readings",
            "partition": 0,
        }
    )


def make_anomaly(pump: str, row: int) -> Anomaly:
    return Anomaly.model_validate(
        {
            "id": anomaly_id("readings", 0, row, 0),
            "sensor_id": pump,
            "ts": START_NS + row * INTERVAL_NS,
            "score": 2.0,
            "threshold": 1.0,
            "raw_score": 2.0,
            "p_value": 0.01,
            "severity": Severity.MEDIUM,
            "observed": {"flow": 1.0},
            "expected": {"flow": 0.0},
            "contribution": {"flow": 1.0},
            "model": ModelRef(name="m", version="1"),
            "group": "pooled",
            "group_kind": "pooled",
            "source": Source(topic="readings", partition=0, offset=row),
        }
    )


def make_letter(offset: int) -> DeadLetter:
    return DeadLetter.model_validate(
        {
            "topic": "readings", "partition": 0, "offset": offset, "stage": "decode",
            "exception": "E", "message": "", "app_version": "1",
        },
        by_name=True,
    )  # fmt: skip


def make_fault(start: int, end: int, *, machine: int = 0) -> Fault:
    return Fault(
        machine=machine,
        kind=FaultKind.LEVEL_SHIFT,
        channels=("flow",),
        start_row=start,
        end_row=end,
        magnitude=10.0,
    )


def played(ledger: Ledger) -> tuple[Sent, Counts, Broker]:
    """Ten rows of both pumps, R = 3, one anomaly, one dead letter, one repeat, one late one."""
    for pump in PUMPS:
        scores = [1.5 if (pump, row) == ("pump-1", 5) else 0.1 for row in range(2, 10)]
        ledger.add_denoised(make_frame(pump, list(range(2, 10)), scores), stamp_ms=0)
    ledger.add_anomaly(make_anomaly("pump-1", 5))
    ledger.add_dead_letter(make_letter(99))
    sent = Sent(readings=20, repeated=1, late=1, bad=1)
    counts = Counts(
        records=23, readings=22, scored=16, warming_up=4, duplicate=1, late=1, dead_lettered=1
    )
    return sent, counts, Broker(records=23, committed=23)


def test_a_complete_show_balances():
    ledger = make_ledger()
    sent, counts, broker = played(ledger)

    accounts = balance(sent, ledger, counts, broker, warm_up=3)

    assert accounts.balanced, [check for check in accounts.checks if not check.holds]
    assert (accounts.scored, accounts.warming_up, accounts.dead_lettered) == (16, 4, 1)
    assert (accounts.anomalies, accounts.repeats, accounts.note) == (1, 0, "")


@pytest.mark.parametrize(
    "loss",
    ["a score", "an anomaly", "a dead letter", "a commit", "a record", "a drop"],
)
def test_whatever_is_missing_the_books_do_not_balance(loss):
    ledger = make_ledger()
    sent, counts, broker = played(ledger)
    if loss == "a score":
        ledger._books[7, 1] = 0
    elif loss == "an anomaly":
        ledger._books[5, 0] &= 3
    elif loss == "a dead letter":
        ledger.dead_letters.clear()
    elif loss == "a commit":
        broker = broker._replace(committed=22)
    elif loss == "a record":
        broker = broker._replace(records=22)
    else:
        counts = replace(counts, late=0)

    assert not balance(sent, ledger, counts, broker, warm_up=3).balanced


def test_an_output_too_many_does_not_balance():
    ledger = make_ledger()
    sent, counts, broker = played(ledger)
    ledger.add_denoised(make_frame("pump-2", [10], [0.1]), stamp_ms=0)

    assert not balance(sent, ledger, counts, broker, warm_up=3).balanced


def test_counts_that_died_with_a_worker_are_noted_and_do_not_hide_a_loss():
    ledger = make_ledger()
    sent, _, broker = played(ledger)
    counts = Counts(records=5)

    accounts = balance(sent, ledger, counts, broker, warm_up=3)
    assert accounts.balanced
    assert "restarted" in accounts.note

    ledger._books[7, 1] = 0
    assert not balance(sent, ledger, counts, broker, warm_up=3).balanced


def test_outputs_that_come_twice_count_once_and_are_noted():
    ledger = make_ledger()
    sent, counts, broker = played(ledger)
    ledger.add_denoised(make_frame("pump-2", [4, 5], [0.1, 0.1]), stamp_ms=0)
    ledger.add_anomaly(make_anomaly("pump-1", 5))
    ledger.add_dead_letter(make_letter(99))

    accounts = balance(sent, ledger, counts, broker, warm_up=3)

    assert accounts.balanced
    assert accounts.repeats == 4


def test_an_output_with_a_time_at_which_nothing_was_sent_is_rejected():
    with pytest.raises(ValueError, match="no reading was sent"):
        make_ledger().rows([START_NS + MS])


def test_the_ledger_forgets_values_of_long_ago_and_never_shows_them_as_new():
    ledger = make_ledger()
    ledger.add_denoised(make_frame("pump-1", [1], [0.5]), stamp_ms=0)
    ledger.add_denoised(make_frame("pump-1", [KEPT_ROWS + 1], [0.7]), stamp_ms=0)

    old, _ = ledger.outputs(np.array([1]))
    new, clean = ledger.outputs(np.array([KEPT_ROWS + 1]))

    assert np.isnan(old).all()
    assert new[0, 0] == pytest.approx(0.7)
    assert clean[0, 0, 0] == KEPT_ROWS + 1
    assert np.count_nonzero(ledger.books(KEPT_ROWS + 2)) == 2


@given(
    start=st.integers(0, 80),
    length=st.integers(1, 10),
    at=st.integers(0, 99),
    gap=st.integers(1, 8),
)
def test_a_fault_is_found_by_any_flag_from_its_start_to_its_last_window(start, length, at, gap):
    flags = np.zeros((100, 2), dtype=bool)
    flags[at, 0] = True
    fault = make_fault(start, start + length)

    verdict = judge(flags, [fault], receptive_field=gap)

    found = start <= at < start + length + gap - 1
    assert verdict.found == int(found)
    assert verdict.false == int(not found)
    assert verdict.faults[0].delay_rows == (at - start if found else None)


def test_a_flag_of_another_pump_finds_nothing():
    flags = np.zeros((50, 2), dtype=bool)
    flags[11, 1] = True

    verdict = judge(flags, [make_fault(10, 20)], receptive_field=4)

    assert (verdict.found, verdict.precision) == (0, 0.0)


def test_a_fault_at_the_very_end_is_not_judged():
    verdict = judge(np.zeros((50, 2), dtype=bool), [make_fault(48, 60)], receptive_field=4)

    assert verdict.faults == ()


def test_flags_less_than_a_window_apart_are_one_segment():
    flags = np.zeros(30, dtype=bool)
    flags[[3, 6, 15]] = True

    assert merged(flags, gap=4) == [(3, 7), (15, 16)]


def test_ten_times_less_error_is_twenty_decibels():
    truth = np.zeros((4, 2))
    noisy, denoised = np.full((4, 2), 10.0), np.full((4, 2), 1.0)
    noisy[0], denoised[1] = np.nan, np.nan

    assert gain_db(truth, noisy, denoised) == pytest.approx([20.0, 20.0])


def test_bad_records_are_dead_letters_each():
    decoded = Decoder(CHANNEL_NAMES).decode(
        list(BAD_RECORDS), [READING_JSON.encode()] * len(BAD_RECORDS)
    )

    assert len(decoded.failures) == len(BAD_RECORDS)


@settings(deadline=None, max_examples=30)
@given(
    machines=st.integers(1, 40),
    rate=st.floats(1, 20_000),
    seconds=st.none() | st.floats(5, 200),
    seed=st.integers(0, 5),
)
def test_every_scenario_can_be_played(machines, rate, seconds, seed):
    scenario = Scenario(machines=machines, readings_per_s=rate, seconds=seconds, seed=seed)

    faults = scenario.faults_between(0, scenario.rows or 5_000)

    assert scenario.interval_ns % MS == 0
    assert all(fault.start_row > 0 and fault.machine < machines for fault in faults)
    assert scenario.plant().schedule.between(0, scenario.training_rows) == []


def make_view(**changes) -> View:
    counts = Counts(scored=29_000, warming_up=620, late=3, anomalies=12, dead_lettered=4)
    values = {
        "elapsed_s": 30.0, "seconds": 90.0, "sent_per_s": 1000.0, "scored_per_s": 990.0,
        "counts": counts, "lag": 17, "sensors": 20, "workers": 2, "p50_ms": 25.0,
        "p99_ms": None, "alarms": (),
    }  # fmt: skip
    return View(**{**values, **changes})


def shown(view: View) -> str:
    console = Console(width=110, record=True, quiet=False, file=None)
    with console.capture() as capture:
        console.print(draw(view))
    return capture.get()


def test_the_screen_shows_every_figure_and_the_truth_beside_the_alarm():
    anomaly = make_anomaly("pump-007", 1).model_copy(update={"observed": {"flow": None}})
    alarm = Alarm(anomaly=anomaly, truth="", age_s=0.5)

    text = shown(make_view(alarms=(alarm,)))

    for words in ("990", "1,000", "25 ms", "17", "pump-007", "missing", "false alarm", "30 of 90"):
        assert words in text


def test_a_screen_without_an_end_says_how_to_end_it():
    assert "Ctrl-C" in shown(make_view(seconds=None))


def test_one_line_for_a_log_has_lag_and_latency():
    line = one_line(make_view())

    assert "lag 17" in line
    assert "p50 25 ms p99 -" in line

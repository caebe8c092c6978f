"""The demo's pure parts: what is sent, the books, the accounts, the screen."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from schemas.codec import READING_JSON, Decoder
from schemas.wire.dead_letter import DeadLetter
from schemas.wire.denoised import DenoisedFrame
from schemas.wire.event import IncidentEvent
from tests.support.demo_records import (
    INTERVAL_NS,
    KEPT_ROWS,
    MS,
    PUMPS,
    START_NS,
    make_anomaly,
    make_incident,
    make_ledger,
)
from workers.demo.accounts import Broker, balance
from workers.demo.feeder import Sent
from workers.demo.ledger import Ledger
from workers.demo.scenario import BAD_RECORDS, Scenario
from workers.demo.screen import Shown, View, draw, one_line
from workers.plant.physics import CHANNEL_NAMES
from workers.stream.state.counts import Counts

INCIDENT = make_incident("pump-1", 5).data.id


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


def make_letter(offset: int) -> DeadLetter:
    return DeadLetter.model_validate(
        {
            "topic": "readings", "partition": 0, "offset": offset, "stage": "decode",
            "exception": "E", "message": "", "app_version": "1",
        },
        by_name=True,
    )  # fmt: skip


def played(ledger: Ledger) -> tuple[Sent, Counts, Broker]:
    """Ten rows of both pumps, R = 3, one anomaly in one incident, and one of each odd record."""
    for pump in PUMPS:
        scores = [1.5 if (pump, row) == ("pump-1", 5) else 0.1 for row in range(2, 10)]
        ledger.add_denoised(make_frame(pump, list(range(2, 10)), scores), stamp_ms=0)
    ledger.add_anomaly(make_anomaly("pump-1", 5, incident=INCIDENT))
    ledger.add_incident(make_incident("pump-1", 5))
    ledger.add_incident(make_incident("pump-1", 5, 8, number=2))
    ledger.add_dead_letter(make_letter(99))
    sent = Sent(readings=20, repeated=1, late=1, bad=1)
    counts = Counts(
        records=23, readings=22, scored=16, warming_up=4, duplicate=1, late=1, dead_lettered=1,
        incidents_opened=1,
    )  # fmt: skip
    return sent, counts, Broker(records=23, committed=23)


def test_a_complete_show_balances():
    ledger = make_ledger()
    sent, counts, broker = played(ledger)

    accounts = balance(sent, ledger, counts, broker, warm_up=3)

    assert accounts.balanced, [check for check in accounts.checks if not check.holds]
    assert (accounts.scored, accounts.warming_up, accounts.dead_lettered) == (16, 4, 1)
    assert (accounts.anomalies, accounts.incidents) == (1, 1)
    assert (accounts.repeats, accounts.note) == (0, "")


@pytest.mark.parametrize(
    "loss",
    [
        "a score",
        "an anomaly",
        "an anomaly's incident",
        "an incident",
        "an event of one",
        "a dead letter",
        "a commit",
        "a record",
        "a drop",
    ],
)
def test_whatever_is_missing_the_books_do_not_balance(loss):
    ledger = make_ledger()
    sent, counts, broker = played(ledger)
    if loss == "a score":
        ledger._books[7, 1] = 0
    elif loss == "an anomaly":
        ledger._books[5, 0] &= 3
    elif loss == "an anomaly's incident":
        ledger.anomalies_of.clear()
    elif loss == "an incident":
        ledger.incidents.clear()
        ledger.incident_events.clear()
    elif loss == "an event of one":
        ledger.incident_events.popitem()
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
    ledger.add_anomaly(make_anomaly("pump-1", 5, incident=INCIDENT))
    ledger.add_incident(make_incident("pump-1", 5))
    ledger.add_dead_letter(make_letter(99))

    accounts = balance(sent, ledger, counts, broker, warm_up=3)

    assert accounts.balanced
    assert accounts.repeats == 5
    assert ledger.incidents[INCIDENT].type == "incident.resolved"


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
        "p99_ms": None, "incidents": (), "opened": 9,
    }  # fmt: skip
    return View(**{**values, **changes})


def make_shown(event: IncidentEvent, **changes) -> Shown:
    values = {"told": event.data, "truth": "", "verdict": "", "lasted_s": 125.0}
    return Shown(**{**values, **changes})


def shown(view: View, *, width: int = 120) -> str:
    console = Console(width=width, file=None)
    with console.capture() as capture:
        console.print(draw(view, width=width))
    return capture.get()


def test_the_screen_shows_every_figure_and_the_truth_beside_the_incident():
    one = make_shown(make_incident("pump-1", 3))

    text = shown(make_view(incidents=(one,)))

    for words in ("990", "1,000", "25 ms", "17", "30 of 90"):
        assert words in text
    assert re.search(r"incidents +9", text)
    line = next(line for line in text.splitlines() if "pump-1" in line)
    for words in (
        "going on",
        "2:05",
        "high",
        "flow ↑",
        "92.0 m³/h",
        "81.2 m³/h",
        "nothing: a false one",
    ):
        assert words in line


def test_the_screen_shows_what_became_of_an_incident():
    event = make_incident("pump-2", 3, 9, number=2)
    channel = {"channel": "flow", "share": 1.0, "observed": None, "expected": 1.0, "band": 1.0}
    lost = make_incident("pump-1", 3, channels=[channel | {"direction": "missing"}])

    text = shown(
        make_view(
            incidents=[
                make_shown(event, truth="drift of flow"),
                make_shown(event, truth="drift of flow", verdict="fault"),
                make_shown(lost),
            ]
        )
    )

    ended, said, missing = [line for line in text.splitlines() if "pump-" in line]
    assert "ended" in ended
    assert "drift of flow" in ended
    assert "ended" not in said
    assert "fault" in said
    assert "missing" in missing


def test_on_a_narrow_terminal_each_incident_still_has_one_line():
    one = make_shown(make_incident("pump-001", 3), truth="broken correlation of flow")

    text = shown(make_view(incidents=[one] * 5), width=80)

    assert sum("pump-001" in line for line in text.splitlines()) == 5
    assert max(map(len, text.splitlines())) <= 80


def test_a_screen_without_an_end_says_how_to_end_it():
    assert "Ctrl-C" in shown(make_view(seconds=None))


def test_one_line_for_a_log_has_lag_incidents_and_latency():
    line = one_line(make_view())

    assert "lag 17" in line
    assert "9 incidents" in line
    assert "p50 25 ms p99 -" in line

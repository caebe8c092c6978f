"""Incidents on a real broker: once, through a restart, with what people say, as a backtest has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random

import numpy as np
import pytest

from schemas.columns import Readings
from schemas.settings import Settings
from schemas.wire.event import DeedEvent, IncidentEvent
from schemas.wire.verdict import SensorWishes
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.models import encoded, reading_records, small_detector
from tests.support.streams import drained, make_settings, open_loop, records_done, step_until
from tests.support.wishes import off, wish_id
from workers.backtest.backtest import backtest
from workers.kafka.client import Connection
from workers.kafka.factory import connection_of, verdicts_of, verdicts_sink_of, verdicts_table_of
from workers.stream.loop import IngestLoop
from workers.stream.state.incident import IncidentChange
from workers.verdicts.standing import with_wish, without_wish
from workers.verdicts.writer import Change, WishWriter

pytestmark = pytest.mark.kafka

SENSORS = ["s0", "s1"]
ROWS = 160
FAULT = range(60, 80)
RECORDS = reading_records(SENSORS, ROWS)
for _number, (_sensor, _, _values) in enumerate(RECORDS):
    if _sensor == "s0" and _number // len(SENSORS) in FAULT:
        np.add(_values, 5.0, out=_values)


@pytest.fixture
def settings(connection: Connection, make_topic: MakeTopic, group: str) -> Settings:
    made = make_settings(
        connection,
        make_topic,
        group,
        partitions=1,
        stream={"max_poll_records": 10},
        processing={"commit_interval_s": 0.001},
    )
    more = {"incidents": make_topic(), "verdicts": make_topic(**{"cleanup.policy": "compact"})}
    return made.model_copy(update={"topics": made.topics.model_copy(update=more)})


@contextmanager
def open_worker(settings: Settings) -> Iterator[IngestLoop]:
    with ExitStack() as stack:
        wishes = stack.enter_context(verdicts_of(settings).open())
        yield stack.enter_context(open_loop(settings, small_detector(), wishes=wishes))


def told(connection: Connection, settings: Settings) -> tuple[list[IncidentEvent], list[DeedEvent]]:
    """What a `read_committed` reader finds, in order; no id comes twice."""
    events, deeds = list[IncidentEvent](), list[DeedEvent]()
    for record in read_all(connection, settings.topics.incidents):
        if b'"type":"incident.' in record.value:
            events.append(IncidentEvent.model_validate_json(record.value))
            assert record.key == events[-1].subject.encode()
        else:
            deeds.append(DeedEvent.model_validate_json(record.value))
    ids = [event.id for event in (*events, *deeds)]
    assert len(set(ids)) == len(ids)
    return events, deeds


def backtested() -> list[IncidentChange]:
    chunk = Readings(
        positions=np.arange(len(RECORDS)),
        sensors=[sensor for sensor, _, _ in RECORDS],
        counts=np.ones(len(RECORDS), np.int64),
        ts_ns=np.array([ts for _, ts, _ in RECORDS], np.int64),
        values=np.array([values for _, _, values in RECORDS]),
    )
    return [
        change
        for answered, _ in backtest(small_detector(), [chunk])
        for change in answered.judged.changes
    ]


def test_an_incident_goes_on_through_kills_and_is_that_of_a_backtest(
    connection: Connection, settings: Settings
) -> None:
    """Killed before it opens, within it twice, and behind it: no drain, no last commit."""
    produce(connection, settings.topics.readings, encoded(RECORDS))
    done = 0
    for kill in (40, 130, 150, 250, len(RECORDS)):
        with open_worker(settings) as loop:
            step_until(loop, lambda: done + records_done(loop) >= kill)  # noqa: B023
            if kill == len(RECORDS):
                drained(loop)
            done += records_done(loop)
    events, _ = told(connection, settings)
    expected = backtested()
    assert [
        (e.subject, e.type, int(e.sequence), e.data.first_ns, e.data.peak, e.data.readings)
        for e in events
    ] == [
        (
            c.sensor,
            f"incident.{c.what}",
            c.incident.sequence,
            c.incident.first.ts_ns,
            c.incident.peak,
            c.incident.readings,
        )
        for c in expected
    ]
    assert [e.type for e in events][:1] == ["incident.opened"]
    assert events[-1].type == "incident.resolved"
    assert [e.sequence for e in events] == [f"{n:010d}" for n in range(1, len(events) + 1)]
    assert len({e.data.id for e in events}) == 1


def change_wishes(settings: Settings, change: Change) -> None:
    connection, topic = connection_of(settings.kafka), settings.topics.verdicts
    with verdicts_table_of(connection, topic).open() as table:
        writer = WishWriter(
            sink=verdicts_sink_of(connection, topic), table=table, topic=topic, rng=Random(0)
        )
        writer.change("s0", change)


def test_a_verdict_is_heeded_and_withdrawn_over_a_restart_and_the_deeds_are_told(
    connection: Connection, settings: Settings
) -> None:
    half = len(SENSORS) * FAULT.start + 20
    produce(connection, settings.topics.readings, encoded(RECORDS[:half]))
    with open_worker(settings) as loop:
        step_until(loop, lambda: records_done(loop) >= half)
        drained(loop)

    def turn_off(document: SensorWishes) -> SensorWishes:
        return with_wish(document, off(1))

    change_wishes(settings, turn_off)
    more = half + 20
    produce(connection, settings.topics.readings, encoded(RECORDS[half:more]))
    with open_worker(settings) as loop:
        step_until(loop, lambda: records_done(loop) >= more - half)
        drained(loop)
        assert loop.health.total.off == 10
    change_wishes(settings, lambda document: without_wish(document, wish_id(1)))
    produce(connection, settings.topics.readings, encoded(RECORDS[more:]))
    with open_worker(settings) as loop:
        step_until(loop, lambda: records_done(loop) >= len(RECORDS) - more)
        drained(loop)
        assert loop.health.total.off == 0

    events, deeds = told(connection, settings)
    assert [(d.type, d.subject, d.data.offset) for d in deeds] == [
        ("wish.heeded", "s0", half),
        ("wish.withdrawn", "s0", more),
    ]
    ends = [e.data.end_reason for e in events if e.type == "incident.resolved"]
    assert ends[0] == "off"

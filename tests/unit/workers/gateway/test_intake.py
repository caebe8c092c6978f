"""Taking the topic in: a batch and its offsets are one thing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from tests.support.gateway import TOPIC, Rig, incident_id
from workers.gateway.store import events, incidents, positions
from workers.gateway.store.database import Database
from workers.gateway.store.tables import events as event_table
from workers.kafka.client import Record


@pytest.fixture
def rig(database: Database) -> Rig:
    return Rig(database)


def test_the_position_moves_with_what_was_taken_in(rig: Rig):
    rig.keep(rig.records([rig.event("opened")], partition=2))
    with rig.database.read() as connection:
        assert positions.next_offsets(connection, TOPIC) == {2: 1}


def test_a_batch_that_fails_leaves_nothing_behind(rig: Rig):
    rig.subscribe("a")
    records = rig.records([rig.event("opened")])
    broken = rig.outbox.tell
    rig.outbox.tell = lambda *_, **__: 1 // 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        rig.keep(records)
    rig.outbox.tell = broken  # type: ignore[method-assign]

    with rig.database.read() as connection:
        assert positions.next_offsets(connection, TOPIC) == {}
        assert incidents.get_row(connection, incident_id("pump-1")) is None
        assert connection.execute(select(func.count()).select_from(event_table)).scalar() == 0
    assert rig.keep(records).events == 1


def test_who_reads_what_somebody_else_has_taken_in_takes_nothing(rig: Rig):
    records = rig.records([rig.event("opened"), rig.event("resolved")])
    with rig.database.begin() as connection:
        assert positions.advance(connection, TOPIC, {0: None}, {0: 1})
    with rig.database.begin() as connection:
        assert not positions.advance(connection, TOPIC, {0: None}, {0: 2})
        assert not positions.advance(connection, TOPIC, {0: 5}, {0: 9})
    assert len(records) == 2


def test_what_the_binary_mode_says_is_the_same_event(rig: Rig):
    import json

    event = rig.event("opened")
    (record,) = rig.records([event["data"]])
    headers = [
        (f"ce_{name}", str(value).encode())
        for name, value in event.items()
        if name not in {"data", "datacontenttype"}
    ]
    record = record._replace(headers=[("content-type", b"application/json"), *headers])

    assert rig.keep([record]).events == 1
    with rig.database.read() as connection:
        (kept,) = events.read_after(connection, 0)
    assert json.loads(kept.text) == event


def test_an_old_event_that_comes_late_changes_nothing(rig: Rig):
    rig.opens()
    rig.resolves()

    assert rig.take_in(rig.event("updated", sequence=3)).events == 0
    with rig.database.read() as connection:
        row = incidents.get_row(connection, incident_id("pump-1"))
    assert row is not None
    assert row.state == "resolved"


def test_a_deed_shows_at_its_incident_that_the_stream_goes_by_the_verdict(rig: Rig):
    rig.opens()
    rig.take_in(_deed(rig))
    with rig.database.read() as connection:
        row = incidents.get_row(connection, incident_id("pump-1"))
    assert row is not None
    assert (row.verdict, row.verdict_by, bool(row.verdict_heeded)) == ("fault", "anna", True)

    rig.take_in(_deed(rig, withdrawn=True))

    with rig.database.read() as connection:
        row = incidents.get_row(connection, incident_id("pump-1"))
    assert row is not None
    assert (row.verdict, bool(row.verdict_heeded)) == ("", False)


def test_numbers_of_events_have_no_hole_and_no_double_whoever_writes(rig: Rig):
    """And who reads behind a number never misses one that is committed later."""

    def write(name: int) -> None:
        for number in range(5):
            document = events.made_here("x", subject=f"{name}-{number}", data={}, at_ns=1)
            with rig.database.begin() as connection:
                events.append(connection, [events.Happened(document=document)], now_ns=1)

    seen: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, name) for name in range(4)]
        while len(seen) < 20:
            with rig.database.read() as connection:
                seen += [one.seq for one in events.read_after(connection, seen[-1] if seen else 0)]
        for one in writing:
            one.result()

    assert seen == list(range(1, 21))


def test_what_one_does_at_a_time_goes_to_somebody_else_when_it_is_given_up_or_too_late(rig: Rig):
    def hold(holder: str, now: int) -> bool:
        with rig.database.begin() as connection:
            return positions.hold(
                connection, "intake", holder=holder, now_ns=now, until_ns=now + 10
            )

    assert hold("one", 0)
    assert not hold("two", 9)
    assert hold("one", 9)
    assert hold("two", 19)
    with rig.database.begin() as connection:
        positions.give_up(connection, holder="two")
    assert hold("one", 20)


def _deed(rig: Rig, *, withdrawn: bool = False) -> dict[str, object]:
    wish = {
        "id": incident_id("wish"),
        "kind": "fault",
        "by": "anna",
        "at": 0,
        "note": "",
        "incident": incident_id("pump-1"),
        "charge": 0.0,
        "start": 0,
        "end": 1,
    }
    what = "withdrawn" if withdrawn else "heeded"
    return {
        "specversion": "1.0",
        "id": f"{incident_id('wish')}-{what}-pump-1-0-7",
        "source": "/vigie/plant",
        "type": f"wish.{what}",
        "subject": "pump-1",
        "time": "2026-11-30T00:00:00Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:vigie:schema:deed:v1",
        "partitionkey": "pump-1",
        "data": {"sensor": "pump-1", "partition": 0, "offset": 7, "withdrawn": withdrawn,
                 "wish": wish},
    }  # fmt: skip


def test_a_record_without_a_value_is_passed_over(rig: Rig):
    assert rig.keep([Record(TOPIC, 0, 0, -1, b"key", None, ())]).events == 0
    with rig.database.read() as connection:
        assert positions.next_offsets(connection, TOPIC) == {0: 1}

"""What the demo's operator says, when, and that nothing that he could not say is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from schemas.wire.incident import Incident
from schemas.wire.verdict import MAX_WISHES, FalseAlarm, Fault, SensorWishes
from tests.support.demo_records import (
    INTERVAL_NS,
    START_NS,
    make_deed,
    make_fault,
    make_incident,
    make_ledger,
)
from tests.support.wishes import fault
from workers.demo.operator import LOOKS_AFTER_S, Operator, verdict_on, with_room_for
from workers.demo.summary import Spoken
from workers.errors import BrokerUnavailableError
from workers.verdicts.standing import no_wishes

LATER_NS = START_NS + 10**12


class FakeWriter:
    """Documents by sensor; fails while it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.documents: dict[str, SensorWishes] = {}
        self.failure = failure

    def change(self, key: str, change: Callable[[SensorWishes], SensorWishes]) -> None:
        if self.failure is not None:
            raise self.failure
        self.documents[key] = change(self.documents.get(key, no_wishes(key)))


def make_operator(*events: Any, writer: FakeWriter | None = None) -> Operator:
    """One who knows that pump-1 is broken, and no other."""
    ledger = make_ledger()
    for event in events:
        ledger.add_incident(event)

    @contextmanager
    def open_writer() -> Iterator[Any]:
        yield writer

    def fault_of(incident: Incident) -> Any:
        return make_fault(0, 9) if incident.sensor_id == "pump-1" else None

    return Operator(open_writer, ledger, fault_of)


def look(operator: Operator, writer: Any, *, now_ns: int = LATER_NS) -> None:
    operator.look(writer, now_ns=now_ns)


def test_a_fault_is_called_one_and_a_false_alarm_one():
    writer = FakeWriter()
    operator = make_operator(make_incident("pump-1", 5, 9), make_incident("pump-2", 5, 9))

    look(operator, writer)

    (real,) = writer.documents["pump-1"].wishes
    (false,) = writer.documents["pump-2"].wishes
    assert isinstance(real, Fault)
    assert (real.charge, real.start_ns) == (1.5, START_NS + 5 * INTERVAL_NS)
    assert isinstance(false, FalseAlarm)
    assert false.profile == {"flow": 1.0}


def test_nothing_is_said_of_what_goes_on_of_a_drift_or_twice():
    writer = FakeWriter()
    operator = make_operator(
        make_incident("pump-1", 5),
        make_incident("pump-1", 20, 30, kind="drift", seen_by="drift"),
        make_incident("pump-1", 40, 50),
    )

    look(operator, writer)
    look(operator, writer)

    assert len(writer.documents["pump-1"].wishes) == 1


def test_a_verdict_takes_its_time():
    writer = FakeWriter()
    operator = make_operator(make_incident("pump-1", 5, 9))
    ended_ns = START_NS + 9 * INTERVAL_NS

    look(operator, writer, now_ns=ended_ns + round(LOOKS_AFTER_S * 1e9) - 1)
    assert operator.said == {}
    look(operator, writer, now_ns=ended_ns + round(LOOKS_AFTER_S * 1e9))
    assert len(operator.said) == 1


def test_a_full_document_loses_its_oldest_wish():
    document = no_wishes("pump-1").model_copy(
        update={"wishes": tuple(fault(n, incident=n) for n in range(1, MAX_WISHES + 1))}
    )
    wish = verdict_on(make_incident("pump-1", 5, 9).data, make_fault(0, 9), at_ns=1)

    after = with_room_for(document, wish=wish)

    assert len(after.wishes) == MAX_WISHES
    assert after.wishes[0].id == UUID(int=2)
    assert after.wishes[-1] == wish


def test_a_broker_that_is_gone_is_told_at_the_end():
    failure = BrokerUnavailableError("gone")
    operator = make_operator(make_incident("pump-1", 5, 9), writer=FakeWriter(failure))
    operator.start()
    operator.join(timeout=30)

    with pytest.raises(BrokerUnavailableError, match="gone"):
        operator.finish(within_s=30)


def test_an_operator_ends_when_asked():
    operator = make_operator(writer=FakeWriter())
    operator.start()

    operator.finish(within_s=30)

    assert not operator.is_alive()


def test_an_operator_that_does_not_end_is_no_success():
    operator = make_operator(writer=FakeWriter())
    operator.start()
    with pytest.raises(TimeoutError, match="did not end"):
        operator.finish(within_s=0.0)
    operator.finish(within_s=30)


def test_only_what_the_stream_heeded_counts_as_heeded():
    ledger = make_ledger()
    real, false = (
        verdict_on(make_incident("pump-1", 5, 9).data, fault, at_ns=1)
        for fault in (make_fault(0, 9), None)
    )
    ledger.add_deed(make_deed("pump-1", real))
    ledger.add_deed(make_deed("pump-1", real))

    assert Spoken.of([real, false], ledger.heeded) == Spoken(faults=1, false_alarms=1, heeded=1)

"""The first hop: each record to its sensor, with the clock of its partition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.columns import Failure
from schemas.wire.errors import Stage
from tests.support.partitions import reading
from tests.support.repartition import source_batch as batch_of
from workers.stream.state.rekey import NEVER, RekeyPoint, RekeyState, plan_rekey
from workers.stream.state.shuffled import Arrival, ClockMark

BAD = Failure(position=1, stage=Stage.DECODE, exception="E", message="m")


def make(clock_ms: int = NEVER, *, mark_every_ms: int = 100) -> RekeyState:
    plan, _ = plan_rekey(None, beginning=0, end=9, fresh="earliest")
    return RekeyState(3, plan, clock_ms, mark_every_ms=mark_every_ms)


def test_records_go_to_their_sensor_with_their_place_time_and_the_clock() -> None:
    batch = batch_of(
        [reading("a", 50), None, [reading("b", 9), reading("b", 7)], reading("a", 40)],
        stamps_ms=[10, 30, 20, -1],
        failures=[BAD],
    )

    request = make().polled(batch)

    assert request is not None
    assert request.sensors == ["a", "b", "a"]
    assert request.positions == [0, 2, 3]
    assert request.arrivals == [
        Arrival(3, 0, 10, 50, 10),
        Arrival(3, 2, 30, 7, 20),
        Arrival(3, 3, 30, 40, -1),
    ]
    assert (request.counts.records, request.counts.written, request.counts.dead_lettered) == (
        4,
        3,
        1,
    )
    assert request.restore_point == RekeyPoint(clock_ms=30, topic="")


def test_a_mark_is_due_at_the_beginning_and_when_the_clock_has_moved_on() -> None:
    state = make()
    marks = [
        state.polled(batch_of([reading("a", 1)], start=n, stamps_ms=[stamp]))
        for n, stamp in enumerate((10, 109, 110, 111))
    ]

    found = [request.mark for request in marks if request is not None]
    assert found == [ClockMark(3, 10), None, ClockMark(3, 110), None]


def test_a_partition_read_to_its_end_is_as_far_as_the_time() -> None:
    state = make(500)

    request = state.idle(900)

    assert request.mark == ClockMark(3, 900)
    assert (request.next_offset, request.counts.records) == (0, 0)
    assert state.idle(200).restore_point.clock_ms == 900, "the clock never goes back"


def test_the_clock_goes_on_where_it_was_committed() -> None:
    first = make()
    request = first.polled(batch_of([reading("a", 1)], stamps_ms=[70]))
    assert request is not None

    plan, clock_ms = plan_rekey(
        (request.next_offset, request.restore_point.encode()), beginning=0, end=9, fresh="latest"
    )

    assert (plan.read_from, plan.next_offset, clock_ms) == (1, 1, 70)
    again = RekeyState(3, plan, clock_ms, mark_every_ms=100)
    request = again.polled(batch_of([reading("a", 2)], start=1, stamps_ms=[60]))
    assert request is not None
    assert request.arrivals[0].clock_ms == 70


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    text = RekeyPoint(clock_ms=5, topic="old").encode()

    plan, _ = plan_rekey((4, text), beginning=0, end=9, fresh="earliest", topic="new")

    assert (plan.next_offset, "made anew" in plan.cold) == (0, True)


def test_what_retention_deleted_unread_is_counted() -> None:
    committed = (2, RekeyPoint(clock_ms=5, topic="").encode())
    plan, clock_ms = plan_rekey(committed, beginning=6, end=9, fresh="earliest")
    state = RekeyState(0, plan, clock_ms, mark_every_ms=1)

    request = state.polled(batch_of([reading("a", 1)], start=6, stamps_ms=[6]))

    assert request is not None
    assert request.counts.lost == 4


def test_nothing_good_is_no_record_to_write() -> None:
    batch = batch_of([None, None], failures=[replace(BAD, position=0), BAD])

    request = make().polled(batch)

    assert request is not None
    assert (request.arrivals, request.counts.dead_lettered) == ((), 2)
    assert make().polled(replace(batch, offsets=np.empty(0, np.int64))) is None

"""The rule of the order, case by case; `tests/property/test_reorder.py` has the whole of it."""

from __future__ import annotations

import pytest

from tests.support.partitions import close
from tests.support.repartition import Sent, reorder_state, shuffled_batch
from workers.stream.state.partition import IllegalEventError
from workers.stream.state.reorder import (
    WINDOW,
    Bound,
    ReorderPoint,
    ReorderRequest,
    ReorderState,
    plan_reorder,
)
from workers.stream.state.restore import MetadataTooLargeError
from workers.stream.state.shuffled import Arrival, ClockMark

BOUND = Bound(max_disorder_ms=10, max_held=10_000)


def arrived(offset: int, *, ts: int, clock: int, source: int = 0, sensor: str = "a") -> Sent:
    return Sent(offset, Arrival(source, offset, clock, ts, clock), sensor)


def mark(offset: int, *, clock: int, source: int = 0) -> Sent:
    return Sent(offset, ClockMark(source, clock))


def polled(state: ReorderState, *sent: Sent) -> ReorderRequest:
    request = state.polled(shuffled_batch(sent))
    assert request is not None
    return request


def offsets(request: ReorderRequest) -> list[int]:
    return [record.offset for record in request.released]


def test_a_record_waits_until_every_source_has_passed_it_by_the_bound() -> None:
    state, _ = reorder_state(bound=BOUND, sources=2)

    assert offsets(polled(state, arrived(0, ts=5, clock=5))) == []
    assert offsets(polled(state, mark(1, clock=100))) == [], "the other source is silent"
    assert offsets(polled(state, mark(2, clock=14, source=1))) == [], "not by the bound"
    assert offsets(polled(state, mark(3, clock=15, source=1))) == [0]
    assert state.held == state.sensors == 0


def test_a_record_that_is_due_takes_the_older_ones_of_its_sensor_along() -> None:
    state, _ = reorder_state(bound=BOUND, sources=1)
    polled(state, arrived(0, ts=9, clock=1), arrived(1, ts=7, clock=8))
    polled(state, arrived(2, ts=3, clock=8, sensor="b"), arrived(3, ts=10, clock=8))

    assert offsets(polled(state, mark(4, clock=11))) == [1, 0]
    assert state.held == 2


def test_what_comes_later_than_the_bound_goes_on_at_once_and_is_counted() -> None:
    state, _ = reorder_state(bound=BOUND, sources=1)
    polled(state, arrived(0, ts=9, clock=1), mark(1, clock=11))

    late = polled(state, arrived(2, ts=8, clock=12))
    same = polled(state, arrived(3, ts=9, clock=12))

    assert (offsets(late), late.counts.late, late.counts.written) == ([2], 1, 1)
    assert (offsets(same), same.counts.late) == ([3], 0), "a repeat of the same time is not late"


def test_lateness_is_remembered_beyond_the_beginning_of_a_window() -> None:
    state, _ = reorder_state(bound=BOUND, sources=1)
    polled(state, arrived(0, ts=9, clock=1), mark(1, clock=11))
    polled(state, mark(WINDOW, clock=12))
    assert state.restore_point.windows == (0, 0, WINDOW)

    assert polled(state, arrived(WINDOW + 1, ts=8, clock=13)).counts.late == 1


def test_beyond_the_limit_the_oldest_go_on_early_and_are_counted() -> None:
    state, _ = reorder_state(bound=Bound(max_disorder_ms=10, max_held=2), sources=2)

    request = polled(state, *(arrived(n, ts=9 - n, clock=n) for n in range(4)))

    assert offsets(request) == [2, 1, 0, 3]
    assert (request.counts.early, request.counts.late) == (1, 1), "two went along with the oldest"


def test_a_later_poll_changes_nothing_of_a_request_that_is_still_open() -> None:
    state, _ = reorder_state(bound=BOUND, sources=1)
    polled(state, arrived(0, ts=1, clock=1))
    first = polled(state, mark(1, clock=50))

    second = polled(state, arrived(2, ts=60, clock=60))

    assert close(state, 0).number == 0
    assert offsets(first) == [0]
    assert offsets(second) == []


def test_a_record_that_does_not_belong_there_is_a_failure() -> None:
    state, _ = reorder_state(bound=BOUND, sources=1)

    request = polled(state, Sent(0, None, "stranger"))

    assert request.counts.dead_lettered == request.counts.records == 1
    assert "nothing but vigie repartition writes to this topic" in request.failures[0].message


def test_a_changed_bound_lets_go_what_is_held_in_order_before_anything_else() -> None:
    state, _ = reorder_state(bound=BOUND, sources=1)
    request = polled(state, arrived(0, ts=9, clock=1), arrived(1, ts=7, clock=2))
    committed = (request.next_offset, request.restore_point.encode())

    wider = Bound(max_disorder_ms=1000, max_held=10_000)
    state, read_from = reorder_state(bound=wider, committed=committed, sources=1)
    assert read_from == 0
    assert (
        state.polled(shuffled_batch([arrived(0, ts=9, clock=1), arrived(1, ts=7, clock=2)])) is None
    )
    request = polled(state, arrived(2, ts=1, clock=3))

    assert offsets(request) == [1, 0]
    assert request.restore_point.windows == (2, 2, 2)
    assert request.restore_point.bound == wider


def test_a_source_partition_more_is_waited_for() -> None:
    state, _ = reorder_state(bound=BOUND, sources=1)
    polled(state, arrived(0, ts=5, clock=5), mark(1, clock=6, source=1))

    assert offsets(polled(state, mark(2, clock=100))) == []
    assert offsets(polled(state, mark(3, clock=15, source=1))) == [0]


def test_what_retention_took_of_the_held_is_told() -> None:
    point = ReorderPoint(windows=(5, 6, 7), watermark=3, clocks=(3,), bound=BOUND, topic="")

    plan, found = plan_reorder((10, point.encode()), beginning=8, end=20)

    assert (plan.read_from, plan.next_offset, plan.clamped) == (8, 10, 3)
    assert "retention has deleted offsets 5 to 7" in plan.cold
    assert found == point


@pytest.mark.parametrize("text", ["", "null", "[]", '{"v":2}', '{"v":1,"windows":[9,8,7]}'])
def test_a_commit_of_somebody_else_begins_cold_and_says_so(text: str) -> None:
    plan, point = plan_reorder((10, text), beginning=0, end=20)

    assert point is None
    assert plan.read_from == plan.next_offset == 10
    assert "no restore point that this version knows" in plan.cold


def test_clocks_that_do_not_fit_into_a_commit_end_the_run_with_advice() -> None:
    clocks = tuple(10**12 + 10**9 * number for number in range(500))
    point = ReorderPoint(windows=(0, 0, 0), watermark=0, clocks=clocks, bound=BOUND, topic="")

    with pytest.raises(MetadataTooLargeError, match="500 source partitions"):
        point.encode()


def test_offsets_never_go_back() -> None:
    state, _ = reorder_state(bound=BOUND, sources=1)
    polled(state, mark(4, clock=1))

    with pytest.raises(IllegalEventError):
        state.polled(shuffled_batch([mark(4, clock=2)]))

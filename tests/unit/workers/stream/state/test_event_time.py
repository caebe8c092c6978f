"""Records from the future are rejected by the log's own clock."""

from __future__ import annotations

import numpy as np

from schemas.columns import Decoded, Failure
from schemas.wire.errors import Stage
from tests.support.partitions import FAR_APART_NS, batch_of, reading
from workers.stream.state.event_time import reject_wrong_clocks

MS = 1_000_000


def decoded(*records: object, failures: tuple[Failure, ...] = ()) -> Decoded:
    return Decoded(readings=batch_of(records).readings, failures=list(failures))  # type: ignore[arg-type]


def accepted(
    batch: Decoded, stamps_ms: list[int], *, max_ahead_s: float = 0, max_behind_s: float = 0
) -> Decoded:
    stamps = np.array(stamps_ms, np.int64)
    return reject_wrong_clocks(batch, stamps, max_ahead_s=max_ahead_s, max_behind_s=max_behind_s)


def test_a_record_from_the_future_becomes_a_failure() -> None:
    batch = decoded(reading("a", 5 * MS), reading("b", FAR_APART_NS), reading("a", 6 * MS))
    found = accepted(batch, [5, 5, 5], max_ahead_s=1.0)
    assert found.readings.sensors == ["a", "a"]
    assert found.readings.positions.tolist() == [0, 2]
    assert found.readings.ts_ns.tolist() == [5 * MS, 6 * MS]
    (failure,) = found.failures
    assert (failure.position, failure.stage) == (1, "clock")
    assert "max_ahead_s allows 1" in failure.message


def test_a_frame_with_one_such_reading_is_rejected_whole() -> None:
    batch = decoded([reading("a", 1), reading("a", FAR_APART_NS)], reading("b", 1))
    found = accepted(batch, [0, 0], max_ahead_s=1.0)
    assert found.readings.sensors == ["b"]
    assert len(found.readings) == 1


def test_the_limit_itself_and_records_without_a_timestamp_pass() -> None:
    batch = decoded(reading("a", 2000 * MS), reading("b", FAR_APART_NS))
    assert accepted(batch, [1000, -1], max_ahead_s=1.0) is batch


def test_failures_stay_in_order_of_their_records() -> None:
    bad = Failure(position=2, stage=Stage.DECODE, exception="E", message="")
    batch = decoded(reading("a", 1), reading("b", FAR_APART_NS), None, failures=(bad,))
    found = accepted(batch, [0, 0, 0], max_ahead_s=1.0)
    assert [failure.position for failure in found.failures] == [1, 2]


def test_a_record_from_long_ago_becomes_a_failure() -> None:
    batch = decoded(reading("a", 9000 * MS), [reading("b", 9000 * MS), reading("b", 20 * MS)])
    found = accepted(batch, [10_000, 10_000], max_behind_s=5.0)
    assert found.readings.sensors == ["a"]
    (failure,) = found.failures
    assert (failure.position, failure.stage, failure.exception) == (
        1, "clock", "EventTimeBehindError",
    )  # fmt: skip
    assert "lies 10 s behind" in failure.message
    assert "stream.max_behind_s allows 5" in failure.message


def test_as_far_behind_as_allowed_and_records_without_a_timestamp_pass() -> None:
    batch = decoded(reading("a", 5000 * MS), reading("b", 0))
    assert accepted(batch, [10_000, -1], max_behind_s=5.0) is batch
    nothing = decoded()
    assert accepted(nothing, [], max_behind_s=5.0) is nothing


def test_without_limits_nothing_is_looked_at() -> None:
    batch = decoded(reading("a", 0), reading("b", FAR_APART_NS))
    assert accepted(batch, [9, 9]) is batch

"""What counts as a loss when offsets are missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from workers.errors import BrokerUnavailableError
from workers.kafka.kafka_python.consumer.retention import Retention


class Log:
    """Tells where it begins, and counts how often it was asked."""

    def __init__(self, beginning: int | None = 0) -> None:
        self.beginning, self.asked = beginning, 0

    def __call__(self, partition: int) -> int:
        self.asked += 1
        if self.beginning is None:
            raise BrokerUnavailableError("away")
        return self.beginning


def batch(*offsets: int) -> dict[int, Any]:
    return {0: [SimpleNamespace(offset=offset) for offset in offsets]}


def following(log: Log, at: int) -> Retention:
    retention = Retention(log)
    retention.expect(0, at)
    return retention


def test_a_log_without_holes_and_with_markers_is_never_asked():
    log = Log(beginning=10**9)
    retention = following(log, 5)

    for offsets in [(5, 6, 7), (8,), (10, 12), (14,)]:  # 9, 11 and 13 are markers
        assert retention.follow(batch(*offsets)) == {}
    assert log.asked == 0


def test_a_hole_that_the_log_still_covers_is_no_loss():
    log = Log(beginning=5)
    retention = following(log, 5)

    assert retention.follow(batch(50)) == {}
    assert retention.follow(batch(51)) == {}
    assert log.asked == 1


def test_what_lies_before_the_beginning_is_lost_and_the_rest_of_the_hole_is_not():
    log = Log(beginning=40)
    retention = following(log, 5)

    assert retention.follow(batch(50)) == {0: 35}
    log.beginning = 90
    assert retention.follow(batch(80)) == {0: 29}
    assert retention.follow(batch(81)) == {}


def test_who_starts_elsewhere_or_loses_the_partition_has_no_hole():
    log = Log(beginning=90)
    retention = following(log, 5)
    retention.expect(0, 60)
    assert retention.follow(batch(60)) == {}
    retention.forget(frozenset({0}))
    assert retention.follow(batch(99)) == {}
    retention.expect(0, 20)  # back: an offset outside the log went to its beginning
    assert retention.follow(batch(3)) == {}
    assert log.asked == 0


def test_a_hole_that_nobody_could_judge_is_judged_later():
    log = Log(beginning=None)
    retention = following(log, 0)
    assert retention.follow(batch(10)) == {}
    log.beginning = 8

    assert retention.follow({}) == {0: 8}
    assert retention.follow(batch(11)) == {}

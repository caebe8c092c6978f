"""When a member looks for partitions that nobody owns, and what it makes of what it sees."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clock import FakeClock
from workers.errors import BrokerUnavailableError, SettingsError
from workers.kafka.admin import Group, Member
from workers.kafka.kafka_python.consumer.unassigned import Unassigned

A_WHILE_S = 60.0


def group(*owned: int, state: str = "Stable") -> Group:
    member = Member(client_id="c", partitions=owned)
    return Group(name="g", state=state, members=(member,), committed={})


class Broker:
    def __init__(self) -> None:
        self.answer: Callable[[], Group] = group
        self.asked = 0

    def __call__(self) -> Group:
        self.asked += 1
        return self.answer()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def orphans(broker: Broker, clock: FakeClock) -> Unassigned:
    return Unassigned(broker, monotonic_s=clock)


def raising(error: Exception) -> Callable[[], Group]:
    def answer() -> Group:
        raise error

    return answer


def test_nobody_looks_before_a_while_after_a_join(
    orphans: Unassigned, broker: Broker, clock: FakeClock
) -> None:
    clock.advance(A_WHILE_S)
    assert not orphans.are_there({0})
    orphans.joined()
    assert not orphans.are_there({0})
    assert broker.asked == 0


def test_one_look_is_enough_when_all_have_owners(
    orphans: Unassigned, broker: Broker, clock: FakeClock
) -> None:
    broker.answer = lambda: group(0, 1)
    orphans.joined()
    for _ in range(3):
        clock.advance(A_WHILE_S)
        assert not orphans.are_there({0, 1})
    assert broker.asked == 1


def test_a_missing_one_is_told_until_it_has_an_owner(
    orphans: Unassigned, broker: Broker, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    broker.answer = lambda: group(0)
    orphans.joined()
    for _ in range(2):
        clock.advance(A_WHILE_S)
        assert orphans.are_there({0, 1})
        assert "partitions [1] have no owner" in caplog.text
    broker.answer = lambda: group(0, 1)
    clock.advance(A_WHILE_S)
    assert not orphans.are_there({0, 1})


@pytest.mark.parametrize(
    "answer",
    [
        lambda: group(0, state="PreparingRebalance"),
        raising(BrokerUnavailableError("away")),
    ],
    ids=["a round is under way", "no answer"],
)
def test_what_says_nothing_is_asked_again(
    answer: Callable[[], Group], orphans: Unassigned, broker: Broker, clock: FakeClock
) -> None:
    broker.answer = answer
    orphans.joined()
    clock.advance(A_WHILE_S)
    assert not orphans.are_there({0, 1})
    broker.answer = lambda: group(0)
    clock.advance(A_WHILE_S)
    assert orphans.are_there({0, 1})


def test_who_may_not_look_says_so_once(
    orphans: Unassigned, broker: Broker, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    broker.answer = raising(SettingsError("not authorised"))
    orphans.joined()
    for _ in range(3):
        clock.advance(A_WHILE_S)
        assert not orphans.are_there({0})
    assert caplog.text.count("not authorised") == broker.asked == 1

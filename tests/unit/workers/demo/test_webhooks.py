"""The account of the webhooks: what was due, what came, and how long it took."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.support.demo_records import make_incident, make_ledger
from workers.demo.ledger import Happened
from workers.demo.told import Told
from workers.demo.webhooks import GATEWAY, Came, Delay, Seen, Webhooks, reconcile

STREAM = "/vigie/demo"
ONE, OTHER = UUID(int=1), UUID(int=2)
HAPPENED = {
    "a1": Happened("incident.opened", ONE, 1_000),
    "a2": Happened("incident.updated", ONE, 2_000),
    "b1": Happened("incident.opened", OTHER, 3_000),
    "a3": Happened("incident.resolved", ONE, 4_000),
}
DUE = ("a1", "b1", "a3")


def came(id_: str, *, after_ms: int = 100, is_valid: bool = True) -> Came:
    one = HAPPENED[id_]
    return Came(id_, str(one.incident), (one.stamp_ms + after_ms) * 10**6, is_valid)


def seen(id_: str, *, after_ms: int = 50) -> Seen:
    one = HAPPENED[id_]
    return Seen(STREAM, str(one.incident), (one.stamp_ms + after_ms) * 10**6)


def account(**changes: Any) -> Webhooks:
    given_: dict[str, Any] = {
        "came": [came(id_) for id_ in DUE],
        "seen": {id_: seen(id_) for id_ in DUE},
        "held_back": (),
    }
    return reconcile(HAPPENED, **given_ | changes)


def test_all_that_was_due_and_came_once_balances():
    webhooks = account()

    assert webhooks.balanced, webhooks.checks
    assert (webhooks.due, webhooks.came, webhooks.valid, webhooks.repeats) == (3, 3, 3, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"came": [came("a1"), came("b1")]},
        {"came": [came("a1"), came("b1"), came("a3", is_valid=False)]},
        {"came": [*map(came, DUE), Came("c1", str(OTHER), 5_000, is_valid=True)]},
        {"came": [*map(came, DUE), came("a2")]},
        {"came": [*map(came, DUE), Came("", "", 5_000, is_valid=False)]},
        {"seen": {"a1": seen("a1"), "b1": seen("b1")}},
    ],
    ids=["missing", "forged", "of nothing", "of an update", "without an id", "not on the page"],
)
def test_whatever_is_missing_or_too_much_it_does_not_balance(wrong):
    assert not account(**wrong).balanced


def test_one_that_comes_twice_counts_once_and_is_told():
    webhooks = account(came=[*map(came, DUE), came("a1", after_ms=9_000)])

    assert webhooks.balanced
    assert (webhooks.came, webhooks.repeats) == (3, 1)
    assert webhooks.to_webhook_s == Delay(0.1, 0.1, 0.1)


def test_an_incident_that_a_silence_held_back_counts_on_neither_side():
    webhooks = account(came=[came("b1")], held_back={str(ONE)})

    assert webhooks.balanced
    assert (webhooks.due, webhooks.came, webhooks.left_out) == (1, 1, 1)


def test_an_incident_that_somebody_resolved_counts_on_neither_side():
    by_hand = Seen(GATEWAY, str(ONE), 0)
    told = Came("by-hand", str(ONE), 0, is_valid=True)

    webhooks = account(
        came=[came("a1"), told, came("b1")],
        seen={"a1": seen("a1"), "by-hand": by_hand, "b1": seen("b1")},
    )

    assert webhooks.balanced
    assert (webhooks.due, webhooks.left_out) == (1, 1)


def test_delays_are_those_of_the_first_to_come_and_of_the_first_to_open():
    webhooks = account(
        came=[came("a1", after_ms=100), came("b1", after_ms=200), came("a3", after_ms=1_500)],
        seen={"a1": seen("a1", after_ms=70), "b1": seen("b1", after_ms=20), "a3": seen("a3")},
    )

    assert webhooks.to_webhook_s == Delay(0.2, 1.5, 1.5)
    assert (webhooks.first_to_page_s, webhooks.worst_to_page_s) == (0.07, 0.07)


def test_where_nothing_happened_nothing_is_due():
    webhooks = reconcile({}, [], {}, held_back=())

    assert webhooks.balanced
    delays = (webhooks.to_webhook_s, webhooks.first_to_page_s, webhooks.worst_to_page_s)
    assert delays == (None, None, None)


@settings(deadline=None, max_examples=50)
@given(seconds=st.lists(st.floats(0, 1_000), min_size=1))
def test_delays_are_delays_that_were_measured(seconds):
    delay = Delay.of(seconds)

    assert delay is not None
    assert set(delay) <= set(seconds)
    assert delay.p50 <= delay.p99 <= delay.worst == max(seconds)
    assert sum(one <= delay.p50 for one in seconds) * 2 >= len(seconds)


def test_the_ledger_keeps_when_an_event_came_first():
    ledger = make_ledger()
    event = make_incident("pump-1", 5)
    ledger.add_incident(event, stamp_ms=7)
    ledger.add_incident(event, stamp_ms=9)

    assert ledger.incident_events == {event.id: Happened("incident.opened", event.data.id, 7)}


# -- in words --------------------------------------------------------------------------------------


def shown(told: Told) -> str:
    console = Console(width=100, file=None)
    with console.capture() as capture:
        told.show(console)
    return " ".join(capture.get().split())


def test_the_account_is_told_in_words():
    text = shown(Told(page="http://127.0.0.1:1", webhooks=account()))

    for words in (
        "3 openings and ends of incidents were due, 3 came, 3 with a valid signature, each once",
        "to the receiver: p50 100 ms, p99 100 ms",
        "The first incident was on the page 50 ms after its record",
    ):
        assert words in text
    assert "does not add up" not in text.lower()


def test_what_does_not_add_up_or_counts_on_neither_side_is_told_in_words():
    text = shown(
        Told(page="", webhooks=account(came=[came("b1")] * 2, held_back={str(ONE)}))
    ) + shown(Told(page="", webhooks=account(came=[])))

    assert "1 of them again, under the id that they had" in text
    assert "1 incidents that somebody silenced or resolved on the page do not count" in text
    assert "Does not add up: openings and ends of incidents in the topic = webhooks" in text
    assert "3 and 0" in text


def test_without_a_gateway_the_reason_is_told_and_nothing_is_due():
    told = Told(page=None, webhooks=None, problem="vigie serve [ended] at once")

    assert told.balanced
    assert "The gateway failed: vigie serve [ended] at once" in shown(told)
    assert told.as_dict() == {"page": None, "webhooks": None, "gateway_note": told.problem}


def test_for_scripts_there_is_all_of_it():
    webhooks = account()
    document = Told(page="http://127.0.0.1:1", webhooks=webhooks).as_dict()["webhooks"]

    assert document["due"] == document["came"] == document["valid_signatures"] == 3
    assert document["to_webhook_s"] == {"p50": 0.1, "p99": 0.1, "worst": 0.1}
    assert document["to_page_s"] == {"first": 0.05, "worst": 0.05}
    assert all(check["holds"] for check in document["checks"])
    broken = replace(webhooks, checks=account(came=[]).checks)
    assert not Told(page="", webhooks=broken).balanced

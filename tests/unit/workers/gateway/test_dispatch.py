"""Deliveries: again after a failure, in order, never lost, and nobody waits for somebody else."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import select, update

from schemas.api.subscriptions import DeliveryState
from schemas.settings import Settings
from tests.support.gateway import HOUR, Rig, failing
from workers.api.gateway_metrics import GatewayCollector
from workers.gateway.principals import ANYONE
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.gateway.store import audit, deliveries, leases, subscriptions
from workers.gateway.store.database import Database
from workers.gateway.store.tables import attempts as attempt_table
from workers.gateway.store.tables import deliveries as outbox_table
from workers.gateway.store.tables import subscriptions as subscription_table

DAY = 24 * HOUR


@pytest.fixture
def rig(database: Database) -> Rig:
    return Rig(database)


def test_a_failed_delivery_comes_again_under_the_same_id(rig: Rig):
    rig.subscribe("a")
    rig.receivers.outcomes["a"] = [failing(), failing(503)]
    rig.opens()
    rig.deliver()
    assert len(rig.go_on(4.9).of("a")) == 1

    rig.go_on(1.0)
    first, second, third = rig.go_on(331.0).of("a")

    assert first == second == third
    with rig.database.read() as connection:
        found = connection.execute(select(attempt_table.c.status)).scalars().all()
    assert found == [500, 503, 204]


def test_a_receiver_says_how_long_to_wait(rig: Rig):
    rig.subscribe("a")
    rig.receivers.outcomes["a"] = [failing(429, retry_after_s=120)]
    rig.opens()
    rig.deliver()

    assert len(rig.go_on(119).of("a")) == 1
    assert len(rig.go_on(14).of("a")) == 2


def test_the_end_waits_for_the_opening_to_arrive(rig: Rig):
    rig.subscribe("a")
    rig.receivers.outcomes["a"] = [failing()]
    rig.take_in(rig.event("opened", "pump-1"), rig.event("opened", "pump-2"))
    rig.resolves("pump-1")
    rig.deliver()
    assert rig.receivers.told("a") == [("opened", "pump-1"), ("opened", "pump-2")]

    assert rig.go_on(6).told("a")[2:] == [("opened", "pump-1"), ("resolved", "pump-1")]


def test_what_is_too_old_is_a_dead_letter_that_can_be_sent_again(rig: Rig):
    a = rig.subscribe("a", max_age_s=600)
    rig.receivers.outcomes["a"] = [failing(), failing(), failing(), failing()]
    rig.opens()
    rig.deliver()
    for _ in range(4):
        rig.go_on(331)
    assert rig.states(a) == [("opened", "dead", "")]
    rig.receivers.outcomes["a"] = []
    with rig.database.begin() as connection:
        (row,) = deliveries.list_rows(connection, subscription_id=a, limit=5)
        assert deliveries.resend(
            connection, outbox_table.c.id == row.id, now_ns=rig.clock(), states=("dead",)
        )

    rig.deliver()

    assert rig.states(a) == [("opened", "delivered", "")]
    assert len({message.id for message in rig.receivers.of("a")}) == 1


def test_what_no_attempt_can_deliver_is_a_dead_letter_at_once(rig: Rig):
    a = rig.subscribe("a")
    rig.receivers.outcomes["a"] = [Outcome.failed("no such package", Verdict.REJECTED)]
    rig.opens()
    rig.deliver()

    assert rig.states(a) == [("opened", "dead", "")]


def test_the_last_death_is_told_however_it_came_and_whatever_is_sent_again(rig: Rig):
    now = [0.0]
    collector = GatewayCollector(rig.database, dict, clock=rig.clock, monotonic=lambda: now[0])

    def last_dead_ns() -> int:
        now[0] += 60.0
        (found,) = (one for one in collector.collect() if "last_dead" in one.name)
        return round(found.samples[0].value * 1e9)

    a, b = rig.subscribe("a"), rig.subscribe("b", max_age_s=600)
    rig.receivers.outcomes["a"] = [Outcome.failed("no such package", Verdict.REJECTED)]
    rig.receivers.outcomes["b"] = [failing()]
    assert last_dead_ns() == 0
    rig.opens()
    rig.deliver()
    _enable(rig, b, on=False)
    rejected_ns = last_dead_ns()
    assert rejected_ns == pytest.approx(rig.clock(), abs=1e9)
    rig.clock.go_on(HOUR)
    rig.sweeper.prune()
    assert rig.states(b) == [("opened", "dead", "")]
    assert last_dead_ns() == pytest.approx(rig.clock(), abs=1e9)

    with rig.database.begin() as connection:
        of_b = outbox_table.c.subscription_id == b
        deliveries.resend(connection, of_b, now_ns=rig.clock(), states=("dead",))

    assert last_dead_ns() == rejected_ns
    assert rig.states(a) == [("opened", "dead", "")]


def test_a_receiver_that_is_gone_disables_its_subscription_and_somebody_hears_of_it(rig: Rig):
    a = rig.subscribe("a")
    rig.subscribe("watch", types=["subscription.disabled"])
    rig.receivers.outcomes["a"] = [Outcome(verdict=Verdict.GONE, status=410)]
    rig.opens("pump-1")
    rig.deliver()
    rig.opens("pump-2")
    rig.deliver()

    assert len(rig.receivers.of("a")) == 1
    (told,) = rig.receivers.of("watch")
    assert told.events[0]["data"]["subscription"] == a
    with rig.database.read() as connection:
        row = subscriptions.get_subscription(connection, a)
    assert row is not None
    assert "410" in row.disabled_reason
    assert json.loads(row.spec)["enabled"] is False


def test_a_subscription_that_fails_for_days_is_disabled(rig: Rig):
    a = rig.subscribe("a", max_age_s=30 * DAY)
    rig.subscribe("watch", types=["subscription.disabled"])
    rig.receivers.outcomes["a"] = [failing()] * 100
    rig.opens("pump-1")
    for _ in range(14):
        rig.go_on(DAY / 2)

    assert "5." in rig.receivers.of("watch")[0].events[0]["data"]["reason"]
    with rig.database.read() as connection:
        row = subscriptions.get_subscription(connection, a)
    assert row is not None
    assert not row.enabled


def test_one_success_ends_a_failing_time(rig: Rig):
    a = rig.subscribe("a", max_age_s=30 * DAY)
    rig.receivers.outcomes["a"] = [failing()]
    rig.opens("pump-1")
    rig.deliver()
    assert _failing_since(rig, a) == rig.clock()

    rig.go_on(6)

    assert _failing_since(rig, a) is None


def test_a_failing_time_that_ended_at_another_gateway_is_over(rig: Rig):
    a = rig.subscribe("a", max_age_s=30 * DAY)
    one, two = rig.dispatcher("one"), rig.dispatcher("two")
    rig.receivers.outcomes["a"] = [failing()]
    rig.opens("pump-1")
    rig.deliver(one)
    rig.clock.go_on(6)
    rig.deliver(two)
    rig.clock.go_on(6 * DAY)
    rig.receivers.outcomes["a"] = [failing()]
    rig.opens("pump-2")
    rig.deliver(one)

    assert _failing_since(rig, a) == rig.clock()
    with rig.database.read() as connection:
        row = subscriptions.get_subscription(connection, a)
    assert row is not None
    assert row.enabled


def test_what_waits_for_a_disabled_subscription_is_sent_when_it_is_enabled(rig: Rig):
    a = rig.subscribe("a")
    rig.receivers.outcomes["a"] = [failing()]
    rig.opens()
    rig.deliver()
    _enable(rig, a, on=False)
    assert len(rig.go_on(HOUR).of("a")) == 1

    _enable(rig, a, on=True)

    assert len(rig.deliver().of("a")) == 2


def test_who_dies_between_sending_and_writing_it_down_sends_it_again(rig: Rig):
    """At least once: another holder takes it when the lease is over, under the same id."""
    a = rig.subscribe("a")
    rig.opens()
    lease_s = rig.settings.gateway.deliver_timeout_s + 30
    with rig.database.begin() as connection:
        (due,) = _lease(rig, connection, "dead", seconds=lease_s)
    assert rig.go_on(lease_s - 1).of("a") == [] or rig.states(a)[0][1] == "waiting"

    assert [message.id for message in rig.go_on(2).of("a")] == [due.event_id]


def test_two_holders_never_have_one_delivery_at_a_time(rig: Rig):
    rig.subscribe("a")
    for number in range(6):
        rig.opens(f"pump-{number}")
    with rig.database.begin() as connection:
        first = _lease(rig, connection, "one", limit=4)
    with rig.database.begin() as connection:
        second = _lease(rig, connection, "two", limit=4)

    assert len(first) == 4
    assert len(second) == 2
    assert not {one.id for one in first} & {one.id for one in second}


def test_what_was_leased_keeps_the_next_of_its_incident_back(rig: Rig):
    rig.subscribe("a")
    rig.opens()
    rig.resolves()
    with rig.database.begin() as connection:
        assert [one.type for one in _lease(rig, connection, "one")] == ["incident.opened"]
    with rig.database.begin() as connection:
        assert _lease(rig, connection, "two") == []


def test_of_one_subscription_only_a_few_are_sent_at_once(rig: Rig):
    rig.subscribe("a")
    for number in range(30):
        rig.opens(f"pump-{number}")

    assert len(rig.deliver().of("a")) == 30
    assert rig.receivers.most_at_once <= 4


def test_receivers_that_hang_keep_nobody_else_waiting(database: Database):
    """More of them than may be in flight; all of theirs hang for as long as the test runs."""
    rig = Rig(database, Settings.model_validate({"gateway": {"max_in_flight": 4}}))
    for number in range(12):
        rig.subscribe(f"hangs-{number}")
        rig.receivers.hanging.add(f"hangs-{number}")
    rig.opens("before")
    rig.subscribe("good")

    async def deliver() -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(rig.dispatcher().run(stopping))
        with rig.signal.listen() as heard:
            async with asyncio.timeout(60):
                while len(rig.receivers.sent) < 4:
                    await heard.wait(0.02)
                await asyncio.to_thread(rig.opens, "pump-1")
                while not rig.receivers.of("good"):
                    await heard.wait(0.02)
        rig.receivers.hanging.clear()
        stopping.set()
        rig.signal.notify()
        await running

    asyncio.run(deliver())
    assert rig.receivers.told("good") == [("opened", "pump-1")]


def test_a_signing_secret_is_there_with_the_one_before_it(rig: Rig):
    a = rig.subscribe("a")
    with rig.database.begin() as connection:
        for secret in ("whsec_old", "whsec_new"):
            subscriptions.add_secret(
                connection, a, secret, sealer=rig.sealer, overlap_s=HOUR, now_ns=rig.clock()
            )
    rig.opens("pump-1")
    rig.deliver()
    rig.go_on(HOUR + 1)
    rig.opens("pump-2")
    rig.deliver()

    assert [signing for _, _, signing in rig.receivers.sent] == [
        ("whsec_new", "whsec_old"),
        ("whsec_new",),
    ]


def test_a_deleted_subscription_takes_its_deliveries_with_it(rig: Rig):
    a = rig.subscribe("a")
    rig.opens()
    with rig.database.begin() as connection:
        assert subscriptions.delete_subscription(connection, a)

    assert rig.deliver().sent == []


def test_what_is_old_is_deleted_and_what_is_still_due_stays(rig: Rig):
    a = rig.subscribe("a", max_age_s=30 * DAY)
    b = rig.subscribe("b")
    rig.receivers.outcomes["a"] = [failing()]
    rig.opens()
    rig.resolves()
    rig.deliver()
    with rig.database.begin() as connection:
        audit.record(connection, ANYONE, "subscription.create", a, clock=rig.clock)
    rig.clock.go_on(91 * DAY)
    with rig.database.begin() as connection:
        connection.execute(
            update(outbox_table)
            .where(outbox_table.c.subscription_id == a)
            .values(expires_ns=rig.clock() + 1)
        )

    rig.sweeper.prune()

    assert rig.states(b) == []
    assert [state for _, state, _ in rig.states(a)] == [DeliveryState.WAITING.value] * 2
    rig.deliver()
    rig.clock.go_on(91 * DAY)
    rig.sweeper.prune()
    assert rig.states(a) == []
    with rig.database.read() as connection:
        assert audit.entries(connection, tenant="", before=None, limit=9) == []


def _lease(rig: Rig, connection, holder: str, *, limit: int = 10, seconds: float = 60.0):
    return leases.lease(
        connection,
        holder=holder,
        now_ns=rig.clock(),
        until_ns=rig.clock() + round(seconds * 1e9),
        limit=limit,
        per_subscription=8,
        busy=(),
    )


def _failing_since(rig: Rig, id_: str) -> int | None:
    with rig.database.read() as connection:
        row = subscriptions.get_subscription(connection, id_)
    assert row is not None
    found: int | None = row.failing_since_ns
    return found


def _enable(rig: Rig, id_: str, *, on: bool) -> None:
    with rig.database.begin() as connection:
        row = connection.execute(
            select(subscription_table).where(subscription_table.c.id == id_)
        ).one()
        spec = subscriptions.spec_of(row, rig.sealer).model_copy(update={"enabled": on})
        subscriptions.change_subscription(
            connection, row, spec, sealer=rig.sealer, now_ns=rig.clock()
        )

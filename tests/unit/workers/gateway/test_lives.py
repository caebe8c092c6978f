"""Lives of subscriptions and incidents that are not as simple: nobody is forgotten on the way."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from sqlalchemy import select

from schemas.settings import Settings
from tests.support.gateway import HOUR, MINUTE, TOPIC, Rig, incident_id
from workers.alerts.bodies import pagerduty
from workers.gateway.detector_watch import DetectorWatch
from workers.gateway.handling import Handling
from workers.gateway.intake import Intake
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.gateway.store import events, incidents, positions, subscriptions
from workers.gateway.store.database import Database
from workers.gateway.store.incidents import IncidentQuery
from workers.gateway.store.tables import groups
from workers.gateway.sweep import DIGEST_NS
from workers.kafka.client import Connection

GROUP = {"by": ["site"], "wait_s": 30, "interval_s": 300, "repeat_s": 14_400}


@pytest.fixture
def rig(database: Database) -> Rig:
    return Rig(database)


def change(rig: Rig, id_: str, **spec: object) -> None:
    """Somebody changes a subscription."""
    with rig.database.begin() as connection:
        row = subscriptions.get_subscription(connection, id_, lock=True)
        assert row is not None
        now = subscriptions.revealed(subscriptions.spec_of(row, rig.sealer))
        made = type(subscriptions.spec_of(row, rig.sealer)).model_validate(now | spec)
        subscriptions.change_subscription(
            connection, row, made, sealer=rig.sealer, now_ns=rig.clock()
        )


def members(rig: Rig) -> list[str]:
    """The incidents in all groups."""
    with rig.database.read() as connection:
        states = connection.execute(select(groups.c.state)).scalars()
        return sorted(id_ for state in states for id_ in json.loads(state)["members"])


# -- groups ---------------------------------------------------------------------------------------


def test_who_groups_no_more_is_told_of_what_waited_and_of_ends_by_themselves(rig: Rig):
    a = rig.subscribe("a", group=GROUP)
    rig.opens("pump-1")
    rig.go_on(31)
    rig.opens("pump-2")
    change(rig, a, group=None)
    rig.resolves("pump-1")

    told = rig.go_on(301).told("a")

    assert sorted(told) == [("opened", "pump-1"), ("opened", "pump-2"), ("resolved", "pump-1")]
    assert members(rig) == []


def test_the_end_of_one_does_not_close_a_group_that_goes_on(rig: Rig):
    rig.subscribe("a", group=GROUP)
    rig.opens("pump-1")
    rig.opens("pump-2")
    rig.go_on(31)
    rig.resolves("pump-2")
    message = rig.go_on(301).of("a")[-1]

    assert [(one["type"], one["subject"]) for one in message.events] == [
        ("incident.resolved", "pump-2"),
        ("incident.updated", "pump-1"),
    ]
    assert message.type == "incident.opened"
    assert json.loads(pagerduty.body(message, "key"))["event_action"] == "trigger"


def test_an_unhealthy_detector_waits_for_no_group(rig: Rig):
    rig.subscribe("a", group=GROUP, types=["detector.unhealthy", "detector.healthy"])
    watch = DetectorWatch(
        rig.database,
        rig.settings,
        outbox=rig.outbox,
        holder="x",
        signal=rig.signal,
        clock_ns=rig.clock,
    )
    for wrong in ("nobody reads", None):
        with rig.database.begin() as connection:
            events.lock(connection)
            watch.tell(connection, wrong)

    assert rig.deliver().types("a") == ["detector.unhealthy", "detector.healthy"]


def test_an_incident_stays_in_its_group_whatever_its_labels_are_later(rig: Rig):
    rig.subscribe("a", group=GROUP | {"by": ["site", "severity"]})
    rig.opens("pump-1", severity="medium")
    rig.go_on(31)
    rig.take_in(rig.event("updated", severity="high"))
    rig.resolves("pump-1", severity="high")

    assert [one[0] for one in rig.go_on(301).told("a")] == ["opened", "resolved"]
    assert len(rig.go_on(10 * HOUR).of("a")) == 2
    assert members(rig) == []


def test_what_waits_in_the_group_of_a_disabled_subscription_is_told_when_it_is_enabled(rig: Rig):
    a = rig.subscribe("a", group=GROUP)
    rig.opens("pump-1")
    change(rig, a, enabled=False)
    assert rig.go_on(MINUTE).of("a") == []
    change(rig, a, enabled=True)

    assert rig.go_on(MINUTE).told("a") == [("opened", "pump-1")]


def test_a_group_that_slept_through_an_end_tells_of_it_and_does_not_go_on_repeating(rig: Rig):
    a = rig.subscribe("a", group=GROUP)
    rig.opens("pump-1")
    rig.go_on(31)
    change(rig, a, enabled=False)
    rig.resolves("pump-1")
    change(rig, a, enabled=True)

    told = [one for _ in range(3) for one in rig.go_on(5 * HOUR).told("a")][-2:]

    assert told == [("opened", "pump-1"), ("resolved", "pump-1")]
    assert len(rig.receivers.of("a")) == 2


# -- what holds back ------------------------------------------------------------------------------


def test_what_looks_like_a_false_alarm_mutes_nobody(database: Database):
    rig = Rig(database, Settings.model_validate({"inhibit": [{"parent": "parent"}]}))
    rig.subscribe("a")
    alike = {"reason": "alike", "wish": incident_id("w"), "incident": incident_id("i")}
    rig.opens("line-1", suppressed=alike)
    rig.opens("pump-1", labels={"parent": "line-1"})

    assert rig.deliver().told("a") == [("opened", "pump-1")]


def test_a_digest_counts_what_was_over_before_it(rig: Rig):
    rig.subscribe("a", max_per_hour=2)
    for number in range(6):
        rig.opens(f"pump-{number}")
    for number in range(2, 5):
        rig.resolves(f"pump-{number}")
    rig.go_on(MINUTE)

    assert rig.go_on(DIGEST_NS / 1e9).of("a")[-1].suppressed == 4


def test_a_release_while_the_incident_ends_tells_neither_alone(rig: Rig):
    """Both at once, again and again: the opening is told with its end, or neither is."""
    rig.subscribe("a")
    for number in range(4):
        rig.silence(1, sensor_id=f"pump-{number}")
        rig.opens(f"pump-{number}")
    rig.clock.go_on(2)
    ends = rig.records([rig.event("resolved", f"pump-{number}") for number in range(4)])
    other = threading.Thread(target=rig.sweep)
    other.start()
    for one in ends:
        rig.keep([one])
    other.join()
    rig.go_on(1)

    told = rig.receivers.told("a")
    opened = [sensor for what, sensor in told if what == "opened"]
    assert sorted(opened) == sorted(sensor for what, sensor in told if what == "resolved")


# -- people ---------------------------------------------------------------------------------------


def test_who_is_told_of_escalations_alone_hears_nothing_else(rig: Rig):
    chief = rig.subscribe("chief", escalations_only=True)
    rig.subscribe("desk", escalate={"to": chief, "after_s": 900})
    rig.opens("pump-1")
    rig.opens("pump-2")
    rig.handle("pump-2", lambda work, row: work.acknowledge(row, until_ns=None, comment=""))
    rig.go_on(901)
    rig.resolves("pump-1")
    rig.resolves("pump-2")

    assert rig.deliver().told("chief") == [("opened", "pump-1"), ("resolved", "pump-1")]


def test_an_escalation_reaches_who_was_told_already_under_an_id_of_its_own(rig: Rig):
    chief = rig.subscribe("chief")
    rig.subscribe("desk", escalate={"to": chief, "after_s": 900})
    rig.opens()
    rig.go_on(901)

    first, second = rig.receivers.of("chief")
    assert first.id != second.id
    assert "nobody acknowledged" in second.note


def test_a_silence_holds_an_escalation_back_too(rig: Rig):
    chief = rig.subscribe("chief", escalations_only=True)
    rig.subscribe("desk", escalate={"to": chief, "after_s": 900})
    rig.opens()
    rig.silence(HOUR, site="Lyon")
    assert rig.go_on(901).of("chief") == []

    assert rig.go_on(HOUR).told("chief") == [("opened", "pump-1")]


def test_what_was_held_back_escalates_from_when_it_was_told(rig: Rig):
    chief = rig.subscribe("chief", escalations_only=True)
    rig.subscribe("desk", escalate={"to": chief, "after_s": 900})
    rig.silence(HOUR, site="Lyon")
    rig.opens()
    rig.go_on(HOUR + 1)
    assert rig.receivers.told("desk") == [("opened", "pump-1")]
    assert rig.go_on(890).of("chief") == []

    assert rig.go_on(20).told("chief") == [("opened", "pump-1")]


def test_who_gives_an_acknowledgement_back_escalates(rig: Rig):
    chief = rig.subscribe("chief", escalations_only=True)
    rig.subscribe("desk", escalate={"to": chief, "after_s": 900})
    rig.opens()
    rig.handle("pump-1", lambda work, row: work.acknowledge(row, until_ns=None, comment=""))
    rig.go_on(HOUR)
    rig.handle("pump-1", lambda work, row: work.unacknowledge(row))

    assert rig.go_on(1).told("chief") == [("opened", "pump-1")]


def test_a_note_is_found_after_the_incident_went_on(rig: Rig):
    rig.opens()

    def remark(work: Handling, row: Any) -> bool:
        work.remark(row, "Bearing ORDERED")
        return True

    rig.handle("pump-1", remark)
    rig.resolves()

    with rig.database.read() as connection:
        found = incidents.list_rows(connection, IncidentQuery(words="bearing pump-1"))
    assert [row.id for row in found] == [incident_id("pump-1")]


# -- deliveries and the intake --------------------------------------------------------------------


def test_a_subscription_that_is_gone_is_announced_once(rig: Rig):
    rig.subscribe("a")
    rig.subscribe("watch", types=["subscription.disabled"])
    rig.receivers.outcomes["a"] = [Outcome(verdict=Verdict.GONE, status=410)] * 8
    for number in range(8):
        rig.opens(f"pump-{number}")
    rig.deliver()

    assert len(rig.receivers.of("watch")) == 1


def test_a_name_that_postgresql_cannot_hold_is_told_with_another_letter(rig: Rig):
    rig.subscribe("a")
    rig.opens("pump\0\0")

    assert rig.deliver().told("a") == [("opened", "pump\ufffd\ufffd")]


def test_a_record_that_the_database_cannot_hold_keeps_nobody_waiting(rig: Rig):
    rig.subscribe("a")
    intake = Intake(
        Connection(bootstrap="nowhere:9"),
        rig.database,
        rig.outbox,
        topic=TOPIC,
        tenant_label="tenant",
        holder="x",
        signal=rig.signal,
        clock_ns=rig.clock,
    )
    good, too_long, last = (
        rig.event("opened", "pump-1"),
        rig.event("opened", "pump-2") | {"id": "i" * 601},
        rig.event("opened", "pump-3"),
    )
    records = rig.records([good, too_long, last])
    at: dict[int, int | None] = {}

    intake._keep(records, at)

    assert rig.deliver().told("a")[0] == ("opened", "pump-1")
    assert rig.receivers.told("a")[-1] == ("opened", "pump-3")
    with rig.database.read() as connection:
        assert positions.next_offsets(connection, TOPIC) == {0: 3} == at


def test_a_subscription_that_cannot_be_planned_keeps_nobody_waiting(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    rig.subscribe("a", group=GROUP)
    rig.subscribe("b")
    monkeypatch.setattr("workers.gateway.group_store.group_key", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rig.opens("pump-1")  # what nobody thought of stops all, loudly
    monkeypatch.setattr("workers.gateway.group_store.group_key", lambda *_: {1: 2}[3])

    rig.opens("pump-2")

    assert rig.deliver().told("b") == [("opened", "pump-2")]


def test_a_step_of_the_sweep_that_fails_keeps_no_other_from_its_turn(rig: Rig):
    boss = rig.subscribe("boss", escalations_only=True)
    rig.subscribe("a", group=GROUP)
    rig.subscribe("b", escalate={"to": boss, "after_s": 60})
    rig.opens()
    with rig.database.begin() as connection:
        connection.execute(groups.update().values(state="{"))

    assert rig.go_on(61).told("boss") == [("opened", "pump-1")]

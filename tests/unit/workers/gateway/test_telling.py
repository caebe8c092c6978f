"""Who is told of what: from events of the stream to what receivers got."""

from __future__ import annotations

import json

import pytest

from schemas.settings import Settings
from tests.support.gateway import HOUR, MINUTE, Rig, incident_id
from workers.gateway.store.database import Database
from workers.gateway.store.times import as_time
from workers.gateway.sweep import DIGEST_NS


@pytest.fixture
def rig(database: Database) -> Rig:
    return Rig(database)


def test_an_incident_is_told_as_it_opens_and_as_it_ends(rig: Rig):
    rig.subscribe("a")
    rig.opens()
    rig.take_in(rig.event("updated"))
    rig.resolves()

    assert rig.deliver().told("a") == [("opened", "pump-1"), ("resolved", "pump-1")]


def test_an_event_that_comes_twice_is_told_once(rig: Rig):
    rig.subscribe("a")
    event = rig.event("opened")

    assert rig.take_in(event).events == 1
    assert rig.take_in(event, event).events == 0
    assert len(rig.deliver().of("a")) == 1


def test_a_subscription_is_told_of_what_it_asks_for(rig: Rig):
    rig.subscribe("high", min_severity="high")
    rig.subscribe("lyon", matchers=[{"name": "site", "value": "Lyon"}], sensors=["pump-*"])
    rig.subscribe("fan", filters=[{"prefix": {"subject": "fan-"}}])
    rig.opens("pump-1", severity="high")
    rig.opens("pump-2", labels={"site": "Turin"}, severity="low")
    rig.opens("fan-1")

    receivers = rig.deliver()

    assert receivers.told("high") == [("opened", "pump-1")]
    assert receivers.told("lyon") == [("opened", "pump-1")]
    assert receivers.told("fan") == [("opened", "fan-1")]


def test_an_incident_that_grows_is_told_once_it_is_bad_enough(rig: Rig):
    rig.subscribe("high", min_severity="high")
    rig.opens(severity="low")
    rig.take_in(rig.event("updated", sequence=2, severity="medium"))
    rig.take_in(rig.event("updated", sequence=3, severity="high"))
    rig.take_in(rig.event("updated", sequence=4, severity="high"))
    rig.resolves(severity="high")

    assert rig.deliver().told("high") == [("updated", "pump-1"), ("resolved", "pump-1")]


def test_an_incident_that_grows_passes_a_filter_for_openings(rig: Rig):
    rig.subscribe("a", min_severity="high", filters=[{"exact": {"type": "incident.opened"}}])
    rig.opens(severity="low")
    rig.take_in(rig.event("updated", severity="high"))

    assert rig.deliver().told("a") == [("updated", "pump-1")]


def test_what_was_told_is_followed_up_whatever_it_is_by_then(rig: Rig):
    """Or it would stay open at the receiver for ever."""
    rig.subscribe("a", matchers=[{"name": "severity", "value": "medium"}])
    rig.opens(severity="medium")
    rig.resolves(severity="high")

    assert rig.deliver().told("a") == [("opened", "pump-1"), ("resolved", "pump-1")]


def test_the_end_of_what_was_never_told_is_not_told(rig: Rig):
    rig.opens()
    rig.subscribe("late")
    rig.resolves()

    assert rig.deliver().of("late") == []


def test_who_wants_ends_alone_is_told_of_ends(rig: Rig):
    rig.subscribe("a", types=["incident.resolved"])
    rig.opens()
    rig.resolves()

    assert rig.deliver().told("a") == [("resolved", "pump-1")]


def test_a_new_subscription_is_not_told_of_what_lies_in_the_topic(rig: Rig):
    old = rig.records([rig.event("opened", "pump-1"), rig.event("opened", "pump-2")])
    rig.clock.go_on(HOUR)
    rig.subscribe("a")
    rig.keep(old)
    rig.opens("pump-3")

    assert rig.deliver().told("a") == [("opened", "pump-3")]


def test_what_looks_like_a_false_alarm_is_told_to_who_asks_for_it(rig: Rig):
    rig.subscribe("a")
    rig.subscribe("all", suppressed=True)
    suppressed = {"reason": "alike", "wish": incident_id("w"), "incident": incident_id("i")}
    rig.opens(suppressed=suppressed)
    rig.resolves(suppressed=suppressed)

    receivers = rig.deliver()

    assert receivers.of("a") == []
    assert receivers.told("all") == [("opened", "pump-1"), ("resolved", "pump-1")]


def test_a_tenant_is_told_of_its_own_incidents(rig: Rig):
    rig.subscribe("blue", tenant="blue")
    rig.subscribe("everybody")
    rig.opens("pump-1", labels={"tenant": "blue"})
    rig.opens("pump-2", labels={"tenant": "red"})

    receivers = rig.deliver()

    assert receivers.told("blue") == [("opened", "pump-1")]
    assert len(receivers.of("everybody")) == 2


# -- what holds back ---------------------------------------------------------------------------


def test_a_silence_holds_back_and_what_goes_on_is_told_when_it_ends(rig: Rig):
    a = rig.subscribe("a")
    rig.silence(HOUR, sensor_id="pump-1")
    rig.opens("pump-1")
    rig.opens("pump-2")
    assert rig.go_on(MINUTE).told("a") == [("opened", "pump-2")]
    assert ("opened", "muted", "silence") in rig.states(a)

    assert rig.go_on(HOUR).told("a") == [("opened", "pump-2"), ("opened", "pump-1")]


def test_what_is_over_within_a_silence_is_never_told(rig: Rig):
    a = rig.subscribe("a")
    rig.silence(HOUR, site="Lyon")
    rig.opens()
    rig.clock.go_on(MINUTE)
    rig.resolves()

    assert rig.go_on(2 * HOUR).of("a") == []
    assert rig.states(a) == [("opened", "dropped", "silence")]


def test_opened_and_over_in_one_batch_within_a_silence_is_never_told(rig: Rig):
    a = rig.subscribe("a")
    rig.silence(HOUR, site="Lyon")
    rig.take_in(rig.event("opened"), rig.event("resolved"))

    assert rig.go_on(2 * HOUR).of("a") == []
    assert rig.states(a) == [("opened", "dropped", "silence")]


def test_the_end_of_what_was_told_passes_a_silence(rig: Rig):
    rig.subscribe("a")
    rig.opens()
    rig.deliver()
    rig.silence(HOUR, site="Lyon")
    rig.resolves()

    assert rig.deliver().told("a") == [("opened", "pump-1"), ("resolved", "pump-1")]


def test_a_parents_incident_mutes_its_children_until_it_is_over(database: Database):
    rig = Rig(database, Settings.model_validate({"inhibit": [{"parent": "parent"}]}))
    rig.subscribe("a")
    rig.opens("line-1")
    rig.opens("pump-1", labels={"parent": "line-1"})
    rig.opens("pump-2", labels={"parent": "line-2"})
    assert rig.deliver().told("a") == [("opened", "line-1"), ("opened", "pump-2")]

    rig.resolves("line-1")

    assert rig.go_on(1.0).told("a")[-2:] == [("resolved", "line-1"), ("opened", "pump-1")]


def test_outside_the_hours_an_incident_waits_for_them(rig: Rig):
    rig.subscribe("a", hours=[{"days": ["mon"], "start": "08:00", "end": "18:00"}])
    assert as_time(rig.clock()).isoformat() == "2026-11-30T00:53:20+00:00"  # a Monday
    rig.opens("pump-1")
    rig.opens("pump-2")
    assert rig.deliver().of("a") == []
    rig.resolves("pump-2")

    assert rig.go_on(7 * HOUR).of("a") == []  # 07:53
    assert rig.go_on(HOUR).told("a") == [("opened", "pump-1")]


def test_a_cool_down_holds_back_the_next_of_the_same_sensor(rig: Rig):
    rig.subscribe("a", cooldown_s=600)
    rig.opens("pump-1", "one")
    rig.deliver()
    rig.resolves("pump-1", "one")
    rig.clock.go_on(MINUTE)
    rig.opens("pump-1", "two")
    rig.opens("pump-2", "three")
    assert [sensor for what, sensor in rig.deliver().told("a") if what == "opened"] == [
        "pump-1",
        "pump-2",
    ]

    assert rig.go_on(9 * MINUTE + 1).told("a")[-1] == ("opened", "pump-1")


def test_more_than_the_cap_come_as_one_digest(rig: Rig):
    a = rig.subscribe("a", max_per_hour=2)
    for number in range(5):
        rig.opens(f"pump-{number}")
    assert len(rig.deliver().of("a")) == 2

    digest = rig.go_on(DIGEST_NS / 1e9 + 1).of("a")[-1]

    assert (digest.type, digest.suppressed) == ("notifications.suppressed", 3)
    assert digest.events[0]["data"]["sensors"] == ["pump-2", "pump-3", "pump-4"]
    assert [state for _, state, _ in rig.states(a)].count("dropped") == 3
    assert len(rig.go_on(HOUR).of("a")) == 3


def test_the_cap_is_free_again_after_an_hour(rig: Rig):
    rig.subscribe("a", max_per_hour=1)
    rig.opens("pump-1")
    rig.go_on(HOUR + 1)
    rig.opens("pump-2")

    assert len(rig.deliver().of("a")) == 2


# -- people -------------------------------------------------------------------------------------


def test_an_acknowledgement_is_told_to_who_wants_it_and_ends_in_time(rig: Rig):
    rig.subscribe(
        "a", types=["incident.opened", "incident.acknowledged", "incident.unacknowledged"]
    )
    rig.opens()
    until_ns = rig.clock() + round(HOUR * 1e9)
    assert rig.handle(
        "pump-1", lambda work, row: work.acknowledge(row, until_ns=until_ns, comment="on my way")
    )
    assert [one[0] for one in rig.deliver().told("a")] == ["opened", "acknowledged"]

    assert [one[0] for one in rig.go_on(HOUR).told("a")][-1] == "unacknowledged"
    assert rig.receivers.of("a")[1].events[0]["data"]["acknowledged_by"] == "anna"


def test_what_nobody_acknowledges_is_told_to_somebody_else(rig: Rig):
    boss = rig.subscribe("boss", matchers=[{"name": "site", "value": "nowhere"}])
    rig.subscribe("a", escalate={"to": boss, "after_s": 900})
    rig.opens("pump-1")
    rig.opens("pump-2")
    rig.opens("pump-3")
    rig.handle("pump-2", lambda work, row: work.acknowledge(row, until_ns=None, comment=""))
    rig.resolves("pump-3")
    assert rig.go_on(899).of("boss") == []

    assert rig.go_on(2).told("boss") == [("opened", "pump-1")]
    assert "nobody acknowledged" in rig.receivers.of("boss")[0].note
    rig.resolves("pump-1")
    assert rig.go_on(HOUR).told("boss") == [("opened", "pump-1"), ("resolved", "pump-1")]


def test_an_expired_acknowledgement_escalates_at_once(rig: Rig):
    boss = rig.subscribe("boss", matchers=[{"name": "site", "value": "nowhere"}])
    rig.subscribe("a", escalate={"to": boss, "after_s": 900})
    rig.opens()
    until_ns = rig.clock() + round(2 * HOUR * 1e9)
    rig.handle("pump-1", lambda work, row: work.acknowledge(row, until_ns=until_ns, comment=""))
    assert rig.go_on(HOUR).of("boss") == []

    rig.go_on(HOUR)

    assert rig.go_on(1).told("boss") == [("opened", "pump-1")]


def test_somebody_resolves_an_incident_and_the_streams_end_is_no_news(rig: Rig):
    rig.subscribe("a")
    rig.opens()
    assert rig.handle("pump-1", lambda work, row: work.resolve(row, comment="a sensor was swapped"))
    assert not rig.handle("pump-1", lambda work, row: work.resolve(row, comment="again"))
    rig.take_in(rig.event("updated", sequence=3))

    assert [one[0] for one in rig.deliver().told("a")] == ["opened", "resolved"]
    rig.resolves()
    assert [one[0] for one in rig.deliver().told("a")] == ["opened", "resolved"]


# -- groups -------------------------------------------------------------------------------------

GROUP = {"by": ["site"], "wait_s": 30, "interval_s": 300, "repeat_s": 14_400}


def test_incidents_of_a_site_are_one_notification(rig: Rig):
    a = rig.subscribe("a", group=GROUP)
    rig.opens("pump-1")
    rig.opens("pump-2")
    rig.opens("fan-1", labels={"site": "Turin"})
    assert rig.go_on(29).of("a") == []

    first, second = rig.go_on(2).of("a")

    assert sorted(event["subject"] for event in first.events) == ["pump-1", "pump-2"]
    assert first.group is not None
    assert first.group.labels == {"site": "Lyon"}
    assert [event["subject"] for event in second.events] == ["fan-1"]
    assert rig.states(a)[:3] == [("opened", "grouped", "")] * 3


def test_a_group_tells_news_after_its_interval_and_the_end_once(rig: Rig):
    rig.subscribe("a", group=GROUP)
    rig.opens("pump-1")
    rig.go_on(31)
    rig.opens("pump-2")
    rig.resolves("pump-1")
    assert len(rig.go_on(299).of("a")) == 1

    assert rig.go_on(2).told("a")[1:] == [("resolved", "pump-1"), ("opened", "pump-2")]
    assert len(rig.go_on(4 * HOUR - 60).of("a")) == 2
    assert rig.go_on(61).told("a")[3:] == [("opened", "pump-2")]


def test_a_group_that_is_acknowledged_is_not_told_again(rig: Rig):
    rig.subscribe("a", group=GROUP)
    rig.opens()
    rig.go_on(31)
    rig.handle("pump-1", lambda work, row: work.acknowledge(row, until_ns=None, comment=""))

    assert len(rig.go_on(5 * HOUR).of("a")) == 1


def test_a_silence_keeps_an_incident_out_of_its_group(rig: Rig):
    rig.subscribe("a", group=GROUP)
    rig.opens("pump-1")
    rig.opens("pump-2")
    rig.silence(HOUR, sensor_id="pump-1")
    assert rig.go_on(31).told("a") == [("opened", "pump-2")]

    rig.go_on(HOUR)

    assert rig.go_on(300).told("a")[1:] == [("opened", "pump-1"), ("updated", "pump-2")]


def test_records_that_are_no_events_are_counted_and_hold_nothing_up(rig: Rig):
    rig.subscribe("a")
    bad = json.dumps(rig.event("opened") | {"data": {"id": "no"}}).encode()

    kept = rig.take_in(b"\xff", b"[]", bad, rig.event("opened"))

    assert (kept.events, kept.unreadable) == (1, 3)
    assert len(rig.deliver().of("a")) == 1

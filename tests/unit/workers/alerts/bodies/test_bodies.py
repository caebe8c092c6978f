"""Bodies: what each specification wants, whatever the event is."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.api.subscriptions import EventType
from tests.support.notifications import START_MS, gateway_event, incident_event, message_of
from workers.alerts.bodies import alertmanager, cloud_events, pagerduty, standard_webhooks

NAMES = st.sampled_from([*incident_event()["data"], "", "1", "é"])
HUGE = {f"label{n}": "é" * 249 for n in range(32)}


def bare(type_):
    return message_of({"id": "1", "type": type_, "source": "/x", "subject": "s"})


def test_standard_webhooks_has_type_timestamp_and_data():
    body = json.loads(standard_webhooks.body(message_of()))
    assert body == {
        "type": "incident.opened",
        "timestamp": "2023-11-14T22:13:20Z",
        "url": message_of().url,
        "data": incident_event()["data"],
    }


def test_a_group_tells_of_its_events_and_whether_it_goes_on():
    over = incident_event("resolved", id_="b", sensor="pump-8")
    body = json.loads(
        standard_webhooks.body(message_of(incident_event(), over, group={"site": "Lyon"}))
    )
    assert body["data"]["group"] == {"key": "sub-1:site", "labels": {"site": "Lyon"}}
    assert body["data"]["status"] == "firing"
    assert [event["subject"] for event in body["data"]["events"]] == ["pump-7", "pump-8"]
    assert body["data"]["truncated"] == 0
    body = json.loads(standard_webhooks.body(message_of(over, group={})))
    assert body["data"]["status"] == "resolved"


def test_a_digest_says_how_many():
    message = message_of(gateway_event("notifications.suppressed"), suppressed=12)
    assert json.loads(standard_webhooks.body(message))["data"] == {"suppressed": 12}


@pytest.mark.parametrize("count", [1, 3, 300])
def test_standard_webhooks_stays_below_20_kb(count):
    events = [incident_event(id_=str(n), labels=HUGE) for n in range(count)]
    group = None if count == 1 else {"site": "Lyon"}
    body = standard_webhooks.body(message_of(*events, group=group))
    data = json.loads(body)["data"]
    assert len(body) < 20_000
    if count == 1:
        assert data["id"] == "0"
        assert data["channels"]
    else:
        assert len(data["events"]) + data["truncated"] == count


def test_what_is_heavy_is_dropped_first():
    data = incident_event(labels={})["data"]
    data["excerpt"]["note"] = "x" * 20_000
    body = json.loads(standard_webhooks.body(message_of({**incident_event(), "data": data})))
    assert "excerpt" not in body["data"]
    assert "latent" not in body["data"]
    assert len(body["data"]["channels"]) == 2


def test_the_cloudevents_sdk_reads_the_event():
    body, content_type = cloud_events.body(message_of())
    event = from_structured_event(
        HTTPMessage(headers={"content-type": content_type}, body=body), JSONFormat()
    )
    assert (event.get_id(), event.get_type()) == (incident_event()["id"], "incident.opened")
    assert event.get_subject() == "pump-7"
    assert event.get_data() == incident_event()["data"]
    assert event.get_extension("sequence") == "0000000001"


def test_the_events_of_a_group_are_a_batch():
    body, content_type = cloud_events.body(message_of(incident_event(), group={}))
    assert content_type == "application/cloudevents-batch+json"
    assert json.loads(body) == [incident_event()]


def alerts(*events, **changes):
    return json.loads(alertmanager.alerts_body(message_of(*events, **changes)))


def test_an_alert_keeps_its_labels_and_start_from_its_opening_to_its_end():
    opened, updated, resolved = (
        alerts(incident_event(what, peak=peak, direction=way))[0]
        for what, peak, way in (
            ("opened", 1.2, "high"),
            ("updated", 3.0, "low"),
            ("resolved", 4.0, "low"),
        )
    )
    assert opened["labels"] == updated["labels"] == resolved["labels"]
    assert opened["labels"] == {
        "alertname": "VigieIncident",
        "incident": incident_event()["data"]["id"],
        "kind": "anomaly",
        "line": "3",
        "sensor_id": "pump-7",
        "severity": "high",
        "site": "Lyon",
    }
    assert opened["startsAt"] == resolved["startsAt"]
    assert "endsAt" not in opened
    assert "endsAt" not in updated
    assert resolved["startsAt"] < resolved["endsAt"] < "2023-11-15"
    assert opened["annotations"]["summary"].startswith("HIGH pump-7")
    assert opened["generatorURL"] == message_of().url


def test_an_alert_reads_the_same_alone_and_among_others():
    """Else it would change whenever it is sent again together with others."""
    alone = alerts(incident_event(), title="{{ sensor }}!")
    among = alerts(incident_event(), incident_event(id_="b", sensor="p"), title="{{ sensor }}!")
    assert among[0] == alone[0]
    assert [alert["annotations"]["summary"] for alert in among] == ["pump-7!", "p!"]


def test_an_alert_never_ends_in_the_future_nor_before_it_begins():
    """Event time may be ahead of the clock; to Alertmanager an end to come would be none."""
    at_ns = (START_MS - 3_600_000) * 10**6
    (alert,) = alerts(incident_event("resolved"), at_ns=at_ns)
    assert alert["startsAt"] == alert["endsAt"]
    assert datetime.fromisoformat(alert["endsAt"]).timestamp() * 1e9 == at_ns


@pytest.mark.parametrize("type_", ["subscription.test", "notifications.suppressed"])
def test_what_has_no_end_of_its_own_ends_by_itself(type_):
    (alert,) = alerts(gateway_event(type_))
    assert alert["endsAt"] > alert["startsAt"]


def test_the_detector_s_alert_is_one_by_whatever_event_it_is_told():
    """Its opening comes as detector.unhealthy; what is sent again while it goes on, as updated."""
    data = {"id": "d", "kind": "detector", "labels": {}, "severity": "high", "reason": "behind"}
    told = [
        gateway_event(type_, subject="vigie/plant", sensor_id="vigie/plant", **data)
        for type_ in ("detector.unhealthy", "incident.updated", "detector.healthy")
    ]
    labels = [alerts(event)[0]["labels"] for event in told]
    assert labels[0] == labels[1] == labels[2]
    assert labels[0]["alertname"] == "VigieIncident"
    assert len({page(event)["dedup_key"] for event in told}) == 1
    assert "endsAt" in alerts(told[2])[0]
    assert "behind" in alerts(told[1])[0]["annotations"]["summary"]


def test_labels_have_names_that_prometheus_takes_and_ours_win():
    labels = {"site.name": "L", "3d": "x", "severity": "forged", "empty": "", "é": "e"}
    (alert,) = alerts(incident_event(labels=labels | {"kind": "forged"}, kind=""))
    assert "forged" not in alert["labels"].values()
    assert alert["labels"]["site_name"] == "L"
    assert alert["labels"]["_3d"] == "x"
    assert alert["labels"]["_"] == "e"
    assert alert["labels"]["severity"] == "high"
    assert "empty" not in alert["labels"]


def test_the_webhook_has_what_version_4_has():
    over = incident_event("resolved", id_="b", sensor="pump-8")
    body = json.loads(
        alertmanager.webhook_body(message_of(incident_event(), over, group={"site": "Lyon"}))
    )
    assert set(body) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels",
        "commonLabels", "commonAnnotations", "externalURL", "alerts",
    }  # fmt: skip
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "on call")
    assert body["groupLabels"] == {"site": "Lyon"}
    assert body["commonLabels"]["site"] == "Lyon"
    assert "sensor_id" not in body["commonLabels"]
    assert [alert["status"] for alert in body["alerts"]] == ["firing", "resolved"]
    assert set(body["alerts"][0]) == {
        "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint",
    }  # fmt: skip
    assert body["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert "pump-8" in body["alerts"][1]["annotations"]["summary"]


def test_the_fingerprint_is_prometheus_common_s():
    """The empty set and one of its own test's values."""
    assert alertmanager.fingerprint({}) == "cbf29ce484222325"
    assert alertmanager.fingerprint({"a": "b"}) != alertmanager.fingerprint({"ab": ""})


def page(*events, **changes):
    return json.loads(pagerduty.body(message_of(*events, **changes), "R" * 32))


def test_pagerduty_triggers_acknowledges_and_resolves_one_alert():
    actions = {
        what: page(incident_event(what))
        for what in ("opened", "updated", "acknowledged", "unacknowledged", "resolved")
    }
    assert [event["event_action"] for event in actions.values()] == [
        "trigger", "trigger", "acknowledge", "trigger", "resolve",
    ]  # fmt: skip
    assert {event["dedup_key"] for event in actions.values()} == {incident_event()["data"]["id"]}
    payload = actions["opened"]["payload"]
    assert payload["severity"] == "critical"
    assert payload["source"] == "pump-7"
    assert payload["component"] == "bearing temperature"
    assert payload["timestamp"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(
    ("severity", "theirs"), [("low", "warning"), ("medium", "error"), ("high", "critical")]
)
def test_severities_are_pagerduty_s(severity, theirs):
    assert page(incident_event(severity=severity))["payload"]["severity"] == theirs


def test_a_group_is_one_alert_as_long_as_one_goes_on():
    over = incident_event("resolved", id_="b")
    key = page(incident_event(), over, group={})["dedup_key"]
    assert page(over, group={})["event_action"] == "resolve"
    assert page(over, group={})["dedup_key"] == key


def test_the_detector_s_health_is_one_alert():
    bad, good = (page(gateway_event(f"detector.{what}")) for what in ("unhealthy", "healthy"))
    assert (bad["event_action"], good["event_action"]) == ("trigger", "resolve")
    assert bad["dedup_key"] == good["dedup_key"]
    assert bad["payload"]["severity"] == "critical"


def test_pagerduty_s_limits_hold():
    events = [incident_event(id_=str(n), labels=HUGE) for n in range(200)]
    body = pagerduty.body(message_of(*events, group={}, title="{{ 'x' }}"), "R" * 32)
    assert len(body) <= 512 * 1024
    assert len(json.loads(body)["dedup_key"]) <= 255


@pytest.mark.parametrize("type_", list(EventType))
def test_every_kind_of_event_has_a_body_in_every_form_even_without_any_data(type_):
    message = bare(type_)
    assert json.loads(standard_webhooks.body(message))["data"] == {}
    assert json.loads(cloud_events.body(message)[0])["type"] == type_
    assert json.loads(alertmanager.webhook_body(message))["alerts"]
    assert json.loads(alertmanager.alerts_body(message))[0]["labels"]["alertname"]
    assert json.loads(pagerduty.body(message, "R" * 32))["event_action"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
DATA = st.fixed_dictionaries({}, optional=dict.fromkeys(incident_event()["data"], JSON))


@given(
    data=DATA | JSON,
    type_=st.sampled_from(EventType),
    group=st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
@settings(max_examples=60, deadline=None)
def test_no_data_however_odd_keeps_a_notification_from_being_written(data, type_, group):
    event = {**incident_event(), "type": type_, "data": data}
    message = message_of(event, incident_event(id_="other"), group=group)
    for body in (
        standard_webhooks.body(message),
        cloud_events.body(message)[0],
        alertmanager.webhook_body(message),
        alertmanager.alerts_body(message),
        pagerduty.body(message, "R" * 32),
    ):
        assert json.loads(body)
    for alert in json.loads(alertmanager.alerts_body(message)):
        assert all(alert["labels"].values())
        assert all(re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) for name in alert["labels"])

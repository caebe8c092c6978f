"""A CloudEvent as the rules look at it."""

from __future__ import annotations

import pytest
from hypothesis import given

from schemas.wire.anomaly import Severity
from tests.support.alert_specs import alert, alerts, examples
from tests.support.notifications import INCIDENT, gateway_event, incident_event
from workers.alerts.event import AlertEvent


def test_an_event_says_what_its_incident_is():
    event = alert(sensor="pump-7")

    assert (event.id, event.type, event.subject) == (f"{INCIDENT}-1", "incident.opened", "pump-7")
    assert event.incident_id == INCIDENT
    assert event.severity is Severity.HIGH
    assert event.peak == 3.2
    assert event.channels == ("bearing temperature", "vibration")
    assert not event.is_suppressed
    assert event.is_of_sensor


def test_an_incident_that_looks_like_a_false_alarm_says_so():
    suppressed = {"reason": "as before", "wish": INCIDENT, "incident": INCIDENT}

    assert alert(suppressed=suppressed).is_suppressed


def test_attributes_are_the_context_as_text():
    document = {**incident_event(), "count": 7, "urgent": True, "absent": None}

    attributes = AlertEvent.of(document).attributes

    assert attributes["count"] == "7"
    assert attributes["urgent"] == "true"
    assert "absent" not in attributes
    assert "data" not in attributes
    assert attributes["sequence"] == "0000000001"


def test_severity_and_kind_of_the_incident_are_attributes_unless_the_event_has_its_own():
    assert alert(severity="low").attributes["severity"] == "low"
    assert alert().attributes["kind"] == "anomaly"
    assert AlertEvent.of({**incident_event(), "severity": "x"}).attributes["severity"] == "x"


@pytest.mark.parametrize("name", ["id", "type", "source", "subject"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_an_event_without_what_every_event_has_is_rejected(name, value):
    with pytest.raises(ValueError, match=name):
        AlertEvent.of({**incident_event(), name: value})


@pytest.mark.parametrize("data", [None, "text", [1], {}, {"id": "of something else"}])
def test_an_event_about_no_incident_has_nothing_of_one(data):
    document = {**gateway_event("subscription.disabled"), "data": data}

    event = AlertEvent.of(document)

    assert event.incident_id is None
    assert event.labels == {}
    assert event.severity is None
    assert not event.is_of_sensor


def test_an_incident_about_vigie_itself_is_of_no_sensor():
    assert not alert(kind="detector").is_of_sensor
    assert alert(kind="detector").incident_id == INCIDENT


def test_fields_that_are_not_as_expected_are_as_if_they_were_not_there():
    event = alert(severity="dire", channels="x", peak="9", model=None)

    assert event.severity is None
    assert event.channels == ()
    assert event.peak is None


@examples(50)
@given(alerts())
def test_every_attribute_and_label_is_text(event):
    assert all(isinstance(text, str) for text in event.attributes.values())
    assert all(isinstance(text, str) and text for text in event.labels.values())

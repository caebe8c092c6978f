"""Labels of an incident."""

from __future__ import annotations

from schemas.wire.anomaly import Severity
from tests.support.notifications import incident_data
from workers.alerts.labels import RANKS, incident_labels


def test_labels_are_the_sensors_and_what_the_incident_says():
    assert incident_labels(incident_data(sensor="pump-7", labels={"site": "Lyon"})) == {
        "site": "Lyon",
        "alertname": "VigieIncident",
        "sensor_id": "pump-7",
        "severity": "high",
        "kind": "anomaly",
        "direction": "high",
        "channel": "bearing temperature",
        "model": "pump",
    }


def test_a_label_of_the_sensor_never_passes_for_what_the_incident_says():
    claimed = {"severity": "low", "channel": "mine", "alertname": "other", "kind": "detector"}

    labels = incident_labels(incident_data(labels=claimed, channels=[]))

    assert labels["severity"] == "high"
    assert labels["alertname"] == "VigieIncident"
    assert labels["kind"] == "anomaly"
    assert "channel" not in labels


def test_severities_rank_from_low_to_high():
    assert sorted(Severity, key=RANKS.__getitem__) == ["low", "medium", "high"]

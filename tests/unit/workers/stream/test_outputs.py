"""What an anomaly says beside its numbers."""

from __future__ import annotations

import pytest

from schemas.wire.anomaly import Anomaly, GroupKind
from tests.support.fakes import make_stream
from tests.support.models import encoded, reading_records


@pytest.fixture(scope="module")
def anomalies():
    """Of a sensor that the training has seen, and of one called "pooled" that it has not."""
    records = encoded(reading_records(["s0", "pooled"], 40, spike_at=30))
    labels = {"s0": {"site": "north", "line": "2"}}
    stream = make_stream(
        [record["value"] for record in records], labels_of=lambda sensor: labels.get(sensor, {})
    )
    stream.run_to_the_end()
    sent = [value for topic, value, _ in stream.sink.sent if topic == "vigie.anomalies"]
    found = [Anomaly.model_validate_json(value) for value in sent]
    return {sensor: [a for a in found if a.sensor_id == sensor] for sensor in ("s0", "pooled")}


def test_an_anomaly_carries_the_labels_of_its_sensor(anomalies):
    assert {tuple(a.labels.items()) for a in anomalies["s0"]} == {
        (("site", "north"), ("line", "2"))
    }


def test_a_sensor_that_nobody_labelled_has_none(anomalies):
    assert anomalies["pooled"]
    assert all(a.labels == {} for a in anomalies["pooled"])


def test_a_sensor_called_as_the_pooled_group_can_be_told_from_it(anomalies):
    assert {(a.group, a.group_kind) for a in anomalies["s0"]} == {("s0", GroupKind.SENSOR)}
    assert {(a.group, a.group_kind) for a in anomalies["pooled"]} == {("pooled", GroupKind.POOLED)}

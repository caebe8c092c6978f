"""What an anomaly says beside its numbers."""

from __future__ import annotations

import pytest

from schemas.wire.anomaly import Anomaly, GroupKind
from tests.support.fakes import make_stream
from tests.support.models import (
    EARLY,
    SECOND_NS,
    START_NS,
    early_detector,
    encoded,
    reading_records,
)


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


def test_an_anomaly_says_whether_its_window_was_a_part_of_one():
    """The first is of the fifth reading, the model looks at eight."""
    detector = early_detector()
    records = reading_records(["s0"], 40, spike_at=4)
    stream = make_stream([r["value"] for r in encoded(records)], detector=detector)
    stream.run_to_the_end()
    sent = [value for topic, value, _ in stream.sink.sent if topic == "vigie.anomalies"]
    found = [Anomaly.model_validate_json(value) for value in sent]
    whole = START_NS + (detector.receptive_field - 1) * SECOND_NS
    assert [a.partial for a in found] == [a.ts_ns < whole for a in found]
    assert found[0].partial
    total = stream.loop.health.total
    assert total.scored_partially == detector.receptive_field - EARLY
    assert total.warming_up == EARLY - 1
    assert total.reconciled


def test_an_anomaly_of_an_earlier_version_is_not_partial(anomalies):
    document = anomalies["s0"][0].model_dump(mode="json", by_alias=True)
    del document["partial"]
    assert not Anomaly.model_validate(document).partial


def test_a_sensor_called_as_the_pooled_group_can_be_told_from_it(anomalies):
    assert {(a.group, a.group_kind) for a in anomalies["s0"]} == {("s0", GroupKind.SENSOR)}
    assert {(a.group, a.group_kind) for a in anomalies["pooled"]} == {("pooled", GroupKind.POOLED)}

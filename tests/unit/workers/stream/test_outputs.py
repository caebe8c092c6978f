"""What an anomaly says beside its numbers, and a cleaned frame beside its columns."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from detector.scoring import Detector
from schemas.codec import decode_denoised
from schemas.wire.anomaly import Anomaly, GroupKind
from tests.support.fakes import make_stream
from tests.support.models import (
    EARLY,
    SECOND_NS,
    START_NS,
    early_detector,
    encoded,
    reading_records,
    small_detector,
)
from workers.errors import SettingsError
from workers.stream.build import cleaning


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


def frames(**stream):
    """Of two sensors, in the order in which they were published."""
    records = [r["value"] for r in encoded(reading_records(["s0", "s1"], 40, spike_at=30))]
    made = make_stream(records, **stream)
    made.run_to_the_end()
    sent = [value for topic, value, _ in made.sink.sent if topic == "vigie.denoised"]
    return [decode_denoised(value) for value in sent]


def test_a_frame_says_where_the_window_of_its_last_reading_lies():
    detector = small_detector()
    latent_map = detector.head.latent_map
    assert latent_map is not None
    records = reading_records(["s0", "s1"], 40, spike_at=30)
    cut = frames(stream={"max_poll_records": 14})
    found = {(frame.sensor_id, frame.ts_ns[-1]): frame.latent for frame in cut}

    for sensor, at in (("s0", 0), ("s1", 1)):
        rows = np.array([values for _, _, values in records[at::2]])
        ends = np.arange(detector.receptive_field - 1, len(rows))
        groups = np.full(len(ends), detector.group_of(sensor), np.int32)
        places = latent_map.places(detector.score(rows, ends, groups).latent)
        own = {ts: place for (name, ts), place in found.items() if name == sensor}
        last = (START_NS + ends * SECOND_NS).tolist()
        wanted = dict(zip(last, places.round(3).tolist(), strict=True))
        assert own == {ts: wanted[ts] for ts in own}
        assert len(own) > 2


def test_a_model_without_a_map_publishes_no_places():
    own = small_detector()
    older = Detector(own.identity, own.views, replace(own.head, latent_map=None))

    assert {frame.latent for frame in frames(detector=older)} == {None}


def test_denoised_off_publishes_no_frame():
    assert frames(stream={"denoised": "off"}) == []
    assert frames(stream={"denoised": "causal"})[0].settled is None


def test_settled_values_are_those_of_the_reading_so_far_before():
    """However the stream is cut: they may belong to a reading of an earlier frame."""
    detector = small_detector()
    lag = detector.settled_lag
    assert lag > 0
    cut = frames(stream={"denoised": "settled", "max_poll_records": 14})
    records = reading_records(["s0", "s1"], 40, spike_at=30)

    for sensor, at in (("s0", 0), ("s1", 1)):
        rows = np.array([values for _, _, values in records[at::2]])
        ends = np.arange(detector.receptive_field - 1, len(rows))
        groups = np.full(len(ends), detector.group_of(sensor), np.int32)
        wanted = detector.settling().score(rows, ends, groups).settled
        assert wanted is not None
        own = [frame.settled for frame in cut if frame.sensor_id == sensor]
        found = [
            np.array(list(one.values.values()), np.float64).T for one in own if one is not None
        ]
        assert len(found) == len(own) > 2
        assert {one.lag for one in own if one is not None} == {lag}
        assert np.array_equal(np.concatenate(found)[-len(ends) :], wanted, equal_nan=True)


def test_a_model_without_settled_values_is_refused_where_they_are_asked_for():
    old = cast("Detector", SimpleNamespace(name="old", version="1", settled_lag=0))

    assert cleaning(old, "causal") is old
    with pytest.raises(SettingsError, match='Set "causal", or train the model again'):
        cleaning(old, "settled")

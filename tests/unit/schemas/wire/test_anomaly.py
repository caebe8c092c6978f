"""Anomalies: their ids, their severity, and what crosses the wire."""

from __future__ import annotations

import json
import math
from uuid import UUID

import pytest

from schemas.codec import encode_anomaly
from schemas.wire.anomaly import Anomaly, GroupKind, ModelRef, Severity, Source, anomaly_id


def make_anomaly(**changes):
    fields = {
        "id": anomaly_id("vigie.readings", 3, 17, 0),
        "sensor_id": "pump-1",
        "ts_ns": 1_700_000_000_000_000_000,
        "score": 2.5,
        "threshold": 0.8,
        "raw_score": 2.0,
        "p_value": 1e-6,
        "severity": Severity.MEDIUM,
        "observed": {"flow": 1.0, "speed": None},
        "expected": {"flow": 2.0, "speed": 3.0},
        "contribution": {"flow": 1.0, "speed": 0.0},
        "model": ModelRef(name="pump", version="1"),
        "group": "pooled",
        "group_kind": GroupKind.POOLED,
        "source": Source(topic="vigie.readings", partition=3, offset=17),
    }
    return Anomaly(**(fields | changes))


def test_the_id_of_a_reading_never_changes():
    """Written down: another id would double every anomaly that is sent again after an upgrade."""
    assert anomaly_id("vigie.readings", 3, 17, 0) == UUID("5dd0b05a-eaff-5ced-bd41-8e18408ba35f")


def test_different_readings_have_different_ids():
    places = [("t", 0, 0, 0), ("u", 0, 0, 0), ("t", 1, 0, 0), ("t", 0, 1, 0), ("t", 0, 0, 1)]
    places += [("t", 11, 1, 0), ("t", 1, 11, 0), ("t", 1, 1, 10), ("t", 1, 11, 10)]
    assert len({anomaly_id(*place) for place in places}) == len(places)


@pytest.mark.parametrize(
    ("score", "severity"),
    [
        (1.0, "low"),
        (1.999, "low"),
        (2.0, "medium"),
        (3.999, "medium"),
        (4.0, "high"),
        (1e9, "high"),
    ],
)
def test_severity_follows_the_score(score, severity):
    assert Severity.of(score) == severity


@pytest.mark.parametrize("score", [0.999999, -1.0, math.nan])
def test_what_is_not_flagged_has_no_severity(score):
    with pytest.raises(ValueError, match=r"1\.0 or more"):
        Severity.of(score)


def test_an_anomaly_comes_back_as_it_was():
    anomaly = make_anomaly()
    assert Anomaly.model_validate_json(encode_anomaly(anomaly)) == anomaly


def test_an_anomaly_on_the_wire():
    document = json.loads(encode_anomaly(make_anomaly()))
    assert document["ts"] == 1_700_000_000_000
    assert document["severity"] == "medium"
    assert document["observed"] == {"flow": 1.0, "speed": None}
    assert document["model"] == {"name": "pump", "version": "1"}
    assert document["source"] == {
        "topic": "vigie.readings", "partition": 3, "offset": 17, "index": 0
    }  # fmt: skip


def test_an_older_reader_survives_a_newer_writer():
    document = json.loads(encode_anomaly(make_anomaly())) | {"novelty": 1}
    assert Anomaly.model_validate_json(json.dumps(document)) == make_anomaly()


@pytest.mark.parametrize(
    "changes",
    [
        {"score": 0.99},
        {"score": math.nan},
        {"raw_score": math.inf},
        {"p_value": 1.1},
        {"expected": {}},
        {"expected": {"flow": math.nan}},
        {"contribution": {"flow": 1.1}},
        {"sensor_id": ""},
        {"severity": "severe"},
    ],
)
def test_an_impossible_anomaly_is_refused(changes):
    with pytest.raises(ValueError, match="1 validation error"):
        make_anomaly(**changes)

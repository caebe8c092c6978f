"""The judge of what is recorded sees what is wrong, and passes what is right."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from schemas.wire.sensor_state import encode_sensor_state
from tests.chaos.recorded import Recorded, recorded_alike, recorded_of
from tests.support.incident_twin import Spot
from workers.stream.state import alarm_table
from workers.stream.state.alarm_table import ROW, ROW_VERSION
from workers.stream.state.incident import OpenIncident, Place, Points, Told


class Written(NamedTuple):
    partition: int
    key: bytes
    value: bytes | None


def state(**other: Any) -> dict[str, Any]:
    fields = {"next_offset": 9, "since": 0, "scored": 7, "flagged": 1, "dropped": 0}
    return fields | {"rule": [1.0, None], "incident": None} | other


RIGHT: Recorded = {(0, "a"): state(), (1, "b"): state(since=3, incident={"sequence": 1})}


def test_the_right_documents_pass():
    assert recorded_alike(RIGHT, RIGHT, RIGHT) == []


@pytest.mark.parametrize(
    ("stormed", "what"),
    [
        ({(0, "a"): state(scored=8)}, "that differ"),
        ({(0, "a"): state(flagged=0)}, "that differ"),
        ({(0, "a"): state(dropped=1)}, "that differ"),
        ({(0, "a"): state(since=1)}, "that differ"),
        ({(0, "a"): state(next_offset=8)}, "that differ"),
        ({(0, "a"): state(rule=[1.0000000000000002, None])}, "that differ"),
        ({(1, "b"): state(since=3, incident={"sequence": 2})}, "that differ"),
        ({(1, "b"): state(since=3)}, "that differ"),
        ({(1, "a"): state()}, "too many"),
    ],
)
def test_wrong_documents_are_named(stormed: Recorded, what: str):
    named = [violation.check for violation in recorded_alike(RIGHT, RIGHT, {**RIGHT, **stormed})]
    assert named == [
        f"recorded sensors {what}",
        f"recorded sensors, against the undisturbed run {what}",
    ]


def test_a_document_that_is_lost_is_named():
    (one, other) = recorded_alike(RIGHT, RIGHT, {(0, "a"): state()})
    assert one.check == "recorded sensors missing"
    assert other.check == "recorded sensors, against the undisturbed run missing"


def packed(**columns: Any) -> bytes:
    row = np.zeros(1, ROW)
    for name, value in columns.items():
        row[name] = value
    return alarm_table.packed(row)[0]


def document(*counts: int, **columns: Any) -> bytes:
    return encode_sensor_state(*counts, state_version=ROW_VERSION, state=packed(**columns))


def test_the_last_word_on_a_sensor_counts_and_a_removed_one_is_gone():
    value = document(9, 0, 7, 1, 0, last_ns=5)
    written: list[Any] = [
        Written(0, b"a", document(2, 0, 1, 0, 0)),
        Written(0, b"b", value),
        Written(0, b"a", value),
        Written(0, b"b", None),
        Written(1, b"b", document(9, 3, 7, 1, 0)),
    ]
    found = recorded_of(written)
    assert found.keys() == {(0, "a"), (1, "b")}
    assert found[0, "a"]["last"] == (5, 0)
    assert found[1, "b"]["since"] == 3
    assert recorded_of(written, {1: 9}).keys() == {(0, "a")}


def test_a_document_is_read_by_name():
    """As it is written by the stream, whose code the reader does not share."""
    place = Place(3, 1, 70)
    incident = OpenIncident(
        kind="anomaly",  # type: ignore[arg-type]
        seen_by="long",  # type: ignore[arg-type]
        first=place,
        opened_ns=80,
        last_ns=90,
        until=Place(5, 0, 90),
        told=(Told(1, 0.5, None, 2.0, 1.0),),
        latent=(0.1,),
        points=Points(1),
        sequence=2,
    )
    assert incident.points is not None
    assert incident.points.is_turn()
    incident.points.add(80, float("nan"), 2.0, 1.5)
    value = encode_sensor_state(
        9,
        0,
        7,
        1,
        0,
        state_version=ROW_VERSION,
        state=packed(
            first_offset=3, first_index=1, first_ns=70, quarter=9, openings=[1, 0, 2, *[0] * 25]
        ),
        incident=incident.document(),
    )
    (read,) = recorded_of([Written(0, b"a", value)]).values()
    assert read["run"] == (*Spot(3, 1, 70), 0, 0)
    assert read["openings"] == {9: 1, 7: 2}
    assert read["incident"]["latent"] == [0.1]
    assert read["incident"]["told"] == [[1, 0.5, None, 2.0, 1.0]]
    assert read["incident"]["points"] == [1, 1, 1, [[80, None, 2.0, 1.5]]]
    assert read["incident"]["sequence"] == 2

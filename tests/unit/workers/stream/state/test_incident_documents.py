"""What is recorded of a sensor comes back to the bit, and is small."""

from __future__ import annotations

import json
from math import isnan, nan
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.wire.incident import (
    MAX_EXCERPT,
    MAX_INCIDENT_CHANNELS,
    MAX_LATENT,
    IncidentKind,
    SeenBy,
)
from schemas.wire.sensor_state import SensorState, encode_sensor_state
from schemas.wire.verdict import MAX_WISHES
from tests.support.alarmed import LOUD, World, entries
from tests.support.wishes import new_normal
from workers.stream.state.alarm_table import (
    PACKED_BYTES,
    ROW,
    ROW_VERSION,
    pack_rows,
    packed,
    unpack_rows,
    unpacked,
)
from workers.stream.state.heeding import Due, Heeded, Heeding
from workers.stream.state.incident import OpenIncident, Place, Points, Told, rounded

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SINGLES = st.floats(width=32, allow_infinity=False)
FAR = Place(2**40, 99_999, 1_800_000_000_123_456_789)


def points_by_definition(values: list[float]) -> list[float]:
    """Every 2^k-th one, for the least k with which they fit."""
    stride = 1
    while len(values[::stride]) > MAX_EXCERPT:
        stride *= 2
    return values[::stride]


@given(values=st.lists(SINGLES, min_size=1, max_size=100))
@settings(deadline=None)
def test_an_excerpt_is_evenly_spread_from_the_first_reading_on(values: list[float]) -> None:
    points = Points(0)
    for at, value in enumerate(values):
        if points.is_turn():
            points.add(at, value, 0.0, 1.0)
    np.testing.assert_array_equal(
        [observed for _, observed, _, _ in points.line], points_by_definition(values)
    )
    assert Points.of(json.loads(json.dumps(points.document()))).document() == points.document()


def test_what_is_too_large_for_a_picture_is_missing_in_it() -> None:
    points = Points(0)
    points.add(0, 1e300, 0.0, 1.0)
    assert isnan(points.line[0][1])


@pytest.mark.parametrize("value", [1e-37, -1e-37, 9.9999996e-38, 9.9e-38, 3.4e38, 1e300, 0.1])
def test_what_was_rounded_stays_so_in_single_precision(value: float) -> None:
    once = rounded(value)
    assert rounded(float(np.float32(once))) == once


@st.composite
def incidents(draw: st.DrawFn) -> OpenIncident:
    points = Points(draw(st.integers(0, 9)))
    for at in range(draw(st.integers(0, 30))):
        if points.is_turn():
            points.add(at, draw(SINGLES), draw(SINGLES), 1.0)
    told = st.builds(Told.of, st.integers(0, 99), FLOATS, FLOATS | st.just(nan), FLOATS, FLOATS)
    place = st.builds(Place, *[st.integers(0, 2**62)] * 3)
    ids = st.uuids().map(str)
    return OpenIncident(
        kind=draw(st.sampled_from(IncidentKind)),
        seen_by=draw(st.sampled_from(SeenBy)),
        first=draw(place),
        opened_ns=draw(st.integers(0, 2**62)),
        last_ns=1,
        until=draw(place),
        readings=3,
        flagged=2,
        total=draw(FLOATS),
        peak=draw(FLOATS),
        strength=draw(FLOATS),
        told=tuple(draw(st.lists(told, max_size=5))),
        latent=tuple(map(rounded, draw(st.lists(SINGLES, max_size=9)))),
        points=points if points.line else None,
        suppressed=draw(st.none() | st.tuples(ids, ids)),
        change=draw(st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9))),
    )


@given(one=incidents())
@settings(deadline=None)
def test_an_incident_comes_back_from_its_document(one: OpenIncident) -> None:
    value = encode_sensor_state(2, 0, 1, 1, 0, incident=one.document())
    document = SensorState.model_validate_json(value).incident
    assert document is not None
    back = OpenIncident.of(document)
    assert back.document() == one.document()
    if one.points is None:
        assert back == one


@pytest.mark.parametrize("document", [[], ["anomaly"], ["x"] * 23, [None] * 23])
def test_what_is_no_incident_is_rejected(document: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        OpenIncident.of(document)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_rows_come_back_to_the_bit(seed: int) -> None:
    table = np.zeros(3, ROW)
    table["rule"] = np.random.default_rng(seed).standard_cauchy((3, table["rule"].shape[1]))
    table["rule"][0, 0] = nan
    for name in ROW.names or ():
        if name not in {"rule", "drift"}:
            table[name] = np.random.default_rng(seed).integers(0, 2**16, table[name].shape)
    assert unpack_rows(pack_rows(table)).tobytes() == table.tobytes()
    assert pack_rows(table).shape == (3, PACKED_BYTES)
    back, known = unpacked([(ROW_VERSION, state.decode()) for state in packed(table)])
    assert known.all()
    assert back.tobytes() == table.tobytes()


def test_rows_of_another_version_or_damaged_are_not_known() -> None:
    (state,) = packed(np.zeros(1, ROW))
    told = [(ROW_VERSION + 1, state.decode()), (ROW_VERSION, "no base64!"), (ROW_VERSION, "AAAA")]
    assert not unpacked(told)[1].any()


def long(latent: int, channels: int = MAX_INCIDENT_CHANNELS) -> OpenIncident:
    """As long as an open incident gets, with such a model."""
    points = Points(999)
    for at in range(MAX_EXCERPT):
        points.add(FAR.ts_ns + at, nan, -1.0, 1.0)
    told = Told.of(9_999, 0.1234567, -1.234567e-30, -1.234567e-30, 1.234567e-30)
    return OpenIncident(
        kind=IncidentKind.ANOMALY,
        seen_by=SeenBy.SHORT,
        first=FAR,
        opened_ns=FAR.ts_ns,
        last_ns=FAR.ts_ns,
        until=FAR,
        readings=10**6,
        flagged=10**6,
        total=-1.2345678901234567e-30,
        peak=-1.2345678901234567e-30,
        strength=-1.2345678901234567e-30,
        severity=3,
        told=(told,) * channels,
        latent=(-1.234e-05,) * latent,
        points=points,
        raised_by=("limit",),
        held_back_by=("small",),
        suppressed=(str(UUID(int=1)), str(UUID(int=2))),
        charge=1.2345678901234567,
        sequence=10_000,
        told_ns=FAR.ts_ns,
        told_severity=3,
    )


def heeded(wishes: int) -> Heeded:
    heeding = Heeding(None)
    for number in range(wishes):
        wish = new_normal(number)
        heeding.heed("a", Due(wish, wish.id), (-1.2345678901234567,) * 6)
    return heeding.by_sensor["a"]


def size(incident: OpenIncident | None, wishes: int) -> int:
    (state,) = packed(np.zeros(1, ROW))
    more = {"wishes": heeded(wishes).document()} if wishes else None
    return len(
        encode_sensor_state(
            2**40, 2**40, 2**40, 2**40, 2**40,
            state_version=ROW_VERSION,
            state=state,
            incident=None if incident is None else incident.document(),
            more=more,
        )
    )  # fmt: skip


def test_a_document_has_2_kilobytes_and_above_only_where_all_is_at_its_longest() -> None:
    """The row is more than half of it, the excerpt a sixth; latent numbers count from there on."""
    assert size(None, MAX_WISHES) <= 2048
    world = World(entries([LOUD] * 100))
    world.run([100])
    (value,) = world.documents.values()
    incident = SensorState.model_validate_json(value).incident
    assert incident is not None
    assert OpenIncident.of(incident).readings > MAX_EXCERPT
    assert len(value) <= 1900
    assert size(long(8, 3), 0) <= 2100
    assert size(long(MAX_LATENT), 4) <= 2560

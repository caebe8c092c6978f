"""Foreign records: as Vigie's own for the same readings, and never a crash or a lost record."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Decoder
from schemas.wire.timestamp import format_ns
from tests.support.envelopes import (
    CHANNELS,
    Carrier,
    SlowEnvelope,
    as_bytes,
    decode,
    readings_of,
)

UNHURRIED = settings(deadline=None)

NUMBERS = st.one_of(
    st.floats(-1e12, 1e12),
    st.integers(-(2**70), 2**70),
    st.sampled_from([-0.0, 1e308, 5e-324, 2**53 + 1]),
)


class Plain(NamedTuple):
    """A reading before any envelope."""

    sensor: str
    ms: int
    values: dict[str, Any]


PLAIN = st.builds(
    Plain,
    sensor=st.sampled_from(["pump-1", "é", "line 2", "7", '"q"']),
    ms=st.integers(10**12, 4 * 10**12),
    values=st.fixed_dictionaries({name: st.one_of(st.none(), NUMBERS) for name in CHANNELS}),
)


def own(reading: Plain) -> dict[str, Any]:
    return {"sensor_id": reading.sensor, "ts": reading.ms, "values": reading.values}


def flat(reading: Plain) -> dict[str, Any]:
    return {"sensorId": reading.sensor, "timestamp": reading.ms, "unit": "x", **reading.values}


def telegraf(reading: Plain) -> dict[str, Any]:
    return {
        "fields": {**reading.values, "state": "run"},
        "name": "pump",
        "tags": {"host": reading.sensor},
        "timestamp": reading.ms // 1000,
    }


def sparkplug(reading: Plain) -> dict[str, Any]:
    metrics = [
        {"name": name, "timestamp": reading.ms, "dataType": "Double", "value": value}
        for name, value in [*reading.values.items(), ("door", "open")]
    ]
    # Their order is no promise.
    return {"timestamp": reading.ms, "metrics": metrics[:: 1 if reading.ms % 2 else -1], "seq": 3}


def debezium(reading: Plain) -> dict[str, Any]:
    row = {"sensor_id": reading.sensor, "ts": reading.ms, **reading.values}
    return {"schema": {"fields": [{}]}, "payload": {"before": None, "after": row, "op": "c"}}


def texts(reading: Plain) -> dict[str, Any]:
    values = {
        name: value if value is None else repr(value) for name, value in reading.values.items()
    }
    moment = format_ns(reading.ms * 10**6)
    return {"id": [reading.sensor], "when": moment.replace("Z", "+00"), "data": values}


ENVELOPES: dict[str, tuple[Any, dict[str, Any]]] = {
    "own": (own, {"numbers": "text"}),
    "flat": (flat, {"preset": "flat"}),
    "telegraf": (telegraf, {"preset": "telegraf", "sensor": "tags.host"}),
    "sparkplug": (sparkplug, {"preset": "sparkplug"}),
    "debezium": (debezium, {"preset": "debezium"}),
    "texts": (texts, {"sensor": "id.0", "time": "when", "values": "data", "numbers": "text"}),
}


@pytest.mark.parametrize("name", ENVELOPES)
@UNHURRIED
@given(readings=st.lists(PLAIN, min_size=1, max_size=12))
def test_an_envelope_gives_what_vigies_own_gives_for_the_same_readings(name, readings):
    render, layout = ENVELOPES[name]
    if name == "telegraf":
        readings = [reading._replace(ms=reading.ms // 1000 * 1000) for reading in readings]
    expected = Decoder(CHANNELS).decode(
        [as_bytes(own(reading)) for reading in readings], [None] * len(readings)
    )
    carriers = [Carrier(key=reading.sensor.encode()) for reading in readings]
    found = decode([render(reading) for reading in readings], carriers=carriers, **layout)

    assert found.failures == expected.failures == []
    assert repr(readings_of(found)) == repr(readings_of(expected))


@UNHURRIED
@given(readings=st.lists(PLAIN, min_size=1, max_size=12), cuts=st.lists(st.integers(1, 12)))
def test_readings_are_the_same_however_many_are_in_a_record(readings, cuts):
    edges = sorted({0, len(readings), *(cut for cut in cuts if cut < len(readings))})
    batches = [[own(reading) for reading in readings[a:b]] for a, b in itertools.pairwise(edges)]
    found = decode(batches, readings=".")
    single = decode([own(reading) for reading in readings], readings=".")

    assert found.failures == []
    assert repr([r[1:] for r in readings_of(found)]) == repr([r[1:] for r in readings_of(single)])
    sizes = [b - a for a, b in itertools.pairwise(edges)]
    at = [position for position, size in enumerate(sizes) for _ in range(size)]
    assert [reading[0] for reading in readings_of(found)] == at


ANYTHING = st.one_of(
    NUMBERS,
    st.sampled_from(
        [
            *(
                None,
                True,
                False,
                10**248,
                10**249,
                math.nan,
                math.inf,
                1e308,
                10**400,
                0,
                -1,
                1760920000.25,
            ),
            *("", "on", "off", "Bad", "50.1", " 7 ", "1,039", "nan", "1e999", "1\n2", "٣", "0x1"),
            *("1760920000000", "2026-10-25T02:30:00", "2026-03-29 02:30:00", "x/y", "a\u0000"),
            *([], {}, [1], {"value": 1}, {"value": "on"}, {"v": 2}, [{"name": "flow"}]),
        ]
    ),
)
ITEM: dict[str, Any] = {
    "sensor_id": "a",
    "ts": 1760920000000,
    "values": dict.fromkeys(CHANNELS, 1.5),
}
NAMED = [{"name": name, "value": 1.5} for name in (*CHANNELS, "x")]
LOCAL = {**ITEM, "ts": "2026-10-25T02:30:00"}
FLAT = {"sensor_id": "a", "ts": 1760920000000, **ITEM["values"]}
GOOD_CARRIER = Carrier(key=b"k", headers=(("site", b"x"),))
# Of each kind keys of `[input]` and a record that they read.
LAYOUTS: list[tuple[dict[str, Any], Any]] = [
    ({"numbers": "text"}, ITEM),
    ({"readings": "."}, [ITEM, {**ITEM, "sensor_id": "b"}, ITEM]),
    ({"readings": "payload?", "missing_channels": "missing"}, {"payload": [ITEM, ITEM]}),
    ({"preset": "debezium", "booleans": "numbers"}, {"payload": {"after": FLAT, "op": "c"}}),
    (
        {"sensor": ["record:key", "header:site"], "time": "record:timestamp", "nan": "missing"},
        {"values": dict.fromkeys(CHANNELS, math.nan)},
    ),
    (
        {"sensor": ["sensor_id", "record:key"], "sensor_pattern": "(.)/(.+)", "time_unit": "s"},
        {**ITEM, "ts": 1760920000.25},
    ),
    (
        {"name_field": "name", "value_field": "value", "missing_channels": "missing"},
        {**ITEM, "values": NAMED},
    ),
    (
        {"name_field": "name", "value_field": "value", "readings": "payload?"},
        {"payload": [{**ITEM, "values": NAMED}]},
    ),
    (
        {"value_field": "value", "words": {"on": 1, "off": 0}, "missing_words": ["Bad", ""]},
        {**ITEM, "values": {name: {"value": "on"} for name in CHANNELS}},
    ),
    ({"values": ".", "timezone": "Europe/Berlin", "numbers": "text"}, {**FLAT, "flow": " 7 "}),
    ({"time_format": "%Y-%m-%dT%H:%M:%S", "timezone": "Europe/Berlin"}, LOCAL),
    (
        {"readings": "rows?", "sensor": "/id", "time": "/head?.ts", "values": "/head.values"},
        {"id": "a", "head": ITEM, "rows": [{}, {}]},
    ),
]


def places_in(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where anything is in a document, the document itself included."""
    inner = node.items() if type(node) is dict else enumerate(node) if type(node) is list else ()
    return [path, *(place for key, value in inner for place in places_in(value, (*path, key)))]


def replaced(node: Any, place: tuple[Any, ...], by: Any) -> Any:
    """The document with something else in one place; nothing there for a `by` of `GONE`."""
    if not place:
        return None if by is GONE else by
    key, *rest = place
    copy = dict(node) if type(node) is dict else list(node)
    if rest or by is not GONE:
        copy[key] = replaced(node[key], tuple(rest), by)
    else:
        del copy[key]
    return copy


GONE = object()


@st.composite
def nearly_good(draw: st.DrawFn, good: Any) -> bytes:
    """A good record, or one with up to two things replaced or gone, or with a byte changed."""
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 1, 2]))):
        place = draw(st.sampled_from(places_in(good)))
        good = replaced(good, place, draw(st.one_of(ANYTHING, ANYTHING, st.just(GONE))))
    encoded = json.dumps(good).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(encoded) - 1))
        encoded = encoded[:at] + bytes([draw(st.integers(0, 255))]) + encoded[at + 1 :]
    return encoded


CARRIERS = st.one_of(
    st.just(GOOD_CARRIER),
    st.just(GOOD_CARRIER),
    st.builds(
        Carrier,
        key=st.sampled_from([None, b"", b"k", b"k/2", b"\xff", b"\x00\x01"]),
        headers=st.sampled_from([(), (("site", b"x"),), (("site", None),), (("site", b"\xff"),)]),
        timestamp=st.sampled_from([-1, 0, 1760920000000, 1761000000000, 2**62]),
    ),
)


@pytest.mark.parametrize(("layout", "good"), LAYOUTS, ids=range(len(LAYOUTS)))
@UNHURRIED
@given(data=st.data())
def test_whatever_comes_each_record_is_read_or_rejected_as_it_would_be_alone(layout, good, data):
    values = data.draw(st.lists(nearly_good(good), min_size=1, max_size=12))
    carriers = [data.draw(CARRIERS) for _ in values]

    found = decode(values, carriers=carriers, **layout)
    slow = decode(values, kind=SlowEnvelope, carriers=carriers, **layout)

    assert repr(found) == repr(slow)
    accepted = set(found.readings.positions.tolist())
    assert sorted([*accepted, *(failure.position for failure in found.failures)]) == list(
        range(len(values))
    )
    for i, (value, carrier) in enumerate(zip(values, carriers, strict=True)):
        alone = decode([value], carriers=[carrier], **layout)
        mine = [reading[1:] for reading in readings_of(found) if reading[0] == i]
        assert repr(mine) == repr([reading[1:] for reading in readings_of(alone)])
        assert [f.message for f in alone.failures] == [
            f.message for f in found.failures if f.position == i
        ]


@pytest.mark.parametrize(("layout", "good"), LAYOUTS, ids=range(len(LAYOUTS)))
def test_the_good_record_of_each_kind_is_read_in_columns(layout, good, monkeypatch):
    monkeypatch.delattr("schemas.codec.envelope.Envelope._one")
    assert decode([good] * 3, carriers=[GOOD_CARRIER] * 3, **layout).failures == []


@UNHURRIED
@given(st.lists(st.binary(max_size=40), max_size=6))
def test_random_bytes_are_dead_letters(junk):
    found = decode([*junk, own(Plain("a", 10**12, dict.fromkeys(CHANNELS)))], numbers="text")
    assert found.readings.positions.tolist() == [len(junk)]
    assert [failure.position for failure in found.failures] == list(range(len(junk)))

"""The batched decoder against a slow, independent one, on hostile bytes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import (
    DENOISED_ARROW,
    DENOISED_JSON,
    FRAME_ARROW,
    FRAME_JSON,
    READING_JSON,
    Decoder,
    DenoisedEncoder,
    FrameEncoder,
    ReadingEncoder,
    decode_denoised,
)

# Wall time says nothing on a machine that runs other things too.
UNHURRIED = settings(deadline=None)

CHANNELS = ("flow", "speed")
HEADER = READING_JSON.encode()

FINITE = st.floats(-1e12, 1e12)
TIMES_NS = st.integers(-9_223_372_036_854, 9_223_372_036_854).map(lambda ms: ms * 1_000_000)


def plain_reference(value: bytes):
    """(sensor, ts_ns, row) of one integer-time reading by the standard library, or None."""
    try:
        item = json.loads(value.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if type(item) is not dict or type(item.get("values")) is not dict:
        return None
    sensor, ts = item.get("sensor_id"), item.get("ts")
    if type(sensor) is not str or not 1 <= len(sensor) <= 249:
        return None
    if type(ts) is not int or abs(ts) > 9_223_372_036_854:
        return None
    row = []
    for channel in CHANNELS:
        number = item["values"].get(channel, "missing")
        if number is not None and (type(number) not in {int, float} or math.isinf(number)):
            return None
        row.append(math.nan if number is None else float(number))
    return sensor, ts * 1_000_000, row


def _refuse(constant):
    raise ValueError(constant)


def as_reference(value: bytes):
    try:
        return plain_reference(value)
    except OverflowError:
        return None


def good(sensor="a", ts=1, flow="1.5", speed="null", extra="") -> bytes:
    values = f'{{"flow":{flow},"speed":{speed}}}'
    return f'{{"sensor_id":"{sensor}","ts":{ts},"values":{values}{extra}}}'.encode()


GOOD = st.builds(
    good,
    sensor=st.sampled_from(["a", "pump-2", "}{", "],[", "é"]),
    ts=st.integers(-(10**12), 9_223_372_036_854),
    flow=st.sampled_from(["1", "-0.0", "1e3", "null", "1e308", "12345678901234567890"]),
    speed=FINITE.map(repr),
    extra=st.sampled_from(["", ',"tags":["x"]', ',"unit":"bar"', ',"ts":7', ',"z":{"q":[{}]}']),
)
# Halves of documents, doubled documents, and what else could make two values join into others.
HOSTILE = st.sampled_from(
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"{}",
        b"1},{",
        good() + b"," + good(),
        good() + b",\n" + good(),
        good() + b"]",
        good() + b"] ",
        b"[" + good() + b"]",
        b" " + good() + b"\n",
        good()[:-1],
        good()[:20],
        good()[20:],
        b'{"x":[1',
        b'2],"sensor_id":"a","ts":1,"values":{"flow":1,"speed":2}}',
        b'{"x":{"y":1',
        b'{"x":"',
        b'","sensor_id":"a","ts":1,"values":{"flow":1,"speed":2}}',
        b'{"sensor_id":"a","ts":1,"values":{"flow":1,"speed":2},"x":[{}',
        b'{}],"y":1}',
        b"\xef\xbb\xbf" + good(),
        good().replace(b"a", b"\xff", 1),
        good(sensor="\\u0000"),
        good(sensor=""),
        good(sensor="x" * 250),
        good(flow="true"),
        good(flow='"1.5"'),
        good(flow="NaN"),
        good(flow="-Infinity"),
        good(flow="1e999"),
        good(flow="1" * 400),
        good(flow="[1]"),
        good(flow="{}"),
        good(ts="1.0"),
        good(ts="true"),
        good(ts="null"),
        good(ts="9223372036855"),
        good(ts="1" * 30),
        good().replace(b'"flow"', b'"flux"'),
        good().replace(b'"ts"', b'"time"'),
        good().replace(b'"values"', b'"value"'),
        b'{"sensor_id":"a","ts":1,"values":"flow speed"}',
        b'{"sensor_id":"a","ts":1,"values":["flow","speed"]}',
        b'{"sensor_id":"a","ts":1,"values":null}',
        b'{"sensor_id":5,"ts":1,"values":{"flow":1,"speed":2}}',
    ]
)


def rows_by_position(decoded):
    readings = decoded.readings
    return {
        int(position): (sensor, int(ts), row.tolist())
        for position, sensor, ts, row in zip(
            readings.positions, readings.sensors, readings.ts_ns, readings.values, strict=True
        )
    }


def check(values):
    decoded = Decoder(CHANNELS).decode(values, [None] * len(values))
    found = rows_by_position(decoded)
    expected = {i: as_reference(value) for i, value in enumerate(values)}
    assert repr(found) == repr({i: row for i, row in expected.items() if row is not None})
    assert [failure.position for failure in decoded.failures] == [
        i for i, row in expected.items() if row is None
    ]


@UNHURRIED
@given(st.lists(st.one_of(GOOD, GOOD, HOSTILE), max_size=40))
def test_a_batch_decodes_as_its_records_do_one_by_one(values):
    check(values)


@UNHURRIED
@given(st.lists(HOSTILE, max_size=6))
def test_hostile_neighbours_do_not_change_each_other(values):
    check(values)


@UNHURRIED
@given(st.lists(st.binary(max_size=30), max_size=8), GOOD)
def test_random_bytes_never_hide_a_good_record(junk, reading):
    decoded = Decoder(CHANNELS).decode([*junk, reading], [HEADER] * (len(junk) + 1))
    assert int(decoded.readings.positions[-1]) == len(junk)
    assert len(decoded.readings.positions) + len(decoded.failures) == len(junk) + 1


@UNHURRIED
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=20))
def test_mixed_formats_keep_arrival_order(kinds):
    """Readings and frames in one batch come out in the order they went in."""
    headers = [None, HEADER, FRAME_JSON.encode(), FRAME_ARROW.encode()]
    values, types, expected, next_ts = [], [], [], 0
    for kind, k in kinds:
        n = 1 if kind <= 1 else k
        ts = np.arange(next_ts, next_ts + n, dtype=np.int64)
        next_ts += n
        rows = np.stack([ts + 0.5, -ts], axis=1).astype(np.float64)
        if kind <= 1:
            encoded = ReadingEncoder(CHANNELS).encode("s", int(ts[0]), rows[0].tolist())
        else:
            encoded = FrameEncoder(CHANNELS, headers[kind].decode()).encode("s", ts, rows)
        values.append(encoded)
        types.append(headers[kind])
        expected.append(n)

    readings = Decoder(CHANNELS).decode(values, types).readings

    assert readings.positions.tolist() == list(range(len(kinds)))
    assert readings.counts.tolist() == expected
    assert readings.ts_ns.tolist() == list(range(next_ts))
    assert np.array_equal(readings.values[:, 0], readings.ts_ns + 0.5)


@UNHURRIED
@given(
    st.lists(
        st.tuples(
            st.one_of(TIMES_NS, st.integers(-(2**63) + 1, 2**63 - 1)),
            st.one_of(FINITE, st.just(math.nan)),
            FINITE,
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([FRAME_JSON, FRAME_ARROW]),
)
def test_a_frame_comes_back_bit_for_bit(rows, content_type):
    ts_ns = np.array([row[0] for row in rows], dtype=np.int64)
    values = np.array([row[1:] for row in rows], dtype=np.float64)
    encoded = FrameEncoder(CHANNELS, content_type).encode("s", ts_ns, values)

    decoded = Decoder(CHANNELS).decode([encoded], [content_type.encode()])

    assert not decoded.failures
    assert np.array_equal(decoded.readings.ts_ns, ts_ns)
    assert np.array_equal(decoded.readings.values, values, equal_nan=True)


@UNHURRIED
@given(
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from([DENOISED_JSON, DENOISED_ARROW]),
    st.integers(0, 2**32 - 1),
)
def test_a_denoised_frame_comes_back_as_it_was(k, whole_ms, content_type, seed):
    rng = np.random.default_rng(seed)
    ts_ns = rng.integers(-(10**12), 10**12, k) * (10**6 if whole_ms else 999)
    values = rng.normal(size=(k, 2)).round(4)
    score = rng.random(k).round(6)
    offsets = rng.integers(0, 2**62, k)
    indices = rng.integers(0, 2, k)

    encoded = DenoisedEncoder(CHANNELS, content_type).encode(
        "s", ts_ns, values, score, offsets, indices, model="pump@1", source=("readings", 3)
    )
    frame = decode_denoised(encoded, content_type)

    assert frame.ts_ns == ts_ns.tolist()
    assert frame.values == {"flow": values[:, 0].tolist(), "speed": values[:, 1].tolist()}
    assert (frame.score, frame.offset) == (score.tolist(), offsets.tolist())
    assert frame.index == (indices.tolist() if indices.any() else [])
    assert (frame.sensor_id, frame.model, frame.topic, frame.partition) == (
        ("s", "pump@1", "readings", 3)
    )


@UNHURRIED
@given(st.binary(max_size=400), st.sampled_from([FRAME_ARROW, FRAME_JSON]))
def test_no_bytes_crash_a_frame_decoder(junk, content_type):
    decoded = Decoder(CHANNELS).decode([junk], [content_type.encode()])
    assert len(decoded.failures) == 1


@UNHURRIED
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_flipped_byte_in_an_arrow_frame_is_data_or_a_failure(place, byte):
    """Damage yields a failure or readings that keep the promises of `Readings`; never a crash."""
    ts_ns = np.arange(5, dtype=np.int64)
    encoded = bytearray(FrameEncoder(CHANNELS, FRAME_ARROW).encode("s", ts_ns, np.ones((5, 2))))
    encoded[place % len(encoded)] = byte

    decoded = Decoder(CHANNELS).decode([bytes(encoded)], [FRAME_ARROW.encode()])

    readings = decoded.readings
    assert len(readings.positions) + len(decoded.failures) == 1
    assert readings.values.shape == (readings.counts.sum(), 2)
    assert not np.isinf(readings.values).any()


WHOLE = '"sensor_id":"a","ts":1,"values":{"flow":1,"speed":2}}'


@pytest.mark.parametrize(
    "halves",
    [
        ('{"x":[{}', "{}]," + WHOLE),  # joined within an array
        ('{"x":[1', "2]," + WHOLE),
        ('{"x":1', WHOLE),  # joined within an object
        ('{"x":{"y":1', '"z":2},' + WHOLE),
        ('{"x":"', '{",' + WHOLE),  # joined within a string
    ],
    ids=["objects in an array", "numbers in an array", "object", "inner object", "string"],
)
@UNHURRIED
@given(st.permutations([0, 1, 2, 3]))
def test_two_halves_and_a_double_do_not_add_up(halves, order):
    """As many documents as values, and yet none of the three is one: all are refused."""
    first, second = (half.encode() for half in halves)
    groups = [(good() + b"," + good(),), (first, second), (good(ts=3),), (good(ts=4),)]
    check([value for place in order for value in groups[place]])

"""Records as other people write them: which `[input]` reads them, and what it says if none does."""

from __future__ import annotations

import json
import math
import pickle
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from schemas.codec import FRAME_JSON, READING_JSON, Decoder, Envelope, FrameEncoder
from schemas.settings import InputSettings
from schemas.wire.errors import Stage
from schemas.wire.limits import MAX_FRAME_READINGS
from tests.support.envelopes import (
    CHANNELS,
    NOW_MS,
    NOW_NS,
    VALUES,
    Carrier,
    decode,
    message_of,
    named,
    only,
    readings_of,
)

ROW = list(VALUES.values())
OWN = {"sensor_id": "p", "ts": NOW_MS, "values": VALUES}


def own(**changes):
    return {**OWN, **changes}


def ns(text):
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


# --- records as they were seen in the field -------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "settings", "sensor", "time_ns", "rows"),
    [
        (
            (
                b'{"sensor_id":"o2","ts":1760920000000,'
                b'"values":{"flow":"50.1","pressure":"4.0","temp":"40.0"}}'
            ),
            {"numbers": "text"},
            "o2",
            NOW_NS,
            [[50.1, 4.0, 40.0]],
        ),
        (
            (
                b'{"sensor_id":"o1","ts":1760920000000,'
                b'"values":{"flow":50.0,"pressure":4.0,"temp":true}}'
            ),
            {"booleans": "numbers"},
            "o1",
            NOW_NS,
            [[50.0, 4.0, 1.0]],
        ),
        (
            (
                b'{"sensorId":"sensor-0","timestamp":1760920000000,'
                b'"flow":50.0,"pressure":4.0,"temp":40.0}'
            ),
            {"preset": "flat"},
            "sensor-0",
            NOW_NS,
            [ROW],
        ),
        (
            (
                b'{"sensor_id":"o3","ts":1760920000.25,'
                b'"values":{"flow":50.0,"pressure":4.0,"temp":40.0}}'
            ),
            {"time_unit": "s"},
            "o3",
            NOW_NS + 250_000_000,
            [ROW],
        ),
        (
            (
                b'[{"sensor_id":"o11","ts":1760920000000,"values":{"flow":50.0,"pressure":4.0,'
                b'"temp":40.0}},{"sensor_id":"o11","ts":1760920001000,"values":{"flow":50.0,'
                b'"pressure":4.0,"temp":40.0}}]'
            ),
            {"readings": "."},
            "o11",
            NOW_NS,
            [ROW, ROW],
        ),
        (
            b'{"sensor_id":"o10","ts":1760920000000,"values":{"flow":50.0}}',
            {"missing_channels": "missing"},
            "o10",
            NOW_NS,
            [[50.0, math.nan, math.nan]],
        ),
    ],
    ids=["text numbers", "a boolean", "flat", "time.time()", "an array", "some channels"],
)
def test_each_record_of_the_field_has_an_input_that_reads_it(
    record, settings, sensor, time_ns, rows
):
    decoded = decode([record], **settings)
    assert decoded.failures == []
    assert set(decoded.readings.sensors) == {sensor}
    assert decoded.readings.ts_ns[0] == time_ns
    assert np.array_equal(decoded.readings.values, rows, equal_nan=True)
    # Without it the record is a dead letter, as it is without any [input].
    assert len(decode([record]).failures) == 1


# --- presets --------------------------------------------------------------------------------------

TELEGRAF = {"fields": VALUES, "name": "pump", "tags": {"host": "h1"}, "timestamp": NOW_MS // 1000}


def test_telegraf_joins_host_and_measurement():
    assert only(decode([TELEGRAF], preset="telegraf")) == ("h1/pump", NOW_NS, ROW)


def test_telegraf_batches_hold_readings_of_several_sensors():
    metrics = [
        {**TELEGRAF, "tags": {"host": host}, "timestamp": NOW_MS // 1000 + i}
        for i, host in enumerate(["a", "a", "b", "a"])
    ]
    decoded = decode([{"metrics": metrics}, TELEGRAF], preset="telegraf", sensor="tags.host")

    assert decoded.readings.positions.tolist() == [0, 0, 0, 1]
    assert decoded.readings.sensors == ["a", "b", "a", "h1"]
    assert decoded.readings.counts.tolist() == [2, 1, 1, 1]
    assert decoded.readings.ts_ns[:4].tolist() == [NOW_NS + i * 10**9 for i in range(4)]


@pytest.mark.parametrize(
    ("sensor", "more", "found"),
    [
        (None, {}, "pump-1"),
        ("header:device", {}, "dev 7"),
        ("topic", {"topic": "spBv1.0/g/DDATA/e/d"}, "spBv1.0/g/DDATA/e/d"),
    ],
)
def test_a_sparkplug_sensor_comes_from_key_header_or_topic(sensor, more, found):
    record = {"timestamp": NOW_MS, "metrics": named({**VALUES, "x": "on"}), "seq": 1, **more}
    carrier = Carrier(headers=(("device", b"dev 7"), ("device", b"other")))
    decoded = decode([record], carriers=[carrier], preset="sparkplug", sensor=sensor)
    assert only(decoded) == (found, NOW_NS, ROW)


def test_a_pattern_takes_the_sensor_out_of_a_topic():
    settings = {"sensor": "topic", "sensor_pattern": r"spBv1\.0/([^/]+)/D[^/]+/[^/]+/(.+)"}
    good = own(topic="spBv1.0/hall/DDATA/edge/pump")
    assert only(decode([good], **settings))[0] == "hall/pump"
    failed = message_of(decode([own(topic="spBv1.0/hall/NDATA/edge")], **settings))
    assert failed.startswith("sensor: 'spBv1.0/hall/NDATA/edge' does not fit input.sensor_pattern")


CHANGE = {"before": None, "after": {"sensor_id": "p", "ts": NOW_MS, **VALUES}, "op": "c"}


@pytest.mark.parametrize("record", [CHANGE, {"schema": {"type": "struct"}, "payload": CHANGE}])
def test_debezium_is_read_with_and_without_its_schema(record):
    assert only(decode([record], preset="debezium")) == ("p", NOW_NS, ROW)


def test_a_deleted_row_is_a_dead_letter_that_says_so():
    deleted: dict[str, Any] = {"payload": {"before": {}, "after": None, "op": "d"}}
    decoded = decode([deleted, CHANGE], preset="debezium")
    (failure,) = decoded.failures
    assert (failure.position, failure.stage) == (0, Stage.SCHEMA)
    assert "the row was deleted" in failure.message
    assert "skipped.operations=d" in failure.message


def test_a_tombstone_is_a_dead_letter():
    decoder = Decoder(CHANNELS, envelope=Envelope(InputSettings(preset="debezium")))
    (failure,) = decoder.decode([None], [None], [Carrier()]).failures
    assert failure.message == "the record has no value (a tombstone)"


@pytest.mark.parametrize("wrap", [lambda row: row, lambda row: {"schema": {}, "payload": row}])
def test_connect_is_read_with_and_without_its_schema(wrap):
    row = {"sensor_id": 7, "ts": NOW_MS, **VALUES}
    assert only(decode([wrap(row)], preset="connect")) == ("7", NOW_NS, ROW)


def test_a_single_key_overrides_its_preset():
    record = {**TELEGRAF, "timestamp": NOW_MS}
    assert only(decode([record], preset="telegraf", time_unit="ms"))[1] == NOW_NS


# --- which records an envelope reads --------------------------------------------------------------


@pytest.mark.parametrize("header", [None, b"application/json", b"text/x; q=1", b"\xff"])
def test_records_without_a_content_type_of_vigies_are_foreign(header):
    decoder = Decoder(CHANNELS, envelope=Envelope(InputSettings(preset="flat")))
    value = json.dumps({"sensorId": "p", "timestamp": NOW_MS, **VALUES}).encode()
    assert only(decoder.decode([value], [header], [Carrier()])) == ("p", NOW_NS, ROW)


def test_vigies_own_content_types_choose_vigies_decoders_still():
    decoder = Decoder(CHANNELS, envelope=Envelope(InputSettings(preset="flat")))
    frame = FrameEncoder(CHANNELS, FRAME_JSON).encode("f", np.array([NOW_NS]), np.array([ROW]))
    flat = json.dumps({"sensorId": "p", "timestamp": NOW_MS, **VALUES}).encode()
    values = [json.dumps(OWN).encode(), flat, frame, b"{}"]
    headers = [READING_JSON.encode(), None, FRAME_JSON.encode(), b"application/vnd.vigie.x.v2"]
    decoded = decoder.decode(values, headers, [Carrier()] * 4)
    assert decoded.readings.sensors == ["p", "p", "f"]
    assert [(f.position, f.stage) for f in decoded.failures] == [(3, Stage.CONTENT_TYPE)]


def test_a_record_beyond_the_limit_is_not_parsed():
    decoder = Decoder(CHANNELS, envelope=Envelope(InputSettings(preset="flat")), max_bytes=10)
    (failure,) = decoder.decode([b"{" * 11], [None], [Carrier()]).failures
    assert failure.stage == Stage.SIZE


def test_an_envelope_needs_what_records_say_beside_their_values():
    decoder = Decoder(CHANNELS, envelope=Envelope(InputSettings(preset="flat")))
    with pytest.raises(ValueError, match="1 values, but 0 carriers"):
        decoder.decode([b"{}"], [None])


def test_a_format_without_a_parser_is_refused():
    with pytest.raises(ValueError, match=r'input\.format = "avro" needs a parser'):
        Envelope(InputSettings(format="avro"))


def test_an_envelope_travels_to_actors():
    envelope = Envelope(InputSettings(preset="telegraf", sensor_pattern="(.+)", timezone="UTC"))
    decoder = pickle.loads(pickle.dumps(Decoder(CHANNELS, envelope=envelope)))
    assert only(decoder.decode([json.dumps(TELEGRAF).encode()], [None], [Carrier()]))[1] == NOW_NS


# --- sensors --------------------------------------------------------------------------------------

KEYED = {"sensor": "record:key"}
JOINED = {"sensor": ["tags.site", "record:key", "header:line"]}
HEADERS = (("line", b"L1"),)


def test_several_places_are_joined():
    carrier = Carrier(key=b"p", headers=HEADERS)
    decoded = decode([own(tags={"site": 4})], carriers=[carrier], sensor_separator=".", **JOINED)
    assert only(decoded)[0] == "4.p.L1"


@pytest.mark.parametrize(
    ("changes", "carrier", "settings", "message"),
    [
        ({}, Carrier(key=None), KEYED, 'the record has no key (input.sensor = "record:key")'),
        ({}, Carrier(key=b""), KEYED, "the record's key is empty"),
        ({}, Carrier(key=b"\xff"), KEYED, "the record's key is not UTF-8: b'\\xff'"),
        ({}, Carrier(key=b"\x00\x00\x00\x00\x01p"), KEYED, "written with a schema registry"),
        ({}, Carrier(key=b"x" * 250), KEYED, "sensor: must be a string of 1..249 characters"),
        ({}, Carrier(), {"sensor": "header:line"}, "the record has no header 'line'"),
        ({}, Carrier(headers=[("line", None)]), {"sensor": "header:line"}, "no header 'line'"),
        (
            {"tags": {}},
            Carrier(headers=HEADERS),
            JOINED,
            "'site' is missing; 'tags' has: 'nothing'",
        ),
        ({"tags": 3}, Carrier(headers=HEADERS), JOINED, "'site' is missing; 'tags' is 3"),
        ({"tags": {"site": "a/b"}}, Carrier(headers=HEADERS), JOINED, "two sensors could get one"),
        ({"tags": {"site": ""}}, Carrier(headers=HEADERS), JOINED, "must be a text that is not em"),
        ({"sensor_id": None}, Carrier(), {"numbers": "text"}, "must be a text that is not empty"),
        ({"sensor_id": True}, Carrier(), {"numbers": "text"}, "got True"),
        ({"sensor_id": 1.5}, Carrier(), {"numbers": "text"}, 'got 1.5 (input.sensor = "sensor_id"'),
        ({"sensor_id": 10**300}, Carrier(), {"numbers": "text"}, "an integer of 997 bits"),
    ],
)
def test_a_sensor_that_cannot_be_told_says_why(changes, carrier, settings, message):
    assert message in message_of(decode([own(**changes)], carriers=[carrier], **settings))


# --- several readings of a record -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([OWN, own(ts="x"), OWN], "[1]: ts: 'x' is not ISO 8601"),
        ([OWN, 5], "[1]: must be an object, got 5"),
        ([], f"the record: must hold 1..{MAX_FRAME_READINGS} readings, has 0"),
        (5, "the record: must be an object, got 5"),
        (None, "is null, so there is no reading"),
    ],
)
def test_one_bad_reading_makes_the_whole_record_a_failure(record, message):
    assert message in message_of(decode([record], readings="."))


def test_a_record_holds_no_more_readings_than_a_frame():
    slim = {"sensor_id": "p", "ts": NOW_MS, "values": {"flow": 1}}
    many = [slim] * (MAX_FRAME_READINGS + 1)
    decoder = Decoder(
        ["flow"], envelope=Envelope(InputSettings(readings=".")), max_bytes=100_000_000
    )
    (failure,) = decoder.decode([json.dumps(many).encode()], [None], [Carrier()]).failures
    assert f"must hold 1..{MAX_FRAME_READINGS} readings, has {len(many)}" in failure.message


def test_an_array_of_readings_is_read_on_request_only():
    assert 'input.readings = "." reads' in message_of(decode([[OWN]], numbers="text"))


def test_what_readings_have_in_common_lies_at_the_top_of_the_record():
    record = {"device": "d", "rows": [{"t": NOW_MS, "v": VALUES}, {"t": NOW_MS + 1, "v": VALUES}]}
    decoded = decode([record], readings="rows", sensor="/device", time="t", values="v")
    assert [reading[:3] for reading in readings_of(decoded)] == [
        (0, "d", NOW_NS),
        (0, "d", NOW_NS + 10**6),
    ]


def test_a_place_that_is_not_there_names_its_setting():
    failed = message_of(decode([OWN], readings="rows"))
    assert failed == (
        "readings: 'rows' is missing; it has: 'sensor_id, ts, values' (input.readings = \"rows\")"
    )


# --- times ----------------------------------------------------------------------------------------


def test_the_records_timestamp_can_be_the_time():
    settings = {"time": "record:timestamp"}
    assert only(decode([OWN], carriers=[Carrier(timestamp=NOW_MS + 1)], **settings))[1] == (
        NOW_NS + 10**6
    )
    failed = message_of(decode([OWN], carriers=[Carrier(timestamp=-1)], **settings))
    assert failed == 'the record has no timestamp (input.time = "record:timestamp")'


def test_the_records_timestamp_tells_the_hour_that_comes_twice():
    record = own(ts="2026-10-25T02:10:00")
    stamps = ["2026-10-25T02:10:01+02:00", "2026-10-25T02:10:01+01:00", "2026-11-01T00:00:00+01:00"]
    carriers = [Carrier(timestamp=ns(stamp) // 10**6) for stamp in stamps]
    decoded = decode([record] * 3, carriers=carriers, timezone="Europe/Berlin")
    assert decoded.readings.ts_ns.tolist() == [
        ns("2026-10-25T02:10:00+02:00"),
        ns("2026-10-25T02:10:00+01:00"),
        ns("2026-10-25T02:10:00+02:00"),
    ]


def test_a_time_that_is_not_there_says_what_is():
    assert message_of(decode([own()], time="when")) == (
        "time: 'when' is missing; it has: 'sensor_id, ts, values' (input.time = \"when\")"
    )


# --- channels of a topic that nothing is known of -------------------------------------------------


@pytest.mark.parametrize(
    ("record", "settings", "names"),
    [
        (TELEGRAF, {"preset": "telegraf"}, ("flow", "pressure", "temp")),
        ({"metrics": [TELEGRAF]}, {"preset": "telegraf"}, ("flow", "pressure", "temp")),
        (
            {"sensorId": "p", "timestamp": NOW_MS, "note": None, "a": 1, "state": "on", "b": 2.5},
            {"preset": "flat"},
            ("a", "b"),
        ),
        (
            {"timestamp": NOW_MS, "metrics": named({"x": "s", "b": 1})},
            {"preset": "sparkplug"},
            ("b",),
        ),
        (own(values={"a": None, "b": "1", "c": True}), {"numbers": "text"}, ("a", "b")),
        (own(values={"a": True}), {"numbers": "text"}, ()),
        (own(ts="x"), {"numbers": "text"}, ()),
        (b"no JSON", {"numbers": "text"}, ()),
        ([], {"readings": "."}, ()),
    ],
)
def test_the_channels_of_a_record_are_the_numbers_in_it(record, settings, names):
    envelope = Envelope(InputSettings(**settings))
    value = record if isinstance(record, bytes) else json.dumps(record).encode()
    assert envelope.channels_in(value, Carrier()) == names

"""What the decoder accepts, what it refuses, and what it says then."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest

from schemas.codec import (
    FRAME_ARROW,
    FRAME_JSON,
    READING_JSON,
    Decoder,
)
from schemas.wire.errors import UnknownContentTypeError
from schemas.wire.limits import MAX_FRAME_READINGS, MAX_MESSAGE_CHARS

CHANNELS = ("flow", "speed")


def decode_one(value, content_type=None, **options):
    header = content_type.encode() if isinstance(content_type, str) else content_type
    return Decoder(CHANNELS, **options).decode([value], [header])


def failure_of(value, content_type=None, **options):
    decoded = decode_one(value, content_type, **options)
    assert len(decoded.readings) == 0
    (failure,) = decoded.failures
    return failure


def reading(ts="1700000000000", values='{"flow":1.5,"speed":2}', sensor='"pump-1"'):
    return f'{{"sensor_id":{sensor},"ts":{ts},"values":{values}}}'.encode()


def frame(ts="[1,2]", flow="[1,2]", speed="[3,null]"):
    return f'{{"sensor_id":"pump-1","ts":{ts},"values":{{"flow":{flow},"speed":{speed}}}}}'.encode()


def arrow(columns=None, metadata=None, **stream_options):
    if columns is None:
        columns = {
            "ts": pa.array([1, 2], pa.timestamp("ns", "UTC")),
            "values": pa.array([{"flow": 1.0, "speed": 2.0}, {"flow": None, "speed": 4.0}]),
        }
    batch = pa.record_batch(columns)
    batch = batch.replace_schema_metadata({"sensor_id": "pump-1"} if metadata is None else metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, batch.schema, options=pa.ipc.IpcWriteOptions(**stream_options)
    ) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


# --- what is accepted --------------------------------------------------------------------------


def test_a_reading_becomes_one_row():
    readings = decode_one(reading()).readings

    assert readings.sensors == ["pump-1"]
    assert readings.ts_ns.tolist() == [1_700_000_000_000_000_000]
    assert readings.values.tolist() == [[1.5, 2.0]]
    assert (readings.positions.tolist(), readings.counts.tolist()) == ([0], [1])


def test_null_is_missing_and_never_zero():
    readings = decode_one(reading(values='{"flow":null,"speed":0}')).readings
    assert np.isnan(readings.values[0, 0])
    assert readings.values[0, 1] == 0


def test_columns_follow_the_model_not_the_record():
    readings = decode_one(reading(values='{"speed":2,"noise":"x","flow":1}')).readings
    assert readings.values.tolist() == [[1.0, 2.0]]


def test_wire_names_lead_to_model_channels():
    value = reading(values='{"FT-101":1,"speed":2}')
    decoded = decode_one(value, wire_names={"flow": "FT-101"})
    assert decoded.readings.values.tolist() == [[1.0, 2.0]]


def test_a_single_channel_needs_no_tuple():
    readings = Decoder(["flow"]).decode([reading(), reading()], [None, None]).readings
    assert readings.values.tolist() == [[1.5], [1.5]]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456_789),
        ("2023-11-14T23:43:20.5+01:30", 1_700_000_000_500_000_000),
        ("2023-11-14t22:13:20z", 1_700_000_000_000_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_rfc_3339_is_read_to_the_nanosecond(text, ns):
    assert decode_one(reading(ts=f'"{text}"')).readings.ts_ns.tolist() == [ns]


def test_an_empty_batch_has_the_right_shape():
    readings = Decoder(CHANNELS).decode([], []).readings
    assert readings.values.shape == (0, 2)
    assert len(readings) == 0


@pytest.mark.parametrize(
    "header", [None, READING_JSON, "application/json", "Application/JSON; charset=utf-8"]
)
def test_json_readings_go_by_several_content_types(header):
    assert decode_one(reading(), header).readings.sensors == ["pump-1"]


def test_the_default_content_type_can_be_a_frame():
    decoded = decode_one(frame(), default_content_type=FRAME_JSON)
    assert decoded.readings.counts.tolist() == [2]


@pytest.mark.parametrize(("value", "content_type"), [(frame(), FRAME_JSON), (arrow(), FRAME_ARROW)])
def test_a_frame_becomes_a_row_for_each_reading(value, content_type):
    readings = decode_one(value, content_type).readings
    assert readings.counts.tolist() == [2]
    assert readings.sensors == ["pump-1"]
    assert np.isnan(readings.values).sum() == 1


@pytest.mark.parametrize(
    "ts",
    [
        pa.array([1, 2], pa.int64()),
        pa.array([1, 2], pa.timestamp("ms", "UTC")),
        pa.array([1, 2], pa.timestamp("ms", "Europe/Paris")),
    ],
)
def test_arrow_times_come_as_milliseconds_or_with_a_zone(ts):
    values = pa.array([{"flow": 1.0, "speed": 2}] * 2)
    decoded = decode_one(arrow({"ts": ts, "values": values}), FRAME_ARROW)
    assert decoded.readings.ts_ns.tolist() == [1_000_000, 2_000_000]


def test_an_arrow_frame_may_hold_other_columns_and_number_types():
    columns = {
        "ts": pa.array([1], pa.timestamp("ns", "UTC")),
        "note": pa.array(["x"]),
        "values": pa.StructArray.from_arrays(
            [pa.array([2], pa.int32()), pa.array([0.5], pa.float32()), pa.array(["y"])],
            names=["speed", "flow", "comment"],
        ),
    }
    assert decode_one(arrow(columns), FRAME_ARROW).readings.values.tolist() == [[0.5, 2.0]]


def test_a_decoder_travels_to_another_process():
    decoder = pickle.loads(pickle.dumps(Decoder(CHANNELS)))
    assert decoder.channels == CHANNELS
    assert len(decoder.decode([reading()], [None]).readings) == 1


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "stage", "says"),
    [
        (None, "decode", "tombstone"),
        (b"", "decode", "not JSON"),
        (b"hello", "decode", "hello"),
        (b"\xef\xbb\xbf{}", "decode", "byte order mark"),
        (b'{"sensor_id":"\xff"}', "decode", "unicode"),
        (b"[" * 5000, "decode", "recursion limit"),
        (b"[1]", "schema", "must be a JSON object, got an array of 1"),
        (b"{}", "schema", "'sensor_id' is missing"),
        (reading(sensor="5"), "schema", "sensor_id: must be a string of 1..249"),
        (reading(sensor='""'), "schema", "sensor_id"),
        (reading(ts="1.5"), "schema", "ts: a time is epoch milliseconds"),
        (reading(ts="true"), "schema", "got True"),
        (reading(ts="1700000000000000000"), "schema", "not micro- or nanoseconds"),
        (reading(ts="9" * 300), "schema", "an integer of 997 bits"),
        (reading(ts='"2026-11-22T10:30:00"'), "schema", "with an offset"),
        (reading(ts='"2026-11-22T10:30:00.1234567890Z"'), "schema", "9 digits"),
        (reading(ts='"2026-02-30T10:30:00Z"'), "schema", "no such day"),
        (reading(ts='"2026-11-22T24:00:00Z"'), "schema", "the hour must be in 00..23"),
        (reading(ts='"2026-11-22T10:30:60Z"'), "schema", "the second must be in 00..59"),
        (reading(ts='"2026-11-22T10:30:00+24:00"'), "schema", "the offset must be in"),
        (reading(ts='"2262-04-11T23:47:16.854775808Z"'), "schema", "out of range"),
        (reading(ts='"0001-01-01T00:00:00Z"'), "schema", "out of range"),
        (reading(values="[1,2]"), "schema", "values: must be an object, got an array of 2"),
        (reading(values='{"speed":2}'), "channels", "missing channel flow; the record has: speed"),
        (reading(values='{"flow":"1.5","speed":2}'), "schema", "values.flow: must be a finite"),
        (reading(values='{"flow":true,"speed":2}'), "schema", "got True"),
        (reading(values='{"flow":NaN,"speed":2}'), "decode", "not JSON"),
        (reading(values='{"flow":1e999,"speed":2}'), "schema", "got inf"),
        (reading(values='{"flow":%s,"speed":2}' % ("9" * 400)), "schema", "bits"),
        (reading(values='{"flow":{"a":1},"speed":2}'), "schema", "got an object of 1"),
        (reading() + reading(), "decode", "trailing characters"),
        (reading() + b"," + reading(), "decode", "trailing characters"),
    ],
)
def test_a_bad_reading_says_what_is_wrong(value, stage, says):
    failure = failure_of(value)
    assert (failure.position, failure.stage) == (0, stage)
    assert says in failure.message
    assert len(failure.message) <= MAX_MESSAGE_CHARS


def test_a_missing_mapped_channel_is_named_as_on_the_wire():
    failure = failure_of(reading(), wire_names={"flow": "FT-101"})
    assert "flow (on the wire: FT-101)" in failure.message


@pytest.mark.parametrize(
    ("value", "stage", "says"),
    [
        (frame(ts="[]", flow="[]", speed="[]"), "schema", "1..65536 readings, this one 0"),
        (frame(ts="1"), "schema", "ts: must be an array"),
        (frame(ts='[1,"x"]'), "schema", "ts[1]"),
        (frame(ts="[1,null]"), "schema", "ts[1]"),
        (frame(flow="[1]"), "schema", "values.flow: has 1 values, but ts has 2"),
        (frame(flow="1"), "schema", "values.flow: must be an array"),
        (frame(flow='[1,"2"]'), "schema", "values.flow[1]"),
        (frame(flow="[1,1e999]"), "schema", "values.flow[1]"),
        (frame().replace(b"flow", b"flux"), "channels", "missing channel flow"),
        (b"{", "decode", "not JSON"),
    ],
)
def test_a_bad_frame_says_what_is_wrong(value, stage, says):
    failure = failure_of(value, FRAME_JSON)
    assert failure.stage == stage
    assert says in failure.message


def test_a_frame_beyond_the_limit_is_refused():
    n = MAX_FRAME_READINGS + 1
    ones = "[" + ",".join(["1"] * n) + "]"
    failure = failure_of(frame(ones, ones, ones), FRAME_JSON)
    assert f"this one {n}" in failure.message


TS = pa.array([1], pa.timestamp("ns", "UTC"))
VALUES = pa.array([{"flow": 1.0, "speed": 2.0}])


@pytest.mark.parametrize(
    ("value", "stage", "says"),
    [
        (b"", "decode", "Arrow"),
        (b"ARROW1", "decode", "Arrow"),
        (arrow()[:-40], "decode", "not a whole Arrow IPC stream"),
        (arrow(compression="zstd"), "decode", "compressed"),
        (arrow(compression="lz4"), "decode", "compressed"),
        (arrow(metadata={"x": "y"}), "schema", "lacks 'sensor_id'"),
        (arrow(metadata={"sensor_id": ""}), "schema", "sensor_id"),
        (arrow({"values": VALUES}), "schema", "'ts'"),
        (arrow({"ts": TS}), "schema", "'values'"),
        (arrow({"ts": TS, "values": pa.array([1.0])}), "schema", "must be a struct"),
        (arrow({"ts": TS, "values": pa.array([{"flow": 1.0}])}), "channels", "speed"),
        (
            arrow({"ts": TS, "values": pa.array([{"flow": "1", "speed": 1.0}])}),
            "schema",
            "values.flow: must be floats or integers, got string",
        ),
        (
            arrow({"ts": TS, "values": pa.array([{"flow": np.nan, "speed": np.inf}])}),
            "schema",
            "hold NaN or infinities",
        ),
        (
            arrow({"ts": pa.array([1], pa.timestamp("ns")), "values": VALUES}),
            "schema",
            "time zone",
        ),
        (arrow({"ts": pa.array([1.5]), "values": VALUES}), "schema", "got double"),
        (arrow({"ts": pa.array([2**62]), "values": VALUES}), "schema", "milliseconds"),
        (
            arrow({"ts": pa.array([2**60], pa.timestamp("s", "UTC")), "values": VALUES}),
            "schema",
            "outside int64",
        ),
        (
            arrow({"ts": pa.array([None], pa.timestamp("ns", "UTC")), "values": VALUES}),
            "schema",
            "never null",
        ),
        (arrow({"ts": TS[:0], "values": VALUES[:0]}), "schema", "this one 0"),
        (
            arrow({"ts": TS, "values": VALUES, "x": pa.array(["a"]).dictionary_encode()}),
            "decode",
            "without dictionaries",
        ),
    ],
)
def test_a_bad_arrow_frame_says_what_is_wrong(value, stage, says):
    failure = failure_of(value, FRAME_ARROW)
    assert failure.stage == stage
    assert says in failure.message


def test_a_record_too_large_is_refused_unread():
    failure = failure_of(b"x" * 101, max_bytes=100)
    assert failure.stage == "size"
    assert "101 bytes" in failure.message
    assert "stream.max_record_bytes" in failure.message


def test_the_size_limit_itself_is_allowed():
    value = reading()
    assert len(decode_one(value, max_bytes=len(value)).readings) == 1


@pytest.mark.parametrize(
    "header", [b"text/plain", b"", b"\xff", b"application/vnd.vigie.reading.v9+json"]
)
def test_an_unknown_content_type_is_refused(header):
    failure = failure_of(reading(), header)
    assert failure.stage == "content-type"
    assert failure.exception == "UnknownContentTypeError"


def test_one_bad_record_costs_the_others_nothing():
    values = [reading(ts=str(i)) for i in range(1000)]
    values[500] = b"{"
    decoded = Decoder(CHANNELS).decode(values, [None] * 1000)

    assert [failure.position for failure in decoded.failures] == [500]
    good = [i for i in range(1000) if i != 500]
    assert decoded.readings.positions.tolist() == good
    assert (decoded.readings.ts_ns // 10**6).tolist() == good


@pytest.mark.parametrize(
    ("channels", "wire_names", "says"),
    [
        ([str(n) for n in range(4097)], {}, "takes 0..4096 channels"),
        (["a", "a"], {}, "differ"),
        (["a", "b"], {"a": "b"}, "same wire name"),
        (["a"], {"x": "y"}, "which the model does not have"),
    ],
)
def test_contradicting_channels_are_refused(channels, wire_names, says):
    with pytest.raises(ValueError, match=says):
        Decoder(channels, wire_names=wire_names)


def test_a_decoder_with_an_unknown_default_is_refused():
    with pytest.raises(UnknownContentTypeError, match="known: "):
        Decoder(CHANNELS, default_content_type="text/csv")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"sensor_id":"a","ts":1,"values":{"x":"no number"}}', READING_JSON),
        (b'{"sensor_id":"a","ts":[2,1],"values":{"x":[1,2]}}', FRAME_JSON),
    ],
)
def test_without_channels_only_sensors_and_times_are_read(body, content_type):
    decoded = Decoder(()).decode([body, b"{}"], [content_type.encode()] * 2)

    assert decoded.readings.sensors == ["a"]
    assert decoded.readings.values.shape == (len(decoded.readings), 0)
    assert [failure.position for failure in decoded.failures] == [1]

"""What the encoders write reads back, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

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
from schemas.wire.errors import InvalidRecordError, RecordError, UnknownContentTypeError
from schemas.wire.reading import Frame, Reading

CHANNELS = ("flow", "speed")


def test_a_reading_is_written_as_it_is_read():
    model = Reading(sensor_id="p", ts_ns=1_500_000_000, values={"flow": 1.5, "speed": None})
    assert model.model_dump_json().encode() == (
        b'{"sensor_id":"p","ts":1500,"values":{"flow":1.5,"speed":null}}'
    )
    assert (
        ReadingEncoder(CHANNELS).encode("p", 1_500_000_000, [1.5, None])
        == model.model_dump_json().encode()
    )
    assert Reading.model_validate_json(model.model_dump_json().encode()) == model


def test_a_time_between_milliseconds_is_written_in_full():
    model = Reading(sensor_id="p", ts_ns=1_700_000_000_123_456_789, values={"flow": 1.0})
    assert b'"ts":"2023-11-14T22:13:20.123456789Z"' in model.model_dump_json().encode()


@pytest.mark.parametrize("content_type", [FRAME_JSON, FRAME_ARROW])
def test_a_frame_is_written_as_it_is_read(content_type):
    values = np.array([[1.0, 2.0], [np.nan, 3.0]])
    record = FrameEncoder(CHANNELS, content_type).encode("p", np.array([0, 10**6]), values)
    readings = Decoder(CHANNELS).decode([record], [content_type.encode()]).readings
    assert readings.ts_ns.tolist() == [0, 10**6]
    assert readings.values[0].tolist() == [1.0, 2.0]
    assert np.isnan(readings.values[1, 0])


def test_a_frame_model_has_equal_columns():
    with pytest.raises(ValueError, match="flow has 1 values, but ts has 2"):
        Frame(sensor_id="p", ts_ns=[0, 1], values={"flow": [1.0]})


def denoised(content_type=DENOISED_JSON, k=2, values=None, **more):
    return DenoisedEncoder(CHANNELS, content_type).encode(
        "p",
        np.arange(k) * 10**6,
        np.ones((k, 2)) if values is None else values,
        np.full(k, 0.5),
        np.arange(k),
        np.zeros(k, dtype=np.int64),
        model="pump@1",
        source=("vigie.readings", 3),
        **more,
    )


BOTH = pytest.mark.parametrize("content_type", [DENOISED_JSON, DENOISED_ARROW])


@BOTH
def test_a_frame_says_where_its_last_window_lies_on_the_map(content_type):
    frame = decode_denoised(denoised(content_type, latent=[0.25, -1.5]), content_type)
    assert frame.latent == [0.25, -1.5]
    assert decode_denoised(denoised(content_type), content_type).latent is None


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_place_that_is_no_number_is_left_out(content_type, bad):
    assert b"latent" not in denoised(content_type, latent=[0.5, bad])


@BOTH
def test_settled_values_stand_beside_the_causal_ones(content_type):
    later = np.array([[np.nan, np.nan], [3.5, 4.5]])
    frame = decode_denoised(denoised(content_type, settled=(7, later)), content_type)
    assert frame.settled is not None
    assert frame.settled.lag == 7
    assert frame.settled.values == {"flow": [None, 3.5], "speed": [None, 4.5]}
    assert frame.values == {"flow": [1.0, 1.0], "speed": [1.0, 1.0]}


def test_a_frame_with_all_of_it_on_the_wire():
    wire = denoised(latent=[0.25, -1.5], settled=(7, np.full((2, 2), np.nan)))
    assert wire.endswith(
        b'"partition":3,"latent":[0.25,-1.5],'
        b'"settled":{"lag":7,"values":{"flow":[null,null],"speed":[null,null]}}}'
    )


@BOTH
def test_settled_columns_are_as_long_as_the_others(content_type):
    with pytest.raises(ValueError, match=r"must be \[k, 2\]"):
        denoised(content_type, settled=(7, np.ones((3, 2))))
    wrong = denoised(settled=(7, np.ones((2, 2)))).replace(b"[1.0,1.0]}}}", b"[1.0]}}}")
    with pytest.raises(InvalidRecordError, match="settled speed has 1 entries"):
        decode_denoised(wrong)


def test_an_arrow_frame_whose_facts_are_damaged_is_refused():
    found = denoised(DENOISED_ARROW, latent=[0.25, -1.5], settled=(7, np.ones((2, 2))))
    for right, wrong in ((b"[0.25, -1.5]", b"[0.25, -1.5,"), (b"settled.lag", b"settled.lax")):
        assert right in found
        with pytest.raises(RecordError):
            decode_denoised(found.replace(right, wrong), DENOISED_ARROW)


def test_a_denoised_frame_on_the_wire():
    assert denoised() == (
        b'{"sensor_id":"p","ts":[0,1],"values":{"flow":[1.0,1.0],"speed":[1.0,1.0]},'
        b'"score":[0.5,0.5],"offset":[0,1],"model":"pump@1","topic":"vigie.readings","partition":3}'
    )


@pytest.mark.parametrize("content_type", [DENOISED_JSON, DENOISED_ARROW])
def test_a_missing_denoised_value_is_null(content_type):
    frame = decode_denoised(denoised(content_type, values=np.full((2, 2), np.nan)), content_type)
    assert frame.values["flow"] == [None, None]


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2,)])
def test_columns_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \[k, 2\]"):
        denoised(values=np.ones(shape))


def test_an_empty_denoised_frame_is_refused():
    with pytest.raises(ValueError, match="k >= 1"):
        denoised(k=0)


@pytest.mark.parametrize("make", [FrameEncoder, DenoisedEncoder])
def test_an_encoder_for_an_unknown_content_type_is_refused(make):
    with pytest.raises(UnknownContentTypeError, match="known: "):
        make(CHANNELS, READING_JSON)


@pytest.mark.parametrize("content_type", [DENOISED_JSON, DENOISED_ARROW])
def test_a_denoised_frame_that_is_none_is_refused(content_type):
    with pytest.raises(ValueError, match="not"):
        decode_denoised(b"{}", content_type)


def test_a_denoised_frame_with_a_wrong_content_type_is_refused():
    with pytest.raises(UnknownContentTypeError):
        decode_denoised(denoised(), READING_JSON)
    with pytest.raises(InvalidRecordError):
        decode_denoised(denoised().replace(b"[0.5,0.5]", b"[0.5]"))

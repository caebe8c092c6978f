"""What stands for a channel's value in a foreign record, and what does not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from schemas.wire.errors import Stage
from tests.support.envelopes import NOW_MS, VALUES, decode, message_of, named, only

OWN: dict[str, Any] = {"sensor_id": "p", "ts": NOW_MS, "values": VALUES}


def own(**changes):
    return {**OWN, **changes}


@pytest.mark.parametrize(
    ("value", "settings", "number"),
    [
        ("null", {}, math.nan),
        (str(2**53 + 1), {}, float(2**53)),
        ('"5e1"', {"numbers": "text"}, 50.0),
        ('" +.5 "', {"numbers": "text"}, 0.5),
        ("false", {"booleans": "numbers"}, 0.0),
        ('"on"', {"words": {"on": 1.0}}, 1.0),
        ('"7"', {"words": {"7": 8.0}, "numbers": "text"}, 8.0),
        ('"Bad"', {"missing_words": ["Bad", ""]}, math.nan),
        ('""', {"missing_words": ["Bad", ""]}, math.nan),
        ("NaN", {"nan": "missing"}, math.nan),
        ('{"value":3,"unit":"bar"}', {"value_field": "value"}, 3.0),
        ("null", {"value_field": "value"}, math.nan),
        ('{"value":null}', {"value_field": "value"}, math.nan),
        ("1,2", {"numbers": "text"}, None),
    ],
)
def test_what_stands_for_a_number_on_request(value, settings, number):
    record = b'{"sensor_id":"p","ts":1760920000000,"values":{"flow":%b}}' % value.encode()
    decoded = decode(
        [record], channels=("flow",), numbers=settings.pop("numbers", "text"), **settings
    )
    if number is None:
        assert decoded.failures[0].stage == Stage.DECODE
    else:
        assert np.array_equal(decoded.readings.values, [[number]], equal_nan=True)


@pytest.mark.parametrize(
    ("value", "settings", "message"),
    [
        ('"5"', {"booleans": "numbers"}, '(input.numbers = "text" reads numbers'),
        ("true", {"numbers": "text"}, '(input.booleans = "numbers" reads true as 1'),
        ('"on"', {"numbers": "text"}, "(a word: input.words gives it a number"),
        ('"1,039"', {"numbers": "text"}, "flow: must be a finite number or null, got '1,039'"),
        ('"1,039"', {"numbers": "text"}, "(a comma may set off decimals or thousands"),
        ('"1,5"', {"booleans": "numbers"}, "(a comma may set off decimals or thousands"),
        ('"1.039,5"', {"numbers": "text"}, "(a comma may set off decimals or thousands"),
        ('"a,b"', {"numbers": "text"}, "(a word: input.words gives it a number"),
        ('"nan"', {"numbers": "text"}, "got 'nan'"),
        ('"1e999"', {"numbers": "text"}, "got '1e999'"),
        ('"1\\n2"', {"numbers": "text"}, "got '1\\n2'"),
        ("1e999", {"numbers": "text"}, "got inf"),
        ("9" * 400, {"numbers": "text"}, "got an integer of 1329 bits"),
        ("[1]", {"numbers": "text"}, "got an array of 1"),
        ('{"v":1}', {"numbers": "text"}, "(input.value_field says where"),
        ('{"v":1}', {"value_field": "value"}, "flow: 'value' is missing; it has: 'v'"),
        ("7", {"value_field": "value"}, "flow: 'value' is missing; it is 7 (input.value_field)"),
        ("NaN", {"numbers": "text"}, "not JSON"),
        ("Infinity", {"nan": "missing"}, "flow: must be a finite number or null, got inf"),
    ],
)
def test_what_is_no_number_says_what_would_read_it(value, settings, message):
    record = b'{"sensor_id":"p","ts":1760920000000,"values":{"flow":%b}}' % value.encode()
    assert message in message_of(decode([record], channels=("flow",), **settings))


def test_the_last_of_a_key_that_comes_twice_counts():
    record = b'{"sensor_id":"p","ts":1760920000000,"values":{"flow":1,"flow":2}}'
    assert only(decode([record], channels=("flow",), numbers="text"))[2] == [2.0]


def test_a_reading_without_any_channel_is_no_reading_even_if_some_may_be_missing():
    decoded = decode([own(values={"x": 1})], missing_channels="missing")
    assert "missing channel flow, pressure, temp; the record has: x" in message_of(decoded)
    decoded = decode([own(values={"flow": 1})], numbers="text")
    assert '(input.missing_channels = "missing" reads what is there)' in message_of(decoded)


def test_channels_under_other_names_go_by_stream_channels():
    record = {"sensorId": "p", "timestamp": NOW_MS, "F-1": 1, "motor": {"t.x": 3}, "b.c": 2}
    names = {"flow": "F-1", "pressure": "b.c", "temp": 'motor."t.x"'}
    assert only(decode([record], preset="flat", wire_names=names))[2] == [1.0, 2.0, 3.0]
    lost = {**record, "motor": {}}
    failed = message_of(decode([lost], preset="flat", wire_names=names))
    assert 'missing channel temp (on the wire: motor."t.x")' in failed


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({}, "metrics: must be an array of named values, got an object of 0"),
        ([1], "metrics[0]: 'name' is missing; it is 1 (input.name_field)"),
        ([*named(VALUES), {"alias": 3}], "metrics[3]: 'name' is missing; it has: 'alias'"),
        ([{"name": 5, "value": 1}], "metrics[0].name: must be a text, got 5"),
        (named(VALUES) + named({"flow": 1}), "metrics: 'flow' comes twice in it"),
        ([{"name": "flow"}, *named({"temp": 1})], "metrics[0]: 'value' is missing; it has: 'name'"),
        (
            [{"name": "flow", "is_null": True}],
            "is_null' (input.value_field) (a metric without a value: input.missing_channels",
        ),
        ([{"name": "flow", "isNull": True}], "(a metric without a value: input.missing_channels"),
        ([], "missing channel flow, pressure, temp; the record has: none"),
        (named({"usage": 1.0}), "has: usage (stream.channels says what records call them)"),
    ],
)
def test_an_array_of_named_values_that_is_wrong_says_where(metrics, message):
    record = {"timestamp": NOW_MS, "metrics": metrics}
    assert message in message_of(decode([record], preset="sparkplug"))


def test_named_values_may_be_missing_and_others_may_be_anything():
    metrics = [{"name": "x"}, {"name": "flow", "value": 1}, {"name": "x", "value": []}]
    decoded = decode(
        [{"timestamp": NOW_MS, "metrics": metrics}], preset="sparkplug", missing_channels="missing"
    )
    assert np.array_equal(decoded.readings.values, [[1, math.nan, math.nan]], equal_nan=True)


def test_a_metric_of_sparkplug_that_says_it_is_null_is_missing_on_request():
    metrics = [{"name": "flow", "is_null": True}, *named({"pressure": 2.0, "temp": 3.0})]
    record = {"timestamp": NOW_MS, "metrics": metrics}
    decoded = decode([record], preset="sparkplug", sensor="/timestamp", missing_channels="missing")
    assert np.array_equal(decoded.readings.values, [[np.nan, 2.0, 3.0]], equal_nan=True)

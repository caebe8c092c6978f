"""JSON frames to columns: one record holds many readings of one sensor."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Int64

from schemas.codec.channel_map import ChannelMap
from schemas.codec.json_readings import (
    field_of,
    float_array,
    number_of,
    parse_object,
    sensor_of,
    values_of,
)
from schemas.columns import Gathering, Readings
from schemas.wire.errors import InvalidRecordError, RecordError, excerpt
from schemas.wire.limits import MAX_FRAME_READINGS
from schemas.wire.timestamp import TimestampError, array_ns, to_ns


def decode_frames(
    values: Sequence[bytes], positions: Sequence[int], channels: ChannelMap, into: Gathering
) -> None:
    """Decode records of one JSON frame each; arguments as for `decode_readings`."""
    for value, position in zip(values, positions, strict=True):
        try:
            into.add(_decode_frame(value, position, channels))
        except RecordError as error:
            into.reject(position, error)


def _decode_frame(value: bytes, position: int, channels: ChannelMap) -> Readings:
    item = parse_object(value)
    sensor = sensor_of(item)
    ts_ns = _times_of(item)
    n = len(ts_ns)
    picked = channels.picker()(values_of(item, channels))
    if any(type(column) is not list or len(column) != n for column in picked):
        raise _irregular(picked, n, channels)
    try:
        numbers = float_array(list(chain.from_iterable(picked)))
    except (ValueError, OverflowError):
        raise _irregular(picked, n, channels) from None
    rows = np.empty((n, len(channels)), dtype=np.float64)
    rows[:] = numbers.reshape(len(channels), n).T
    return Readings.of_record(position, sensor, ts_ns, rows)


def check_length(n: int) -> None:
    """Raise InvalidRecordError unless a frame of n readings is allowed."""
    if not 1 <= n <= MAX_FRAME_READINGS:
        raise InvalidRecordError(f"a frame holds 1..{MAX_FRAME_READINGS} readings, this one {n}")


def _times_of(item: dict[str, Any]) -> Int64[np.ndarray, " readings"]:
    """Event times of one parsed frame, in nanoseconds."""
    wire = field_of(item, "ts")
    if not isinstance(wire, list):
        raise InvalidRecordError(f"ts: must be an array of times, got {excerpt(wire)}")
    check_length(len(wire))
    try:
        return array_ns(wire)
    except TimestampError:
        for index, value in enumerate(wire):
            try:
                to_ns(value)
            except TimestampError as error:
                raise InvalidRecordError(f"ts[{index}]: {error}") from error
        raise


def _irregular(columns: Sequence[Any], n: int, channels: ChannelMap) -> InvalidRecordError:
    """What is wrong with the first wrong one of the columns."""
    for name, column in zip(channels.names, columns, strict=True):
        if not isinstance(column, list):
            return InvalidRecordError(f"values.{name}: must be an array, got {excerpt(column)}")
        if len(column) != n:
            return InvalidRecordError(
                f"values.{name}: has {len(column)} values, but ts has {n};"
                " all columns are equally long"
            )
        for index, value in enumerate(column):
            try:
                number_of(value, f"{name}[{index}]")
            except InvalidRecordError as error:
                return error
    raise AssertionError("only called for irregular columns")

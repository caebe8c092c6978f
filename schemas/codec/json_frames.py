"""JSON frames to columns: one record holds many readings of one sensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas.codec.channel_map import ChannelMap
from schemas.codec.json_readings import field_of, float_array, object_of, parse_object, sensor_of
from schemas.columns import FloatArray, Gathering, IntArray, Readings
from schemas.errors import InvalidRecordError, RecordError, excerpt
from schemas.limits import MAX_FRAME_READINGS
from schemas.timestamp import TimestampError, array_ns, to_ns


def decode_frames(
    values: Sequence[bytes], positions: Sequence[int], channels: ChannelMap, into: Gathering
) -> None:
    """Decode records of one JSON frame each; arguments as for `decode_readings`."""
    for value, position in zip(values, positions, strict=True):
        try:
            into.add(_decode_frame(value, position, channels))
        except RecordError as error:
            into.refuse(position, error)


def _decode_frame(value: bytes, position: int, channels: ChannelMap) -> Readings:
    item = parse_object(value)
    sensor = sensor_of(item)
    ts_ns = _times_of(item)
    n = len(ts_ns)
    columns = object_of(item, "values")
    channels.require(columns)
    rows = np.empty((n, len(channels)), dtype=np.float64)
    for index, (name, wire) in enumerate(zip(channels.names, channels.wire, strict=True)):
        rows[:, index] = _column(name, columns[wire], n)
    return Readings(
        positions=np.array([position], dtype=np.int64),
        sensors=[sensor],
        counts=np.array([n], dtype=np.int64),
        ts_ns=ts_ns,
        values=rows,
    )


def check_length(n: int) -> None:
    """Raise InvalidRecordError unless a frame of n readings is allowed."""
    if not 1 <= n <= MAX_FRAME_READINGS:
        raise InvalidRecordError(f"a frame holds 1..{MAX_FRAME_READINGS} readings, this one {n}")


def _times_of(item: dict[str, Any]) -> IntArray:
    """int64 [n] event times of one parsed frame."""
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


def _column(name: str, column: object, n: int) -> FloatArray:
    """float64 [n] values of one channel of a parsed frame."""
    if not isinstance(column, list):
        raise InvalidRecordError(f"values.{name}: must be an array, got {excerpt(column)}")
    if len(column) != n:
        raise InvalidRecordError(
            f"values.{name}: has {len(column)} values, but ts has {n}; all columns are equally long"
        )
    try:
        return float_array(column)
    except (ValueError, OverflowError):
        for index, value in enumerate(column):
            try:
                float_array([value])
            except (ValueError, OverflowError) as error:
                raise InvalidRecordError(
                    f"values.{name}[{index}]: must be a finite number or null, got {excerpt(value)}"
                ) from error
        raise

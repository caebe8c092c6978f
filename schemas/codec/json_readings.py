"""JSON readings to columns: one parse for the whole batch, an array operation for each check.

The joined parse must give exactly what parsing one by one gives, whatever the bytes are. Three
conditions guarantee it; where one fails, the batch is split and its parts tried again, down to
single records:

* every value begins with `{`, the values are joined by a comma and a raw line feed, and no value
  holds a `[` anywhere. A line feed cannot stand inside a JSON string, so each joint is between
  tokens; a `{` right after a comma is legal in an array only, and the outermost one is the only
  array. So each joint lies between two elements of it, and each value is one or more elements;
* the parse yields as many elements as there were values: so each value is one element;
* every element passes the type checks, which look at the type of every number and string.

A batch with b bad records of n costs about one clean parse more, plus 10 us for each bad one.
"""

from codecs import BOM_UTF8
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from jaxtyping import Float64
from pydantic_core import from_json

from schemas.codec.channel_map import ChannelMap
from schemas.codec.foreign_hint import hint_of_bytes, hint_of_object
from schemas.columns import Gathering, Readings
from schemas.wire.errors import InvalidRecordError, MalformedRecordError, RecordError, excerpt
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.timestamp import TimestampError, array_ns, to_ns

_SPLIT = 8
_ALONE = 16
_NUMBERS = frozenset({float, int, type(None)})
_SENSOR = itemgetter("sensor_id")
_TIME = itemgetter("ts")
_VALUES = itemgetter("values")
_IRREGULAR = (ValueError, KeyError, TypeError, OverflowError)


def decode_readings(
    values: Sequence[bytes], positions: Sequence[int], channels: ChannelMap, into: Gathering
) -> None:
    """Decode records of one JSON reading each.

    Args:
        values: the bytes of each record.
        positions: index of each record in the whole batch, ascending.
        channels: what to read, in which order.
        into: receives the good records in columns and the bad ones as failures.
    """
    items, kept = _parse(values, positions, into)
    if items:
        _convert(items, kept, channels, into)


def _parse(
    values: Sequence[bytes], positions: Sequence[int], into: Gathering
) -> tuple[list[Any], Sequence[int]]:
    """Parse each value and drop, as failures, those that are no JSON object."""
    try:
        return _parse_joined(values), positions
    except ValueError:
        if len(values) > _ALONE:
            parsed = [_parse(values[part], positions[part], into) for part in parts(len(values))]
            return [item for items, _ in parsed for item in items], [
                position for _, kept in parsed for position in kept
            ]
    items: list[Any] = []
    kept: list[int] = []
    for value, position in zip(values, positions, strict=True):
        try:
            items.append(parse_object(value))
            kept.append(position)
        except RecordError as error:
            into.reject(position, error)
    return items, kept


def parts(n: int) -> list[slice]:
    """Cut n > 1 records into about `_SPLIT` parts, each smaller than the whole."""
    step = -(-n // _SPLIT)
    return [slice(start, start + step) for start in range(0, n, step)]


def _convert(
    items: list[Any], positions: Sequence[int], channels: ChannelMap, into: Gathering
) -> None:
    """Put parsed readings into columns, splitting until the irregular ones stand alone."""
    try:
        into.add(_columns(items, positions, channels))
    except _IRREGULAR:
        if len(items) == 1:
            _convert_alone(items[0], positions[0], channels, into)
            return
        for part in parts(len(items)):
            _convert(items[part], positions[part], channels, into)


def _parse_joined(values: Sequence[bytes]) -> list[Any]:
    """Parse all values at once; see the top of the module for why it is safe.

    Raises:
        ValueError: the joined parse might differ from parsing one by one.
    """
    joined = b",\n".join(values)
    if b"[" in joined or {value[:1] for value in values} != {b"{"}:
        raise ValueError("not plain objects")
    items: list[Any] = from_json(b"[%b]" % joined, allow_inf_nan=False)
    if len(items) != len(values):
        raise ValueError("a value holds more than one document")
    return items


def _columns(items: list[Any], positions: Sequence[int], channels: ChannelMap) -> Readings:
    """Columns of parsed readings; raises one of `_IRREGULAR` if any of them is not regular."""
    sensors = list(map(_SENSOR, items))
    check_sensors(sensors)
    picked = map(channels.picker(), map(_VALUES, items))
    numbers = float_array(list(chain.from_iterable(picked)))
    return Readings(
        positions=np.array(positions, dtype=np.int64),
        sensors=sensors,
        counts=np.ones(len(items), dtype=np.int64),
        ts_ns=array_ns(list(map(_TIME, items))),
        values=numbers.reshape(len(items), len(channels)),
    )


def _convert_alone(
    item: dict[str, Any], position: int, channels: ChannelMap, into: Gathering
) -> None:
    """Convert one parsed reading step by step, to say exactly what is wrong with it."""
    try:
        sensor = sensor_of(item)
        ts_ns = _time_of(item)
        row = _row_of(item, channels)
    except RecordError as error:
        into.reject(position, error)
        return
    into.add(Readings.of_record(position, sensor, np.array([ts_ns], dtype=np.int64), row))


def _time_of(item: dict[str, Any]) -> int:
    """Event time of one parsed reading, in nanoseconds."""
    try:
        return to_ns(field_of(item, "ts"))
    except TimestampError as error:
        raise InvalidRecordError(f"ts: {error}") from error


def _row_of(item: dict[str, Any], channels: ChannelMap) -> Float64[np.ndarray, "1 channels"]:
    """Values of one parsed reading."""
    values = values_of(item, channels)
    named = zip(channels.names, channels.wire, strict=True)
    return np.array([[number_of(values[wire], name) for name, wire in named]])


def parse_object(value: bytes) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        MalformedRecordError: not JSON (a NaN or Infinity is not JSON either).
        InvalidRecordError: JSON, but no object.
    """
    try:
        item = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise not_json(value, error) from error
    if not isinstance(item, dict):
        raise InvalidRecordError(f"must be a JSON object, got {excerpt(item)}")
    return item


def not_json(value: bytes, error: ValueError) -> MalformedRecordError:
    """What to say of bytes that the parser rejects."""
    mark = " (a byte order mark)" if value.startswith(BOM_UTF8) else ""
    hint = hint_of_bytes(value)
    return MalformedRecordError(f"not JSON: {error}; begins with {excerpt(value)}{mark}{hint}")


def field_of(item: dict[str, Any], name: str) -> Any:
    """A required field of a parsed object."""
    if name not in item:
        found = ", ".join(list(item)[:20]) or "none"
        hint = hint_of_object(item) if name == "sensor_id" else ""
        raise InvalidRecordError(
            f"field {name!r} is missing; the record has: {excerpt(found, 200)}{hint}"
        )
    return item[name]


def values_of(item: dict[str, Any], channels: ChannelMap) -> dict[str, Any]:
    """The `values` of a parsed object, which hold all channels."""
    values = field_of(item, "values")
    if not isinstance(values, dict):
        raise InvalidRecordError(f"values: must be an object, got {excerpt(values)}")
    channels.require(values)
    return values


def sensor_of(item: dict[str, Any]) -> str:
    """The sensor id of a parsed object."""
    value = field_of(item, "sensor_id")
    try:
        check_sensors([value])
    except ValueError as error:
        raise InvalidRecordError(f"sensor_id: {error}, got {excerpt(value)}") from error
    return str(value)


def check_sensors(sensors: Sequence[Any]) -> None:
    """Raise ValueError unless each is a string of 1..249 characters."""
    if set(map(type, sensors)) == {str}:
        lengths = set(map(len, sensors))
        if min(lengths) >= 1 and max(lengths) <= MAX_NAME_CHARS:
            return
    raise ValueError(f"must be a string of 1..{MAX_NAME_CHARS} characters")


def number_of(value: Any, name: str) -> float:
    """One parsed number, null as NaN; `name` is the channel's."""
    try:
        return float(float_array([value])[0])
    except (ValueError, OverflowError) as error:
        raise InvalidRecordError(
            f"values.{name}: must be a finite number or null, got {excerpt(value)}"
        ) from error


def float_array(numbers: list[Any]) -> Float64[np.ndarray, " numbers"]:
    """Parsed numbers as an array, null as NaN.

    Raises:
        ValueError: one of them is no number (true and "1.5" are not), or infinite (1e999 is).
        OverflowError: an integer that no float holds.
    """
    # Numpy would take true as 1.0 and "1.5" as 1.5, so the types are checked beforehand.
    if not _NUMBERS.issuperset(map(type, numbers)):
        raise ValueError("not a number")
    array = np.fromiter(numbers, dtype=np.float64, count=len(numbers))
    if np.isinf(array).any():
        raise ValueError("not a finite number")
    return array

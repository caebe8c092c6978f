"""Finds sensor, time and values in plain objects of any shape, as `[input]` says.

That is the second step of reading foreign records; the first, from bytes to plain objects, is
`schemas.codec.parser`.

Whole batches go column by column: all sensors, all times, all values. What is irregular is split
off, down to single records, which are read step by step to say exactly what is wrong; so a record
is read alike whatever else is in its batch. It is good as a whole or a failure as a whole, however
many readings it holds.

A record of one tag (one value a message) has the same three parts, its channel's name in the place
of the names of the values. A stream that aligns such values takes sensors and times from here as
they are, and in place of `ChannelValues` a column of names and one of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Int64

from schemas.codec.channel_map import ChannelMap
from schemas.codec.channel_values import ChannelValues, names_in
from schemas.codec.json_readings import parts
from schemas.codec.parser import JsonParser, Parser
from schemas.codec.record_layout import RecordLayout, RecordTimestamp
from schemas.codec.sensor_ids import Carrier, SensorIds
from schemas.columns import Gathering, Readings
from schemas.record_path import RecordPath
from schemas.settings.input import InputSettings
from schemas.wire.errors import InvalidRecordError, RecordError, excerpt
from schemas.wire.limits import MAX_FRAME_READINGS
from schemas.wire.timestamp import TimestampError

_IRREGULAR = (ValueError, LookupError, TypeError, AttributeError, OverflowError)


class Envelope:
    """Reads foreign records. Pure, and picklable.

    Args:
        settings: where things are.
        parser: of the bytes; None takes the one for JSON.

    Raises:
        ValueError: a format that needs a parser, and none is given.
    """

    def __init__(self, settings: InputSettings, parser: Parser | None = None) -> None:
        self._layout = RecordLayout.of(settings)
        if parser is None:
            if settings.format != "json":
                raise ValueError(f'input.format = "{settings.format}" needs a parser of its own')
            parser = JsonParser(self._layout.reads_nan)
        self._parser = parser
        self._sensor_ids = SensorIds.of(self._layout)

    def decode(
        self,
        values: Sequence[bytes],
        positions: Sequence[int],
        channels: ChannelMap,
        into: Gathering,
        *,
        carriers: Sequence[Carrier],
    ) -> None:
        """Decode records.

        Args:
            values: the bytes of each record.
            positions: index of each record in the whole batch, ascending.
            channels: what to read, in which order.
            into: receives the good records in columns and the bad ones as failures.
            carriers: what each record of the whole batch says beside its value.
        """
        if not values:
            return
        items, kept = self._parser.parse(values, positions, into)
        if items:
            wanted = ChannelValues.of(self._layout, channels)
            self._convert(_Parsed(items, kept, carriers), wanted, into)

    def channels_in(self, value: bytes, carrier: Carrier) -> tuple[str, ...]:
        """The names in a record's first reading that stand for numbers; none if it is unreadable.

        Fields that are the sensor or the time are not among them.
        """
        into = Gathering(n_channels=1)
        items, _ = self._parser.parse([value], [0], into)
        try:
            _, reading = self._readings_in(items[0])[0]
            place = self._layout.values
            found = place.of(items[0] if place.from_top else reading)
            names = names_in(self._layout, found, besides=self._no_channels())
            self._one(
                items[0], 0, carrier, ChannelValues.of(self._layout, ChannelMap.of(names, {}))
            )
        except (LookupError, ValueError):  # nothing parsed, no such reading, or no channel in it
            return ()
        return names

    def _no_channels(self) -> frozenset[str]:
        """The names beside the values that are the sensor or the time."""
        values = self._layout.values
        paths = [p for p in (*self._layout.sensor, self._layout.time) if isinstance(p, RecordPath)]
        depth = len(values.steps)
        return frozenset(
            path.steps[depth].name
            for path in paths
            if path.from_top == values.from_top
            and len(path.steps) > depth
            and path.steps[:depth] == values.steps
        )

    def _convert(self, parsed: _Parsed, wanted: ChannelValues, into: Gathering) -> None:
        """Put parsed records into columns, splitting until the irregular ones stand alone."""
        try:
            into.add(self._columns(parsed, wanted))
        except _IRREGULAR:
            if len(parsed.tops) > 1:
                for part in parts(len(parsed.tops)):
                    self._convert(parsed.part(part), wanted, into)
                return
            (top,), (position,) = parsed.tops, parsed.positions
            try:
                into.add(self._one(top, position, parsed.carriers[position], wanted))
            except RecordError as error:
                into.reject(position, error)

    def _columns(self, parsed: _Parsed, wanted: ChannelValues) -> Readings:
        """Columns of parsed records; raises one of `_IRREGULAR` if any of them is not regular."""
        layout = self._layout
        readings, counts = self._readings(parsed.tops)
        tops, positions = parsed.tops, parsed.positions
        if counts is not None:
            owners = np.repeat(np.arange(len(tops)), counts).tolist()
            tops, positions = [tops[i] for i in owners], [positions[i] for i in owners]
        carriers = [parsed.carriers[position] for position in positions]
        values = layout.values
        rows = wanted.rows(values.column(tops if values.from_top else readings))
        sensors = self._sensor_ids.column(readings, tops, carriers)
        ts_ns = self._times(readings, tops, carriers)
        if counts is None:
            counts = np.ones(len(sensors), dtype=np.int64)
        else:
            positions, sensors, counts = _runs(positions, sensors)
        return Readings(
            positions=np.array(positions, dtype=np.int64),
            sensors=sensors,
            counts=counts,
            ts_ns=ts_ns,
            values=rows,
        )

    def _readings(self, tops: list[Any]) -> tuple[list[Any], Int64[np.ndarray, " records"] | None]:
        """The objects that are readings, and how many of each record; None is one each."""
        readings, counts = tops, None
        if self._layout.readings is not None:
            readings = self._layout.readings.column(tops)
            if list in map(type, readings):
                readings = [found if type(found) is list else [found] for found in readings]
                counts = np.fromiter(map(len, readings), np.int64, len(readings))
                if counts.min() < 1 or counts.max() > MAX_FRAME_READINGS:
                    raise ValueError("too few or too many")
                readings = list(chain.from_iterable(readings))
        if set(map(type, readings)) != {dict}:
            raise TypeError("not objects")
        return readings, counts

    def _times(
        self, readings: list[Any], tops: list[Any], carriers: Sequence[Carrier]
    ) -> Int64[np.ndarray, " readings"]:
        """Event times of readings."""
        place, form = self._layout.time, self._layout.time_form
        stamps = None
        if form.zone is not None or isinstance(place, RecordTimestamp):
            stamps = np.array([carrier.timestamp for carrier in carriers], dtype=np.int64)
        if isinstance(place, RecordPath):
            return form.array(place.column(tops if place.from_top else readings), stamps)
        assert stamps is not None
        if stamps.min() < 0:
            raise ValueError("no timestamp")
        return form.array(stamps.tolist(), None)

    def _one(self, top: Any, position: int, carrier: Carrier, wanted: ChannelValues) -> Readings:
        """One parsed record, step by step.

        Raises:
            RecordError: what is wrong with it.
        """
        values = self._layout.values
        sensors: list[str] = []
        times: list[int] = []
        rows: list[list[float]] = []
        for label, reading in self._readings_in(top):
            try:
                rows.append(wanted.row(_at(values, reading, top, "values")))
                sensors.append(self._sensor_ids.one(reading, top, carrier))
                times.append(self._time(reading, top, carrier))
            except RecordError as error:
                raise type(error)(f"{label}: {error}" if label else str(error)) from error
        positions, sensors, counts = _runs([position] * len(sensors), sensors)
        return Readings(
            positions=np.array(positions, dtype=np.int64),
            sensors=sensors,
            counts=counts,
            ts_ns=np.array(times, dtype=np.int64),
            values=np.array(rows, dtype=np.float64),
        )

    def _readings_in(self, top: Any) -> list[tuple[str, dict[str, Any]]]:
        """The readings of one record, at least one, and what to call each in an error."""
        place = self._layout.readings
        if place is None:
            if type(top) is list:
                raise InvalidRecordError(
                    f"must be an object, got {excerpt(top)}"
                    ' (input.readings = "." reads an array of readings)'
                )
            return [("", _object(top, "the record"))]
        text = place.text if place.steps else ""
        found = _at(place, top, top, "readings")
        if found is None:
            raise InvalidRecordError(f"{text}: is null, so there is no reading{_why_null(top)}")
        if type(found) is not list:
            return [(text, _object(found, text or "the record"))]
        if not 1 <= len(found) <= MAX_FRAME_READINGS:
            raise InvalidRecordError(
                f"{text or 'the record'}: must hold 1..{MAX_FRAME_READINGS} readings, has"
                f" {len(found)}"
            )
        labels = (f"{text}[{place}]" for place in range(len(found)))
        return [(label, _object(item, label)) for label, item in zip(labels, found, strict=True)]

    def _time(self, reading: Any, top: Any, carrier: Carrier) -> int:
        """Event time of one reading in nanoseconds."""
        place, form = self._layout.time, self._layout.time_form
        if isinstance(place, RecordPath):
            text, value = place.text, _at(place, reading, top, "time")
        else:
            text, value = "record:timestamp", carrier.timestamp
            if value < 0:
                raise InvalidRecordError(f'the record has no timestamp (input.time = "{text}")')
        try:
            return form.one(value, carrier.timestamp)
        except TimestampError as error:
            raise InvalidRecordError(f"{text}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Parsed:
    """Some parsed records, their positions in the batch, and the carriers of the whole batch."""

    tops: list[Any]
    positions: Sequence[int]
    carriers: Sequence[Carrier]

    def part(self, which: slice) -> _Parsed:
        """Some of them."""
        return _Parsed(self.tops[which], self.positions[which], self.carriers)


def _at(path: RecordPath, reading: Any, top: Any, key: str) -> Any:
    """What lies at the path that a key of `[input]` gives; the error names the key."""
    try:
        return path.of(top if path.from_top else reading)
    except InvalidRecordError as error:
        raise InvalidRecordError(f'{key}: {error} (input.{key} = "{path.text}")') from error


def _runs(
    positions: Sequence[int], sensors: list[str]
) -> tuple[list[int], list[str], Int64[np.ndarray, " runs"]]:
    """Readings one by one to runs of one record and sensor: position, sensor and size of each."""
    at, names = np.array(positions), np.array(sensors, dtype=object)
    begins = np.ones(len(at), dtype=np.bool_)
    begins[1:] = (at[1:] != at[:-1]) | (names[1:] != names[:-1])
    firsts = np.flatnonzero(begins)
    sizes = np.diff(firsts, append=len(at))
    return at[firsts].tolist(), names[firsts].tolist(), sizes.astype(np.int64)


def _object(item: Any, label: str) -> dict[str, Any]:
    """The item, which must be an object."""
    if type(item) is not dict:
        raise InvalidRecordError(f"{label}: must be an object, got {excerpt(item)}")
    return item


def _why_null(top: Any) -> str:
    """What a change event without a row means."""
    inner = top.get("payload") if type(top) is dict else None
    holders = [holder for holder in (top, inner) if type(holder) is dict]
    if any(holder.get("op") == "d" for holder in holders):
        return (
            ": the row was deleted (the connector leaves such records out with"
            " skipped.operations=d and tombstones.on.delete=false)"
        )
    return ""

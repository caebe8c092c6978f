"""The sensor's id of foreign records: a field, the key, a header, or several of them joined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from schemas.codec.json_readings import check_sensors
from schemas.codec.record_layout import RecordHeader, RecordKey, RecordLayout
from schemas.record_path import RecordPath
from schemas.wire.errors import InvalidRecordError, excerpt

_LARGEST_INT_BITS = 900  # more digits than a name has characters, and few enough to print


class Carrier(Protocol):
    """What a record says beside its value; looked at only where `[input]` asks for it."""

    @property
    def key(self) -> bytes | None:
        """The record's key."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Names and values."""

    @property
    def timestamp(self) -> int:
        """Epoch milliseconds; below 0 is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SensorIds:
    """Reads sensor ids; the attributes are those of `RecordLayout`."""

    parts: tuple[RecordPath | RecordKey | RecordHeader, ...]
    separator: str
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, layout: RecordLayout) -> SensorIds:
        """The ids of a layout."""
        return cls(parts=layout.sensor, separator=layout.separator, pattern=layout.pattern)

    def column(
        self, readings: list[Any], tops: list[Any], carriers: Sequence[Carrier]
    ) -> list[str]:
        """The sensor of each of n readings.

        Args:
            readings: the n objects.
            tops: the whole record that each is in.
            carriers: what that record says beside its value.

        Raises:
            ValueError, LookupError, TypeError: one of them is irregular; `one` says what.
        """
        columns = [self._texts(part, readings, tops, carriers) for part in self.parts]
        sensors = columns[0]
        if len(columns) > 1:
            if any(self.separator in "\n".join(column) or not all(column) for column in columns):
                raise ValueError("cannot be joined without doubt")
            sensors = list(map(self.separator.join, zip(*columns, strict=True)))
        if self.pattern is not None:
            sensors = [_matched(self.pattern, self.separator, sensor) or "" for sensor in sensors]
        check_sensors(sensors)
        return sensors

    def one(self, reading: Any, top: Any, carrier: Carrier) -> str:
        """The sensor of one reading.

        Raises:
            InvalidRecordError: it has none, and why.
        """
        texts = [self._text(part, reading, top, carrier) for part in self.parts]
        if len(texts) > 1:
            for text in texts:
                if self.separator in text:
                    raise InvalidRecordError(
                        f"sensor: {excerpt(text)} holds {self.separator!r}, which joins the parts:"
                        " two sensors could get one id; choose another input.sensor_separator"
                    )
        sensor = self.separator.join(texts)
        if self.pattern is not None:
            found = _matched(self.pattern, self.separator, sensor)
            if found is None:
                raise InvalidRecordError(
                    f"sensor: {excerpt(sensor)} does not fit input.sensor_pattern ="
                    f" {excerpt(self.pattern.pattern, 100)}"
                )
            sensor = found
        try:
            check_sensors([sensor])
        except ValueError as error:
            raise InvalidRecordError(f"sensor: {error}, got {excerpt(sensor)}") from None
        return sensor

    def _texts(
        self,
        part: RecordPath | RecordKey | RecordHeader,
        readings: list[Any],
        tops: list[Any],
        carriers: Sequence[Carrier],
    ) -> list[str]:
        """The texts of one part."""
        if isinstance(part, RecordKey):
            return [_decoded(carrier.key) for carrier in carriers]
        if isinstance(part, RecordHeader):
            return [_decoded(_header(carrier, part.name)) for carrier in carriers]
        column = part.column(tops if part.from_top else readings)
        if set(map(type, column)) - {str, int}:
            raise TypeError("not texts")
        return list(map(str, column))

    def _text(
        self,
        part: RecordPath | RecordKey | RecordHeader,
        reading: Any,
        top: Any,
        carrier: Carrier,
    ) -> str:
        """The text of one part of one id, not empty."""
        if isinstance(part, RecordKey):
            return _told(carrier.key, "key", "record:key")
        if isinstance(part, RecordHeader):
            value = _header(carrier, part.name)
            return _told(value, f"header {part.name!r}", f"header:{part.name}")
        setting = f'(input.sensor = "{part.text}")'
        try:
            value = part.of(top if part.from_top else reading)
        except InvalidRecordError as error:
            raise InvalidRecordError(f"sensor: {error} {setting}") from error
        if type(value) is int and value.bit_length() <= _LARGEST_INT_BITS:
            return str(value)
        if type(value) is not str or not value:
            raise InvalidRecordError(
                f"sensor: must be a text that is not empty or a whole number, got"
                f" {excerpt(value)} {setting}"
            )
        return value


@lru_cache(maxsize=16_384)
def _matched(pattern: re.Pattern[str], separator: str, text: str) -> str | None:
    """What the groups of a pattern have of a text that it fits."""
    match = pattern.fullmatch(text)
    return None if match is None else separator.join(group for group in match.groups() if group)


def _header(carrier: Carrier, name: str) -> bytes | None:
    """The first header of a name."""
    return next((value for found, value in carrier.headers if found == name), None)


def _decoded(value: bytes | None) -> str:
    """Bytes as text; raises ValueError if there are none or they are none."""
    if not value or value[0] == 0:
        raise ValueError("not a text")
    return value.decode()


def _told(value: bytes | None, what: str, setting: str) -> str:
    """The same with an error that says what is wrong."""
    setting = f'(input.sensor = "{setting}")'
    if not value:
        raise InvalidRecordError(
            f"sensor: the record has no {what} {setting}"
            if value is None
            else f"sensor: the record's {what} is empty {setting}"
        )
    if value[0] == 0:
        raise InvalidRecordError(
            f"sensor: the record's {what} begins with a zero byte, as those do that are written"
            f" with a schema registry; it must be plain text {setting}"
        )
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRecordError(
            f"sensor: the record's {what} is not UTF-8: {excerpt(value)} {setting}"
        ) from None

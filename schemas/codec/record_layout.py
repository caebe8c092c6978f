"""`[input]`, ready for use: places parsed, forms of times and numbers made."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.codec.numbers import Numbers, numbers_of
from schemas.record_path import RecordPath
from schemas.settings.input import HEADER_PREFIX, RECORD_KEY, RECORD_TIMESTAMP, InputSettings
from schemas.wire.time_form import TimeForm


@dataclass(frozen=True, slots=True)
class RecordKey:
    """The record's key, as text."""


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """The record's first header of a name, as text."""

    name: str


@dataclass(frozen=True, slots=True)
class RecordTimestamp:
    """The record's own timestamp."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordLayout:
    """Where things are in a record, and how they are written.

    Attributes:
        readings: where the reading or the readings are; None when the record is the reading.
        sensor: the places whose texts, joined by `separator`, are the sensor's id...
        pattern: ...or what the groups of this have of it.
        time: where the event time is...
        time_form: ...and how it is written.
        values: where the values are: an object by channel, or, with a `name_field`, an array.
        name_field, value_field: where they are in an element; of an object each value, if there
            is a `value_field`, is an object that has it there.
        allows_missing: whether channels that are not there are missing values.
        reads_nan: whether the parser reads NaN.
    """

    readings: RecordPath | None
    sensor: tuple[RecordPath | RecordKey | RecordHeader, ...]
    separator: str
    pattern: re.Pattern[str] | None
    time: RecordPath | RecordTimestamp
    time_form: TimeForm
    values: RecordPath
    name_field: RecordPath | None
    value_field: RecordPath | None
    numbers: Numbers
    allows_missing: bool
    reads_nan: bool

    @classmethod
    def of(cls, settings: InputSettings) -> RecordLayout:
        """The layout that the settings describe; they have been checked."""
        places = settings.places
        return cls(
            readings=_path(places.readings),
            sensor=tuple(_sensor_part(part) for part in settings.sensor_parts),
            separator=settings.sensor_separator,
            pattern=re.compile(settings.sensor_pattern) if settings.sensor_pattern else None,
            time=(
                RecordTimestamp()
                if places.time == RECORD_TIMESTAMP
                else RecordPath.parse(places.time)
            ),
            time_form=TimeForm(
                unit="ms" if places.time == RECORD_TIMESTAMP else places.time_unit,
                pattern=settings.time_format,
                zone=settings.timezone,
                reads_text_numbers=settings.numbers == "text",
            ),
            values=RecordPath.parse(places.values),
            name_field=_path(places.name_field),
            value_field=_path(places.value_field),
            numbers=numbers_of(
                text=settings.numbers == "text",
                booleans=settings.booleans == "numbers",
                words=settings.words,
                missing=settings.missing_words,
            ),
            allows_missing=settings.missing_channels == "missing",
            reads_nan=settings.nan == "missing",
        )


def _path(text: str | None) -> RecordPath | None:
    return None if text is None else RecordPath.parse(text)


def _sensor_part(text: str) -> RecordPath | RecordKey | RecordHeader:
    if text == RECORD_KEY:
        return RecordKey()
    if text.startswith(HEADER_PREFIX):
        return RecordHeader(text.removeprefix(HEADER_PREFIX))
    return RecordPath.parse(text)

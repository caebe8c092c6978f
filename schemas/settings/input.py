"""`[input]`: where sensor, time and values are in the records of the readings topic.

A preset is a set of places; each key of the section overrides one of them. Nothing here reads a
record: `schemas.codec.record_layout` makes of a section what `schemas.codec.envelope` works with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.record_path import MAX_PATH_CHARS, RecordPath
from schemas.settings.section import Section
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.time_form import TimeUnit
from schemas.wire.time_zone import zone_of

_RECORD_PREFIX: Final = "record:"
RECORD_KEY: Final = "record:key"
RECORD_TIMESTAMP: Final = "record:timestamp"
HEADER_PREFIX: Final = "header:"
MAX_SENSOR_PARTS: Final = 8
MAX_WORDS: Final = 1_000

_PROBE: Final = datetime(2001, 12, 31, 23, 58, 57, 654321, tzinfo=UTC)
_MACHINE_DEPENDENT: Final = frozenset("cxXZ")


def _path(text: str) -> str:
    if text.startswith((_RECORD_PREFIX, HEADER_PREFIX)):
        raise ValueError(
            f"{text!r} cannot be here: sensor may be a path, {RECORD_KEY} or {HEADER_PREFIX}NAME,"
            f" time a path or {RECORD_TIMESTAMP}; a field of such a name goes into quotes"
        )
    RecordPath.parse(text)
    return text


def _sensor_part(text: str) -> str:
    if text == RECORD_KEY or (text.startswith(HEADER_PREFIX) and len(text) > len(HEADER_PREFIX)):
        return text
    return _path(text)


def _time_place(text: str) -> str:
    return text if text == RECORD_TIMESTAMP else _path(text)


def _time_format(pattern: str) -> str:
    marks = re.findall(r"%(.)", pattern.replace("%%", ""))
    if wrong := _MACHINE_DEPENDENT.intersection(marks):
        raise ValueError(f"%{min(wrong)} depends on the machine it is read on; spell the form out")
    try:
        found = datetime.strptime(_PROBE.strftime(pattern), pattern).replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"is no form that Python's strptime reads: {error}") from None
    whole = _PROBE.replace(microsecond=0)
    shorter = (whole.replace(second=0), whole.replace(minute=0, second=0))
    midnight = whole.replace(hour=0, minute=0, second=0)
    if found not in {_PROBE, whole, *shorter, midnight}:
        raise ValueError("leaves year, month, day or the half of the day open")
    return pattern


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if not groups:
        raise ValueError("needs a group, (...), around what is the sensor's id")
    return text


def _zone(name: str) -> str:
    zone_of(name)
    return name


_Text = Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARS)]
Path = Annotated[_Text, AfterValidator(_path)]
SensorPart = Annotated[_Text, AfterValidator(_sensor_part)]
TimePlace = Annotated[_Text, AfterValidator(_time_place)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where things are; the defaults are those of Vigie's own readings.

    Attributes are the keys of `[input]` of the same name.
    """

    readings: str | None = None
    sensor: str | list[str] = "sensor_id"
    time: str = "ts"
    time_unit: TimeUnit = "ms"
    values: str = "values"
    name_field: str | None = None
    value_field: str | None = None


PresetName = Literal["vigie", "flat", "telegraf", "sparkplug", "connect", "debezium"]

PRESETS: Final = MappingProxyType(
    {
        "vigie": Places(),
        "flat": Places(sensor="sensorId", time="timestamp", values="."),
        "telegraf": Places(
            readings="metrics?",
            sensor=["tags.host", "name"],
            time="timestamp",
            time_unit="s",
            values="fields",
        ),
        "sparkplug": Places(
            sensor=RECORD_KEY,
            time="timestamp",
            values="metrics",
            name_field="name",
            value_field="value",
        ),
        "connect": Places(readings="payload?", values="."),
        "debezium": Places(readings="payload?.after", values="."),
    }
)


class InputSettings(Section):
    """Where sensor, time and values are in a record that is not in one of Vigie's own formats."""

    preset: PresetName = "vigie"
    """Places to begin with; each key below overrides one. docs/guide-input.md shows the records."""
    format: Literal["json", "avro", "protobuf"] = "json"
    """What the bytes of a record are."""
    readings: Path | None = None
    """Where a record's reading is, or its array of readings; without it the record is one."""
    sensor: SensorPart | Annotated[list[SensorPart], Field(max_length=MAX_SENSOR_PARTS)] | None = (
        None
    )
    """Where the sensor's id is: a path, record:key or header:NAME; of several they are joined."""
    sensor_separator: Annotated[str, Field(pattern=r"^[!-~]{1,10}$")] = "/"
    """What stands between the joined parts of a sensor's id."""
    sensor_pattern: Annotated[_Text, AfterValidator(_pattern)] | None = None
    """Regular expression that the whole id fits; its groups, joined, are the id."""
    time: TimePlace | None = None
    """Where the event time is: a path, or record:timestamp."""
    time_unit: TimeUnit | None = None
    """Unit of event times that are numbers since 1970."""
    time_format: Annotated[_Text, AfterValidator(_time_format)] | None = None
    """Form of event times that are text, as of Python's strptime; ISO 8601 needs none."""
    timezone: Annotated[_Text, AfterValidator(_zone)] | None = None
    """Zone of texts without an offset, such as Europe/Berlin or +01:00; without it an error."""
    values: Path | None = None
    """Where the values are: an object or, with name_field, an array; "." is the reading itself."""
    name_field: Path | None = None
    """In an array of values: where an element has the channel's name."""
    value_field: Path | None = None
    """Where an element of the array, or a value that is an object, has the value."""
    numbers: Literal["strict", "text"] = "strict"
    """Whether a text such as "50.1" is a number too."""
    booleans: Literal["reject", "numbers"] = "reject"
    """Whether true is 1 and false is 0."""
    words: Annotated[
        dict[Annotated[str, Field(max_length=MAX_NAME_CHARS)], float], Field(max_length=MAX_WORDS)
    ] = Field(default_factory=dict)
    """Number of each text that stands for one, such as on = 1."""
    missing_words: Annotated[
        list[Annotated[str, Field(max_length=MAX_NAME_CHARS)]], Field(max_length=MAX_WORDS)
    ] = Field(default_factory=list)
    """Texts that mean a missing value, such as "" or "Bad"."""
    missing_channels: Literal["reject", "missing"] = "reject"
    """Whether a reading may lack some channels, which are then missing values."""
    nan: Literal["reject", "missing"] = "reject"
    """Whether the token NaN, which is no JSON, is a missing value."""

    @property
    def is_vigies_own(self) -> bool:
        """Whether nothing is said: records come in Vigie's own formats."""
        return self == InputSettings()

    @property
    def places(self) -> Places:
        """The preset's places with the keys that are given in their stead."""
        given = {field.name: getattr(self, field.name) for field in fields(Places)}
        changes = {name: value for name, value in given.items() if value is not None}
        return replace(PRESETS[self.preset], **changes)

    @property
    def sensor_parts(self) -> tuple[str, ...]:
        """The places of the parts of a sensor's id."""
        sensor = self.places.sensor
        return (sensor,) if isinstance(sensor, str) else tuple(sensor)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.sensor_parts:
            raise ValueError("sensor: names no place")
        places = self.places
        if places.time == RECORD_TIMESTAMP and self.time_format is not None:
            raise ValueError(f"time_format: {RECORD_TIMESTAMP} is a number, not a text")
        if (
            self.time_format is not None
            and self.timezone is None
            and "%z" not in self.time_format.replace("%%", "")
        ):
            raise ValueError("time_format without %z needs timezone, which says whose clock it is")
        if places.name_field is not None and places.value_field is None:
            raise ValueError("name_field needs value_field")
        both = sorted(set(self.words).intersection(self.missing_words))
        if both:
            raise ValueError(f"{', '.join(both)}: both in words and in missing_words")
        return self

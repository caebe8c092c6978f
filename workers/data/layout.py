"""How files are to be read: which column is what, what a value looks like, what is missing.

A `Layout` lives in options of the commands or in a file, `layout.toml`, whose keys are the names of
the options. What is not given is found out, and said.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from schemas.wire.time_zone import zone_of
from workers.data.errors import FileFormatError

MAX_LAYOUT_BYTES = 1_000_000
_UNITS_NS = {"ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
RULES = ("mean", "last", "first", "min", "max", "hold")


class SensorFrom(StrEnum):
    """Where the sensor id of a row comes from."""

    COLUMN = "column"
    """A column of the file."""
    FILE = "file"
    """The name of the file, up to its first dot."""
    FOLDER = "folder"
    """The name of the folder that holds the file; of `sensor=pump-1`, what follows the equals."""


class ChannelFrom(StrEnum):
    """Where the channel of a file's values comes from, where each file has channels of its own."""

    FILE = "file"
    """The name of the file, up to its first dot."""
    FOLDER = "folder"
    """The name of the folder that holds the file."""


class Long(NamedTuple):
    """The columns of a file with one value per row."""

    tag: str
    value: str

    def __str__(self) -> str:
        return f"{self.tag}={self.value}"


class Quality(NamedTuple):
    """A column that says whether a row, or the value of one channel, is good."""

    column: str
    good: str
    channel: str | None = None

    def __str__(self) -> str:
        return f"{self.channel}:" * bool(self.channel) + f"{self.column}={self.good}"


class LabelColumn(NamedTuple):
    """A column that says which rows are anomalous: by words, or without one all but 0."""

    column: str
    words: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """As one says it, a word at a time."""
        return tuple(f"{self.column}={word}" for word in self.words) or (self.column,)


class Resample(NamedTuple):
    """Rows at whole multiples of an interval, each from the values since the one before."""

    interval_ns: int
    rule: str = "mean"

    def __str__(self) -> str:
        for unit, size in reversed(_UNITS_NS.items()):
            if self.interval_ns % size == 0:
                return f"{self.interval_ns // size}{unit}:{self.rule}"
        return f"{self.interval_ns / 1e6!r}ms:{self.rule}"


def _pair(text: str, what: str) -> tuple[str, str]:
    # From the right: a column may hold an equals sign, what it is compared with seldom does.
    left, equals, right = text.rpartition("=")
    if not (left and equals and right):
        raise ValueError(f"{text!r} is not of the form {what}")
    return left.strip(), right.strip()


def _long(value: Any) -> Any:
    return Long(*_pair(value, "TAG=VALUE, two columns")) if isinstance(value, str) else value


def _quality(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    left, good = _pair(value, "COLUMN=GOOD or CHANNEL:COLUMN=GOOD")
    channel, colon, column = left.partition(":")
    return Quality(column, good, channel) if colon and channel else Quality(left, good)


def _label(value: Any) -> Any:
    """One column, with a word or without; or several words of one column."""
    if isinstance(value, LabelColumn) or not isinstance(value, str | list | tuple):
        return value
    told = [value] if isinstance(value, str) else list(value)
    pairs = []
    for one in told:
        if not isinstance(one, str):
            return value
        column, equals, word = (part.strip() for part in one.rpartition("="))
        pairs.append((column, word) if equals and column else (one, ""))
    columns = dict.fromkeys(column for column, _ in pairs)
    words = tuple(dict.fromkeys(word for _, word in pairs))
    if len(columns) != 1 or ("" in words and len(words) > 1):
        raise ValueError(
            f"{' and '.join(map(repr, told))}: several are words of one column, COLUMN=WORD each"
        )
    return LabelColumn(next(iter(columns)), words if any(words) else ())


def _resample(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text, _, rule = value.replace(" ", ":").partition(":")
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :] or "s"
    try:
        interval_ns = round(float(number) * _UNITS_NS[unit])
    except (ValueError, KeyError, OverflowError):
        interval_ns = 0
    if interval_ns < 1 or (rule or "mean") not in RULES:
        raise ValueError(
            f"{value!r} is not an interval such as 1s, 500ms, 5min, 1h, with a rule behind it "
            f"such as 1s:last (one of {', '.join(RULES)}; without one: mean)"
        )
    return Resample(interval_ns, rule or "mean")


def _zone(name: str) -> str:
    zone_of(name)
    return name


def _mark(value: str) -> str:
    if value == r"\t":
        return "\t"
    if value.lower() == "space":
        return " "
    if len(value) != 1 or value in '"\r\n':
        raise ValueError(f"must be one character, and no quote or end of a line, got {value!r}")
    return value


Mark = Annotated[str, AfterValidator(_mark)]


class Layout(BaseModel):
    """What is what in files of readings; keys as in `layout.toml`, options as `--key`.

    Raises:
        ValidationError: a value that is not allowed, or two that contradict each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    time: tuple[str, ...] = ()
    """Column of the time, or those of date and time; else ts, timestamp, datetime, time or date."""
    time_format: tuple[str, ...] = ()
    """Forms of the time as strptime writes them, tried in order; else RFC 3339 and ISO 8601."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Zone of times that name none."""
    epoch: Literal["auto", "s", "ms", "us", "ns", "excel"] = "auto"
    """Unit of times given as numbers, since 1970; excel is days since 1899-12-30."""
    sensor: tuple[str, ...] = ()
    """Column of the sensor id, or several, joined by /; else sensor_id or sensor."""
    sensor_id: str | None = None
    """The one sensor of all files."""
    sensor_from: SensorFrom | None = None
    """Where the sensor id comes from; else the column where there is one, or the file's name."""
    label: Annotated[LabelColumn | None, BeforeValidator(_label)] = None
    """Column that is anomalous where it is not 0, or where it holds a word behind an equals."""
    label_ranges: Path | None = None
    """CSV file of anomalous stretches: start, end and, if it has such a column, sensor_id."""
    channels: Mapping[str, str] = Field(default_factory=dict)
    """Column of each channel; else all other columns, under their own names."""
    channel_from: ChannelFrom | None = None
    """What names the channels of a file, each having others; else its columns do."""
    ignore: tuple[str, ...] = ()
    """Columns that are no channels."""
    long: Annotated[Long | None, BeforeValidator(_long)] = None
    """Columns of the channel's name and of its value, in files with one value per row."""
    quality: tuple[Annotated[Quality, BeforeValidator(_quality)], ...] = ()
    """Rows, or values of a channel, that are good: those whose column holds one of these words."""
    missing: tuple[str, ...] = ()
    """Words and numbers that stand for a missing value."""
    rate: tuple[str, ...] = ()
    """Columns of counters that only rise: read as their increase per second."""
    resample: Annotated[Resample | None, BeforeValidator(_resample)] = None
    """Interval of rows to make of what came in it, and the rule; else rows stay as they are."""
    encoding: str | None = None
    """Encoding of text; else UTF-8, or what a byte order mark says."""
    delimiter: Mark | None = None
    """Between columns; else comma, semicolon, tab or bar, whichever fits."""
    decimal: Literal[".", ","] = "."
    """Decimal mark."""
    thousands: Mark | None = None
    """Mark between groups of three digits."""
    skip_rows: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Lines before the one with the names of the columns."""
    comment: Mark | None = None
    """Lines that begin with it are left out; else # before the names of the columns."""
    units_row: bool | None = None
    """Whether the row below the names holds units; else found out."""
    sheet: str | None = None
    """Sheet of an Excel file; else the first."""
    max_left_out: Annotated[float, Field(ge=0, le=1)] = 0.2
    """A larger share of rows that cannot be used is an error."""

    @field_validator(
        "time", "time_format", "sensor", "ignore", "quality", "missing", "rate", mode="before"
    )
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | int | float) else value

    @field_validator("missing", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        many = value if isinstance(value, list | tuple) else (value,)
        return tuple(repr(one) if isinstance(one, int | float) else one for one in many)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        ways = [
            name
            for name, given in (
                ("sensor", bool(self.sensor)),
                ("sensor_id", self.sensor_id is not None),
                ("sensor_from", self.sensor_from in {SensorFrom.FILE, SensorFrom.FOLDER}),
            )
            if given
        ]
        if len(ways) > 1:
            raise ValueError(
                f"{' and '.join(ways)} contradict each other: the sensor id comes from a column, "
                "is one for all files, or comes from the name of the file or folder"
            )
        if self.channel_from is not None and self.long is not None:
            raise ValueError(
                "channel_from and long contradict each other: the channel comes from the name of "
                "the file or folder, or from a column"
            )
        if self.channel_from is not None and str(self.sensor_from) == str(self.channel_from):
            raise ValueError(
                f"the {self.channel_from} cannot be both the sensor and the channel (sensor_from, "
                "channel_from)"
            )
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError(f"{self.decimal!r} cannot be the decimal mark and the thousands mark")
        return self

    @property
    def is_long(self) -> bool:
        """Whether the channels of a row may stand in several rows, or files."""
        return self.long is not None or self.channel_from is not None

    def __hash__(self) -> int:
        return hash(self.to_toml())

    def to_toml(self) -> str:
        """The file that says the same, keys that have their defaults left out."""
        lines, tables = [], []
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value == type(self).model_fields[name].get_default(call_default_factory=True):
                continue
            if isinstance(value, Mapping):
                tables += ["", f"[{name}]"]
                tables += [f"{_toml(key)} = {_toml(column)}" for key, column in value.items()]
            elif name == "label":
                said = ", ".join(map(_toml, value.said))
                lines.append(f"{name} = [{said}]" if len(value.said) > 1 else f"{name} = {said}")
            elif name in {"long", "resample"}:
                lines.append(f"{name} = {_toml(str(value))}")
            elif isinstance(value, tuple):
                lines.append(f"{name} = [{', '.join(_toml(str(one)) for one in value)}]")
            else:
                lines.append(f"{name} = {_toml(value)}")
        return "\n".join([*lines, *tables, ""])


def _toml(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    # A basic string of TOML is a string of JSON, except that it may not hold DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def load_layout(path: Path) -> dict[str, Any]:
    """The keys and values of a `layout.toml`; a path in it is relative to the file.

    Raises:
        FileFormatError: no such file, or it is not TOML.
    """
    try:
        if path.stat().st_size > MAX_LAYOUT_BYTES:
            raise FileFormatError(f"{path}: larger than {MAX_LAYOUT_BYTES} bytes: is it a layout?")
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileFormatError(f"{path}: cannot be read as a layout: {error}") from error
    if isinstance(ranges := keys.get("label_ranges"), str):
        keys["label_ranges"] = path.parent / ranges
    return keys


def make_layout(keys: Mapping[str, Any], *, source: str = "") -> Layout:
    """A layout of keys and values.

    Raises:
        ValueError: names each wrong key and what is allowed.
    """
    try:
        return Layout(**keys)
    except ValidationError as error:
        problems = []
        for one in error.errors():
            key = ".".join(str(part) for part in one["loc"][:1])
            if one["type"] == "extra_forbidden":
                known = ", ".join(Layout.model_fields)
                problems.append(f"{key}: there is no such key; known are {known}")
            else:
                said = one["msg"].removeprefix("Value error, ")
                problems.append(f"{key.replace('_', '-')}: {said}" if key else said)
        raise ValueError("; ".join(f"{source}{problem}" for problem in problems)) from error

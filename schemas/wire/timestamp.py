"""Event time: epoch milliseconds or RFC 3339 on the wire, int64 nanoseconds inside.

RFC 3339 is read to the nanosecond (up to nine digits of fraction), with an offset: a time without
one could be any hour of the day. What does not fit int64 nanoseconds (1677-09-21 to 2262-04-11)
is rejected. A leap second (":60") has no place on that scale and is rejected too.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from jaxtyping import Int64
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from schemas.wire.errors import excerpt

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
MAX_NS = 2**63 - 1
MAX_MS = MAX_NS // NS_PER_MS

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?"
    r"(?:[Zz]|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)
_ISO8601 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r" ?(?:([Zz])|([+-])(\d{2})(?::?(\d{2}))?)?",
    re.ASCII,
)
_MOST_HOURS, _MOST_MINUTES = 23, 59
_RANGES = ((_MOST_HOURS, "hour"), (_MOST_MINUTES, "minute"), (_MOST_MINUTES, "second"))


class TimestampError(ValueError):
    """Not a time that Vigie reads, or one outside int64 nanoseconds."""


@lru_cache(maxsize=1024)
def _midnight_s(date: str) -> int:
    """Seconds from the epoch to midnight UTC of an ISO date."""
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())


def to_ns(value: object) -> int:
    """Nanoseconds since the epoch of one time as it came over the wire.

    Args:
        value: epoch milliseconds (an int, no bool, no float) or an RFC 3339 string with an offset.

    Raises:
        TimestampError: anything else, or out of range.
    """
    if type(value) is int:
        if not -MAX_MS <= value <= MAX_MS:
            raise TimestampError(
                f"{excerpt(value)} is out of range: epoch milliseconds (not micro- or nanoseconds)"
                f" must be in -{MAX_MS}..{MAX_MS}"
            )
        return value * NS_PER_MS
    if type(value) is str:
        return _parse_ns(value)
    raise TimestampError(
        "a time is epoch milliseconds as an integer or an RFC 3339 string with an offset,"
        f" got {excerpt(value)}"
    )


def _parse_ns(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 string, exactly."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise TimestampError(
            f"{excerpt(text)} is not RFC 3339 with an offset, like 2026-11-22T10:30:00.250Z"
            " or 2026-11-22T11:30:00+01:00 (at most 9 digits of fraction)"
        )
    date, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    ns = _ns_as_utc(text, date, hour, minute, second, fraction)
    if sign is not None:
        ns -= _offset_ns(text, sign, offset_hour, offset_minute)
    return in_range(ns, text)


def parse_iso(text: str) -> tuple[int, bool]:
    """The same for ISO 8601 as other people write it.

    Beyond RFC 3339 the seconds may be left out, the fraction may follow a comma, and the offset may
    be `+02`, `+0200` or not there at all.

    Returns:
        Nanoseconds since the epoch, and True; or, without an offset, those of the clock on the wall
        (as though it showed UTC), and False.

    Raises:
        TimestampError: not such a text, or out of range.
    """
    match = _ISO8601.fullmatch(text)
    if match is None:
        raise TimestampError(
            f"{excerpt(text)} is not ISO 8601, like 2026-11-22T10:30:00.250Z or"
            " 2026-11-22 11:30:00+01 (at most 9 digits of fraction)"
        )
    date, hour, minute, second, fraction, utc, sign, *offset = match.groups()
    ns = _ns_as_utc(text, date, hour, minute, second or "0", fraction)
    if sign is not None:
        ns -= _offset_ns(text, sign, *offset)
    return in_range(ns, text), (utc or sign) is not None


def _ns_as_utc(  # noqa: PLR0917 - the groups of the expressions above
    text: str, date: str, hour: str, minute: str, second: str, fraction: str | None
) -> int:
    """Nanoseconds from the epoch to a date and a time of day, both taken as UTC."""
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > _MOST_HOURS or minutes > _MOST_MINUTES or seconds > _MOST_MINUTES:
        for digits, (most, unit) in zip((hours, minutes, seconds), _RANGES, strict=True):
            if digits > most:
                raise TimestampError(f"{excerpt(text)}: the {unit} must be in 00..{most}")
    try:
        seconds += _midnight_s(date)
    except ValueError as error:
        raise TimestampError(f"{excerpt(text)}: no such day in the calendar") from error
    seconds += 3600 * hours + 60 * minutes
    return seconds * NS_PER_S + (int(fraction.ljust(9, "0")) if fraction else 0)


def _offset_ns(text: str, sign: str, hour: str, minute: str | None) -> int:
    """An offset from UTC in nanoseconds."""
    minute = minute or "0"
    if int(hour) > _MOST_HOURS or int(minute) > _MOST_MINUTES:
        raise TimestampError(f"{excerpt(text)}: the offset must be in -23:59..+23:59")
    offset_s = 3600 * int(hour) + 60 * int(minute)
    return (-offset_s if sign == "-" else offset_s) * NS_PER_S


def in_range(ns: int, wire: object) -> int:
    """The nanoseconds, if int64 holds them; `wire` is what they were read from."""
    if not -MAX_NS <= ns <= MAX_NS:
        raise TimestampError(f"{excerpt(wire)} is out of range: 1677-09-21 to 2262-04-11")
    return ns


def array_ns(wire: list[Any]) -> Int64[np.ndarray, " times"]:
    """Nanoseconds of times as they came over the wire; fast when all are integers.

    Raises:
        TimestampError: one of them is no time or out of range.
    """
    if set(map(type, wire)) == {int}:
        try:
            ms = np.array(wire, dtype=np.int64)
        except OverflowError:
            ms = None
        if ms is not None and ms.min() >= -MAX_MS and ms.max() <= MAX_MS:
            return ms * NS_PER_MS
    return np.array([to_ns(value) for value in wire], dtype=np.int64)


def format_ns(ns: int) -> str:
    """RFC 3339 in UTC with nine digits of fraction, exactly."""
    seconds, fraction = divmod(ns, NS_PER_S)
    days, second = divmod(seconds, 86_400)
    day = datetime.fromordinal(_EPOCH_DAY + days)
    return (
        f"{day:%Y-%m-%d}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        f".{fraction:09d}Z"
    )


def short_ns(ns: int) -> str:
    """The same, for people: without the zeros of a fraction."""
    text = format_ns(ns)[:-1]
    return text.rstrip("0").removesuffix(".") + "Z"


_EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


def to_wire(ns: int) -> int | str:
    """Epoch milliseconds when `ns` is a whole millisecond, else RFC 3339 with nine digits."""
    ms, rest = divmod(ns, NS_PER_MS)
    return format_ns(ns) if rest else ms


def array_to_wire(ts_ns: Int64[np.ndarray, " times"]) -> list[int] | list[str]:
    """`to_wire` of a frame's times: milliseconds if all are whole, else every one RFC 3339."""
    ms = ts_ns // NS_PER_MS
    if (ms * NS_PER_MS).tobytes() == ts_ns.tobytes():
        return ms.tolist()  # type: ignore[no-any-return]
    return [format_ns(ns) for ns in ts_ns.tolist()]


class _WireTime:
    """Pydantic's view: the wire form in JSON, int64 nanoseconds in Python."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_plain_validator_function(to_ns),
            python_schema=core_schema.int_schema(ge=-MAX_NS, le=MAX_NS, strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(
                to_wire, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "anyOf": [
                {
                    "type": "integer",
                    "minimum": -MAX_MS,
                    "maximum": MAX_MS,
                    "description": "Milliseconds since 1970-01-01T00:00:00Z.",
                },
                {
                    "type": "string",
                    "format": "date-time",
                    "description": "RFC 3339 with an offset, at most nine digits of fraction.",
                },
            ]
        }


TimestampNs = Annotated[int, _WireTime()]
"""Field type: nanoseconds since the epoch; milliseconds or RFC 3339 when it crosses the wire."""

"""Windows of maintenance from a calendar (RFC 5545), for the event times of readings. Pure.

Recurrence, exceptions (EXDATE, RECURRENCE-ID, RDATE), zones and X-WR-TIMEZONE are the business of
`icalendar` and `recurring-ical-events`; here stands what they leave open: a cancelled event is
none, a day lasts from midnight to midnight in the calendar's zone, and what a library would pass
over in silence, such as a zone that nobody knows, is an error.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import chain, repeat

import numpy as np
from icalendar import Calendar, Component, Event
from jaxtyping import Bool, Int64
from recurring_ical_events import of

from schemas.wire.errors import excerpt
from schemas.wire.time_zone import zone_of
from schemas.wire.timestamp import NS_PER_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SPAN = timedelta(days=28)
"""Events are looked up for so long at once: 2 ms for a weekly event, 0.25 s (at first 0.7 s) for
twenty daily ones that began sixteen years ago, as recurrences are counted from their first."""
_SPAN_NS = 28 * 86_400 * NS_PER_S
_MOST_SPANS = 256
"""Spans remembered; beyond, all are forgotten and looked up anew."""
_MARGIN = timedelta(days=2)
"""More than any zone is away from UTC: dates and times without a zone are given one afterwards."""
_TOO_OFTEN = frozenset({"SECONDLY", "MINUTELY"})
_TIMES = ("DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE")
_WRONG = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What the libraries raise for what they cannot read."""

_Span = tuple[Int64[np.ndarray, " events"], Int64[np.ndarray, " events"]]


class CalendarError(ValueError):
    """A calendar that cannot be read.

    Attributes:
        line: in its file.
        told: what is wrong.
    """

    def __init__(self, line: int, told: str) -> None:
        self.line = line
        self.told = told
        super().__init__(f"line {line}: {told}")

    def __reduce__(self) -> tuple[type["CalendarError"], tuple[int, str]]:
        return type(self), (self.line, self.told)


class MaintenanceCalendar:
    """When a calendar has an event, and for some time after each.

    Args:
        text: of the file.
        timezone: name of the zone of all-day events and of times that name none; None takes the
            calendar's own (X-WR-TIMEZONE), else UTC.
        settle_ns: how much longer an event lasts than the calendar says, >= 0.

    Raises:
        CalendarError: the calendar, or one of its events, cannot be read.
    """

    def __init__(self, text: str, *, timezone: str | None = None, settle_ns: int = 0) -> None:
        calendar = _parsed(text)
        own = str(calendar.get("X-WR-TIMEZONE", "UTC"))
        try:
            self._zone: tzinfo = zone_of(timezone or own)
        except ValueError as error:
            raise CalendarError(_line_of(text, "X-WR-TIMEZONE"), str(error)) from error
        for line, event in _events(text, calendar):
            _check(line, event)
        self._events = of(calendar)
        self._settle_ns = settle_ns
        self._spans: dict[int, _Span] = {}

    def covers(self, ts_ns: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Whether event times (nanoseconds since the epoch) lie within an event, or settling."""
        found = np.zeros(len(ts_ns), dtype=np.bool_)
        spans = ts_ns // _SPAN_NS
        first, last = (int(spans.min()), int(spans.max())) if len(ts_ns) else (0, 0)
        for number in [first] if first == last else np.unique(spans).tolist():
            starts, ends = self._span(number)
            if len(starts) == 0:
                continue
            some = slice(None) if first == last else spans == number
            own = ts_ns[some]
            place = np.searchsorted(starts, own, side="right") - 1
            found[some] = (place >= 0) & (own < ends[place])
        return found

    def _span(self, number: int) -> _Span:
        """Starts of the events that touch a span, ascending, and the latest end up to each."""
        if number not in self._spans:
            if len(self._spans) >= _MOST_SPANS:
                self._spans.clear()
            begin = _EPOCH + number * _SPAN
            settle = timedelta(microseconds=self._settle_ns // 1000 + 1)
            events = self._events.between(begin - settle - _MARGIN, begin + _SPAN + _MARGIN)
            pairs = sorted(
                (self._ns(event.start), self._ns(event.end) + self._settle_ns)
                for event in events
                if str(event.get("STATUS", "")).upper() != "CANCELLED"
            )
            table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
            self._spans[number] = (
                np.ascontiguousarray(table[:, 0]),
                np.maximum.accumulate(table[:, 1]),
            )
        return self._spans[number]

    def _ns(self, when: date) -> int:
        if not isinstance(when, datetime):
            when = datetime.combine(when, time())
        if when.tzinfo is None:
            when = when.replace(tzinfo=self._zone)
        return (when - _EPOCH) // _MICROSECOND * 1000


def _parsed(text: str) -> Calendar:
    try:
        found: Component = Calendar.from_ical(text)
        if not isinstance(found, Calendar):
            raise TypeError(f"begins with {found.name}")
    except _WRONG as error:
        told = str(error)
        lines = text.splitlines()
        wrong = (number for number, line in enumerate(lines, 1) if line and repr(line) in told)
        raise CalendarError(
            next(wrong, 1),
            "is no calendar: it has to be one VCALENDAR, from BEGIN to END"
            f" ({excerpt(told.splitlines()[0])})",
        ) from error
    return found


def _events(text: str, calendar: Calendar) -> Iterator[tuple[int, Event]]:
    """The events, each with the line in which it begins."""
    lines = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip().upper() == "BEGIN:VEVENT"
    ]
    # A folded line hides a place; then the file is named without it.
    places = chain(lines, repeat(1))
    events = [part for part in calendar.walk("VEVENT") if isinstance(part, Event)]
    return zip(places, events, strict=False)


def _check(line: int, event: Event) -> None:
    """Look an event over that a query would pass over, or stumble on in the middle of a run.

    Raises:
        CalendarError: it cannot be read.
    """
    name = f"VEVENT {excerpt(str(event.get('SUMMARY', event.get('UID', 'without a name'))))}"
    for key, told in event.errors:
        raise CalendarError(line, f"{name}: {key} cannot be read: {excerpt(str(told))}")
    if "DTSTART" not in event:
        raise CalendarError(line, f"{name}: has no DTSTART")
    for key in _TIMES:
        given = event.get(key, [])
        for value in given if isinstance(given, list) else [given]:
            _check_zone(line, name, key, value)
    try:
        told = _wrong_in(event)
    except _WRONG as error:
        told = f"cannot be read: {excerpt(str(error))}"
    if told:
        raise CalendarError(line, f"{name}: {told}")


def _wrong_in(event: Event) -> str:
    """What is wrong with an event whose properties can be read; "" for nothing."""
    rules = event.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        if often := _TOO_OFTEN.intersection(str(one).upper() for one in rule["FREQ"]):
            return f"RRULE: {min(often)} is too often for maintenance"
    if event.end < event.start:
        return "ends before it begins"
    alone = Calendar()
    alone.add_component(event)
    of(alone).at(event.start)
    return ""


def _check_zone(line: int, name: str, key: str, value: object) -> None:
    """A zone that is unknown here would be passed over, and the event be at another time."""
    zone = getattr(value, "params", {}).get("TZID")
    whens = [one.dt for one in getattr(value, "dts", [value])]
    for when in whens:
        start = when[0] if isinstance(when, tuple) else when
        if zone is not None and isinstance(start, datetime) and start.tzinfo is None:
            raise CalendarError(
                line,
                f"{name}: {key}: no time zone {excerpt(str(zone))}, neither in this file"
                " (VTIMEZONE) nor on this machine: take a name like Europe/Berlin",
            )


def _line_of(text: str, start: str) -> int:
    lines = text.upper().splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(start)), 1)

"""Hours of a week in a time zone, such as business hours.

A start or an end is the first moment at which the zone's wall clock shows that date and time or
later. So where clocks are put forward, a start that is skipped is the moment of the change; where
they are put back, one that comes twice is the first of the two. Every day's hours are one stretch,
and hours that end when others start leave no hole and share nothing, on those days as on others.

Hours whose start and end are both skipped, in one change, are none on that day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.api.matchers import Hours, Weekday

__all__ = ["is_within", "next_start_ns"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS: Final = 10**9
_WEEKDAYS: Final = tuple(Weekday)
_DAY: Final = timedelta(days=1)
_NEAR_DAYS: Final = 2
"""Hours of so many days before and behind today may go on: those of yesterday end today, and where
clocks are put back over midnight, those of tomorrow have begun."""
_AHEAD_DAYS: Final = 29
"""Hours begin within so many days: at the latest in four weeks, if changes skip three of them."""


def is_within(hours: Hours, at_ns: int) -> bool:
    """Whether a moment is in the hours: from their start on, before their end."""
    return any(
        start_ns <= at_ns < end_ns for start_ns, end_ns in _stretches(hours, at_ns, _NEAR_DAYS)
    )


def next_start_ns(hours: Hours, at_ns: int) -> int:
    """The first moment in the hours, at or after this one: itself, if it is in them."""
    for start_ns, end_ns in _stretches(hours, at_ns, _AHEAD_DAYS):
        if at_ns < end_ns:
            return max(at_ns, start_ns)
    raise AssertionError("hours of some day of the week begin within weeks")


def _stretches(hours: Hours, at_ns: int, days: int) -> Iterator[tuple[int, int]]:
    """Start and end of the hours of the days around a moment, in their order."""
    zone = ZoneInfo(hours.time_zone)
    today = (_EPOCH + timedelta(seconds=at_ns // _SECOND_NS)).astimezone(zone).date()
    days_after = 1 if hours.end <= hours.start else 0
    for offset in range(-_NEAR_DAYS, days + 1):
        day = today + offset * _DAY
        if _WEEKDAYS[day.weekday()] not in hours.days:
            continue
        start_ns = _moment_ns(zone, day, hours.start)
        end_ns = _moment_ns(zone, day + days_after * _DAY, hours.end)
        if start_ns < end_ns:
            yield start_ns, end_ns


@lru_cache(maxsize=4096)
def _moment_ns(zone: ZoneInfo, day: date, at: time) -> int:
    """The first moment at which the zone's wall clock shows this date and time or later."""
    wall = datetime.combine(day, at.replace(tzinfo=None))
    # Of a time that comes twice this is the first; of one that is skipped, it lies behind the
    # change, and the other fold before it.
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != wall:
        moment = _change(zone, wall, wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _change(zone: ZoneInfo, wall: datetime, before: datetime, behind: datetime) -> datetime:
    """The second at which the wall clock jumps over a time, between two moments around it."""
    before = before.replace(microsecond=0)
    low, high = 0, int((behind - before).total_seconds()) + 1
    while low + 1 < high:
        middle = (low + high) // 2
        local = (before + timedelta(seconds=middle)).astimezone(zone).replace(tzinfo=None)
        low, high = (low, middle) if local >= wall else (middle, high)
    return before + timedelta(seconds=high)

"""From the clock on the wall to UTC, in a named time zone.

* **The hour that comes twice** when clocks go back: the first of the two, unless the record's own
  timestamp lies within half an hour of the second. So a live sensor keeps both hours, and a history
  sent later has the first only (readings of the second are then late); an offset in the text, or
  UTC, has no such hour.
* **The hour that does not exist** when clocks go forward: an error, for a clock that shows it does
  not keep this zone.

Both follow from the record and the settings alone, and from the zone's rules in the time zone
database of the machine (or the package `tzdata`).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.wire.timestamp import NS_PER_MS, NS_PER_S, TimestampError, format_ns, in_range

_FIXED = re.compile(r"([+-])(\d{2}):(\d{2})", re.ASCII)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the clock on the wall has no zone
NS_PER_MINUTE = 60 * NS_PER_S
_HALF_AN_HOUR_NS = 30 * NS_PER_MINUTE


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The zone of a name such as `Europe/Berlin`, or of a fixed offset such as `+01:00`.

    Raises:
        ValueError: there is no such zone here.
    """
    try:
        if fixed := _FIXED.fullmatch(name):
            sign, hours, minutes = fixed.groups()
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            return timezone(-offset if sign == "-" else offset)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"no time zone {name!r} on this machine: take a name like Europe/Berlin or UTC, or an"
            " offset like +01:00 (a machine without any zones needs the package tzdata)"
        ) from error


def to_utc(local_ns: int, name: str, *, stamp_ms: int) -> int:
    """Nanoseconds since the epoch of a time on the wall of a zone.

    Args:
        local_ns: what the clock shows, as though it showed UTC.
        name: of the zone.
        stamp_ms: the record's timestamp, below 0 for none; chooses in the hour that comes twice.

    Raises:
        TimestampError: the clocks of the zone never show this time, or it is out of range.
    """
    first_s, second_s = offsets_s(name, local_ns // NS_PER_MINUTE)
    if first_s < second_s:
        raise TimestampError(
            f"{format_ns(local_ns)[:19]} does not exist in {name}, where clocks went forward:"
            " does the sender's clock keep another zone (input.timezone)?"
        )
    first = in_range(local_ns - first_s * NS_PER_S, local_ns)
    if first_s == second_s:
        return first
    second = in_range(local_ns - second_s * NS_PER_S, local_ns)
    is_second = stamp_ms >= 0 and abs(stamp_ms * NS_PER_MS - second) < _HALF_AN_HOUR_NS
    return second if is_second else first


@lru_cache(maxsize=8192)
def offsets_s(name: str, minute: int) -> tuple[int, int]:
    """Offsets from UTC at a minute on the wall, of its first and of its second time round."""
    local = (_EPOCH + timedelta(minutes=minute)).replace(tzinfo=zone_of(name))
    offsets = (local.utcoffset(), local.replace(fold=1).utcoffset())
    first, second = (round(offset.total_seconds()) for offset in offsets if offset is not None)
    return first, second

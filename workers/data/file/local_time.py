"""Local times to UTC, with the hour that comes twice in autumn told apart. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.wire.time_zone import NS_PER_MINUTE, offsets_s
from schemas.wire.timestamp import NS_PER_S, format_ns

IntArray = npt.NDArray[np.int64]
_SLOT_NS = 900 * 10**9
"""Zones change their offset at whole quarters of an hour."""


class NonexistentTimeError(ValueError):
    """A local time is one that the clocks of its zone skip; `index` is its position."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def to_utc(local_ns: IntArray, zone: str, series: IntArray) -> IntArray:
    """Nanoseconds since 1970 in UTC of local times.

    In the hour that clocks repeat in autumn, a series that goes through it twice is in summer time
    before its largest step against its direction, and in winter time behind it; one that holds each
    time twice in a row, likewise. A series that goes through it once is taken to be in summer time.

    Args:
        local_ns: what the clock on the wall showed, [n].
        zone: see `zone_of`.
        series: which rows belong together, such as those of one sensor, in their order, [n].

    Raises:
        NonexistentTimeError: a time that the zone skips in spring: it is not of that zone.
    """
    if zone == "UTC" or not len(local_ns):
        return local_ns
    slots, slot = np.unique(local_ns // _SLOT_NS, return_inverse=True)
    first, second, skipped = _offsets(slots, zone)
    if skipped[slot].any():
        index = int(np.argmax(skipped[slot]))
        shown = format_ns(int(local_ns[index]))[:19].replace("T", " ")
        raise NonexistentTimeError(
            index, f"{shown} does not exist in {zone}, where clocks skip it: is it another zone?"
        )
    offset = first[slot]
    twice = first[slot] != second[slot]
    for rows in _groups(np.flatnonzero(twice), series, local_ns):
        fold_ns = int(np.max(first[slot[rows]] - second[slot[rows]]))
        oldest_first = _oldest_first(rows, local_ns)
        later = oldest_first[_in_winter_time(local_ns[oldest_first], fold_ns)]
        offset[later] = second[slot[later]]
    return local_ns - offset


def _offsets(slots: IntArray, zone: str) -> tuple[IntArray, IntArray, npt.NDArray[np.bool_]]:
    """UTC offset of each slot, before and after a change that falls on it; and if it is skipped."""
    minutes = slots * (_SLOT_NS // NS_PER_MINUTE)
    pairs = np.array([offsets_s(zone, minute) for minute in minutes.tolist()], np.int64)
    first, second = pairs.reshape(-1, 2).T * NS_PER_S
    # Where clocks go forward, the second time round has the larger offset: PEP 495.
    return first, second, second > first


def _groups(rows: IntArray, series: IntArray, local_ns: IntArray) -> list[IntArray]:
    """The doubtful rows of one series and one day together, in their order."""
    if not len(rows):
        return []
    days = local_ns[rows] // (86_400 * 10**9)
    order = np.lexsort((np.arange(len(rows)), days, series[rows]))
    keys = np.stack([series[rows][order], days[order]])
    cuts = np.flatnonzero(np.any(keys[:, 1:] != keys[:, :-1], axis=0)) + 1
    return np.split(rows[order], cuts)


def _oldest_first(rows: IntArray, local_ns: IntArray) -> IntArray:
    """The rows, turned round where time falls in them; or in the whole, if they do not tell."""
    steps = np.diff(local_ns[rows])
    balance = np.count_nonzero(steps > 0) - np.count_nonzero(steps < 0)
    falls = balance < 0 or (balance == 0 and local_ns[-1] < local_ns[0])
    return rows[::-1] if falls else rows


def _in_winter_time(local_ns: IntArray, fold_ns: int) -> slice:
    """Which of the rows of a repeated hour, oldest first, belong to its second time.

    A step back that is small beside the hour is a row out of order.
    """
    steps = np.diff(local_ns)
    if not len(steps):
        return slice(0)
    if len(steps) == 1 and steps[0] == 0:
        return slice(1, None)
    usual, back = int(np.median(np.abs(steps))), -int(steps.min())
    if back > 0 and 2 * (back + usual) >= fold_ns:
        return slice(int(np.argmin(steps)) + 1, None)
    return slice(0)

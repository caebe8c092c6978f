"""Times whose unit a schema states, as the epoch numbers that the stream is told to expect."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from schemas.wire.timestamp import format_ns

MS, US, NS = 1_000_000, 1_000, 1
"""Nanoseconds of the units in which schemas state times."""


@lru_cache(maxsize=64)
def epoch_number(tick_ns: int, unit_ns: int) -> Callable[[int], int | str] | None:
    """What turns ticks since 1970 into units since 1970, None if they are the same.

    A time between two units becomes RFC 3339 text, which is read to the nanosecond: nothing is
    rounded, and `input.time_unit` never gives a stated time another meaning.

    Args:
        tick_ns: nanoseconds of a tick.
        unit_ns: nanoseconds of the unit of `input.time_unit`.

    Raises:
        ValueError, OverflowError: (when called) a time between two units outside the years 1..9999.
    """
    if tick_ns == unit_ns:
        return None

    def convert(ticks: int) -> int | str:
        units, rest = divmod(ticks * tick_ns, unit_ns)
        return format_ns(ticks * tick_ns) if rest else units

    return convert


def local_time(tick_ns: int) -> Callable[[int], str]:
    """What turns ticks of a clock without a zone into text without an offset."""

    def convert(ticks: int) -> str:
        return format_ns(ticks * tick_ns).removesuffix("Z")

    return convert

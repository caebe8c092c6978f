"""Times of the interface and of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, overload

__all__ = ["as_time", "to_ns"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@overload
def as_time(ns: int) -> datetime: ...
@overload
def as_time(ns: None) -> None: ...
def as_time(ns: int | None) -> datetime | None:
    """Nanoseconds since 1970 as a time, to the microsecond."""
    return None if ns is None else _EPOCH + timedelta(microseconds=ns // 1000)


def to_ns(time: datetime) -> int:
    """A time as nanoseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND * 1000

"""Where the log of a partition is cut, so that forgetting is a function of the log alone. Pure.

The log is cut into *TTL windows*. A new one begins at the first record that lies half of
`max_restore_records` offsets, or half of `max_restore_age_ms` of log time, behind the beginning of
the current one. What a partition knows within a window is what reading from the beginning of the
*previous* window, cold, would have given it. So two windows are all that is ever read again, a
sensor silent for two is forgotten, and a crash forgets what an undisturbed run forgets.

*Log time* is the latest record timestamp so far: it never goes back, whatever clocks say. Records
without a timestamp (below 0) do not move it.

Offsets are counted, not records: holes in them (transactions, compaction) may come later, and must
not move a cut that was made. A cut that was made travels in the commit's metadata.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

LEAST, UNLIMITED = 2, 2**62


@dataclass(frozen=True, kw_only=True, slots=True)
class TtlWindows:
    """Where the log was cut last.

    Args:
        previous: first offset of the window before the current one; the same when there is none.
        current: first offset of the current one.
        since_ms: log time at which the current one began, epoch milliseconds; -1 when unknown yet.
        latest_ms: log time; -1 before the first timestamp.
    """

    previous: int
    current: int
    since_ms: int = -1
    latest_ms: int = -1

    @classmethod
    def beginning_at(cls, offset: int) -> "TtlWindows":
        """The first window of a log that is read from `offset` on."""
        return cls(previous=offset, current=offset)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Records `start` to `stop` of a batch, in one window; `ttl` is as it is behind them."""

    start: int
    stop: int
    ttl: TtlWindows


@dataclass(frozen=True, kw_only=True, slots=True)
class StateTtl:
    """The rule.

    Args:
        max_restore_records: M >= 2; a window is M // 2 offsets long.
        max_restore_age_ms: A >= 2; a window is A // 2 of log time long.
    """

    max_restore_records: int = UNLIMITED
    max_restore_age_ms: int = UNLIMITED

    def __post_init__(self) -> None:
        for name in ("max_restore_records", "max_restore_age_ms"):
            if not LEAST <= getattr(self, name) <= UNLIMITED:
                raise ValueError(f"{name} must be in 2..2**62, got {getattr(self, name)}")

    def pieces(
        self, at: TtlWindows, offsets: Int64[np.ndarray, " r"], stamps_ms: Int64[np.ndarray, " r"]
    ) -> Iterator[Piece]:
        """Cut a batch; a piece whose `current` differs from the one before begins a window.

        Args:
            at: as the records before left it.
            offsets: ascending, at least one; at or behind `at.current`.
            stamps_ms: epoch milliseconds; below 0 is none.
        """
        clock = log_time(stamps_ms, at.latest_ms)
        start, total = 0, len(offsets)
        while True:
            at = _started(at, clock, start)
            cut = self._next_cut(at, offsets, clock)
            stop = max(min(cut, total), start)
            if stop > start:
                at = replace(at, latest_ms=int(clock[stop - 1]))
                yield Piece(start=start, stop=stop, ttl=at)
            if stop == total:
                return
            at = TtlWindows(
                previous=at.current,
                current=int(offsets[stop]),
                since_ms=int(clock[stop]),
                latest_ms=int(clock[stop]),
            )
            start = stop

    def _next_cut(
        self, at: TtlWindows, offsets: NDArray[np.int64], clock: NDArray[np.int64]
    ) -> int:
        """Position of the first record of the next window; beyond the batch if not in it."""
        cut = int(np.searchsorted(offsets, at.current + self.max_restore_records // 2))
        if at.since_ms >= 0:
            cut = min(cut, int(np.searchsorted(clock, at.since_ms + self.max_restore_age_ms // 2)))
        return cut


def log_time(stamps_ms: Int64[np.ndarray, " r"], latest_ms: int) -> Int64[np.ndarray, " r"]:
    """Log time at each record, behind records that left it at `latest_ms`; -1 is unknown yet."""
    clock: NDArray[np.int64] = np.maximum.accumulate(np.maximum(stamps_ms, latest_ms))
    return clock


def _started(at: TtlWindows, clock: NDArray[np.int64], start: int) -> TtlWindows:
    """With the window's own time, if it began without and these records have one."""
    if at.since_ms >= 0:
        return at
    first = int(np.searchsorted(clock, 0))
    if first >= len(clock):
        return at
    return replace(at, since_ms=int(clock[max(first, start)]))

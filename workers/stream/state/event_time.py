"""Event times that lie far from the log's: a clock that is wrong. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Decoded, Failure
from schemas.wire.errors import Stage
from workers.stream.state.rejection import refuse

_NS_PER_MS = 1_000_000


def refuse_ahead(decoded: Decoded, stamps_ms: NDArray[np.int64], *, max_ahead_s: float) -> Decoded:
    """Turn records from the future into failures.

    One reading of the year 2255 would make every later one of its sensor "late". The yardstick is
    the record's own timestamp, which lies in the log: a replay refuses the same records.

    Args:
        decoded: a decoded batch.
        stamps_ms: [r] timestamp of each record of the batch in epoch milliseconds; below 0 is none.
        max_ahead_s: how far an event time may lie ahead of it.
    """
    readings = decoded.readings
    if not len(readings):
        return decoded
    latest_ms = np.maximum.reduceat(readings.ts_ns, _firsts(decoded)) / _NS_PER_MS
    stamps = stamps_ms[readings.positions]
    ahead_s = np.where(stamps < 0, 0.0, latest_ms - stamps) / 1e3
    return _refuse(decoded, ahead_s, max_ahead_s, side="ahead")


def refuse_behind(
    decoded: Decoded, stamps_ms: NDArray[np.int64], *, max_behind_s: float
) -> Decoded:
    """Turn records from the past into failures, by the same yardstick.

    Who sends seconds for milliseconds sends January 1970. For a sensor that is known all of that is
    "late", and a whole fleet falls silent with a counter as its only witness. As dead letters the
    records can be sent back, and `workers.stream.dead_letter_limit` notices. Recorded data is old
    by nature, so the limit is the operator's to set.

    Args:
        decoded: a decoded batch.
        stamps_ms: as above.
        max_behind_s: how far an event time may lie behind its record's timestamp.
    """
    readings = decoded.readings
    if not len(readings):
        return decoded
    earliest_ms = np.minimum.reduceat(readings.ts_ns, _firsts(decoded)) / _NS_PER_MS
    stamps = stamps_ms[readings.positions]
    behind_s = np.where(stamps < 0, 0.0, stamps - earliest_ms) / 1e3
    return _refuse(decoded, behind_s, max_behind_s, side="behind")


def _firsts(decoded: Decoded) -> NDArray[np.int64]:
    """The first reading of each record."""
    counts = decoded.readings.counts
    firsts: NDArray[np.int64] = np.cumsum(counts) - counts
    return firsts


def _refuse(
    decoded: Decoded,
    off_s: NDArray[np.float64],
    limit_s: float,
    *,
    side: Literal["ahead", "behind"],
) -> Decoded:
    """Refuse the records that are off by more than the limit; `off_s` has one entry a record."""
    of = {"ahead": "ahead of", "behind": "behind"}[side]

    def failure(record: int) -> Failure:
        return Failure(
            position=int(decoded.readings.positions[record]),
            stage=Stage.CLOCK,
            exception=f"EventTime{side.title()}Error",
            message=f"the event time lies {off_s[record]:.0f} s {of} the record's timestamp; "
            f"stream.max_{side}_s allows {limit_s:g}",
        )

    return refuse(decoded, off_s > limit_s, failure)

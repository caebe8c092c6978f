"""Event times that lie ahead of the log: a clock that is wrong. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Decoded, Failure
from workers.stream.refusal import refuse

STAGE = "clock"
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
    limit_ms = np.where(stamps_ms < 0, np.inf, stamps_ms + max_ahead_s * 1e3)
    firsts = np.cumsum(readings.counts) - readings.counts
    latest_ms = np.maximum.reduceat(readings.ts_ns, firsts) / _NS_PER_MS
    ahead = latest_ms > limit_ms[readings.positions]

    def failure(record: int) -> Failure:
        position = int(readings.positions[record])
        return Failure(
            position=position,
            stage=STAGE,
            exception="EventTimeAheadError",
            message=f"the event time lies {(latest_ms[record] - stamps_ms[position]) / 1e3:.0f} s "
            f"ahead of the record's timestamp; stream.max_ahead_s allows {max_ahead_s:g}",
        )

    return refuse(decoded, ahead, failure)

"""Event times that lie far from the log's: a clock that is wrong. Pure."""

import numpy as np
from jaxtyping import Int64

from schemas.columns import Decoded, Failure
from schemas.wire.errors import Stage
from workers.stream.state.rejection import reject

_NS_PER_MS = 1_000_000


def reject_wrong_clocks(
    decoded: Decoded,
    stamps_ms: Int64[np.ndarray, " records"],
    *,
    max_ahead_s: float,
    max_behind_s: float,
) -> Decoded:
    """Turn records from the future and from the past into failures.

    One reading of the year 2255 would make every later one of its sensor "late". Who sends seconds
    for milliseconds sends January 1970: for a sensor that is known all of that is "late", and a
    whole plant falls silent with a counter as its only witness. As dead letters the records can be
    sent back, and `workers.stream.dead_letter_limit` notices.

    The yardstick is the record's own timestamp, which lies in the log: whoever reads the log again
    rejects the same records. Recorded data is old by nature, so the limit behind is the operator's
    to set.

    Args:
        decoded: a decoded batch.
        stamps_ms: timestamp of each record of the batch in epoch milliseconds; below 0 is none.
        max_ahead_s: how far an event time may lie ahead of it; 0 allows any.
        max_behind_s: how far it may lie behind; 0 allows any.
    """
    for name, max_s in (("ahead", max_ahead_s), ("behind", max_behind_s)):
        if max_s:
            decoded = _reject(decoded, stamps_ms, side=name, max_s=max_s)
    return decoded


def _reject(
    decoded: Decoded, stamps_ms: Int64[np.ndarray, " records"], *, side: str, max_s: float
) -> Decoded:
    """Reject the records with an event time that is too far off on one side."""
    readings = decoded.readings
    if not len(readings):
        return decoded
    sign, farthest = {"ahead": (1, np.maximum), "behind": (-1, np.minimum)}[side]
    first_rows = np.cumsum(readings.counts) - readings.counts
    stamps = stamps_ms[readings.positions]
    event_ms = farthest.reduceat(readings.ts_ns, first_rows) / _NS_PER_MS
    off_s = np.where(stamps < 0, 0.0, sign * (event_ms - stamps)) / 1e3

    def failure(record: int) -> Failure:
        return Failure(
            position=int(readings.positions[record]),
            stage=Stage.CLOCK,
            exception=f"EventTime{side.title()}Error",
            message=f"the event time lies {off_s[record]:.0f} s {side}"
            f"{' of' if side == 'ahead' else ''} the record's timestamp; "
            f"stream.max_{side}_s allows {max_s:g}",
        )

    return reject(decoded, off_s > max_s, failure)

"""Incidents with reasons: what saw them, what is like them, and whether labels bear them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.explanation import Explanation, explain
from detector.scoring import Detector
from schemas.wire.timestamp import short_ns
from workers.backtest.backtest import ScoredSensor
from workers.backtest.incidents import FoundIncident

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_EXPLAINED = 500
"""Incidents that reasons are sought for."""


@dataclass(frozen=True, kw_only=True)
class ExplainedIncident:
    """An incident and why.

    Attributes:
        incident: which.
        is_false: whether it is none by the labels; None without labels.
        why: looks, features and the nearest normal example; None where no reasons were sought.
    """

    incident: FoundIncident
    is_false: bool | None = None
    why: Explanation | None = None

    def document(self, names: Sequence[str]) -> dict[str, Any]:
        """As plain values; `names` are the channels of the model."""
        one = self.incident.told
        return {
            "id": str(one.id),
            "sensor": one.sensor_id,
            "opened": short_ns(one.opened_ns),
            "first": short_ns(one.first_ns),
            "last": short_ns(one.last_ns),
            "duration_s": one.duration_s,
            "ended": None if one.end_reason is None else one.end_reason.replace("_", " "),
            "severity": str(one.severity),
            "p_value": one.p_value,
            "peak": one.peak,
            "mean": one.mean,
            "readings": one.readings,
            "flagged": one.flagged,
            "direction": str(one.direction),
            "seen_by": str(one.seen_by),
            "false": self.is_false,
            "channels": [channel.model_dump(mode="json") for channel in one.channels],
            **_reasons(self.why, names),
        }


def explanations(
    one: ScoredSensor,
    incidents: Sequence[FoundIncident],
    detector: Detector,
    *,
    max_gap_s: float = 0.0,
) -> Sequence[Explanation | None]:
    """Reasons for incidents of a sensor, each at the row that was farthest out.

    Args:
        one: that they are of.
        incidents: at most `MOST_EXPLAINED`; of more the rest have none.
        detector: that scored the rows.
        max_gap_s: as for the backtest.
    """
    tops = [incident.top for incident in incidents[:MOST_EXPLAINED]]
    rest = [None] * (len(incidents) - len(tops))
    if not tops:
        return rest
    rows, times, ends, lengths = _windows(one, tops, detector, max_gap_s)
    groups = np.full(len(ends), detector.group_of(one.sensor), dtype=np.int32)
    return [*explain(detector, rows, ends, groups, lengths=lengths, times=times), *rest]


def _windows(
    one: ScoredSensor, tops: Sequence[int], detector: Detector, max_gap_s: float
) -> tuple[FloatArray, IntArray, IntArray, IntArray]:
    """The windows that end at some rows, one behind the other, and their times; ends; lengths."""
    gap_ns = max(round((max_gap_s or detector.max_gap_s) * 1e9), 1)
    field = detector.receptive_field
    starts = np.append(0, np.flatnonzero(np.diff(one.ts_ns) > gap_ns) + 1)
    pieces, times, lengths = [], [], []
    for top in tops:
        begin = starts[np.searchsorted(starts, top, side="right") - 1]
        length = int(min(top + 1 - begin, field))
        empty = np.full((field - length, one.values.shape[1]), np.nan)
        pieces += [empty, one.values[top + 1 - length : top + 1]]
        times += [np.zeros(field - length, np.int64), one.ts_ns[top + 1 - length : top + 1]]
        lengths.append(length)
    ends = np.arange(1, len(tops) + 1, dtype=np.int64) * field - 1
    whole = np.array(lengths, dtype=np.int64)
    return np.concatenate(pieces), np.concatenate(times), ends, whole


def _reasons(why: Explanation | None, names: Sequence[str]) -> dict[str, Any]:
    if why is None:
        return {"looks": [], "reasons": [], "nearest": None}
    near = why.nearest
    return {
        "looks": [{"look": name, "share": share} for name, share in why.looks],
        "reasons": [
            {
                "channel": names[reason.channel],
                "feature": reason.feature,
                "rows": reason.rows,
                "deviation": reason.deviation,
            }
            for reason in why.reasons
        ],
        "nearest": None if near is None else {"sensor": near.sensor, "ts": short_ns(near.ts_ns)},
    }

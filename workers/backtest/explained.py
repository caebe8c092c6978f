"""Incidents with reasons: which channel, what was expected of it, what saw it, what is like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.calibration.severity import Direction
from detector.explanation import Explanation, band, explain
from detector.scoring import Detector
from schemas.wire.timestamp import short_ns
from workers.backtest.backtest import ScoredSensor
from workers.backtest.incidents import FoundIncident

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_CHANNELS = 5
"""Channels of an incident that are told of."""
MOST_EXPLAINED = 500
"""Incidents that reasons are sought for."""


@dataclass(frozen=True, kw_only=True)
class ChannelAccount:
    """One channel at the row of an incident that was farthest out.

    Attributes:
        share: in the score, 0..1.
        observed: channel units; None where the value is missing.
        expected: what the signal autoencoder makes of the window.
        band: half the width of the normal band around it.
    """

    channel: str
    unit: str
    share: float
    observed: float | None
    expected: float
    band: float

    @property
    def direction(self) -> str:
        """`high`, `low`, `pattern`, or `missing`."""
        if self.observed is None:
            return "missing"
        return str(Direction.of(self.observed, self.expected, self.band))


@dataclass(frozen=True, kw_only=True)
class ExplainedIncident:
    """An incident and why.

    Attributes:
        incident: which.
        channels: with the largest shares, the main one first; empty where no reasons were sought.
        why: looks, features and the nearest normal example; None likewise.
    """

    incident: FoundIncident
    channels: Sequence[ChannelAccount] = ()
    why: Explanation | None = None

    def document(self, names: Sequence[str]) -> dict[str, Any]:
        """As plain values; `names` are the channels of the model."""
        one = self.incident
        return {
            "sensor": one.sensor,
            "opened": short_ns(one.opened_ns),
            "first": short_ns(one.first_ns),
            "last": short_ns(one.last_ns),
            "duration_s": one.duration_s,
            "ended": None if one.reason is None else one.reason.name.lower().replace("_", " "),
            "severity": one.severity.word,
            "p_value": one.p_value,
            "peak": one.peak,
            "seen_by": one.fired.name.lower(),
            "channels": [
                {**asdict(channel), "direction": channel.direction} for channel in self.channels
            ],
            **_reasons(self.why, names),
        }


def explained(
    one: ScoredSensor,
    incidents: Sequence[FoundIncident],
    detector: Detector,
    *,
    max_gap_s: float = 0.0,
) -> list[ExplainedIncident]:
    """Explain incidents of a sensor, each at the row that was farthest out.

    Args:
        one: that they are of.
        incidents: at most `MOST_EXPLAINED`; more come without reasons.
        detector: that scored the rows.
        max_gap_s: as for the backtest.
    """
    asked, rest = incidents[:MOST_EXPLAINED], incidents[MOST_EXPLAINED:]
    plain = [ExplainedIncident(incident=incident) for incident in rest]
    if not asked:
        return plain
    tops = [incident.top for incident in asked]
    rows, times, ends, lengths = _windows(one, tops, detector, max_gap_s)
    groups = np.full(len(ends), detector.group_of(one.sensor), dtype=np.int32)
    scores = detector.score(rows, ends, groups, lengths=lengths, times=times)
    reasons = explain(detector, rows, ends, groups, lengths=lengths, times=times)
    half = band(detector, detector.group_of(one.sensor))
    return [
        ExplainedIncident(
            incident=incident,
            channels=_accounts(
                detector, scores.contribution[i], rows[ends[i]], scores.expected[i], half
            ),
            why=reasons[i],
        )
        for i, incident in enumerate(asked)
    ] + plain


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


def _accounts(
    detector: Detector,
    shares: FloatArray,
    observed: FloatArray,
    expected: FloatArray,
    half: FloatArray,
) -> list[ChannelAccount]:
    found = []
    for place in np.argsort(-shares, kind="stable")[:MOST_CHANNELS].tolist():
        value = float(observed[place])
        found.append(
            ChannelAccount(
                channel=detector.channels[place],
                unit=detector.units[place],
                share=float(shares[place]),
                observed=value if np.isfinite(value) else None,
                expected=float(expected[place]),
                band=float(half[place]),
            )
        )
    return found


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

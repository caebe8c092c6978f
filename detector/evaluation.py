"""How good is a detector, given labels: point, event and threshold-free measures.

Labels are for judging only; nothing here is used in training or calibration. Every function is
pure numpy on one series (rows in time order); `evaluate` joins several series without letting an
event run from one into the next.

Left out on purpose: point adjustment (one hit counts a whole event) and the affiliation score.
Under both a random score looks excellent.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from detector.signal.series import true_runs

VUS_THRESHOLDS = 250
DEFAULT_VUS_WINDOW = 100
MAX_VUS_WINDOW = 10_000
_DAY_S = 86_400.0

Mask = Bool[np.ndarray, " rows"]
Column = Float64[np.ndarray, " rows"]
Ranges = Int64[np.ndarray, "ranges 2"]
"""First row and row after the last of each range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counts(ABC):
    """Precision, recall and F1 of what was found, flagged in vain and missed; 0 of nothing."""

    def __add__(self, other: Self) -> Self:
        mine, others = asdict(self), asdict(other)
        return type(self)(**{name: count + others[name] for name, count in mine.items()})

    @property
    @abstractmethod
    def _found_false_missed(self) -> tuple[int, int, int]: ...

    @property
    def precision(self) -> float:
        """Share of what is flagged that is anomalous."""
        found, false, _ = self._found_false_missed
        return _ratio(found, found + false)

    @property
    def recall(self) -> float:
        """Share of what is anomalous that is flagged."""
        found, _, missed = self._found_false_missed
        return _ratio(found, found + missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        found, false, missed = self._found_false_missed
        return _ratio(2 * found, 2 * found + false + missed)


@dataclass(frozen=True, kw_only=True, slots=True)
class PointCounts(_Counts):
    """The confusion matrix of rows. Add two to pool them."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0

    @property
    def _found_false_missed(self) -> tuple[int, int, int]:
        return self.true_positives, self.false_positives, self.false_negatives

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal rows that are flagged (FAR)."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def missed_alarm_rate(self) -> float:
        """Share of anomalous rows that are not flagged (MAR)."""
        return _ratio(self.false_negatives, self.true_positives + self.false_negatives)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventCounts(_Counts):
    """Events found and missed, and flagged runs that touch no event. Add two to pool them."""

    found: int = 0
    missed: int = 0
    false: int = 0

    @property
    def _found_false_missed(self) -> tuple[int, int, int]:
        return self.found, self.false, self.missed


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a detector said of one series, and what was true.

    Attributes:
        ts_ns: event time of each row, non-decreasing.
        labels: True where the row is anomalous.
        scores: the published score; a row is flagged when it is >= 1.0.
    """

    ts_ns: Int64[np.ndarray, " rows"]
    labels: Mask
    scores: Column

    @property
    def flags(self) -> Mask:
        """Rows at or above the threshold 1.0."""
        return self.scores >= 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The whole verdict over one or several series.

    Attributes:
        points: pooled confusion matrix of rows.
        events: pooled event counts.
        delays_s: seconds from the start of each found event to its first flagged row.
        normal_s: time under observation without a label, in seconds.
        vus_pr: mean over the series that have an event; NaN when none has.
        average_precision: likewise.
        best_f1: likewise: point F1 at the best threshold in hindsight, an upper bound.
    """

    points: PointCounts
    events: EventCounts
    delays_s: Float64[np.ndarray, " found"]
    normal_s: float
    vus_pr: float
    average_precision: float
    best_f1: float

    @property
    def false_alarms_per_day(self) -> float:
        """False flagged runs a day of normal operation; NaN without normal time."""
        return self.events.false / (self.normal_s / _DAY_S) if self.normal_s else float("nan")

    @property
    def median_delay_s(self) -> float:
        """Median detection delay of the events found; NaN when none was."""
        return float(np.median(self.delays_s)) if len(self.delays_s) else float("nan")


def count_points(labels: Mask, flags: Mask) -> PointCounts:
    """Compare rows one by one, without any adjustment."""
    _check_pair(labels, flags)
    hits = int(np.count_nonzero(labels & flags))
    positives, alarms = int(np.count_nonzero(labels)), int(np.count_nonzero(flags))
    return PointCounts(
        true_positives=hits,
        false_positives=alarms - hits,
        false_negatives=positives - hits,
        true_negatives=len(labels) - positives - alarms + hits,
    )


def count_events(labels: Mask, flags: Mask) -> EventCounts:
    """Count events with any flagged row in them, and flagged runs that touch no event."""
    _check_pair(labels, flags)
    found = int(np.count_nonzero(_any_inside(true_runs(labels), flags)))
    touching = int(np.count_nonzero(_any_inside(true_runs(flags), labels)))
    return EventCounts(
        found=found, missed=len(true_runs(labels)) - found, false=len(true_runs(flags)) - touching
    )


def detection_delays(labels: Mask, flags: Mask) -> Int64[np.ndarray, " events"]:
    """Rows from the start of each event to its first flagged row; -1 for a missed event."""
    _check_pair(labels, flags)
    events = true_runs(labels)
    hits = np.append(np.flatnonzero(flags), len(labels))
    first = hits[np.searchsorted(hits, events[:, 0])]
    return np.where(first < events[:, 1], first - events[:, 0], -1)


def average_precision(labels: Mask, scores: Column) -> float:
    """Area under the precision-recall steps, tied scores taken together.

    Raises:
        ValueError: no row is anomalous, or a score is not finite.
    """
    precision, recall = _precision_recall(labels, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def best_f1(labels: Mask, scores: Column) -> float:
    """Point F1 at the threshold that is best in hindsight: an upper bound, never a result.

    Raises:
        ValueError: no row is anomalous, or a score is not finite.
    """
    precision, recall = _precision_recall(labels, scores)
    total = precision + recall
    return float(np.max(np.divide(2 * precision * recall, total, where=total > 0, out=total * 0)))


def vus_pr(labels: Mask, scores: Column, *, window: int) -> float:
    """Volume under the precision-recall surface, as TSB-AD 1.5 computes it.

    For every width w = 0..window each event grows a slope of w // 2 rows on both sides, of weight
    sqrt(1 - distance / w); slopes add up, to 1 at most. A threshold's true positives are the
    weights it flags; its recall is taken against the mean of the plain and the touched label
    mass, times the share of (grown, then merged) events it touches. The area under precision over
    that recall, at 250 thresholds taken from the ranked scores, is averaged over the widths.
    (Paparrizos et al. 2022; Liu and Paparrizos 2024.)

    Args:
        labels: True where anomalous.
        scores: larger is more anomalous, any scale.
        window: largest width in rows, 0..10,000.

    Raises:
        ValueError: no row is anomalous, a score is not finite, or the window is out of range.
    """
    if not 0 <= window <= MAX_VUS_WINDOW:
        raise ValueError(f"window must be in 0..{MAX_VUS_WINDOW}, got {window}")
    _check_ranking(labels, scores)
    events = true_runs(labels)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    thresholds = ranked[np.linspace(0, len(ranked) - 1, VUS_THRESHOLDS).astype(np.int64)]
    flagged = np.searchsorted(-ranked, -thresholds, side="right")
    hits = np.cumsum(labels[order])[flagged - 1]
    areas = []
    for width in range(window + 1):
        mass = np.cumsum(_slopes(labels, events, width)[order])[flagged - 1]
        existence = _existence(scores, _grown(events, width, len(scores)), thresholds)
        touched = mass - hits + np.count_nonzero(labels)
        middle = (np.count_nonzero(labels) + touched) / 2.0
        recall = np.minimum(mass / middle, 1.0) * existence
        areas.append(np.sum(np.diff(recall, prepend=0.0) * mass / flagged))
    return float(np.mean(areas))


def evaluate(
    outcomes: Sequence[Outcome], *, interval_s: float, vus_window: int = DEFAULT_VUS_WINDOW
) -> Evaluation:
    """Judge a detector over several series.

    Args:
        outcomes: one per series; an event never runs from one series into the next.
        interval_s: sampling interval, > 0: the time that one row stands for.
        vus_window: the `window` of `vus_pr`.

    Raises:
        ValueError: nothing to judge, or columns of one outcome differ in length.
    """
    if not outcomes:
        raise ValueError("evaluate needs at least one outcome")
    if not interval_s > 0:
        raise ValueError(f"interval_s must be > 0, got {interval_s}")
    points, events, delays, ranked = PointCounts(), EventCounts(), [], []
    for outcome in outcomes:
        if len(outcome.ts_ns) != len(outcome.labels):
            raise ValueError(f"{len(outcome.ts_ns)} times but {len(outcome.labels)} labels")
        points += count_points(outcome.labels, outcome.flags)
        events += count_events(outcome.labels, outcome.flags)
        delays.append(_delays_s(outcome))
        if np.any(outcome.labels):
            labels, scores = outcome.labels, outcome.scores
            volume = vus_pr(labels, scores, window=vus_window)
            ranked.append((volume, average_precision(labels, scores), best_f1(labels, scores)))
    means = np.mean(ranked, axis=0) if ranked else np.full(3, np.nan)
    return Evaluation(
        points=points,
        events=events,
        delays_s=np.concatenate(delays),
        normal_s=(points.false_positives + points.true_negatives) * interval_s,
        vus_pr=float(means[0]),
        average_precision=float(means[1]),
        best_f1=float(means[2]),
    )


def _delays_s(outcome: Outcome) -> Float64[np.ndarray, " found"]:
    rows = detection_delays(outcome.labels, outcome.flags)
    starts = true_runs(outcome.labels)[:, 0][rows >= 0]
    first = starts + rows[rows >= 0]
    seconds: Float64[np.ndarray, " found"] = (outcome.ts_ns[first] - outcome.ts_ns[starts]) / 1e9
    return seconds


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _check_pair(labels: Mask, values: Shaped[np.ndarray, " rows"]) -> None:
    if labels.ndim != 1 or labels.shape != values.shape:
        raise ValueError(f"rows must have one length, got {labels.shape} and {values.shape}")


def _check_ranking(labels: Mask, scores: Column) -> None:
    _check_pair(labels, scores)
    if not labels.any():
        raise ValueError("no row is labelled anomalous: a ranking cannot be judged")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")


def _any_inside(ranges: Ranges, mask: Mask) -> Bool[np.ndarray, " runs"]:
    before = np.concatenate(([0], np.cumsum(mask)))
    inside: Bool[np.ndarray, " runs"] = before[ranges[:, 1]] > before[ranges[:, 0]]
    return inside


def _precision_recall(
    labels: Mask, scores: Column
) -> tuple[Float64[np.ndarray, " distinct"], Float64[np.ndarray, " distinct"]]:
    """Precision and recall at each distinct score, highest first."""
    _check_ranking(labels, scores)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits = np.cumsum(labels[order])[last_of_tie]
    return hits / (last_of_tie + 1.0), hits / float(labels.sum())


def _slopes(labels: Mask, events: Ranges, width: int) -> Column:
    """Label weights with a slope of `width` // 2 rows on both sides of every event."""
    weights = labels.astype(np.float64)
    half = width // 2
    if half == 0:
        return weights
    slope = np.sqrt(1.0 - np.arange(1, half + 1) / width)
    for start, end in events:
        right = min(half, len(weights) - end)
        weights[end : end + right] += slope[:right]
        left = min(half, start)
        weights[start - left : start] += slope[:left][::-1]
    return np.minimum(weights, 1.0)


def _grown(events: Ranges, width: int, n_rows: int) -> Ranges:
    """Events grown by `width` // 2 rows on both sides, touching ones merged."""
    half = width // 2
    starts, ends = events[:, 0] - half, events[:, 1] + half
    apart = starts[1:] >= ends[:-1]
    first, last = np.append(True, apart), np.append(apart, True)
    merged = np.stack([starts[first], ends[last]], axis=1)
    grown: Ranges = np.clip(merged, 0, n_rows)
    return grown


def _existence(
    scores: Column,
    ranges: Ranges,
    thresholds: Float64[np.ndarray, " thresholds"],
) -> Float64[np.ndarray, " thresholds"]:
    """Share of ranges whose highest score reaches each threshold."""
    peaks = np.sort([scores[start:end].max() for start, end in ranges])
    return 1.0 - np.searchsorted(peaks, thresholds, side="left") / len(peaks)

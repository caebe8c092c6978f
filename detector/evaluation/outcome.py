"""The whole verdict over several series, from published scores alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from detector.evaluation.counts import (
    Column,
    EventCounts,
    Mask,
    PointCounts,
    count_events,
    count_points,
    detection_delays,
)
from detector.evaluation.ranking import average_precision, best_f1
from detector.evaluation.vus import DEFAULT_VUS_WINDOW, vus_pr
from detector.signal.series import true_runs

_DAY_S = 86_400.0


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

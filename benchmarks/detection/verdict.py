"""What one detector's scores of one series are worth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.detector import NamedDetector, Scored
from benchmarks.detection.series import Half, LabelledSeries, Rows
from detector.evaluation import (
    AlarmCounts,
    PointCounts,
    average_precision,
    best_f1,
    count_alarms,
    count_points,
    hit_rate,
    ndcg,
    vus_pr,
)


@dataclass(frozen=True, kw_only=True)
class Explained:
    """How well one event's root causes were named."""

    hit_rate_100: float
    hit_rate_150: float
    ndcg: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One detector on one series.

    Attributes:
        series, set, half, detector: which.
        vus_pr, average_precision, best_f1: of the ranking; NaN without an event. The last is an
            oracle's: the threshold is chosen by the labels.
        settled_vus_pr, settled_ap: of the score read late; NaN where there is none.
        points: rows in alarm against labels, after training.
        alarms: the same in incidents.
        causes: events whose root causes are known.
        by_blame, by_errors: events explained by the detector's own account, and by its squared
            errors alone.
        fit_s, score_s: seconds.
    """

    series: str
    set: str
    half: Half
    detector: str
    vus_pr: float
    average_precision: float
    best_f1: float
    settled_vus_pr: float
    settled_ap: float
    points: PointCounts
    alarms: AlarmCounts
    causes: int = 0
    by_blame: tuple[Explained, ...] = ()
    by_errors: tuple[Explained, ...] = ()
    fit_s: float = 0.0
    score_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A detector that could not be trained on a series, or gave no usable scores."""

    series: str
    set: str
    detector: str
    message: str


def run_detector(
    series: LabelledSeries, detector: NamedDetector, *, seed: int
) -> tuple[Scored, float, float]:
    """Train and score; the scores, seconds to fit, seconds to score.

    Raises:
        ValueError: the history cannot be learned from, or a score is not finite.
    """
    begin = time.perf_counter()
    fitted = detector.train(series.history(seed=seed))
    trained = time.perf_counter()
    scored = fitted.score(series.rows, series.times)
    end = time.perf_counter()
    if scored.score.shape != series.labels.shape or not np.isfinite(scored.score).all():
        raise ValueError(f"{detector.name} must give one finite score for each row")
    return scored, trained - begin, end - trained


def judge(
    series: LabelledSeries,
    scored: Scored,
    *,
    detector: str,
    fit_s: float = 0.0,
    score_s: float = 0.0,
) -> Verdict:
    """Compare scores with the truth."""
    labels, scores = series.labels[series.judged], scored.score[series.judged]
    known = bool(labels.any())
    nan = float("nan")
    late = scored.settled[series.judged] if known and scored.settled is not None else None
    alarm_rows = series.alarm_judged
    return Verdict(
        series=series.name,
        set=series.set,
        half=series.half,
        detector=detector,
        vus_pr=vus_pr(labels, scores, window=series.window) if known else nan,
        average_precision=average_precision(labels, scores) if known else nan,
        best_f1=best_f1(labels, scores) if known else nan,
        settled_vus_pr=nan if late is None else vus_pr(labels, late, window=series.window),
        settled_ap=nan if late is None else average_precision(labels, late),
        points=count_points(series.labels[alarm_rows], scored.flags[alarm_rows]),
        alarms=count_alarms(
            scored.alarms, series.labels, alarm_rows, rate=1.0 / series.budget_rows
        ),
        causes=len(series.root_causes),
        by_blame=explain(series, scored.blame),
        by_errors=explain(series, scored.errors),
        fit_s=fit_s,
        score_s=score_s,
    )


def explain(series: LabelledSeries, parts: Rows | None) -> tuple[Explained, ...]:
    """Judge the mean of the parts over each event against its root causes.

    Events after training in which the detector gives no part at all are left out.
    """
    if parts is None:
        return ()
    explained = []
    for cause in series.root_causes:
        inside = parts[cause.start : cause.end]
        inside = inside[~np.isnan(inside).any(axis=1)]
        if cause.start < series.n_train or len(inside) == 0:
            continue
        relevant = np.zeros(parts.shape[1], dtype=bool)
        relevant[list(cause.channels)] = True
        blame = inside.mean(axis=0)
        explained.append(
            Explained(
                hit_rate_100=hit_rate(relevant, blame),
                hit_rate_150=hit_rate(relevant, blame, share=1.5),
                ndcg=ndcg(relevant, blame),
            )
        )
    return tuple(explained)


def judge_all(
    series: LabelledSeries, detectors: Sequence[NamedDetector], *, seed: int
) -> tuple[dict[str, Scored], list[Verdict | Failure]]:
    """Run several detectors on one series; one that fails does not stop the others."""
    scored: dict[str, Scored] = {}
    results: list[Verdict | Failure] = []
    for detector in detectors:
        try:
            given, fit_s, score_s = run_detector(series, detector, seed=seed)
        except (ValueError, RuntimeError) as error:
            failure = Failure(
                series=series.name, set=series.set, detector=detector.name, message=str(error)
            )
            results.append(failure)
            continue
        scored[detector.name] = given
        results.append(judge(series, given, detector=detector.name, fit_s=fit_s, score_s=score_s))
    return scored, results

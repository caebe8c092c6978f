"""How good is a detector, given labels: point, event, incident and threshold-free measures.

Labels are for judging only; nothing here is used in training or calibration. Every function is
pure numpy on one series (rows in time order); `evaluate` joins several series without letting an
event run from one into the next.

Left out on purpose: point adjustment (one hit counts a whole event) and the affiliation score.
Under both a random score looks excellent.
"""

from detector.evaluation.bootstrap import Interval, bootstrap_mean
from detector.evaluation.counts import (
    EventCounts,
    PointCounts,
    count_events,
    count_points,
    detection_delays,
)
from detector.evaluation.incidents import (
    EARLY_ROWS,
    MERGE_GAP_ROWS,
    AlarmCounts,
    count_alarms,
    false_openings,
    merged_runs,
)
from detector.evaluation.outcome import Evaluation, Outcome, evaluate
from detector.evaluation.ranking import average_precision, best_f1
from detector.evaluation.root_causes import hit_rate, ndcg
from detector.evaluation.vus import DEFAULT_VUS_WINDOW, MAX_VUS_WINDOW, VUS_THRESHOLDS, vus_pr

__all__ = [
    "DEFAULT_VUS_WINDOW",
    "EARLY_ROWS",
    "MAX_VUS_WINDOW",
    "MERGE_GAP_ROWS",
    "VUS_THRESHOLDS",
    "AlarmCounts",
    "Evaluation",
    "EventCounts",
    "Interval",
    "Outcome",
    "PointCounts",
    "average_precision",
    "best_f1",
    "bootstrap_mean",
    "count_alarms",
    "count_events",
    "count_points",
    "detection_delays",
    "evaluate",
    "false_openings",
    "hit_rate",
    "merged_runs",
    "ndcg",
    "vus_pr",
]

"""From verdicts on series to the lines of the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.detection.verdict import Explained, Verdict
from detector.evaluation import PointCounts, bootstrap_mean

Line = dict[str, Any]
BY_HALF = frozenset({"VUS-PR", "AP", "F1 pooled", "at most 2x", "within x2"})
"""Columns of which a table for people shows the halves too."""
LEAST_ASKED = 1.5
"""Series that may have fewer incidents cannot be within a factor of two on both sides."""


def by_set(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """The verdicts of each set, in order of appearance."""
    sets: dict[str, list[Verdict]] = {}
    for one in verdicts:
        sets.setdefault(one.set, []).append(one)
    return sets


def lines(verdicts: Sequence[Verdict], line: Callable[[Sequence[Verdict]], Line]) -> list[Line]:
    """One line for each set, detector and half: A, B and both."""
    made = []
    for name, members in by_set(verdicts).items():
        for detector in dict.fromkeys(one.detector for one in members):
            mine = [one for one in members if one.detector == detector]
            halves = sorted({one.half for one in mine})
            parts: list[tuple[str, list[Verdict]]] = [
                (half, [one for one in mine if one.half == half]) for half in halves
            ]
            if len(parts) > 1:
                parts.append(("both", mine))
            made += [
                {"set": name, "detector": detector, "half": half, "series": len(part)} | line(part)
                for half, part in parts
            ]
    return made


def ranking(verdicts: Sequence[Verdict]) -> Line:
    """Without a threshold, then rows at the label-free threshold."""
    points = sum((one.points for one in verdicts), PointCounts())
    events = any(one.alarms.events for one in verdicts)
    f1 = [one.points.f1 for one in verdicts if one.alarms.events]
    return {
        "VUS-PR": _mean([one.vus_pr for one in verdicts]),
        "AP": _mean([one.average_precision for one in verdicts]),
        "best F1 (oracle)": _mean([one.best_f1 for one in verdicts]),
        "settled VUS-PR": _mean([one.settled_vus_pr for one in verdicts]),
        "settled AP": _mean([one.settled_ap for one in verdicts]),
        "F1 pooled": points.f1 if events else None,
        "F1 mean": _mean(f1),
        "FAR %": 100 * points.false_alarm_rate,
        "MAR %": 100 * points.missed_alarm_rate if events else None,
    }


def incidents(verdicts: Sequence[Verdict]) -> Line:
    """The budget asked and observed, and what was found for it."""
    alarms = [one.alarms for one in verdicts]
    able = [one for one in alarms if one.asked >= LEAST_ASKED]
    events = sum(one.events for one in alarms)
    delays = np.concatenate([one.delays for one in alarms])
    rows = sum(one.alarm_rows for one in alarms)
    outside = sum(one.normal_alarm_rows for one in alarms)
    return {
        "asked": sum(one.asked for one in alarms),
        "false": sum(one.false for one in alarms),
        "at most 2x": float(np.mean([one.at_most_twice for one in alarms])),
        "within x2": float(np.mean([one.within_twice for one in able])) if able else None,
        "of": len(able),
        "found": f"{sum(one.found for one in alarms)}/{events}" if events else None,
        "opened in": sum(one.opened for one in alarms) if events else None,
        "delay rows": float(np.median(delays)) if len(delays) else None,
        "normal time in alarm %": 100 * outside / sum(one.normal_rows for one in alarms),
        "alarm time outside %": 100 * outside / rows if rows and events else None,
    }


def root_causes(verdicts: Sequence[Verdict]) -> list[Line]:
    """Explanations against the experts', by the detector's own account and by its errors."""
    made = []
    for name, members in by_set([one for one in verdicts if one.causes]).items():
        for detector in dict.fromkeys(one.detector for one in members):
            mine = [one for one in members if one.detector == detector]
            causes = sum(one.causes for one in mine)
            for source, explained in (
                ("own account", [event for one in mine for event in one.by_blame]),
                ("errors", [event for one in mine for event in one.by_errors]),
            ):
                if explained:
                    line = {"set": name, "detector": detector, "by": source}
                    made.append(line | _explained(explained, causes))
    return made


def paired(verdicts: Sequence[Verdict], measure: str, *, against: str, seed: int) -> list[Line]:
    """Mean of a measure with its 95 % interval, and the paired difference from one detector."""
    made = []
    for name, members in by_set(verdicts).items():
        reference = {
            one.series: getattr(one, measure) for one in members if one.detector == against
        }
        for detector in dict.fromkeys(one.detector for one in members):
            mine = [one for one in members if one.detector == detector]
            values = np.array([getattr(one, measure) for one in mine])
            if np.isnan(values).all():
                continue
            line = {
                "set": name,
                "detector": detector,
                "series": int((~np.isnan(values)).sum()),
                "mean": str(bootstrap_mean(values, np.random.default_rng(seed))),
            }
            if reference and detector != against:
                gaps = [
                    reference[one.series] - getattr(one, measure)
                    for one in mine
                    if one.series in reference
                ]
                drawn = np.random.default_rng(seed)
                line[f"{against} minus it"] = str(bootstrap_mean(np.array(gaps), drawn))
            made.append(line)
    return made


def costs(verdicts: Sequence[Verdict]) -> Line:
    """Seconds of one core, mean over series."""
    return {
        "fit s": float(np.mean([one.fit_s for one in verdicts])),
        "score s": float(np.mean([one.score_s for one in verdicts])),
    }


def cost_by_detector(verdicts: Sequence[Verdict]) -> list[Line]:
    """The same over all sets."""
    return [
        {"detector": detector} | costs([one for one in verdicts if one.detector == detector])
        for detector in dict.fromkeys(one.detector for one in verdicts)
    ]


def condensed(long: Sequence[Line]) -> list[Line]:
    """One line for each set and detector: both halves, and in brackets A / B where it matters."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in long:
        groups.setdefault((line["set"], line["detector"]), []).append(line)
    made = []
    for *halves, whole in groups.values():
        line = {key: value for key, value in whole.items() if key != "half"}
        for key in BY_HALF & line.keys():
            parts = [half[key] for half in halves]
            if parts and None not in {line[key], *parts}:
                line[key] = f"{line[key]:.3f} ({' / '.join(f'{part:.3f}' for part in parts)})"
        made.append(line)
    return made


def _explained(events: Sequence[Explained], causes: int) -> Line:
    return {
        "events": f"{len(events)}/{causes}",
        "HitRate@100 %": float(np.mean([one.hit_rate_100 for one in events])),
        "HitRate@150 %": float(np.mean([one.hit_rate_150 for one in events])),
        "NDCG": float(np.mean([one.ndcg for one in events])),
    }


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None

"""Fit a fusion of logs on the history as models measure it that have not seen it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from detector.calibration.alarm_numbers import INDEPENDENT, TRUST, AlarmNumbers
from detector.calibration.alarm_rule import START_OFFSET
from detector.calibration.budget import least_rate
from detector.calibration.fusion import Fused
from detector.calibration.log_fusion import LogFusion, weights
from detector.calibration.threshold import Calibration
from detector.signal.series import thin
from detector.training.base import CrossFit
from detector.training.dataset import Dataset
from detector.training.fitted_scores import FittedScores, Stretch, alarm_numbers, drift_watch
from detector.training.signal_history import SignalHistory
from detector.training.standing_out_rows import standing_out_rows
from detector.views.joined import Views

MAX_GROUP_ROWS = 20_000
MAX_POOLED_ROWS = 200_000
BLOCKS = 3
LIFTS = 1.1


@dataclass(frozen=True)
class _History:
    """Rows of a calibration group (none are named of the pooled one), their levels and blocks."""

    rows: Int64[np.ndarray, " n"]
    levels: Float64[np.ndarray, "_ levels"]
    blocks: Int64[np.ndarray, " _"]

    def without(self, out: Int64[np.ndarray, " k"]) -> "_History":
        return _History(*(np.delete(one, out, 0) for one in (self.rows, self.levels, self.blocks)))


def fit_logs(
    views: Views, data: Dataset, crossfit: CrossFit, *, rate: float, understood: float
) -> FittedScores:
    """Medians, weights and thresholds of every group, the pooled one first.

    A published score of 1 is where the alarm rule would open on a sensor's first day.

    Args:
        views: fitted.
        data: what they were fitted on.
        crossfit: the history as models measure it that have not seen it.
        rate: false incidents a reading that the budget allows.
        understood: see `detector.calibration.log_fusion.weights`.
    """
    rate = max(rate, least_rate(len(crossfit.rows)))
    signal = SignalHistory(views, data)
    measured = np.concatenate([signal.distances(crossfit.rows), crossfit.distances])
    pooled = measured
    if len(data.names) > 1:
        unseen = signal.distances(crossfit.pooled_rows, group=0)
        pooled = np.concatenate([unseen, crossfit.pooled])
    groups = data.groups[crossfit.rows]
    own = [
        np.flatnonzero(groups == group)[-MAX_GROUP_ROWS:]
        for group in range(1, len(data.sensors) + 1)
    ]
    distances = [_thinned(pooled, MAX_POOLED_ROWS)]
    distances += [measured[:, rows] for rows in own]
    names = [name for view in views for name in view.features]
    held_back = measured[:, np.isin(crossfit.rows, signal.held_back)]
    fusion = LogFusion(
        median=shrunk(
            np.stack([LogFusion.medians(one) for one in distances], axis=1),
            np.array([len(rows) for rows in own]),
        ),
        weight=weights(names, measured, held_back, understood),
    )
    whole = [_fused(fusion, one, group, partial=False) for group, one in enumerate(distances)]
    blocks = [np.arange(distances[0].shape[1]) * BLOCKS // distances[0].shape[1]]
    blocks += [crossfit.blocks[rows] for rows in own]
    levels = [one.levels.T for one in whole]
    alarms = alarm_numbers(levels, blocks)
    total = fusion.weight.sum(axis=1)
    rows = [crossfit.rows[:0], *(crossfit.rows[places] for places in own)]
    histories = list(map(_History, rows, levels, blocks))
    stretches, rest = _stretches(data, histories, alarms, rate, float(total[0]))
    if rest is not histories:
        alarms = alarm_numbers([one.levels for one in rest], [one.blocks for one in rest])
    opening = np.exp(_opening(alarms, rate) / total)
    partial = [_fused(fusion, one, group, partial=True) for group, one in enumerate(distances)]
    return FittedScores(
        fusion=fusion,
        calibration=Calibration.of([one.raw for one in whole], opening[:, 0]),
        partial=Calibration.of([one.raw for one in partial], opening[:, 1]),
        alarms=alarms,
        drift=drift_watch(levels, data.interval_s),
        readings=len(crossfit.rows),
        standing_out=tuple(stretches),
    )


def shrunk(
    medians: Float32[np.ndarray, "distances groups"], rows: Int64[np.ndarray, " sensors"]
) -> Float32[np.ndarray, "distances groups"]:
    """Each sensor's medians as far as its independent rows carry them, else those of its like.

    Args:
        medians: of the pooled group, which stays as it is, and of each sensor.
        rows: of each sensor.
    """
    if medians.shape[1] < 3:  # noqa: PLR2004 (the pooled group and one sensor: nobody is like it)
        return medians
    shrunk = medians.copy()
    logs = np.log(medians[:, 1:])
    independent = rows / INDEPENDENT
    own = independent / (independent + TRUST)
    shrunk[:, 1:] = np.exp(own * logs + (1 - own) * np.median(logs, axis=1, keepdims=True))
    return shrunk


def _opening(alarms: AlarmNumbers, rate: float) -> Float64[np.ndarray, "groups views"]:
    """Levels at which the rule opens on a sensor's first day."""
    bars: Float64[np.ndarray, "groups views"] = alarms.centre + alarms.spread * (
        alarms.bars(rate) + START_OFFSET * alarms.slope
    )
    return bars


def _stretches(
    data: Dataset, groups: Sequence[_History], alarms: AlarmNumbers, rate: float, total: float
) -> tuple[list[Stretch], Sequence[_History]]:
    """What stands out in the history of each sensor with numbers of its own.

    Returns:
        The stretches, and the histories without those that lift a threshold by `LIFTS` or more:
        one fault in a history must not deafen the model for its like. The very same histories if
        none does.

    Args:
        data: the history.
        groups: all of it that the numbers rest on, the pooled group's first.
        alarms: fitted on them.
        rate: that the budget allows.
        total: weight of all distances in the ranking level.
    """
    found, rest = list[Stretch](), list(groups)
    for group, own in enumerate(groups[1:], start=1):

        def factor(out: Int64[np.ndarray, " _"], own: _History = own) -> float:
            # By the sensor's own rows alone: what the others lend it does not hang on them.
            with_it, without = (
                _opening(alarm_numbers([one.levels], [one.blocks]), rate)[0, 0]
                for one in (own, own.without(out))
            )
            return float(np.exp((with_it - without) / total))

        own_found = standing_out_rows(
            data, own.rows, own.levels, alarms, group, threshold_without=factor
        )
        found += [stretch for stretch, _ in own_found]
        lifting = [places for stretch, places in own_found if stretch.factor >= LIFTS]
        if lifting:
            rest[group] = own.without(np.concatenate(lifting))
    kept = all(one is other for one, other in zip(rest, groups, strict=True))
    return found, groups if kept else rest


def _fused(
    fusion: LogFusion, distances: Float32[np.ndarray, "distances n"], group: int, *, partial: bool
) -> Fused:
    n = distances.shape[1]
    return fusion.fuse(distances, np.full(n, group), np.full(n, partial))


def _thinned(
    distances: Float32[np.ndarray, "distances n"], limit: int
) -> Float32[np.ndarray, "distances k"]:
    picked = thin(np.arange(distances.shape[1]), limit)
    return distances[:, picked]

"""Fit a fusion of logs on the history as models measure it that have not seen it."""

import numpy as np
from jaxtyping import Float32, Int64

from detector.calibration.alarm_numbers import INDEPENDENT, TRUST
from detector.calibration.alarm_rule import START_OFFSET
from detector.calibration.fusion import Fused
from detector.calibration.log_fusion import LogFusion, weights
from detector.calibration.threshold import Calibration
from detector.signal.series import thin
from detector.training.base import CrossFit
from detector.training.dataset import Dataset
from detector.training.fitted_scores import FittedScores, alarm_numbers
from detector.training.signal_history import SignalHistory
from detector.views.joined import Views

MAX_GROUP_ROWS = 20_000
MAX_POOLED_ROWS = 200_000
BLOCKS = 3


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
    signal = SignalHistory(views, data)
    measured = np.concatenate([signal.distances(crossfit.rows), crossfit.distances])
    pooled = measured
    if len(data.names) > 1:
        unseen = signal.distances(crossfit.pooled_rows, group=0)
        pooled = np.concatenate([unseen, crossfit.pooled])
    groups = data.groups[crossfit.rows]
    own = [np.flatnonzero(groups == group) for group in range(1, len(data.sensors) + 1)]
    distances = [_thinned(pooled, MAX_POOLED_ROWS)]
    distances += [measured[:, rows[-MAX_GROUP_ROWS:]] for rows in own]
    names = [name for view in views for name in view.features]
    held_back = measured[:, np.isin(crossfit.rows, signal.held_back)]
    fusion = LogFusion(
        median=_shrunk(
            np.stack([LogFusion.medians(one) for one in distances], axis=1),
            np.array([len(rows) for rows in own]),
        ),
        weight=weights(names, measured, held_back, understood),
    )
    whole = [_fused(fusion, one, group, partial=False) for group, one in enumerate(distances)]
    blocks = [np.arange(distances[0].shape[1]) * BLOCKS // distances[0].shape[1]]
    blocks += [crossfit.blocks[rows[-MAX_GROUP_ROWS:]] for rows in own]
    alarms = alarm_numbers([one.levels.T for one in whole], blocks)
    bars = alarms.centre + alarms.spread * (alarms.bars(rate) + START_OFFSET * alarms.slope)
    opening = np.exp(bars / fusion.weight.sum(axis=1))
    partial = [_fused(fusion, one, group, partial=True) for group, one in enumerate(distances)]
    return FittedScores(
        fusion=fusion,
        calibration=Calibration.of([one.raw for one in whole], opening[:, 0]),
        partial=Calibration.of([one.raw for one in partial], opening[:, 1]),
        alarms=alarms,
        readings=len(crossfit.rows),
        standing_out=(),
    )


def _shrunk(
    medians: Float32[np.ndarray, "distances groups"], rows: Int64[np.ndarray, " sensors"]
) -> Float32[np.ndarray, "distances groups"]:
    """Each sensor's medians as far as its independent rows carry them, else those of its like."""
    if medians.shape[1] < 3:  # noqa: PLR2004 (the pooled group and one sensor: nobody is like it)
        return medians
    shrunk = medians.copy()
    logs = np.log(medians[:, 1:])
    independent = rows / INDEPENDENT
    own = independent / (independent + TRUST)
    shrunk[:, 1:] = np.exp(own * logs + (1 - own) * np.median(logs, axis=1, keepdims=True))
    return shrunk


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

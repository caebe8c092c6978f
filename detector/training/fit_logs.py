"""Fit a fusion of logs on the history as models measure it that have not seen it."""

import numpy as np
from jaxtyping import Float32

from detector.calibration.log_fusion import LogFusion, short_level, weights
from detector.calibration.threshold import Calibration
from detector.signal.series import thin
from detector.training.base import CrossFit
from detector.training.dataset import Dataset
from detector.training.fitted_scores import FittedScores
from detector.views.joined import Views

MAX_GROUP_ROWS = 20_000
MAX_POOLED_ROWS = 200_000


def fit_logs(views: Views, data: Dataset, crossfit: CrossFit, rate: float) -> FittedScores:
    """Medians, weights and thresholds of every group, the pooled one first."""
    groups = data.groups[crossfit.rows]
    distances = [_thinned(crossfit.pooled, MAX_POOLED_ROWS)]
    distances += [
        _thinned(crossfit.distances[:, groups == group], MAX_GROUP_ROWS)
        for group in range(1, len(data.sensors) + 1)
    ]
    names = [name for view in views for name in view.features]
    fusion = LogFusion(
        median=np.stack([LogFusion.medians(one) for one in distances], axis=1),
        weight=weights(names, short_level(names, crossfit.distances), len(crossfit.rows)),
    )
    return FittedScores(
        fusion=fusion,
        calibration=_calibrated(fusion, distances, views, rate, partial=False),
        partial=_calibrated(fusion, distances, views, rate, partial=True),
        standing_out=(),
    )


def _calibrated(
    fusion: LogFusion,
    distances: list[Float32[np.ndarray, "distances _"]],
    views: Views,
    rate: float,
    *,
    partial: bool,
) -> Calibration:
    scores = []
    for group, one in enumerate(distances):
        n = one.shape[1]
        scores.append(fusion.fuse(one, np.full(n, group), np.full(n, partial)).raw)
    return Calibration.fit(scores, rate=rate, receptive_field=views.receptive_field)


def _thinned(
    distances: Float32[np.ndarray, "distances n"], limit: int
) -> Float32[np.ndarray, "distances k"]:
    picked = thin(np.arange(distances.shape[1]), limit)
    return distances[:, picked]

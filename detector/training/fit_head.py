"""Fit a detector's head on the calibration block."""

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from detector.calibration.fusion import Fusion
from detector.calibration.threshold import Calibration
from detector.scoring import Head, decimals_for
from detector.signal.denoising import Denoiser
from detector.signal.series import thin
from detector.training.dataset import Block, Dataset
from detector.views.reconstruction import ReconstructionView

MAX_WINDOWS = 400_000
MAX_GROUP_WINDOWS = 4_000
MIN_GROUP_WINDOWS = 64
_BATCH = 4096
_LEAK_WINDOWS = 1024
_LEAK_STEP = 0.1


def fit_head(view: ReconstructionView, data: Dataset, *, rate: float) -> Head:
    """Features, thresholds and the denoising mix of every group, the fleet's first.

    The fleet's numbers serve sensors that the training has not seen, so its windows are scaled
    with the fleet's scaling, as those sensors' will be.
    """
    ends = data.ends[Block.CALIBRATION]
    groups = data.groups[ends]
    n_groups = len(data.sensors) + 1
    most = max(MIN_GROUP_WINDOWS, min(MAX_GROUP_WINDOWS, MAX_WINDOWS // n_groups))
    chosen = [thin(ends, max(most, MAX_GROUP_WINDOWS * 5))]
    chosen += [thin(ends[groups == group], most) for group in range(1, n_groups)]
    fits = [_fit_group(view, data, group, picked) for group, picked in enumerate(chosen)]
    fusion = Fusion(
        middle=np.concatenate([fit.fusion.middle for fit in fits], axis=1),
        reach=np.concatenate([fit.fusion.reach for fit in fits], axis=1),
    )
    scores = [_raw_scores(fit.fusion, fit.features) for fit in fits]
    return Head(
        fusion=fusion,
        calibration=Calibration.fit(scores, rate=rate, receptive_field=view.receptive_field),
        denoiser=Denoiser(
            weight=np.concatenate([fit.denoiser.weight for fit in fits]),
            limit=np.concatenate([fit.denoiser.limit for fit in fits]),
        ),
        missing_limit=_missing_limits(data, n_groups),
        decimals=decimals_for(view.scaling),
    )


class _GroupFit:
    def __init__(
        self, features: Float32[np.ndarray, "features windows channels"], denoiser: Denoiser
    ) -> None:
        self.features = features
        self.fusion = Fusion.fit(features)
        self.denoiser = denoiser


def _fit_group(
    view: ReconstructionView, data: Dataset, group: int, ends: Int64[np.ndarray, " windows"]
) -> _GroupFit:
    features, last = _measure(view, data, group, ends)
    scaling = view.scaling
    denoiser = Denoiser.fit(
        data.rows[ends],
        last * scaling.scale[group] + scaling.center[group],
        data.sigma[group],
        _leak(view, data, group, thin(ends, _LEAK_WINDOWS)),
    )
    return _GroupFit(features, denoiser)


@torch.inference_mode()
def _measure(
    view: ReconstructionView, data: Dataset, group: int, ends: Int64[np.ndarray, " windows"]
) -> tuple[
    Float32[np.ndarray, "features windows channels"], Float64[np.ndarray, "windows channels"]
]:
    features, last = [], []
    for begin in range(0, len(ends), _BATCH):
        rows, local = _cut(data, ends[begin : begin + _BATCH])
        prepared = view.prepare(rows, np.array(group))
        measured = view.measure(prepared, torch.from_numpy(local).to(view.device))
        features.append(measured.features.cpu().numpy())
        last.append(measured.last.cpu().numpy().astype(np.float64))
    return np.concatenate(features, axis=1), np.concatenate(last)


@torch.inference_mode()
def _leak(
    view: ReconstructionView, data: Dataset, group: int, ends: Int64[np.ndarray, " windows"]
) -> Float64[np.ndarray, " channels"]:
    """Mean change of each channel's last reconstruction when its last reading moves by one."""
    rows, local = _cut(data, ends)
    prepared = view.prepare(rows, np.array(group))
    windows, _ = view.windows(prepared, torch.from_numpy(local).to(view.device))
    before = view.model.reconstruct(windows)[:, -1]
    leak = np.zeros(view.n_channels)
    for channel in range(view.n_channels):
        moved = windows.clone()
        moved[:, -1, channel] += _LEAK_STEP
        after = view.model.reconstruct(moved)[:, -1, channel]
        leak[channel] = float((after - before[:, channel]).mean()) / _LEAK_STEP
    return leak


def _cut(
    data: Dataset, ends: Int64[np.ndarray, " windows"]
) -> tuple[Float64[np.ndarray, "rows channels"], Int64[np.ndarray, " windows"]]:
    """The rows between the first and the last window, and where the windows start in them."""
    first = ends[0] - data.receptive_field + 1
    return data.rows[first : ends[-1] + 1], ends - data.receptive_field + 1 - first


def _raw_scores(
    fusion: Fusion, features: Float32[np.ndarray, "features windows channels"]
) -> Float32[np.ndarray, " windows"]:
    combine = fusion.on(torch.device("cpu")).combine
    groups = torch.zeros(features.shape[1], dtype=torch.int64)
    raw, _ = combine(torch.from_numpy(features.copy()), groups)
    scores: Float32[np.ndarray, " windows"] = raw.numpy()
    return scores


def _missing_limits(data: Dataset, n_groups: int) -> Int64[np.ndarray, "groups channels"]:
    """Half of the window, or what training and calibration have shown to be normal.

    The normal count of missing rows is the 99.9 % quantile over windows, with half as many
    rows again as a margin. A channel that was never there may stay away.
    """
    size = data.receptive_field
    limits = np.full((n_groups, data.rows.shape[1]), size // 2, dtype=np.int64)
    if data.measured.all():
        return limits
    so_far = np.zeros((len(data.rows) + 1, data.rows.shape[1]), dtype=np.int64)
    np.cumsum(~data.measured, axis=0, out=so_far[1:])
    ends = np.sort(np.concatenate([data.ends[Block.TRAINING], data.ends[Block.CALIBRATION]]))
    ends = thin(ends, MAX_WINDOWS)
    count = so_far[ends + 1] - so_far[ends + 1 - size]
    groups = data.groups[ends]
    for group in range(n_groups):
        own = count if group == 0 else count[groups == group]
        usual = np.quantile(own, 0.999, axis=0, method="higher")
        limits[group] = np.clip(np.ceil(usual * 1.5), size // 2, size)
    return limits

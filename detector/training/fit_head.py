"""Fit a detector's head on the calibration block."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int, Int64
from torch import Tensor

from detector.calibration.alarm_rule import AlarmDials, AlarmRule
from detector.calibration.budget import least_rate
from detector.calibration.fusion import LEVELS, MIN_SPREAD, Fusion, raw_scores
from detector.calibration.log_fusion import usual
from detector.calibration.standing_out import standing_out
from detector.calibration.threshold import Calibration
from detector.head import Head, decimals_for
from detector.signal.denoising import explained
from detector.signal.norm import Units
from detector.signal.series import count_in_windows, thin
from detector.training.base import CrossFit
from detector.training.dataset import Block, Dataset
from detector.training.fit_logs import fit_logs
from detector.training.fitted_scores import FittedScores, Stretch, alarm_numbers, drift_watch
from detector.views.joined import Views

MAX_WINDOWS = 400_000
MAX_GROUP_WINDOWS = 4_000
MIN_GROUP_WINDOWS = 64
_BATCH = 4096
_LEAK_WINDOWS = 1024
BLOCKS = 3
"""Of time, that the alarm rule's numbers are medians over."""
_TINY = 1e-30
_HALF = 0.5

Ends = Int64[np.ndarray, " windows"]
Features = Float32[np.ndarray, "features windows channels"]


@dataclass(frozen=True, kw_only=True)
class FittedHead:
    """A head for views, how many readings it rests on, and what stood out among them."""

    views: Views
    head: Head
    readings: int
    standing_out: Sequence[Stretch]


def fit_head(
    views: Views,
    data: Dataset,
    *,
    rate: float,
    dials: AlarmDials,
    crossfit: CrossFit | None = None,
) -> FittedHead:
    """Fusion and thresholds of every group, the pooled one first.

    The pooled numbers serve sensors that the training has not seen, so its windows are scaled
    with the pooled scaler, as those sensors' will be.

    Args:
        views: fitted.
        data: what they were fitted on.
        rate: false incidents a reading that the budget allows.
        dials: of the alarm rule.
        crossfit: the history as models measure it that have not seen it, where views learned from
            all of it; None: the calibration block serves.
    """
    chosen = _calibration_windows(data)
    if crossfit is not None:
        chosen = _usual_windows(views, data, chosen)
    told = [_explained(views, data, group, ends) for group, ends in enumerate(chosen)]
    if crossfit is None:
        scores = _fit_norm(views, data, chosen, rate)
    else:
        # The signal view leaves the calibration block alone: there it gets its units.
        units = Units(**asdict(_fusion(_features(Views([views.signal]), data, chosen))))
        views = views.with_signal(views.signal.as_one(units))
        own = [share for share, _ in told[1:] or told]
        highest = np.where(data.measured, data.rows, -np.inf).max(axis=0)
        moving = highest > np.where(data.measured, data.rows, np.inf).min(axis=0)
        understood = float(np.mean(own, axis=0)[moving].mean()) if moving.any() else 0.0
        scores = fit_logs(views, data, crossfit, rate=rate, understood=understood)
    head = Head(
        fusion=scores.fusion,
        calibration=scores.calibration,
        partial=scores.partial,
        alarms=AlarmRule(
            numbers=scores.alarms,
            rate=rate,
            least_rate=min(least_rate(scores.readings), _HALF),
            dials=dials,
        ),
        drift=scores.drift,
        likeness=None,  # fitted on the scores of the finished detector
        residual=np.stack([usual for _, usual in told]),
        missing_limit=_missing_limits(data, len(chosen), views.signal.receptive_field),
        decimals=decimals_for(views.signal.scaler),
    )
    return FittedHead(
        views=views, head=head, readings=scores.readings, standing_out=scores.standing_out
    )


def _calibration_windows(data: Dataset) -> list[Ends]:
    """Windows of the calibration block of each group, all of them first."""
    ends = data.ends(Block.CALIBRATION, data.receptive_field)
    groups = data.groups[ends]
    n_groups = len(data.sensors) + 1
    most = max(MIN_GROUP_WINDOWS, min(MAX_GROUP_WINDOWS, MAX_WINDOWS // n_groups))
    chosen = [thin(ends, max(most, MAX_GROUP_WINDOWS * 5))]
    return chosen + [thin(ends[groups == group], most) for group in range(1, n_groups)]


def _usual_windows(views: Views, data: Dataset, chosen: Sequence[Ends]) -> list[Ends]:
    """Without one or two stretches that stand out: a fault tells nothing of usual residuals."""
    kept = []
    for ends, measured in zip(chosen, _features(Views([views.signal]), data, chosen), strict=True):
        rms = measured[views.signal.features.index("rms")].astype(np.float64)
        # In units that a fault does not widen: of each channel's median.
        worst = (rms / np.maximum(np.median(rms, axis=0), MIN_SPREAD)).max(axis=1)
        kept.append(ends[usual(np.log(np.maximum(worst, _TINY)))])
    return kept


def _explained(
    views: Views, data: Dataset, group: int, ends: Ends
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """See `explained`: of the newest reading of each window."""
    signal = views.signal
    _, expected = _measure(Views([signal.silent()]), data, group, ends)
    rows, local = _cut(data, thin(ends, _LEAK_WINDOWS))
    return explained(
        data.rows[ends] - signal.scaler.invert(expected, np.array(group)),
        data.sigma[group],
        signal.leak(signal.prepare(rows, np.array(group)), local.to(views.device)),
    )


def _fit_norm(views: Views, data: Dataset, chosen: Sequence[Ends], rate: float) -> FittedScores:
    """Units of the features and thresholds, from the calibration block."""
    features = _features(views, data, chosen)
    fusion = _fusion(features)
    scores = [raw_scores(fusion.of(group), measured) for group, measured in enumerate(features)]
    levels = [np.log(np.maximum(one.astype(np.float64), _TINY)) for one in scores]
    wide = [np.repeat(one[:, None], LEVELS, axis=1) for one in levels]
    return FittedScores(
        alarms=alarm_numbers(wide, [np.arange(len(one)) * BLOCKS // len(one) for one in levels]),
        drift=drift_watch(wide, data.interval_s),
        readings=len(scores[0]),
        fusion=fusion,
        calibration=Calibration.fit(scores, rate=rate, receptive_field=views.receptive_field),
        partial=None,
        standing_out=_stretches(data, chosen, features, rate),
    )


def _features(views: Views, data: Dataset, chosen: Sequence[Ends]) -> list[Features]:
    """The features of the calibration windows of each group."""
    return [_measure(views, data, group, ends)[0] for group, ends in enumerate(chosen)]


def _fusion(features: Sequence[Features]) -> Fusion:
    """Their units, of each group."""
    fusions = [Fusion.fit(one) for one in features]
    return Fusion(
        middle=np.concatenate([one.middle for one in fusions], axis=1),
        reach=np.concatenate([one.reach for one in fusions], axis=1),
    )


@torch.inference_mode()
def _measure(
    views: Views, data: Dataset, group: int, ends: Ends
) -> tuple[Features, Float32[np.ndarray, "windows channels"]]:
    features, expected = [], []
    for begin in range(0, len(ends), _BATCH):
        rows, local = _cut(data, ends[begin : begin + _BATCH])
        prepared = views.prepare(rows, np.array(group))
        measured = views.measure(prepared, local.to(views.device))
        assert measured.expected is not None, "a reconstruction says what it expected"
        features.append(measured.features.cpu().numpy())
        expected.append(measured.expected.cpu().numpy())
    return np.concatenate(features, axis=1), np.concatenate(expected)


def _cut(
    data: Dataset, ends: Ends
) -> tuple[Float64[np.ndarray, "rows channels"], Int[Tensor, " windows"]]:
    """The rows between the first and the last window, and where the windows end in them."""
    first = ends[0] - data.receptive_field + 1
    return data.rows[first : ends[-1] + 1], torch.from_numpy(ends - first)


def _stretches(
    data: Dataset, chosen: Sequence[Ends], features: Sequence[Features], rate: float
) -> tuple[Stretch, ...]:
    """What stands out in the calibration block of each sensor.

    A sensor with numbers of its own is judged by them, the others by the pooled ones.
    """
    found = []
    for group, (ends, measured) in enumerate(zip(chosen, features, strict=True)):
        if group == 0 and len(data.names) == len(data.sensors):
            continue
        own = standing_out(measured, rate=rate)
        for start, end in () if own is None else own.stretches:
            last = int(ends[end - 1])
            owner = data.owners[last]
            if data.groups[last] != group or own is None:
                continue
            # The first rows of a fault are mild in windows that hold few of them.
            first = max(int(ends[start]) - data.receptive_field // 4, 0)
            rows = np.arange(first, last + 1)
            rows = rows[data.owners[rows] == owner]
            found.append(
                Stretch(
                    sensor=data.names[owner],
                    start_ns=int(data.ts_ns[rows[0]]),
                    end_ns=int(data.ts_ns[last]),
                    readings=len(rows),
                    factor=own.factor,
                )
            )
    return tuple(found)


def _missing_limits(
    data: Dataset, n_groups: int, receptive_field: int
) -> Int64[np.ndarray, "groups channels"]:
    """Half of the window, or what training and calibration have shown to be normal.

    The normal count of missing rows is the 99.9 % quantile over windows, with half as many
    rows again as a margin. A channel that was never there may stay away.
    """
    half = receptive_field // 2
    limits = np.full((n_groups, data.rows.shape[1]), half, dtype=np.int64)
    if data.measured.all():
        return limits
    shown = [data.ends(block, receptive_field) for block in (Block.TRAINING, Block.CALIBRATION)]
    ends = thin(np.sort(np.concatenate(shown)), MAX_WINDOWS)
    count = count_in_windows(~data.measured, ends, receptive_field)
    groups = data.groups[ends]
    for group in range(n_groups):
        own = count if group == 0 else count[groups == group]
        usual = np.quantile(own, 0.999, axis=0, method="higher")
        limits[group] = np.clip(np.ceil(usual * 1.5), half, receptive_field)
    return limits

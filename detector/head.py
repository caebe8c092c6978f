"""What a detector has beside its views: who it is, and what makes scores of what they measure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from detector.calibration.alarm_rule import AlarmRule
from detector.calibration.drift import DriftWatch
from detector.calibration.fusion import Fusion
from detector.calibration.latent_map import LatentMap
from detector.calibration.likeness import Likeness
from detector.calibration.log_fusion import LogFusion
from detector.calibration.threshold import Calibration
from detector.signal.scaler import ChannelScaler
from detector.views.joined import Views


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which detector this is and what it expects of its input.

    Attributes:
        name: chosen by the user.
        version: chosen by the user, or the beginning of the content's hash.
        channels: names, in the order of the columns.
        units: of each channel, "" where unknown.
        sensors: the sensor of each calibration group from 1 on.
        interval_s: sampling interval of the training data.
        max_gap_s: a longer gap restarts the warm-up.
        training: summary for people (rows, windows, losses, versions ...); JSON values only.
    """

    name: str
    version: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    sensors: tuple[str, ...]
    interval_s: float
    max_gap_s: float
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Head:
    """What turns the views' output into scores; all per calibration group.

    Attributes:
        fusion: features of all views to raw score.
        calibration: raw score to normalised score and p-value.
        partial: the same for windows that are not full yet; None if those are not scored.
        alarms: from levels to incidents; None for an artifact older than the rule.
        drift: from long levels to drift verdicts; None for an artifact older than them.
        likeness: what looks like a remembered false alarm; None for an artifact older than it, and
            where the calibration block has no exceedance to tell by.
        residual: usual difference between a reading and its reconstruction, channel units, >= 0.
        missing_limit: missing rows in a window of the signal view that are still normal, 0..R.
        decimals: of published values, 0..15.
        latent_map: where a window lies among normal ones, for people to look at; None for an
            artifact older than it. Fitted with the finished detector.
    """

    fusion: Fusion | LogFusion
    calibration: Calibration
    partial: Calibration | None
    alarms: AlarmRule | None
    drift: DriftWatch | None
    likeness: Likeness | None
    residual: Float64[np.ndarray, "groups channels"]
    missing_limit: Int64[np.ndarray, "groups channels"]
    decimals: Int64[np.ndarray, " channels"]
    latent_map: LatentMap | None = None


def decimals_for(scaler: ChannelScaler) -> Int64[np.ndarray, " channels"]:
    """Decimals that resolve a ten-thousandth of each channel's finest scale."""
    finest = np.log10(scaler.scale.min(axis=0) * 1e-4)
    decimals: Int64[np.ndarray, " channels"] = np.clip(np.ceil(-finest), 0, 15).astype(np.int64)
    return decimals


def short_views(views: Views, head: Head) -> tuple[int, tuple[Views, list[int]] | None]:
    """Rows needed to be scored at all; what knows the short level then, and places among all."""
    field = views.receptive_field
    if head.partial is None or not isinstance(head.fusion, LogFusion):
        return field, None
    short = set(np.flatnonzero(head.fusion.weight[1]).tolist())
    for rows in range(views.signal.receptive_field, field):
        found = views.within(rows)
        if short and found is not None and short <= set(found[1]):
            return rows, found
    return field, None

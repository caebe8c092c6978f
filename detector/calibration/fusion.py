"""From the features of all views to one raw score: comparable parts, then their 4-norm."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch import Tensor

from detector.calibration.threshold import tail_quantile
from detector.signal.norm import DeviceUnits, Units, added

LEVELS = 2
_TINY = 1e-30
MIN_SPREAD = 0.02
"""Least unit of a feature, in scaled units: a channel that never moved has no error to go by."""


@dataclass(frozen=True, kw_only=True)
class Fused:
    """What a fusion makes of the distances of n windows.

    Attributes:
        raw: the score.
        levels: log scores that the alarm rule reads: the ranking one, and the short one, which
            forgets an event as soon as it is over. NaN where unknown.
        logs: of each distance.
    """

    raw: Float32[np.ndarray, " n"]
    levels: Float64[np.ndarray, "levels n"]
    logs: Float64[np.ndarray, "distances n"]


@dataclass(frozen=True, kw_only=True)
class Fusion(Units):
    """What each feature is while all is well, for each calibration group.

    A feature f becomes z = max(0, f - middle) / reach, which is 1 at the 99 % quantile of the
    calibration block whatever the channel, the sensor or the feature. The raw score is
    (sum of z^4)^(1/4) over all features and channels: a single channel far out is not diluted
    by the healthy ones, and several channels slightly out add up.

    Attributes:
        middle: median.
        reach: 99 % quantile minus median, at least `MIN_SPREAD`.
    """

    kind: ClassVar[str] = "4-norm"

    @classmethod
    def fit(cls, features: Float32[np.ndarray, "features windows channels"]) -> "Fusion":
        """Normalise by the features of one group's calibration windows."""
        middle = np.median(features, axis=1)
        upper = np.apply_along_axis(tail_quantile, 1, features.astype(np.float64), 0.01)
        reach = np.maximum(upper - middle, MIN_SPREAD)
        return cls(
            middle=middle[:, None].astype(np.float32), reach=reach[:, None].astype(np.float32)
        )

    def of(self, group: int) -> "Fusion":
        """That of one group."""
        return Fusion(middle=self.middle[:, [group]], reach=self.reach[:, [group]])

    def fuse(
        self,
        distances: Float32[np.ndarray, "1 n"],
        groups: Int[np.ndarray, " n"],  # noqa: ARG002
        partial: Bool[np.ndarray, " n"],  # noqa: ARG002
    ) -> Fused:
        """The one distance is the score, and its logarithm every level."""
        logs = np.log(np.maximum(distances.astype(np.float64), _TINY))
        return Fused(raw=distances[0], levels=np.repeat(logs, LEVELS, axis=0), logs=logs)

    def shares(
        self,
        fused: Fused,  # noqa: ARG002
        parts: Float32[np.ndarray, "1 n channels"],
        partial: Bool[np.ndarray, " n"],  # noqa: ARG002
    ) -> Float32[np.ndarray, "n channels"]:
        """Each channel's share in the score of each window; sums to 1."""
        shares = parts[0].astype(np.float64)
        shares[~shares.any(axis=1)] = 1.0  # nothing is out: all alike
        shares /= shares.sum(axis=1, keepdims=True)
        rounded: Float32[np.ndarray, "n channels"] = shares.astype(np.float32)
        return rounded

    def ready(self, device: torch.device) -> "DeviceFusion":
        """Ready to combine on a device."""
        return DeviceFusion(self.on(device))


def raw_scores(
    fusion: Fusion, features: Float32[np.ndarray, "features windows channels"]
) -> Float32[np.ndarray, " windows"]:
    """The raw scores of windows by the fusion of one group, on the CPU."""
    combine = fusion.ready(torch.device("cpu")).combine
    groups = torch.zeros(features.shape[1], dtype=torch.int64)
    raw, _ = combine(torch.from_numpy(features.copy()), groups)
    scores: Float32[np.ndarray, " windows"] = raw[0].numpy()
    return scores


class DeviceFusion:
    """A `Fusion` whose numbers are on a device."""

    def __init__(self, units: DeviceUnits) -> None:
        self._units = units

    def combine(
        self,
        features: Float[Tensor, "features windows channels"],
        groups: Int[Tensor, " windows"],
    ) -> tuple[Float[Tensor, "1 windows"], Float[Tensor, "1 windows channels"]]:
        """Raw score, and each channel's part of its fourth power.

        Args:
            features: overwritten.
            groups: calibration group of each window.
        """
        parts = self._units.fourth_powers(features, groups)
        return added(parts).sqrt_().sqrt_()[None], parts[None]

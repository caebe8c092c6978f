"""The 4-norm of features in their own units: one channel far out is not diluted by the others."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Units:
    """What features are while all is well, for each calibration group.

    Attributes:
        middle: median.
        reach: 99 % quantile minus median, > 0.
    """

    middle: Float32[np.ndarray, "features groups channels"]
    reach: Float32[np.ndarray, "features groups channels"]

    def on(self, device: torch.device) -> "DeviceUnits":
        """Ready on a device."""
        return DeviceUnits(
            torch.from_numpy(self.middle).to(device),
            torch.from_numpy(np.float32(1) / self.reach).to(device),
        )


class DeviceUnits:
    """`Units` whose numbers are on a device."""

    def __init__(self, middle: Tensor, inverse: Tensor) -> None:
        self._middle = middle
        self._inverse = inverse

    def fourth_powers(
        self,
        features: Float[Tensor, "features windows channels"],
        groups: Int[Tensor, " windows"],
    ) -> Float[Tensor, "windows channels"]:
        """Each channel's part of the fourth power of the norm, added feature by feature.

        Args:
            features: overwritten.
            groups: calibration group of each window.
        """
        z = features.sub_(self._middle.index_select(1, groups))
        z = z.mul_(self._inverse.index_select(1, groups)).clamp_(min=0.0).square_().square_()
        parts = z[0]
        for part in z[1:]:
            parts += part
        return parts


def added(parts: Float[Tensor, "*windows channels"]) -> Float[Tensor, " *windows"]:
    """The sum over channels, added one by one: a library may choose its order by the shape."""
    total = parts[..., 0].clone()
    for channel in range(1, parts.shape[-1]):
        total += parts[..., channel]
    return total

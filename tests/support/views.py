"""A second view, as simple as one can be: is the mean of a longer window where it used to be?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int, Int64
from torch import Tensor

from detector.training.base import FittedView, Progress
from detector.training.dataset import Dataset
from detector.views.base import Measured, View
from detector.views.registry import VIEWS, ViewRegistry


class LevelView(View[Tensor]):
    """`level`: distance of the mean of the last R readings from the training centre, scaled.

    The centre is one for all groups and of the view's own, so that it has something to fit.
    """

    kind: ClassVar[str] = "level"
    features = ("level",)
    tile = 1

    def __init__(
        self,
        center: Float64[np.ndarray, " channels"],
        scale: Float64[np.ndarray, " channels"],
        *,
        receptive_field: int,
        device: torch.device,
    ) -> None:
        self.center = center
        self.scale = scale
        self.receptive_field = receptive_field
        self.device = device

    def prepare(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
        times: Int64[np.ndarray, " rows"] | None = None,
    ) -> Float32[Tensor, "rows channels"]:
        """The level at every row, each summed from its own rows, oldest first."""
        measured = np.isfinite(rows)
        scaled = np.where(measured, (rows - self.center) / self.scale, 0.0)
        total, count = np.zeros_like(scaled), np.zeros_like(scaled)
        length = len(rows) - self.receptive_field + 1
        for first in range(self.receptive_field):
            total[-length:] += scaled[first : first + length]
            count[-length:] += measured[first : first + length]
        level = np.abs(total) / np.maximum(count, 1.0)
        return torch.from_numpy(level.astype(np.float32)).to(self.device)

    def measure(self, prepared: Tensor, ends: Int[Tensor, " windows"]) -> Measured:
        return Measured(features=prepared.index_select(0, ends)[None])

    def to(self, device: torch.device) -> "LevelView":
        return LevelView(
            self.center, self.scale, receptive_field=self.receptive_field, device=device
        )

    def config(self) -> dict[str, Any]:
        return {"receptive_field": self.receptive_field}

    def tensors(self) -> dict[str, Tensor]:
        return {"center": torch.from_numpy(self.center), "scale": torch.from_numpy(self.scale)}

    @classmethod
    def restore(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        n_groups: int,
        n_channels: int,
    ) -> "LevelView":
        if tensors["center"].shape != (n_channels,):
            raise ValueError(f"a centre for {n_channels} channels, got {tensors['center'].shape}")
        return cls(
            tensors["center"].numpy(),
            tensors["scale"].numpy(),
            receptive_field=config["receptive_field"],
            device=torch.device("cpu"),
        )


@dataclass(frozen=True, kw_only=True)
class LevelTraining:
    """The training block of a `LevelView`."""

    receptive_field: int

    @property
    def least_rows(self) -> int:
        return self.receptive_field

    def fit(
        self,
        data: Dataset,
        *,
        generator: torch.Generator,
        device: torch.device,
        progress: Callable[[Progress], None],
    ) -> FittedView:
        view = LevelView(
            data.scaler.center[0],
            data.scaler.scale[0],
            receptive_field=self.receptive_field,
            device=device,
        )
        return FittedView(view=view, summary={"kind": LevelView.kind})


REGISTRY: ViewRegistry = {**VIEWS, LevelView.kind: LevelView}

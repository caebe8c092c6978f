"""What is compared: three ways through one bottleneck, fitted to one history for one aim.

The aim is the plain one: give back the window that was read, with least squared error. Of all
linear maps through a bottleneck, principal components do that best (Bourlard and Kamp 1988; Baldi
and Hornik 1989), so a linear autoencoder can reach them and no more, and whatever a network with
hidden layers gains over both, it gains by being curved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch

from detector.calibration.budget import AlarmBudget
from detector.scoring import pick_device
from detector.training.base import FittedView
from detector.training.corruption import Corruption
from detector.training.dataset import Dataset, assemble
from detector.training.train import TrainingConfig
from detector.views.reconstruction import ReconstructionView

if TYPE_CHECKING:
    from detector.signal.series import Series

FIT_S = "fit_s"
"""In a detector's summary: what the fit took, in seconds, without thresholds."""


class Method(Enum):
    """A way through the bottleneck; the value is its name on screens and in files."""

    PCA = "PCA"
    """Principal components, in closed form."""
    LINEAR = "linear autoencoder"
    """Encoder and decoder are one matrix each, learned step by step."""
    NONLINEAR = "non-linear autoencoder"
    """Hidden layers on both sides."""


_LOOK_EVERY = 100
_LEARNING_RATES = {Method.PCA: 3e-2, Method.LINEAR: 3e-2, Method.NONLINEAR: 3e-3}
"""A map without hidden layers bears, and to reach PCA within few steps needs, a larger one."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All choices of a comparison; the same plan and readings give the same figures.

    Attributes:
        bottleneck: numbers that must carry a window, the same for each method.
        receptive_field: R, readings of a window.
        kind: of the non-linear autoencoder, "dense" or "conv".
        hidden: its hidden widths, where it is dense.
        max_steps, batch_size: of both autoencoders.
        seed: of first weights, order, and faults that are put in.
        held_out: share of each sensor's readings, the last in time, that judge.
        budget: false incidents that set the thresholds.
        device: "auto", "cpu" or "cuda".

    Raises:
        ValueError: a share out of range.
    """

    bottleneck: int
    receptive_field: int = 32
    kind: str = "dense"
    hidden: tuple[int, ...] = (128,)
    max_steps: int = 2_000
    batch_size: int = 256
    seed: int = 0
    held_out: float = 0.3
    budget: AlarmBudget = field(default_factory=AlarmBudget)
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Reject what cannot be split."""
        if not 0 < self.held_out <= 0.9:  # noqa: PLR2004
            raise ValueError(f"held_out must be in (0, 0.9], got {self.held_out}")

    def training(self, method: Method, channels: Sequence[str]) -> PlainReconstruction:
        """How a method is fitted to these channels."""
        kind, sizes = self.kind, dict[str, Any]()
        if method is Method.PCA:
            kind = "pca"
        elif method is Method.LINEAR:
            kind, sizes = "dense", {"hidden": ()}
        elif kind == "dense":
            sizes = {"hidden": self.hidden}
        return PlainReconstruction(
            channels=tuple(channels),
            name=method.name.lower(),
            version="0",
            kind=kind,
            receptive_field=self.receptive_field,
            model={**sizes, "latent_size": self.bottleneck},
            max_steps=self.max_steps,
            batch_size=self.batch_size,
            learning_rate=_LEARNING_RATES[method],
            # PCA does not stop early either. The network keeps its best weights; none ends sooner,
            # for the rate falls to the end.
            check_every=self.max_steps if method is Method.LINEAR else _LOOK_EVERY,
            patience=self.max_steps,
            seed=self.seed,
            budget=self.budget,
            device=self.device,
        )


@dataclass(frozen=True, kw_only=True)
class PlainReconstruction(TrainingConfig):
    """Training for the aim of principal components: readings in, the same readings out.

    No noise is added, no target smoothed, no weight decays, and no reading counts more than
    another: each of these would move an autoencoder away from what PCA is fitted to.
    """

    corruption: Corruption = field(default_factory=lambda: Corruption(noise=0.0, least_noise=0.0))
    weight_decay: float = 0.0
    last_weight: float = 0.0

    def fit(self, data: Dataset, **how: Any) -> FittedView:
        """See `ViewTraining.fit`; the summary says how long it took."""
        began_s = time.perf_counter()
        fitted = super().fit(replace(data, target=data.filled), **how)
        took_s = time.perf_counter() - began_s
        return replace(fitted, summary={**fitted.summary, FIT_S: took_s})


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted autoencoder alone, without thresholds.

    Attributes:
        view: it, with its scaler.
        sensors: those of groups 1, 2, ...
        max_gap_s: of the windows it has seen.
        fit_s: what the fit took.
    """

    view: ReconstructionView
    sensors: tuple[str, ...]
    max_gap_s: float
    fit_s: float

    def group_of(self, sensor: str) -> int:
        """The calibration group of a sensor; 0 for one that training has not seen."""
        return self.sensors.index(sensor) + 1 if sensor in self.sensors else 0


def fit(series: Sequence[Series], config: PlainReconstruction) -> Fitted:
    """Fit an autoencoder alone, which takes less time than a whole detector.

    Raises:
        ValueError: see `detector.training.train.train`.
    """
    data = assemble(
        series,
        n_channels=len(config.channels),
        receptive_field=config.least_rows,
        split=config.split,
        max_gap_s=config.max_gap_s,
        max_rows=config.max_rows,
    )
    fitted = config.fit(
        data,
        generator=torch.Generator().manual_seed(config.seed),
        device=pick_device(config.device),
        progress=lambda _: None,
    )
    assert isinstance(fitted.view, ReconstructionView)
    return Fitted(
        view=fitted.view,
        sensors=data.sensors,
        max_gap_s=data.max_gap_s,
        fit_s=float(fitted.summary[FIT_S]),
    )

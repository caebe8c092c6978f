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
from detector.head import Identity
from detector.scoring import Detector, pick_device
from detector.training.corruption import Corruption
from detector.training.dataset import Dataset, assemble
from detector.training.fit_head import fit_head
from detector.training.train import TrainingConfig
from detector.views.joined import Views
from detector.views.reconstruction import ReconstructionView

if TYPE_CHECKING:
    from detector.signal.series import Series


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

    def training(self, method: Method, channels: Sequence[str]) -> TrainingConfig:
        """How a method is fitted to these channels: for the aim of principal components.

        No noise is added, no weight decays, and no reading counts more than another: each of these
        would move an autoencoder away from what PCA is fitted to. Nor are targets smoothed (`fit`).
        """
        kind, sizes = self.kind, dict[str, Any]()
        if method is Method.PCA:
            kind = "pca"
        elif method is Method.LINEAR:
            kind, sizes = "dense", {"hidden": ()}
        elif kind == "dense":
            sizes = {"hidden": self.hidden}
        return TrainingConfig(
            channels=tuple(channels),
            name=method.name.lower(),
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
            corruption=Corruption(noise=0.0, least_noise=0.0),
            weight_decay=0.0,
            last_weight=0.0,
            seed=self.seed,
            budget=self.budget,
            device=self.device,
        )


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted autoencoder.

    Attributes:
        view: it, with its scaler.
        data: what it was fitted on.
        config: how.
        fit_s: what the fit took, without thresholds.
    """

    view: ReconstructionView
    data: Dataset
    config: TrainingConfig
    fit_s: float

    def group_of(self, sensor: str) -> int:
        """The calibration group of a sensor; 0 for one that training has not seen."""
        known = self.data.sensors
        return known.index(sensor) + 1 if sensor in known else 0

    def detector(self) -> Detector:
        """It with thresholds from the calibration block, as `train` sets them.

        Left out: what has no part in scores (clean values, likeness, the map of latents).
        """
        data, config = self.data, self.config
        rate = config.budget.rate(data.interval_s, sensors=len(data.names))
        fitted = fit_head(Views([self.view]), data, rate=rate, dials=config.dials)
        identity = Identity(
            name=config.name,
            version="0",
            channels=config.channels,
            units=("",) * len(config.channels),
            sensors=data.sensors,
            interval_s=data.interval_s,
            max_gap_s=data.max_gap_s,
        )
        return Detector(identity, fitted.views, fitted.head)


def fit(series: Sequence[Series], config: TrainingConfig) -> Fitted:
    """Fit an autoencoder.

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
    began_s = time.perf_counter()
    fitted = config.fit(
        replace(data, target=data.filled),
        generator=torch.Generator().manual_seed(config.seed),
        device=pick_device(config.device),
        progress=lambda _: None,
    )
    fit_s = time.perf_counter() - began_s
    assert isinstance(fitted.view, ReconstructionView)
    return Fitted(view=fitted.view, data=data, config=config, fit_s=fit_s)

"""Small fleets of sensors whose channels depend on one another: what detector tests train on."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import TypeCheckError

from detector.calibration.fusion import Fusion
from detector.models import PCAAutoencoder, build
from detector.scoring import Detector
from detector.signal.norm import Units
from detector.signal.series import Series
from detector.training.train import TrainingConfig, train
from tests.support.views import LevelTraining

INTERVAL_NS = 1_000_000_000
CHANNELS = ("speed", "flow", "pressure", "temperature")
SHAPE_ERRORS = (ValueError, TypeCheckError)
"""What a wrong shape raises: our own check, or jaxtyping's where it is on and comes first."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Clean truth and noisy readings, one array [rows, channels] per sensor."""

    clean: tuple[np.ndarray, ...]
    noisy: tuple[np.ndarray, ...]

    def series(self, rows: slice = slice(None)) -> list[Series]:
        return [
            make_series(noisy[rows], sensor=f"s{number}", first_row=rows.start or 0)
            for number, noisy in enumerate(self.noisy)
        ]


def make_series(values: np.ndarray, *, sensor: str = "s0", first_row: int = 0) -> Series:
    ts_ns = (np.arange(len(values)) + first_row) * INTERVAL_NS
    return Series(sensor=sensor, ts_ns=ts_ns.astype(np.int64), values=values)


def make_fleet(*, sensors: int = 2, rows: int = 3000, seed: int = 0, noise: float = 0.3) -> Fleet:
    """One load drives four channels, three of them by curved laws, one of them with a lag.

    `noise` is in standard deviations of each channel.
    """
    rng = np.random.default_rng(seed)
    clean, noisy = [], []
    for _ in range(sensors):
        phase = rng.uniform(0, 6.28, 2)
        time = np.arange(rows)
        load = np.sin(time / 23 + phase[0]) + 0.6 * np.sin(time / 61 + phase[1])
        lagged = np.convolve(load, np.exp(-np.arange(40) / 10.0) / 10, mode="full")[:rows]
        signals = np.stack([load, load**2, np.tanh(2 * load), lagged], axis=1)
        signals = signals * [300.0, 20.0, 4.0, 8.0] + [2000.0, 90.0, 3.0, 45.0]
        clean.append(signals)
        deviation = noise * signals.std(axis=0)
        noisy.append(signals + deviation * rng.standard_normal(signals.shape))
    return Fleet(clean=tuple(clean), noisy=tuple(noisy))


def make_config(**changes: Any) -> TrainingConfig:
    """A small training: under a second."""
    fields: dict[str, Any] = {
        "channels": CHANNELS,
        "receptive_field": 16,
        "max_steps": 300,
        "check_every": 50,
        "device": "cpu",
        "model": {"latent_size": 8},
    }
    return TrainingConfig(**{**fields, **changes})


@functools.cache
def trained(kind: str = "dense", receptive_field: int = 16) -> Detector:
    """A detector of a fleet of two sensors; shared, it cannot be changed."""
    config = make_config(kind=kind, receptive_field=receptive_field)
    return train(make_fleet().series(), config)


@functools.cache
def trained_with_two_views() -> Detector:
    """Like `trained`, and a level view that looks twice as far back."""
    return train(
        make_fleet().series(), make_config(further_views=(LevelTraining(receptive_field=32),))
    )


def units_of(detector: Detector) -> Units:
    """The units of the features of a plain detector."""
    fusion = detector.head.fusion
    assert isinstance(fusion, Fusion)
    return Units(middle=fusion.middle, reach=fusion.reach)


def make_model(kind: str, *, seed: int = 0, **sizes: Any) -> Any:
    """An untrained model with random weights."""
    fields: Mapping[str, Any] = {"n_channels": 3, "receptive_field": 12, "latent_size": 5, **sizes}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(kind, fields)
        if isinstance(model, PCAAutoencoder):
            model.fit([torch.randn(64, fields["receptive_field"], fields["n_channels"])])
    return model.eval()

"""Small models, trained in a second, and readings to score with them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.scoring import Detector, Scores
from detector.signal.series import Series
from detector.training.base import ViewTraining
from detector.training.denoising import DenoisingTraining
from detector.training.train import TrainingConfig, train
from schemas.codec import ReadingEncoder

CHANNELS = ("flow", "pressure", "temperature")
SECOND_NS = 10**9
START_NS = 1_700_000_000 * SECOND_NS


def plant_values(rows: int, *, seed: int, phase: float = 0.0) -> NDArray[np.float64]:
    """Three channels that depend on each other, with noise; [rows, 3]."""
    rng = np.random.default_rng(seed)
    load = np.sin(np.arange(rows) / 15.0 + phase) + 0.3 * np.sin(np.arange(rows) / 4.0)
    clean = np.stack([10 + 2 * load, 5 - load, 40 + load**2], axis=1)
    return clean + rng.normal(scale=0.05, size=clean.shape)


@cache
def small_detector(
    receptive_field: int = 8, further_views: tuple[ViewTraining, ...] = ()
) -> Detector:
    """A dense autoencoder for `plant_values`, on the CPU; trained once per process."""
    return train(
        _two_sensors(), _small_config(receptive_field=receptive_field, further_views=further_views)
    )


@cache
def quick_detector(further_views: tuple[ViewTraining, ...] = ()) -> Detector:
    """As `small_detector`, for who asks not how well it does: a fiftieth of the training."""
    linear = DenoisingTraining(hidden=0)
    return train(
        _two_sensors(),
        replace(_small_config(further_views=further_views), max_steps=50, denoising=linear),
    )


def _two_sensors() -> list[Series]:
    return [
        Series(
            sensor=f"s{i}",
            ts_ns=START_NS + np.arange(800, dtype=np.int64) * SECOND_NS,
            values=plant_values(800, seed=i, phase=i),
        )
        for i in range(2)
    ]


def _small_config(
    *, receptive_field: int = 8, further_views: tuple[ViewTraining, ...] = ()
) -> TrainingConfig:
    return TrainingConfig(
        channels=CHANNELS,
        version="1",
        receptive_field=receptive_field,
        model={"hidden": (32,), "latent_size": 4},
        max_steps=300,
        device="cpu",
        further_views=further_views,
    )


EARLY = 3
"""Readings that an `EarlyDetector` scores a sensor by at least."""


class EarlyDetector(Detector):
    """Does with fewer readings than R: what lacks before is the first one there is, again."""

    @property
    def warm_up(self) -> int:
        return EARLY

    def score(
        self,
        rows: Any,
        ends: Any,
        groups: Any,
        *,
        lengths: Any = None,
        times: Any = None,
    ) -> Scores:
        field = self.receptive_field
        lengths = np.full(len(ends), field) if lengths is None else lengths
        assert not len(ends) or (lengths.min() >= EARLY and lengths.max() <= field)
        ages = np.minimum(np.arange(field)[::-1], lengths[:, None] - 1)
        windows = rows[ends[:, None] - ages].reshape(-1, rows.shape[1])
        scores = super().score(windows, np.arange(1, len(ends) + 1) * field - 1, groups)
        return replace(scores, partial=lengths < field)


@cache
def early_detector() -> Detector:
    """`small_detector`, from the third reading of a sensor on."""
    trained = small_detector()
    return EarlyDetector(trained.identity, trained.views, trained.head)


def reading_records(
    sensors: list[str], rows: int, *, seed: int = 100, spike_at: int | None = None
) -> list[tuple[str, int, NDArray[np.float64]]]:
    """(sensor, ts_ns, values [3]) row by row, sensor by sensor within a row."""
    values = {
        sensor: plant_values(rows, seed=seed + i, phase=i) for i, sensor in enumerate(sensors)
    }
    if spike_at is not None:
        for each in values.values():
            each[spike_at] += 5.0
    return [
        (sensor, START_NS + row * SECOND_NS, values[sensor][row])
        for row in range(rows)
        for sensor in sensors
    ]


def encoded(
    records: list[tuple[str, int, NDArray[np.float64]]],
) -> list[dict[str, Any]]:
    """The readings as arguments of a producer's `send`."""
    encoder = ReadingEncoder(CHANNELS)
    return [
        {"key": sensor.encode(), "value": encoder.encode(sensor, ts_ns, values.tolist())}
        for sensor, ts_ns, values in records
    ]

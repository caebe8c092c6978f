"""Small detectors with a pyramid view: each is trained in about a second."""

import functools
from typing import Any

import numpy as np

from detector.scoring import Detector, Scores
from detector.signal.series import Series
from detector.training.pyramid import PyramidTraining
from detector.training.train import train
from detector.views.pyramid import Look, PyramidView
from tests.support.fleets import Fleet, make_config, make_fleet, make_series
from tests.support.rhythm import MINUTE_NS, rhythm

REACH = 256
"""R of the longest look."""
WARM_UP = 16
"""R of the signal view, and of the short looks."""


def make_pyramid_config(*, examples: int = 64, max_steps: int = 20, **changes: Any) -> Any:
    pyramid = PyramidTraining(examples=examples, max_steps=max_steps)
    fields: dict[str, Any] = {"max_steps": 20, "further_views": (pyramid,), **changes}
    return make_config(**fields)


def make_commands(rows: int = 1500, channels: int = 11, seed: int = 0) -> np.ndarray:
    """Telemetry and rare binary commands, as spacecraft send: [rows, channels]."""
    rng = np.random.default_rng(seed)
    values = np.zeros((rows, channels))
    values[:, 0] = np.sin(np.arange(rows) / 50) + 0.05 * rng.standard_normal(rows)
    for channel in range(1, channels):
        starts = rng.choice(rows, rows // 100, replace=False)
        for start in starts:
            values[start : start + int(rng.integers(1, 4)), channel] = 1.0
    return values


@functools.cache
def small_fleet() -> Fleet:
    return make_fleet(sensors=2, rows=1500)


@functools.cache
def pyramid_detector(kind: str = "fleet") -> Detector:
    """By kind; it cannot be changed.

    A "fleet" of two sensors; the same with a "signal" view that understands its channels, and
    counts; one "channel"; binary "commands".
    """
    if kind == "fleet":
        return train(small_fleet().series(), make_pyramid_config())
    if kind == "signal":
        return train(small_fleet().series(), make_pyramid_config(kind="pca"))
    if kind == "channel":
        values = small_fleet().noisy[0][:1000, 1:2]
        return train([make_series(values)], make_pyramid_config(channels=("flow",)))
    values = make_commands()
    names = tuple(f"c{channel}" for channel in range(values.shape[1]))
    return train([make_series(values)], make_pyramid_config(channels=names))


@functools.cache
def seasonal_detector() -> Detector:
    """Of two sensors that know day and week: its rows need their times."""
    config = make_pyramid_config(channels=("a", "b", "c"), version="1", max_steps=5)
    return train([seasonal_series(number) for number in range(2)], config)


def seasonal_series(number: int, weeks: float = 6) -> Series:
    record = rhythm(weeks=weeks, step_ns=60 * MINUTE_NS, seed=number)
    return Series(sensor=f"s{number}", ts_ns=record.times_ns, values=record.rows)


def pyramid_of(detector: Detector) -> PyramidView:
    return next(view for view in detector.views if isinstance(view, PyramidView))


def look_of(detector: Detector, name: str) -> Look:
    return next(look for look in pyramid_of(detector).looks if look.name == name)


def pyramid_training(detector: Detector) -> Any:
    """What the training says of the pyramid."""
    return detector.identity.training["further_views"][0]


def score(
    detector: Detector, rows: np.ndarray, ends: Any, *, group: int = 1, lengths: Any = None
) -> Scores:
    ends = np.asarray(ends, dtype=np.int64)
    groups = np.full(len(ends), group, dtype=np.int32)
    if lengths is not None:
        lengths = np.broadcast_to(np.asarray(lengths, dtype=np.int64), ends.shape).copy()
    return detector.score(rows, ends, groups, lengths=lengths)

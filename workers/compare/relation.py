"""A curved relation between channels, and what a line and a curve make of it.

Two channels that hang together lie on a curve, three on a surface. Principal components lay the
nearest line (or plane) through them, an autoencoder with one number (or two) in its bottleneck a
curve (or a sheet).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from detector.signal.series import Series, thin
from workers.compare.errors import errors_of
from workers.compare.methods import Fitted, Method, Plan, fit
from workers.compare.time_split import ComparisonError, TimeSplit, parts_of

if TYPE_CHECKING:
    from workers.data.history import SensorRows

FloatArray = npt.NDArray[np.float64]

MAX_CHANNELS = 128
"""More are too many pairs: the first ones are looked at."""
_SENSORS = 16
_ROWS = 4_096
_DEGREE = 3
_SEEN = 0.01
_FEWEST_VALUES = 32
_CURVE_POINTS = 200
_CLOUD_ROWS = 4_000
_STEPS, _HIDDEN = 1_500, (32, 32)
_PAIR, _TRIPLE = 2, 3


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Some channels of one sensor, and where each method says that they lie.

    Attributes:
        sensor: whose.
        channels, units: two or three.
        cloud: held-out readings, channel units, [n, k].
        lines: of PCA and the non-linear autoencoder: a curve in order of its latent number, or
            for three channels the image of each point of the cloud, channel units, [m, k].
        latents: of three channels, the two numbers of each point of the lines; else one, [m, k-1].
        unexplained: share of the held-out variance that each leaves.
    """

    sensor: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    cloud: FloatArray
    lines: dict[Method, FloatArray]
    latents: dict[Method, FloatArray]
    unexplained: dict[Method, float]


def curvature(rows: FloatArray) -> FloatArray:
    """How curved the relation of each pair of channels is, 0..1, [C, C].

    With the variance of channel j as one, let a be what the best line in channel i leaves of it, b
    what the best cubic leaves, and g = a - b. The entry is g / a * (1 - b) * g / (g + 0.01): large
    where the cubic takes most of what the line misses, the two hang together closely, and a
    hundredth of the variance is at stake, so that an eye can see it. 0 for a channel of few
    different values.

    Args:
        rows: NaN = missing, [n, C].
    """
    rows = rows[np.isfinite(rows).all(axis=1)]
    channels = rows.shape[1]
    found = np.zeros((channels, channels))
    rows = rows[thin(np.arange(len(rows)), _ROWS)]
    varied = [len(np.unique(column)) >= _FEWEST_VALUES for column in rows.T]
    if len(rows) < _FEWEST_VALUES or not any(varied):
        return found
    spread = rows.std(axis=0)
    unit = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    for channel in np.flatnonzero(varied):
        # Beyond three deviations a cubic would follow single values.
        base = np.vander(np.clip(unit[:, channel], -3, 3), _DEGREE + 1, increasing=True)
        line, cubic = _left(base[:, :2], unit), _left(base, unit)
        gain = np.maximum(line - cubic, 0.0)
        share = np.divide(gain, line, out=np.zeros(channels), where=line > 0)
        found[channel] = share * (1.0 - cubic) * gain / (gain + _SEEN)
    found[:, ~np.array(varied)] = 0.0
    np.fill_diagonal(found, 0.0)
    return found


def most_curved(sensors: Sequence[SensorRows]) -> tuple[int, tuple[int, int]]:
    """The sensor and its two channels whose relation is most curved.

    Raises:
        ComparisonError: no two channels take enough different values.
    """
    best, place = 0.0, None
    for number in thin(np.arange(len(sensors)), _SENSORS).tolist():
        found = curvature(sensors[number].values[:, :MAX_CHANNELS])
        if found.max(initial=0.0) > best:
            first, second = np.unravel_index(int(found.argmax()), found.shape)
            best, place = float(found.max()), (number, (int(first), int(second)))
    if place is None:
        raise ComparisonError(
            f"no two channels take {_FEWEST_VALUES} different values each: there is no relation to "
            "draw"
        )
    return place


def relation(split: TimeSplit, plan: Plan, names: Sequence[str] = ()) -> Relation:
    """Fit a line and a curve to two channels of one sensor (or a plane and a sheet to three).

    Args:
        split: fitted to the first, measured on the second.
        plan: seed, device and the most steps are taken from it.
        names: the channels; by default the two that are most curved.

    Raises:
        ComparisonError: there are no such channels, or too few readings.
    """
    number, places = _chosen(split, names)
    known = _only(split.training.sensors[number], places)
    held = _only(split.held_out.without_labelled().sensors[number], places)
    chosen = tuple(split.training.channels[place] for place in places)
    units = split.training.units
    here = replace(
        plan,
        bottleneck=len(places) - 1,
        receptive_field=1,
        kind="dense",
        hidden=_HIDDEN,
        max_steps=min(_STEPS, plan.max_steps),
    )
    rows = held.values[np.isfinite(held.values).all(axis=1)]
    found = Relation(
        sensor=known.sensor,
        channels=chosen,
        units=tuple(units.get(name, "") for name in chosen),
        cloud=rows[thin(np.arange(len(rows)), _CLOUD_ROWS)],
        lines={},
        latents={},
        unexplained={},
    )
    series = [Series(sensor=known.sensor, ts_ns=known.ts_ns, values=known.values)]
    for method in (Method.PCA, Method.NONLINEAR):
        try:
            fitted = fit(series, here.training(method, chosen))
            parts = parts_of([held], [known], fitted.group_of)
            errors = errors_of(fitted.view, parts, max_gap_s=fitted.data.max_gap_s)
        except ValueError as error:
            raise ComparisonError(f"cannot draw {' and '.join(chosen)}: {error}") from error
        found.unexplained[method] = errors.unexplained
        image = _image(fitted, known.sensor, found.cloud)
        found.latents[method], found.lines[method] = image
    return found


def _chosen(split: TimeSplit, names: Sequence[str]) -> tuple[int, list[int]]:
    """The sensor and the places of its channels that are drawn."""
    channels, sensors = split.training.channels, split.training.sensors
    if not names:
        number, pair = most_curved(sensors)
        return number, list(pair)
    if unknown := [name for name in names if name not in channels]:
        raise ComparisonError(f"no channel {unknown[0]!r}; there are {', '.join(channels)}")
    if len(set(names)) != len(names) or len(names) not in {_PAIR, _TRIPLE}:
        raise ComparisonError(
            f"two or three different channels can be drawn, got {', '.join(names)}"
        )
    number = int(np.argmax([len(one) for one in sensors]))
    return number, [channels.index(name) for name in names]


@torch.inference_mode()
def _image(fitted: Fitted, sensor: str, cloud: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where the bottleneck allows the channels to lie, as far as the cloud reaches."""
    view, group = fitted.view, fitted.group_of(sensor)
    prepared = view.prepare(cloud, np.array(group))
    codes = view.encode(prepared, torch.arange(len(cloud))).cpu().numpy()
    if codes.shape[1] == 1:
        low, high = codes.min(), codes.max()
        codes = np.linspace(low, high, _CURVE_POINTS, dtype=np.float32)[:, None]
    image = view.decode(codes, group)[:, -1]
    return codes.astype(np.float64), image


def _left(base: FloatArray, values: FloatArray) -> FloatArray:
    """Share of the variance of each column that the best combination of the base leaves."""
    weights = np.linalg.lstsq(base, values, rcond=None)[0]
    left: FloatArray = ((values - base @ weights) ** 2).mean(axis=0)
    return left


def _only(one: SensorRows, places: Sequence[int]) -> SensorRows:
    return replace(one, values=np.ascontiguousarray(one.values[:, places]))

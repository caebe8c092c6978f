"""Series cut in time, scaled and smoothed: what training and calibration draw windows from."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from detector.models.base import check_range
from detector.signal.denoising import smooth
from detector.signal.noise import noise_level
from detector.signal.scaler import ChannelScaler, fit_row, shared_scale
from detector.signal.series import Series, in_order, runs, sampling_interval_ns, thin, window_ends

GAP_INTERVALS = 10
_NOISE_PIECES = 32
MIN_GROUP_CALIBRATION = 64
"""A sensor with fewer calibration windows is scored with the fleet's numbers."""
MAX_GROUPS = 10_000


class Block(Enum):
    """The parts of a series, in time."""

    TRAINING = 0
    """Weights, scaling and noise level come from here."""
    VALIDATION = 1
    """Tells when to stop."""
    CALIBRATION = 2
    """Thresholds come from here; nothing else has seen it."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Shares of each series: the rest trains, then comes validation, then calibration.

    Raises:
        ValueError: a share is not in (0, 0.5].
    """

    validation: float = 0.1
    calibration: float = 0.2

    def __post_init__(self) -> None:
        for name in ("validation", "calibration"):
            if not 0 < getattr(self, name) <= 0.5:  # noqa: PLR2004
                raise ValueError(f"{name} must be in (0, 0.5], got {getattr(self, name)}")

    def borders(self, n: int) -> tuple[tuple[int, int], ...]:
        """Start and end of the three blocks of n rows."""
        second = round(n * (1 - self.validation - self.calibration))
        third = round(n * (1 - self.calibration))
        return (0, second), (second, third), (third, n)


@dataclass(frozen=True, kw_only=True)
class WindowBlock:
    """The windows of one block.

    Attributes:
        data: where the rows are.
        ends: [windows] last row of each.
    """

    data: "Dataset"
    ends: Int64[np.ndarray, " windows"]

    def windows(
        self, picks: Int64[np.ndarray, " batch"]
    ) -> tuple[Float32[Tensor, "batch time channel"], Float32[Tensor, "batch time channel"]]:
        """Scaled windows with missing values filled, and 1.0 where a value was measured."""
        rows = self._rows(picks)
        filled, measured = self.data.filled[rows], self.data.measured[rows]
        return torch.from_numpy(filled), torch.from_numpy(measured.astype(np.float32))

    def batch(self, picks: Int64[np.ndarray, " batch"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Windows, smooth targets, weights of the errors, noise level [batch, C]; scaled."""
        windows, weight = self.windows(picks)
        target = torch.from_numpy(self.data.target[self._rows(picks)])
        sigma = torch.from_numpy(self.data.noise[self.data.groups[self.ends[picks]]])
        return windows, target, weight, sigma

    def _rows(self, picks: Int64[np.ndarray, " batch"]) -> Int64[np.ndarray, "batch time"]:
        reach = np.arange(1 - self.data.receptive_field, 1)
        rows: Int64[np.ndarray, "batch time"] = self.ends[picks, None] + reach
        return rows


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """All rows of all sensors one behind the other, and where the windows of each block end.

    Attributes:
        receptive_field: R.
        interval_s, max_gap_s: time base.
        sensors: the sensor of each calibration group from 1 on.
        scaling: per group.
        sigma: [groups, C] noise level, channel units.
        noise: [groups, C] noise level, scaled units.
        rows: [T, C] channel units, NaN = missing.
        groups: [T] calibration group of each row.
        filled: [T, C] scaled, missing values carried forward.
        target: [T, C] scaled and smoothed with hindsight.
        measured: [T, C] whether a value was there.
        ends: windows of each block.
    """

    receptive_field: int
    interval_s: float
    max_gap_s: float
    sensors: tuple[str, ...]
    scaling: ChannelScaler
    sigma: Float64[np.ndarray, "groups channels"]
    noise: Float32[np.ndarray, "groups channels"]
    rows: Float64[np.ndarray, "rows channels"]
    groups: Int64[np.ndarray, " rows"]
    filled: Float32[np.ndarray, "rows channels"]
    target: Float32[np.ndarray, "rows channels"]
    measured: Any
    ends: dict[Block, Int64[np.ndarray, " windows"]]

    def block(self, block: Block, *, limit: int) -> WindowBlock:
        """At most `limit` windows of a block, evenly spread."""
        return WindowBlock(data=self, ends=thin(self.ends[block], limit))

    def summary(self) -> dict[str, Any]:
        """Sizes, for people."""
        windows = {f"{block.name.lower()}_windows": len(self.ends[block]) for block in Block}
        return {"rows": len(self.rows), "sensors": len(self.sensors), **windows}


@dataclass(frozen=True)
class _Stretch:
    """Consecutive rows of one sensor in one block."""

    sensor: str
    block: Block
    values: Float64[np.ndarray, "rows channels"]


def assemble(
    series: Sequence[Series],
    *,
    n_channels: int,
    receptive_field: int,
    split: Split,
    max_gap_s: float,
    max_rows: int,
) -> Dataset:
    """Cut, scale and smooth.

    Raises:
        ValueError: see `detector.training.train.train`.
    """
    check_range("receptive_field", receptive_field, 1, 4096)
    for one in series:
        if one.values.shape[1] != n_channels:
            raise ValueError(
                f"sensor {one.sensor!r} has {one.values.shape[1]} columns, expected {n_channels}"
            )
    ordered = [in_order(one) for one in series]
    interval_ns = sampling_interval_ns(ordered)
    gap_ns = round(max_gap_s * 1e9) or GAP_INTERVALS * interval_ns
    stretches = [
        stretch
        for one in ordered
        for stretch in _stretches(one, split, gap_ns)
        if len(stretch.values) >= receptive_field
    ]
    _check_enough(stretches, receptive_field, split)
    stretches = list(_bounded(stretches, max_rows, receptive_field))
    sensors = _own_groups(stretches, receptive_field)
    scaling, sigma = _fit_groups(stretches, sensors)
    return _join(
        stretches,
        sensors,
        scaling,
        sigma,
        receptive_field=receptive_field,
        interval_s=interval_ns / 1e9,
        max_gap_s=gap_ns / 1e9,
    )


def _stretches(one: Series, split: Split, gap_ns: int) -> Iterator[_Stretch]:
    for block, (start, end) in zip(Block, split.borders(len(one.ts_ns)), strict=True):
        for first, after in runs(one.ts_ns[start:end], gap_ns):
            yield _Stretch(one.sensor, block, one.values[start + first : start + after])


def _check_enough(stretches: list[_Stretch], receptive_field: int, split: Split) -> None:
    for block in Block:
        if not any(stretch.block is block for stretch in stretches):
            least = math.ceil(receptive_field / min(split.validation, split.calibration))
            raise ValueError(
                f"the {block.name.lower()} block has no window of {receptive_field} readings "
                f"without a gap: at least one sensor needs about {least} consecutive readings, "
                "or choose a smaller receptive_field"
            )


def _bounded(stretches: list[_Stretch], max_rows: int, receptive_field: int) -> Iterator[_Stretch]:
    """Keep every k-th piece of 16 windows' length of a history that is too long."""
    total = sum(len(stretch.values) for stretch in stretches)
    every = -(-total // max_rows)
    if every == 1:
        yield from stretches
        return
    size, turn = 16 * receptive_field, 0
    for stretch in stretches:
        for start in range(0, len(stretch.values), size):
            piece = stretch.values[start : start + size]
            if turn % every == 0 and len(piece) >= receptive_field:
                yield _Stretch(stretch.sensor, stretch.block, piece)
            turn += 1


def _own_groups(stretches: list[_Stretch], receptive_field: int) -> tuple[str, ...]:
    """Sensors with enough of their own data in the training and the calibration block."""
    windows: dict[tuple[str, Block], int] = {}
    for stretch in stretches:
        key = (stretch.sensor, stretch.block)
        windows[key] = windows.get(key, 0) + len(stretch.values) - receptive_field + 1
    sensors = dict.fromkeys(stretch.sensor for stretch in stretches)
    enough = [
        sensor
        for sensor in sensors
        if windows.get((sensor, Block.TRAINING), 0) >= MIN_GROUP_CALIBRATION
        and windows.get((sensor, Block.CALIBRATION), 0) >= MIN_GROUP_CALIBRATION
    ]
    return tuple(enough[:MAX_GROUPS])


def _fit_groups(
    stretches: list[_Stretch], sensors: tuple[str, ...]
) -> tuple[ChannelScaler, Float64[np.ndarray, "groups channels"]]:
    training = [stretch for stretch in stretches if stretch.block is Block.TRAINING]
    by_sensor: dict[str, list[Any]] = {}
    for stretch in training:
        by_sensor.setdefault(stretch.sensor, []).append(stretch.values)
    everything = np.concatenate([stretch.values for stretch in training])
    fits = [fit_row(everything)] + [fit_row(np.concatenate(by_sensor[s])) for s in sensors]
    center = np.stack([center for center, _ in fits])
    scale = np.stack([scale for _, scale in fits])
    if sensors:
        scale[1:] = shared_scale(scale[1:])
    levels = {
        sensor: np.median([noise_level(values) for values in pieces[:_NOISE_PIECES]], axis=0)
        for sensor, pieces in by_sensor.items()
    }
    fleet = np.median(np.stack(list(levels.values())), axis=0)
    sigma = np.stack([fleet, *(levels[sensor] for sensor in sensors)])
    return ChannelScaler(center=center, scale=scale), sigma


def _join(
    stretches: list[_Stretch],
    sensors: tuple[str, ...],
    scaling: ChannelScaler,
    sigma: Float64[np.ndarray, "groups channels"],
    *,
    receptive_field: int,
    interval_s: float,
    max_gap_s: float,
) -> Dataset:
    group_of = {sensor: i + 1 for i, sensor in enumerate(sensors)}
    noise = sigma / scaling.scale
    borders = np.cumsum([0] + [len(stretch.values) for stretch in stretches])
    rows = np.concatenate([stretch.values for stretch in stretches])
    groups = np.repeat([group_of.get(s.sensor, 0) for s in stretches], np.diff(borders))
    measured = np.isfinite(rows)
    filled = np.empty(rows.shape, dtype=np.float32)
    target = np.empty(rows.shape, dtype=np.float32)
    ends: dict[Block, list[tuple[int, int]]] = {block: [] for block in Block}
    for stretch, start, end in zip(stretches, borders[:-1], borders[1:], strict=True):
        group = group_of.get(stretch.sensor, 0)
        scaled = scaling.apply(stretch.values, np.array(group))
        carried = _carried(scaled)
        filled[start:end] = carried
        target[start:end] = smooth(carried, noise[group])
        ends[stretch.block].append((int(start), int(end)))
    return Dataset(
        receptive_field=receptive_field,
        interval_s=interval_s,
        max_gap_s=max_gap_s,
        sensors=sensors,
        scaling=scaling,
        sigma=sigma,
        noise=noise.astype(np.float32),
        rows=rows,
        groups=groups.astype(np.int64),
        filled=filled,
        target=target,
        measured=measured,
        ends={block: window_ends(spans, receptive_field) for block, spans in ends.items()},
    )


def _carried(scaled: Float64[np.ndarray, "rows channels"]) -> Float64[np.ndarray, "rows channels"]:
    """Missing values replaced by the last one before, or the centre."""
    present = np.isfinite(scaled)
    source = np.where(present, np.arange(len(scaled))[:, None], -1)
    np.maximum.accumulate(source, axis=0, out=source)
    carried = np.take_along_axis(scaled, np.maximum(source, 0), axis=0)
    return np.where(source >= 0, carried, 0.0)

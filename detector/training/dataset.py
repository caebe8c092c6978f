"""Series cut in time, scaled and smoothed: what views are fitted and calibrated on."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from detector.models.base import check_range
from detector.signal.denoising import smooth
from detector.signal.noise import noise_level
from detector.signal.scaler import ChannelScaler, fit_row, gross, shared_scale
from detector.signal.scorable import Unscorable, unscorable
from detector.signal.series import (
    GAP_INTERVALS,
    Series,
    carried,
    in_order,
    runs,
    sampling_interval_ns,
    thin,
    window_ends,
)

_NOISE_PIECES = 32
MIN_GROUP_CALIBRATION = 64
"""A sensor with fewer calibration windows is scored with the pooled numbers."""
MAX_GROUPS = 10_000
_MOST_NAMED = 5

Windows = Float32[Tensor, "batch time channel"]


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
    """The windows of one length in one block.

    Attributes:
        data: where the rows are.
        receptive_field: their length.
        ends: last row of each.
    """

    data: "Dataset"
    receptive_field: int
    ends: Int64[np.ndarray, " windows"]

    def windows(self, picks: Int64[np.ndarray, " batch"]) -> tuple[Windows, Windows]:
        """Scaled windows with missing values filled, and 1.0 where a value was measured."""
        rows = self._rows(picks)
        measured = self.data.measured[rows].astype(np.float32)
        return torch.from_numpy(self.data.filled[rows]), torch.from_numpy(measured)

    def batch(
        self, picks: Int64[np.ndarray, " batch"]
    ) -> tuple[Windows, Windows, Windows, Float32[Tensor, "batch channel"]]:
        """Windows, smooth targets, weights of the errors, noise level; scaled."""
        windows, weight = self.windows(picks)
        target = torch.from_numpy(self.data.target[self._rows(picks)])
        sigma = torch.from_numpy(self.data.noise[self.data.groups[self.ends[picks]]])
        return windows, target, weight, sigma

    def _rows(self, picks: Int64[np.ndarray, " batch"]) -> Int64[np.ndarray, "batch time"]:
        reach = np.arange(1 - self.receptive_field, 1)
        rows: Int64[np.ndarray, "batch time"] = self.ends[picks, None] + reach
        return rows


@dataclass(frozen=True, kw_only=True)
class GrossValues:
    """Values of one channel that are no measurements (-9999 in a pressure), taken as missing.

    Attributes:
        channel: its column.
        values: how many.
        largest: the one farthest from zero.
    """

    sensor: str
    channel: int
    values: int
    largest: float


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """All rows of all sensors one behind the other, and the segments that windows may lie in.

    Attributes:
        receptive_field: the least rows that views learn from; no segment is shorter.
        interval_s, max_gap_s: time base.
        sensors: the sensor of each calibration group from 1 on.
        names: every sensor that has a segment.
        unused: those that have none, and why.
        scaler: per group.
        sigma: noise level, channel units.
        noise: noise level, scaled units.
        rows: channel units, NaN = missing.
        ts_ns: event time of each row.
        owners: the sensor of each row, a position in `names`.
        groups: calibration group of each row.
        filled: scaled, missing values carried forward.
        target: scaled and smoothed with hindsight.
        measured: whether a value was there.
        segments: first row and row after the last of each uninterrupted segment of each block.
        runs: likewise over all blocks: where a block follows another without a gap, one run.
        gross: values that are no measurements, and were taken as missing.
    """

    receptive_field: int
    interval_s: float
    max_gap_s: float
    sensors: tuple[str, ...]
    names: tuple[str, ...]
    unused: tuple[Unscorable, ...]
    scaler: ChannelScaler
    sigma: Float64[np.ndarray, "groups channels"]
    noise: Float32[np.ndarray, "groups channels"]
    rows: Float64[np.ndarray, "rows channels"]
    ts_ns: Int64[np.ndarray, " rows"]
    owners: Int64[np.ndarray, " rows"]
    groups: Int64[np.ndarray, " rows"]
    filled: Float32[np.ndarray, "rows channels"]
    target: Float32[np.ndarray, "rows channels"]
    measured: Bool[np.ndarray, "rows channels"]
    segments: Mapping[Block, Sequence[tuple[int, int]]]
    runs: Sequence[tuple[int, int]]
    gross: Sequence[GrossValues]

    def ends(self, block: Block, receptive_field: int) -> Int64[np.ndarray, " windows"]:
        """The last row of every window of so many rows in a block."""
        return window_ends(self.segments[block], receptive_field)

    def block(self, block: Block, *, receptive_field: int, limit: int) -> WindowBlock:
        """At most `limit` windows of a block, evenly spread."""
        ends = thin(self.ends(block, receptive_field), limit)
        return WindowBlock(data=self, receptive_field=receptive_field, ends=ends)

    def summary(self) -> dict[str, Any]:
        """Sizes, for people."""
        windows = {
            f"{block.name.lower()}_windows": len(self.ends(block, self.receptive_field))
            for block in Block
        }
        return {"rows": len(self.rows), "sensors": len(self.names), **windows}


@dataclass(frozen=True)
class _Segment:
    """Consecutive rows of one sensor in one block."""

    sensor: str
    block: Block
    ts_ns: Int64[np.ndarray, " rows"]
    values: Float64[np.ndarray, "rows channels"]

    def part(self, start: int, end: int) -> "_Segment":
        """Rows of it."""
        return replace(self, ts_ns=self.ts_ns[start:end], values=self.values[start:end])


def assemble(
    series: Sequence[Series],
    *,
    n_channels: int,
    receptive_field: int,
    split: Split,
    max_gap_s: float,
    max_rows: int,
    longest: int = 0,
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
    _check_order(series, ordered)
    ordered, found = _without_gross(ordered)
    interval_ns = sampling_interval_ns(ordered)
    gap_ns = round(max_gap_s * 1e9) or GAP_INTERVALS * interval_ns
    segments = [
        segment
        for one in ordered
        for segment in _segments(one, split, gap_ns)
        if len(segment.values) >= receptive_field
    ]
    unused = _unused(ordered, segments, receptive_field, split, gap_ns)
    _check_enough(segments, unused, receptive_field, split)
    segments = list(_bounded(segments, max_rows, max(longest, receptive_field)))
    return _join(
        segments,
        unused,
        receptive_field=receptive_field,
        interval_s=interval_ns / 1e9,
        max_gap_s=gap_ns / 1e9,
        gross_values=found,
    )


def _without_gross(ordered: Sequence[Series]) -> tuple[list[Series], tuple[GrossValues, ...]]:
    """The series without values that are no measurements, and how many those were."""
    kept, found = [], []
    for one in ordered:
        values = one.values.copy()
        for channel, column in enumerate(values.T):
            known = np.flatnonzero(np.isfinite(column))
            if not len(known):
                continue
            wrong = known[gross(column[known])]
            if len(wrong):
                largest = float(column[wrong[np.argmax(np.abs(column[wrong]))]])
                column[wrong] = np.nan
                found.append(
                    GrossValues(
                        sensor=one.sensor, channel=channel, values=len(wrong), largest=largest
                    )
                )
        kept.append(replace(one, values=values))
    return kept, tuple(found)


def _check_order(series: Sequence[Series], ordered: Sequence[Series]) -> None:
    if any(len(one.ts_ns) > 1 for one in ordered):
        return
    said = [
        f"sensor {one.sensor!r} has {len(one.ts_ns):,} readings, {len(kept.ts_ns):,} in order"
        for one, kept in zip(series, ordered, strict=True)
    ]
    raise ValueError(
        "no sensor has two readings of which the second is newer: " + (_listed(said) or "no sensor")
    )


def _segments(one: Series, split: Split, gap_ns: int) -> Iterator[_Segment]:
    for block, (start, end) in zip(Block, split.borders(len(one.ts_ns)), strict=True):
        whole = _Segment(one.sensor, block, one.ts_ns[start:end], one.values[start:end])
        for first, after in runs(whole.ts_ns, gap_ns):
            yield whole.part(first, after)


def _unused(
    ordered: Sequence[Series],
    segments: Sequence[_Segment],
    receptive_field: int,
    split: Split,
    gap_ns: int,
) -> tuple[Unscorable, ...]:
    """The sensors without a segment."""
    used = {segment.sensor for segment in segments}
    pieces = defaultdict[str, list[Any]](list)
    for one in ordered:
        if one.sensor not in used:
            for start, end in split.borders(len(one.ts_ns)):
                pieces[one.sensor].append(one.ts_ns[start:end])
    needed = math.ceil(receptive_field / min(split.validation, split.calibration))
    found = (
        unscorable(sensor, times, receptive_field=receptive_field, max_gap_ns=gap_ns, needed=needed)
        for sensor, times in pieces.items()
    )
    return tuple(one for one in found if one is not None)


def _check_enough(
    segments: list[_Segment], unused: Sequence[Unscorable], receptive_field: int, split: Split
) -> None:
    for block in Block:
        if not any(segment.block is block for segment in segments):
            least = math.ceil(receptive_field / min(split.validation, split.calibration))
            said = _listed([f"sensor {one.sensor!r}: {one}" for one in unused])
            raise ValueError(
                f"the {block.name.lower()} block has no window of {receptive_field} readings "
                f"without a gap: at least one sensor needs about {least:,} consecutive readings, "
                "or choose a smaller receptive_field" + (f" ({said})" if said else "")
            )


def _listed(said: Sequence[str]) -> str:
    more = len(said) - _MOST_NAMED
    return "; ".join([*said[:_MOST_NAMED], *([f"and {more:,} more"] if more > 0 else [])])


def _bounded(segments: list[_Segment], max_rows: int, longest: int) -> Iterator[_Segment]:
    """Keep every k-th piece of 16 windows' length of a history that is too long.

    Windows of the longest view: the first ones of a piece begin before it.
    """
    total = sum(len(segment.values) for segment in segments)
    every = -(-total // max_rows)
    if every == 1:
        yield from segments
        return
    size, piece_number = 16 * longest, 0
    for segment in segments:
        for start in range(0, len(segment.values), size):
            piece = segment.part(start, start + size)
            if piece_number % every == 0 and len(piece.values) >= min(size, len(segment.values)):
                yield piece
            piece_number += 1


def _own_groups(segments: list[_Segment], receptive_field: int) -> tuple[str, ...]:
    """Sensors with enough of their own data in the training and the calibration block."""
    windows = Counter[tuple[str, Block]]()
    for segment in segments:
        windows[segment.sensor, segment.block] += len(segment.values) - receptive_field + 1
    sensors = dict.fromkeys(segment.sensor for segment in segments)
    enough = [
        sensor
        for sensor in sensors
        if min(windows[sensor, Block.TRAINING], windows[sensor, Block.CALIBRATION])
        >= MIN_GROUP_CALIBRATION
    ]
    return tuple(enough[:MAX_GROUPS])


def _fit_groups(
    segments: list[_Segment], sensors: tuple[str, ...]
) -> tuple[ChannelScaler, Float64[np.ndarray, "groups channels"]]:
    training = [segment for segment in segments if segment.block is Block.TRAINING]
    by_sensor = defaultdict[str, list[Any]](list)
    for segment in training:
        by_sensor[segment.sensor].append(segment.values)
    everything = np.concatenate([segment.values for segment in training])
    fits = [fit_row(everything)] + [fit_row(np.concatenate(by_sensor[s])) for s in sensors]
    center = np.stack([center for center, _ in fits])
    scale = np.stack([scale for _, scale in fits])
    if sensors:
        scale[1:] = shared_scale(scale[1:])
    levels = {
        sensor: np.median([noise_level(values) for values in pieces[:_NOISE_PIECES]], axis=0)
        for sensor, pieces in by_sensor.items()
    }
    pooled = np.median(np.stack(list(levels.values())), axis=0)
    sigma = np.stack([pooled, *(levels[sensor] for sensor in sensors)])
    return ChannelScaler(center=center, scale=scale), sigma


def _join(
    segments: list[_Segment],
    unused: tuple[Unscorable, ...],
    *,
    receptive_field: int,
    interval_s: float,
    max_gap_s: float,
    gross_values: tuple[GrossValues, ...],
) -> Dataset:
    sensors = _own_groups(segments, receptive_field)
    scaler, sigma = _fit_groups(segments, sensors)
    group_of = {sensor: i + 1 for i, sensor in enumerate(sensors)}
    place = {name: i for i, name in enumerate(dict.fromkeys(one.sensor for one in segments))}
    noise = sigma / scaler.scale
    ts_ns = np.concatenate([segment.ts_ns for segment in segments])
    borders = np.cumsum([0] + [len(segment.values) for segment in segments])
    rows = np.concatenate([segment.values for segment in segments])
    groups = np.repeat([group_of.get(s.sensor, 0) for s in segments], np.diff(borders))
    filled = np.empty(rows.shape, dtype=np.float32)
    target = np.empty(rows.shape, dtype=np.float32)
    spans: dict[Block, list[tuple[int, int]]] = {block: [] for block in Block}
    for segment, start, end in zip(segments, borders[:-1], borders[1:], strict=True):
        group = group_of.get(segment.sensor, 0)
        scaled = scaler.apply(segment.values, np.array(group))
        filled[start:end] = carried(scaled)
        target[start:end] = smooth(filled[start:end], noise[group])
        spans[segment.block].append((int(start), int(end)))
    return Dataset(
        receptive_field=receptive_field,
        interval_s=interval_s,
        max_gap_s=max_gap_s,
        sensors=sensors,
        names=tuple(place),
        unused=unused,
        scaler=scaler,
        sigma=sigma,
        noise=noise.astype(np.float32),
        rows=rows,
        ts_ns=ts_ns,
        owners=np.repeat([place[s.sensor] for s in segments], np.diff(borders)).astype(np.int64),
        groups=groups.astype(np.int64),
        filled=filled,
        target=target,
        measured=np.isfinite(rows),
        segments=spans,
        runs=_joined_runs(segments, borders.tolist(), round(max_gap_s * 1e9)),
        gross=gross_values,
    )


def _joined_runs(
    segments: list[_Segment], borders: list[int], gap_ns: int
) -> list[tuple[int, int]]:
    """Segments, those joined that follow one another without a gap."""
    found: list[tuple[int, int]] = []
    for place, segment in enumerate(segments):
        before = segments[place - 1] if place else None
        follows = (
            before is not None
            and before.sensor == segment.sensor
            and 0 < segment.ts_ns[0] - before.ts_ns[-1] <= gap_ns
        )
        start = found.pop()[0] if follows else borders[place]
        found.append((start, borders[place + 1]))
    return found

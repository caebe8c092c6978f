"""The latent space as a place to work in: encode, decode, and what lies between and beside.

An autoencoder's encoder z = e(x) writes a window as a few numbers, its decoder d(z) turns any such
numbers into a window again (Hinton and Salakhutdinov 2006). So windows can be made by arithmetic
on latents instead of on readings: neighbours of a window, the mean of several of one type, the
difference of two added to a third (Mikolov et al. 2013, Radford et al. 2016), and the line
between two. What comes out is what the decoder knows: smooth, and only as right as the
reconstruction of a real window is.

Pure: what is drawn at random comes from the generator that the caller passes.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int

from detector.scoring import Detector

Window = Float64[np.ndarray, "time channels"]
Windows = Float64[np.ndarray, "n time channels"]
Latents = Float32[np.ndarray, "n latent"]
Group = int | Int[np.ndarray, " n"]

_LEAST_LATENTS = 2
_NO_SPREAD = 1e-9
"""Deviations below this share of the largest count as none."""


def encode(detector: Detector, windows: Windows, group: Group) -> Latents:
    """The latent vector of each window, with the bits that scoring gives it.

    Args:
        detector: whose signal view encodes.
        windows: channel units, R = `detector.signal.receptive_field` rows each, oldest first;
            NaN = missing, and the last value before it in the window stands in.
        group: `detector.group_of` the sensor, or one for each window.

    Raises:
        ValueError: the windows have another shape, or the group is unknown.
    """
    signal = detector.signal
    size, channels = signal.receptive_field, len(detector.channels)
    if windows.ndim != 3 or windows.shape[1:] != (size, channels):  # noqa: PLR2004
        raise ValueError(
            f"windows must be [n, {size}, {channels}], {size} rows of "
            f"{', '.join(detector.channels)}; got {list(windows.shape)}"
        )
    groups = _checked_groups(detector, group)
    if len(windows) == 0:
        return np.zeros((0, signal.model.latent_size), dtype=np.float32)
    rows = np.ascontiguousarray(windows).reshape(-1, channels)
    of_rows = np.repeat(groups, size) if groups.ndim else groups
    ends = torch.arange(size - 1, len(rows), size, device=detector.device)
    with torch.inference_mode():
        latents: Latents = signal.encode(signal.prepare(rows, of_rows), ends).cpu().numpy()
    return latents


def decode(detector: Detector, latents: Latents, group: Group) -> Windows:
    """The window that each latent vector stands for, channel units.

    Args:
        detector: whose signal view decodes.
        latents: from `encode`, or made of such.
        group: `detector.group_of` the sensor whose centre and spread the windows get, or one for
            each latent vector.

    Raises:
        ValueError: the latents have another width or are not finite, or the group is unknown.
    """
    width = detector.signal.model.latent_size
    if latents.ndim != 2 or latents.shape[1] != width:  # noqa: PLR2004
        raise ValueError(f"latents must be [n, {width}], got {list(latents.shape)}")
    if not np.isfinite(latents).all():
        raise ValueError("latents must be finite; encode windows of finite readings")
    groups = np.broadcast_to(_checked_groups(detector, group), len(latents))
    values = np.ascontiguousarray(latents, dtype=np.float32)
    size, channels = detector.signal.receptive_field, len(detector.channels)
    windows = np.empty((len(latents), size, channels))
    for own in np.unique(groups):
        mine = groups == own
        windows[mine] = detector.decode(values[mine], int(own))
    return windows


@dataclass(frozen=True, kw_only=True)
class LatentSpace:
    """Where a set of latents lies: its mean, and the axes along which it spreads.

    Attributes:
        mean: of the latents.
        axes: orthonormal rows, largest spread first; the largest entry of each is positive.
        deviations: standard deviation along each axis; 0 where the latents do not spread.
    """

    mean: Float64[np.ndarray, " latent"]
    axes: Float64[np.ndarray, "latent latent"]
    deviations: Float64[np.ndarray, " latent"]

    @classmethod
    def of(cls, latents: Latents) -> Self:
        """The principal axes of the latents' covariance (Pearson 1901).

        Raises:
            ValueError: fewer than two latents, or one that is not finite.
        """
        if latents.ndim != 2 or len(latents) < _LEAST_LATENTS:  # noqa: PLR2004
            raise ValueError(
                f"a latent space needs at least {_LEAST_LATENTS} latents, "
                f"got {list(latents.shape)}; encode more windows"
            )
        if not np.isfinite(latents).all():
            raise ValueError("latents must be finite; encode windows of finite readings")
        values = latents.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        variances, vectors = np.linalg.eigh(centred.T @ centred / (len(values) - 1))
        deviations = np.sqrt(np.maximum(variances[::-1], 0.0))
        deviations[deviations <= _NO_SPREAD * deviations[0]] = 0.0
        axes = vectors[:, ::-1].T
        # An axis has no sign of its own; the largest entry is made positive, for repeatable maps.
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        return cls(mean=mean, axes=axes * np.where(largest < 0, -1.0, 1.0), deviations=deviations)

    @property
    def rank(self) -> int:
        """Axes along which the latents spread at all."""
        return int(np.count_nonzero(self.deviations))

    def standard_deviations(self, latents: Latents) -> Float64[np.ndarray, " n"]:
        """How far from the mean each latent lies: sqrt(mean over axes of (distance / deviation)²).

        The Mahalanobis distance over the root of the number of axes: 1 is usual, whatever the size
        of the latent space. Axes without spread are left out.
        """
        kept = self.deviations > 0
        along = (latents.astype(np.float64) - self.mean) @ self.axes[kept].T
        squares = np.square(along / self.deviations[kept])
        distance: Float64[np.ndarray, " n"] = np.sqrt(squares.sum(axis=1) / max(1, self.rank))
        return distance

    def project(self, latents: Latents, dimensions: int = 2) -> Float64[np.ndarray, "n dimensions"]:
        """Coordinates along the axes of largest spread (principal components).

        Raises:
            ValueError: the latent space has fewer dimensions.
        """
        if not 1 <= dimensions <= len(self.axes):
            raise ValueError(f"dimensions must be in 1..{len(self.axes)}, got {dimensions}")
        points: Float64[np.ndarray, "n dimensions"]
        points = (latents.astype(np.float64) - self.mean) @ self.axes[:dimensions].T
        return points

    def neighbours(
        self,
        latent: Float32[np.ndarray, " latent"],
        *,
        radius: float,
        count: int,
        generator: np.random.Generator,
    ) -> Latents:
        """Latents at one distance from another, in directions drawn at random.

        z + radius * sqrt(rank) * sum_i u_i * deviation_i * axis_i, with u uniform on the unit
        sphere (Muller 1959): `radius` standard deviations from z in the measure of
        `standard_deviations`, and farther along the axes on which real windows differ more.

        Raises:
            ValueError: radius or count below 0.
        """
        if not (radius >= 0 and np.isfinite(radius)):
            raise ValueError(f"radius must be a number of at least 0, got {radius}")
        if count < 0:
            raise ValueError(f"count must be at least 0, got {count}")
        kept = self.deviations > 0
        drawn = generator.standard_normal((count, self.rank))
        norms = np.linalg.norm(drawn, axis=1, keepdims=True)
        directions = drawn / np.maximum(norms, np.finfo(np.float64).tiny) * np.sqrt(self.rank)
        steps = radius * (directions * self.deviations[kept]) @ self.axes[kept]
        neighbours: Latents = (latent.astype(np.float64) + steps).astype(np.float32)
        return neighbours


def generate_near(
    detector: Detector,
    window: Window,
    group: int,
    *,
    space: LatentSpace,
    radius: float,
    count: int,
    generator: np.random.Generator,
) -> Windows:
    """New windows near one: d(z + step), see `LatentSpace.neighbours`.

    Args:
        detector: that encodes and decodes.
        window: R complete rows, channel units.
        group: `detector.group_of` its sensor.
        space: of latents of the same detector; says what a standard deviation is.
        radius: standard deviations of `space`; 0 gives the window's reconstruction.
        count: windows to make.
        generator: of the directions.

    Raises:
        ValueError: the window has another shape or misses values; see `neighbours`.
    """
    (latent,) = _encode_complete(detector, window[None], group, "window")
    near = space.neighbours(latent, radius=radius, count=count, generator=generator)
    return decode(detector, near, group)


def average(
    detector: Detector, windows: Windows, group: int, *, groups: Group | None = None
) -> Window:
    """The window in the middle of several of one type: d(mean z).

    A mean of readings blurs what does not stand at the same place in each window; the decoder
    gives back a window of the kind that it has learnt.

    Args:
        detector: that encodes and decodes.
        windows: of one type, complete.
        group: `detector.group_of` the sensor whose centre and spread the result gets.
        groups: of the sensor of each window; None = all of `group`.

    Raises:
        ValueError: no window, another shape, or missing values.
    """
    of_windows = group if groups is None else groups
    middle: Window = decode(detector, _mean(detector, windows, of_windows, "windows"), group)[0]
    return middle


def arithmetic(
    detector: Detector,
    a: Windows,
    b: Windows,
    c: Windows,
    group: int,
    *,
    groups: tuple[Group, Group, Group] | None = None,
) -> Window:
    """The change from B to A applied to C: d(mean z(a) - mean z(b) + mean z(c)).

    For example A and B one pump at high and at low load, C another pump at low load: the result is
    the other pump at high load. Several windows of each give a steadier difference.

    Args:
        detector: that encodes and decodes.
        a: windows behind the change.
        b: windows before it.
        c: windows that the change is applied to.
        group: `detector.group_of` the sensor of the result, usually that of `c`.
        groups: of the sensors of `a`, `b` and `c`; None = all of `group`.

    Raises:
        ValueError: no window in one of them, another shape, or missing values.
    """
    of_a, of_b, of_c = (group,) * 3 if groups is None else groups
    change = _mean(detector, a, of_a, "a") - _mean(detector, b, of_b, "b")
    latent = change + _mean(detector, c, of_c, "c")
    changed_window: Window = decode(detector, latent, group)[0]
    return changed_window


def interpolate(
    detector: Detector, start: Window, end: Window, group: int, *, steps: int
) -> Windows:
    """A path between two windows: d(z(start) + k / (steps - 1) * (z(end) - z(start))), k from 0.

    The first and the last window are the reconstructions of the two.

    Raises:
        ValueError: fewer than two steps, another shape, or missing values.
    """
    if steps < 2:  # noqa: PLR2004
        raise ValueError(f"steps must be at least 2 (both ends count), got {steps}")
    first = _encode_complete(detector, start[None], group, "start").astype(np.float64)
    last = _encode_complete(detector, end[None], group, "end").astype(np.float64)
    share = np.linspace(0.0, 1.0, steps)[:, None]
    return decode(detector, (first + share * (last - first)).astype(np.float32), group)


def _mean(detector: Detector, windows: Windows, group: Group, name: str) -> Latents:
    if len(windows) == 0:
        raise ValueError(f"{name}: a mean needs at least one window, got none")
    latents = _encode_complete(detector, windows, group, name)
    mean: Latents = latents.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
    return mean


def _encode_complete(detector: Detector, windows: Windows, group: Group, name: str) -> Latents:
    missing = int(np.count_nonzero(~np.isfinite(windows)))
    if missing:
        raise ValueError(
            f"{name}: {missing} of {windows.size} values are missing; choose windows in which "
            "every channel has a value in every row"
        )
    return encode(detector, windows, group)


def _checked_groups(detector: Detector, group: Group) -> Int[np.ndarray, "..."]:
    groups = np.asarray(group, dtype=np.int64)
    if groups.size and not (groups.min() >= 0 and groups.max() < detector.n_groups):
        raise ValueError(f"group must lie in 0..{detector.n_groups - 1}, got {group}")
    return groups

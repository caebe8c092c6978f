"""The scoring function: pure, and equal bit for bit however a stream is cut into calls.

Why the bits hold: see `detector.views.base`; all else here works on single rows or samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from detector.calibration.fusion import Fusion
from detector.calibration.threshold import Calibration
from detector.signal.denoising import Denoiser
from detector.signal.scaler import ChannelScaler
from detector.signal.series import count_in_windows
from detector.views.joined import Views
from detector.views.reconstruction import ReconstructionView

POOLED = 0
"""The calibration group of all sensors together; it serves those that training has not seen."""

_SCORE_DECIMALS = 6
_BLOCK = 2048
_TILES = 8
"""Tiles between two rounds of the small arithmetic; it keeps them in the cache."""

Rows = Float64[np.ndarray, "rows channels"]
Ends = Int64[np.ndarray, " n"]
Groups = Int32[np.ndarray, " n"]
Samples = Float64[np.ndarray, "n channels"]
Scaled = Float32[np.ndarray, "n channels"]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the detector says of n samples.

    Attributes:
        score: 1.0 is the threshold; rounded to six decimals, flagged iff >= 1.0.
        raw: the score before the division by the threshold.
        p_value: share of calibration scores at least as high, conformal.
        expected: last row of the signal view's reconstruction, channel units, rounded.
        denoised: the sample with as much of its noise removed as the reconstruction is
            better than the reading (see `detector.signal.denoising`); `expected` where it is
            missing.
        flagged: indices of the samples with score >= 1.0, ascending.
        partial: whether its window had fewer than R readings.
        contribution: each channel's share in a flagged score, sums to 1.
    """

    score: Float64[np.ndarray, " n"]
    raw: Float32[np.ndarray, " n"]
    p_value: Float32[np.ndarray, " n"]
    expected: Float64[np.ndarray, "n channels"]
    denoised: Float64[np.ndarray, "n channels"]
    partial: Bool[np.ndarray, " n"]
    flagged: Int64[np.ndarray, " k"]
    contribution: Float32[np.ndarray, "k channels"]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which detector this is and what it expects of its input.

    Attributes:
        name: chosen by the user.
        version: chosen by the user, or the beginning of the content's hash.
        channels: names, in the order of the columns.
        units: of each channel, "" where unknown.
        sensors: the sensor of each calibration group from 1 on.
        interval_s: sampling interval of the training data.
        max_gap_s: a longer gap restarts the warm-up.
        training: summary for people (rows, windows, losses, versions ...); JSON values only.
    """

    name: str
    version: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    sensors: tuple[str, ...]
    interval_s: float
    max_gap_s: float
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Head:
    """What turns the views' output into scores and clean values; all per calibration group.

    Attributes:
        fusion: features of all views to raw score.
        calibration: raw score to normalised score and p-value.
        denoiser: reading and reconstruction to clean reading.
        missing_limit: missing rows in a window of the signal view that are still normal, 0..R.
        decimals: of published values, 0..15.
    """

    fusion: Fusion
    calibration: Calibration
    denoiser: Denoiser
    missing_limit: Int64[np.ndarray, "groups channels"]
    decimals: Int64[np.ndarray, " channels"]


class Detector:
    """A trained, calibrated detector. Immutable; `to` gives another one.

    Example:
        detector = load(Path("model"))
        scores = detector.score(rows, ends, groups)
        scores.flagged  # samples that the stream should hear about
    """

    def __init__(self, identity: Identity, views: Views, head: Head) -> None:
        self.identity = identity
        self.views = views
        self.head = head
        self.device = views.device
        self._fusion = head.fusion.on(self.device)
        self._groups = {sensor: i + 1 for i, sensor in enumerate(identity.sensors)}
        self._factor = 10.0**head.decimals

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.identity.name

    @property
    def version(self) -> str:
        """Version of the model."""
        return self.identity.version

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names in column order."""
        return self.identity.channels

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each channel."""
        return self.identity.units

    @property
    def receptive_field(self) -> int:
        """R: a score depends on the sample and the R-1 before it; the largest of the views'."""
        return self.views.receptive_field

    @property
    def warm_up(self) -> int:
        """Readings that a score takes at least, 1..R; with fewer than R it is partial."""
        return self.receptive_field

    @property
    def signal(self) -> ReconstructionView:
        """The view that expected and denoised values come from."""
        return self.views.signal

    @property
    def interval_s(self) -> float:
        """Sampling interval of the training data, seconds."""
        return self.identity.interval_s

    @property
    def max_gap_s(self) -> float:
        """A longer gap than this restarts the warm-up, seconds."""
        return self.identity.max_gap_s

    @property
    def n_groups(self) -> int:
        """Calibration groups, the pooled one included."""
        return len(self.head.calibration.threshold)

    def group_of(self, sensor: str) -> int:
        """Calibration group of a sensor; `POOLED` for one that the training has not seen."""
        return self._groups.get(sensor, POOLED)

    def threshold_of(self, group: int) -> float:
        """Raw score at which a group's normalised score is 1."""
        return float(self.head.calibration.threshold[group])

    def score(
        self,
        rows: Rows,
        ends: Ends,
        groups: Groups,
        *,
        lengths: Ends | None = None,
        times: Int64[np.ndarray, " rows"] | None = None,
    ) -> Scores:
        """Score the samples at `rows[ends]`, each from the R rows that end with it.

        Args:
            rows: many sequences one behind the other, oldest first, channel units; NaN (or an
                infinity) = missing. Not written to.
            ends: samples to score, in any order; the caller guarantees that the R rows before
                and including each lie in one sequence of one sensor.
            groups: `group_of` the sensor of each sample.
            lengths: readings of each sample's window, `warm_up`..R; None is R for all.
            times: event time of each row, nanoseconds; None when the model needs none.

        Returns:
            The scores, in the order of `ends`; a sample's do not depend on the other samples.

        Raises:
            ValueError: the columns are not this model's channels, an end has less than R-1 rows
                before it or lies outside, a group is unknown, windows of two groups overlap, a
                length is out of range, or there is not one time for each row.
        """
        n, n_channels = len(ends), len(self.channels)
        if rows.ndim != 2 or rows.shape[1] != n_channels:  # noqa: PLR2004
            raise ValueError(
                f"rows must be [T, {n_channels}] for {self.channels}, got {rows.shape}"
            )
        if n == 0:
            return self._empty()
        self._check(len(rows), ends, groups)
        if lengths is not None and (
            lengths.shape != ends.shape
            or lengths.min() < self.warm_up
            or lengths.max() > self.receptive_field
        ):
            raise ValueError(
                f"lengths must be [{n}], in {self.warm_up}..{self.receptive_field}, got {lengths}"
            )
        if times is not None and times.shape != (len(rows),):
            raise ValueError(f"one time for each row: got {times.shape} and {len(rows)} rows")
        measured = self._measure(rows, ends, groups)
        return self._finish(rows, ends, groups, *measured)

    def to(self, device: str | torch.device) -> "Detector":
        """The same detector on another device ("cpu", "cuda", "cuda:1", "auto")."""
        return Detector(self.identity, self.views.to(pick_device(device)), self.head)

    def encode(self, rows: Rows, ends: Ends, group: int) -> Float32[np.ndarray, "n latent"]:
        """The signal view's latent vector of each window; arguments as for `score`, one group."""
        self._check(len(rows), ends, np.full(len(ends), group, dtype=np.int32))
        if len(ends) == 0:
            return np.zeros((0, self.signal.model.latent_size), dtype=np.float32)
        prepared = self.signal.prepare(rows, np.array(group))
        latent = self.signal.encode(
            prepared, torch.from_numpy(ends.astype(np.int64)).to(self.device)
        )
        vectors: Float32[np.ndarray, "n latent"] = latent.cpu().numpy()
        return vectors

    def decode(
        self, latent: Float32[np.ndarray, "n latent"], group: int
    ) -> Float64[np.ndarray, "n time channels"]:
        """The signal view's window that each latent vector stands for, in channel units."""
        return self.signal.decode(latent, group)

    @torch.inference_mode()
    def _measure(
        self, rows: Rows, ends: Ends, groups: Groups
    ) -> tuple[Float32[np.ndarray, " n"], Scaled, Scaled]:
        """Raw score, each channel's part of it, and the expected sample in scaled units."""
        n, n_channels = len(ends), rows.shape[1]
        one_group = bool((groups == groups[0]).all())
        row_groups = np.array(groups[0]) if one_group else self._row_groups(len(rows), ends, groups)
        prepared = self.views.prepare(rows, row_groups)
        window_ends = torch.from_numpy(ends.astype(np.int64)).to(self.device)
        window_groups = torch.from_numpy(groups.astype(np.int64)).to(self.device)
        raw = torch.empty(n, device=self.device)
        parts = torch.empty(n, n_channels, device=self.device)
        expected = torch.empty_like(parts)
        size = _TILES * self.views.tile
        for begin in range(0, n, size):
            block = slice(begin, begin + size)
            features, expected[block] = self.views.measure(prepared, window_ends[block])
            raw[block], parts[block] = self._fusion.combine(features, window_groups[block])
        return raw.cpu().numpy(), parts.cpu().numpy(), expected.cpu().numpy()

    def _finish(  # noqa: PLR0917 (what went in, then what was measured)
        self,
        rows: Rows,
        ends: Ends,
        groups: Groups,
        raw: Float32[np.ndarray, " n"],
        parts: Scaled,
        scaled: Scaled,
    ) -> Scores:
        """Thresholds, p-values and channel units; row by row, so free of the tiles."""
        head = self.head
        normal = raw / head.calibration.threshold[groups]
        missing = self._missing(rows, ends, groups)
        if missing is not None:
            worst = missing.max(axis=1)
            parts = np.where((worst >= np.maximum(normal, 1.0))[:, None], missing >= 1.0, parts)
            normal = np.maximum(normal, worst)
            raw = (normal * head.calibration.threshold[groups]).astype(np.float32)
        score = np.round(normal, _SCORE_DECIMALS)
        flagged = np.flatnonzero(score >= 1.0)
        shares = parts[flagged].astype(np.float64)
        shares /= shares.sum(axis=1, keepdims=True)
        expected, denoised = self._clean(rows, ends, groups, scaled)
        return Scores(
            score=score,
            raw=raw,
            p_value=head.calibration.p_value(raw.astype(np.float64), groups.astype(np.int64)),
            expected=expected,
            denoised=denoised,
            partial=np.zeros(len(score), dtype=np.bool_),
            flagged=flagged,
            contribution=shares.astype(np.float32),
        )

    def _missing(self, rows: Rows, ends: Ends, groups: Groups) -> Samples | None:
        """Missing rows of each window over what is normal: 1.0 is the first row too many.

        The signal view's window: a longer view must not hide that a sensor has gone dark.
        """
        absent = ~np.isfinite(rows)
        if not absent.any():
            return None
        count = count_in_windows(absent, ends, self.signal.receptive_field)
        share: Samples = count / (self.head.missing_limit[groups] + 1)
        return share

    def _clean(
        self, rows: Rows, ends: Ends, groups: Groups, scaled: Scaled
    ) -> tuple[Samples, Samples]:
        """Expected and denoised values in channel units, in blocks that stay in the cache."""
        expected = np.empty(scaled.shape)
        denoised = np.empty(scaled.shape)
        for begin in range(0, len(ends), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            own = groups[block]
            value = self.signal.scaler.invert(scaled[block], own)
            clean = self.head.denoiser.apply(rows.take(ends[block], axis=0), value, own)
            expected[block] = self._rounded(value)
            denoised[block] = self._rounded(clean)
        return expected, denoised

    def _rounded(self, values: Samples) -> Samples:
        with np.errstate(over="ignore"):
            rounded: Samples = values * self._factor
        np.rint(rounded, out=rounded)
        rounded /= self._factor
        if not np.isfinite(rounded).all():  # a value that large has no decimals to round
            rounded = np.where(np.isfinite(rounded), rounded, values)
        return rounded

    def _check(self, n_rows: int, ends: Ends, groups: Groups) -> None:
        if ends.shape != groups.shape:
            raise ValueError(f"one group for each end: got {groups.shape} and {ends.shape}")
        if len(ends) == 0:
            return
        if ends.min() < self.receptive_field - 1 or ends.max() >= n_rows:
            raise ValueError(
                f"ends must lie in {self.receptive_field - 1}..{n_rows - 1} (R = "
                f"{self.receptive_field}, {n_rows} rows), got {ends.min()}..{ends.max()}"
            )
        if groups.min() < 0 or groups.max() >= self.n_groups:
            raise ValueError(
                f"groups must lie in 0..{self.n_groups - 1}, got {groups.min()}..{groups.max()}"
            )

    def _row_groups(self, n_rows: int, ends: Ends, groups: Groups) -> Int64[np.ndarray, " rows"]:
        """The group of each row: that of the first window that ends at it or behind it."""
        if (np.diff(ends) < 0).any():
            order = np.argsort(ends, kind="stable")
            ends, groups = ends[order], groups[order]
        change = np.flatnonzero(np.diff(groups)) + 1
        if (ends[change] - ends[change - 1] < self.receptive_field).any():
            raise ValueError("windows of two groups overlap: a row belongs to one sensor")
        spans = np.diff(ends, prepend=-1)
        spans[-1] += n_rows - 1 - ends[-1]
        return np.repeat(groups.astype(np.int64), spans)

    def _empty(self) -> Scores:
        none, wide = np.zeros(0, dtype=np.float32), np.zeros((0, len(self.channels)))
        return Scores(
            score=np.zeros(0),
            raw=none,
            p_value=none,
            expected=wide,
            denoised=wide,
            partial=np.zeros(0, dtype=np.bool_),
            flagged=np.zeros(0, dtype=np.int64),
            contribution=wide.astype(np.float32),
        )


def pick_device(device: str | torch.device) -> torch.device:
    """A device by name; "auto" takes the GPU when there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def decimals_for(scaler: ChannelScaler) -> Int64[np.ndarray, " channels"]:
    """Decimals that resolve a ten-thousandth of each channel's finest scale."""
    finest = np.log10(scaler.scale.min(axis=0) * 1e-4)
    decimals: Int64[np.ndarray, " channels"] = np.clip(np.ceil(-finest), 0, 15).astype(np.int64)
    return decimals

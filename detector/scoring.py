"""The scoring function: pure, and equal bit for bit however a stream is cut into calls.

Why the bits hold: see `detector.views.base`; all else here works on single rows or samples.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from detector import windows
from detector.calibration.fusion import LEVELS, Fused
from detector.calibration.published import levels_of
from detector.head import Head, Identity, short_views
from detector.measurement import Measurement, named
from detector.signal.series import count_in_windows
from detector.views.joined import Views
from detector.views.reconstruction import ReconstructionView
from detector.windows import Ends, Groups, Rows, Times

POOLED = 0
"""The calibration group of all sensors together; it serves those that training has not seen."""

_SCORE_DECIMALS = 6
_BLOCK = 2048
_TILES = 8
"""Tiles between two rounds of the small arithmetic; it keeps them in the cache."""

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
        denoised: the sample with as much of its noise removed as is known to be noise (see
            `detector.views.denoising`); what it was predicted to be where it is missing.
        flagged: indices of the samples with score >= 1.0, ascending.
        contribution: each channel's share in the score, sums to 1; alike for all where nothing is
            out.
        levels: log scores that the alarm rule reads: the ranking one (NaN where partial) and the
            short one.
        partial: whether the sensor has not sent a whole window yet: scored by the short look.
        latent: the signal view's latent vector of the window.
        settled: the clean value of the sample `settled_lag` rows before, with hindsight; NaN where
            the window is not full. None from a detector that is not `settling`.
    """

    score: Float64[np.ndarray, " n"]
    raw: Float32[np.ndarray, " n"]
    p_value: Float32[np.ndarray, " n"]
    expected: Float64[np.ndarray, "n channels"]
    denoised: Float64[np.ndarray, "n channels"]
    flagged: Int64[np.ndarray, " k"]
    contribution: Float32[np.ndarray, "n channels"]
    levels: Float64[np.ndarray, "n levels"]
    partial: Bool[np.ndarray, " n"]
    latent: Float32[np.ndarray, "n latent"]
    settled: Float64[np.ndarray, "n channels"] | None = None


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
        self._fusion = head.fusion.ready(self.device)
        self._groups = {sensor: i + 1 for i, sensor in enumerate(identity.sensors)}
        self._factor = 10.0**head.decimals
        self._warm_up, self._shorter = short_views(views, head)

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
        """Readings a sensor needs to be scored at all; from R on it is scored by every view."""
        return self._warm_up

    @property
    def signal(self) -> ReconstructionView:
        """The view that expected and denoised values come from."""
        return self.views.signal

    @property
    def settled_lag(self) -> int:
        """Rows between a settled sample and the newest one; 0: this model has no settled values."""
        return 0 if self.views.denoising is None else self.views.denoising.lag

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

    def threshold_of(self, group: int, *, partial: bool = False) -> float:
        """Raw score at which a group's score is 1 on the first day; `partial`: of short windows."""
        calibration = (self.head.partial if partial else None) or self.head.calibration
        return float(calibration.threshold[group])

    def score(
        self,
        rows: Rows,
        ends: Ends,
        groups: Groups,
        *,
        lengths: Ends | None = None,
        times: Times | None = None,
    ) -> Scores:
        """Score the samples at `rows[ends]`, each from the R rows that end with it.

        Args:
            rows: many sequences one behind the other, oldest first, channel units; NaN (or an
                infinity) = missing. Not written to.
            ends: samples to score, in any order; the caller guarantees that the rows of each
                window lie in one sequence of one sensor.
            groups: `group_of` the sensor of each sample.
            lengths: readings of each window, `warm_up`..R; None = R for all. A shorter window is
                scored by the looks that need no more than `warm_up` rows.
            times: event time of each row, nanoseconds; only a model with a season needs it.

        Returns:
            The scores, in the order of `ends`; a sample's do not depend on the other samples.

        Raises:
            ValueError: the columns are not this model's channels, a window reaches outside of the
                rows, a length is out of range, a group is unknown, windows of two groups overlap,
                or the model needs times and there are none.
        """
        reach = self._checked(rows, ends, groups, lengths)
        if times is not None and times.shape != (len(rows),):
            raise ValueError(f"one time for each row: got {times.shape} and {len(rows)} rows")
        if len(ends) == 0:
            return self._empty()
        partial = reach < self.receptive_field
        measured = self._measure(rows, times, ends, groups, reach)
        return self._finish(rows, ends, groups, partial, measured)

    def fused(
        self,
        rows: Rows,
        ends: Ends,
        groups: Groups,
        *,
        lengths: Ends | None = None,
        times: Times | None = None,
    ) -> Fused:
        """The logs and levels behind the scores of some samples; arguments as for `score`."""
        reach = self._checked(rows, ends, groups, lengths)
        measured = self._measure(rows, times, ends, groups, reach)
        return self.head.fusion.fuse(measured.distances, groups, reach < self.receptive_field)

    def to(self, device: str | torch.device) -> "Detector":
        """The same detector on another device ("cpu", "cuda", "cuda:1", "auto")."""
        return Detector(self.identity, self.views.to(pick_device(device)), self.head)

    def settling(self) -> "Detector":
        """The same detector, giving settled values too (if the model has them)."""
        denoising = self.views.denoising
        if denoising is None or not denoising.lag:
            return self
        return Detector(self.identity, self.views.with_denoising(denoising.settled()), self.head)

    def encode(self, rows: Rows, ends: Ends, group: int) -> Float32[np.ndarray, "n latent"]:
        """The signal view's latent vector of each window; arguments as for `score`, one group."""
        self._checked(rows, ends, np.full(len(ends), group, dtype=np.int32), None)
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

    def _measure(
        self, rows: Rows, times: Times | None, ends: Ends, groups: Groups, lengths: Ends
    ) -> Measurement:
        """What all views say of whole windows, and the short looks of those that are not full."""
        one_group = bool((groups == groups[0]).all())
        row_groups = (
            np.array(groups[0])
            if one_group
            else windows.row_groups(len(rows), ends, groups, lengths)
        )
        partial = lengths < self.receptive_field
        if self._shorter is None or not partial.any():
            return self._measured_by(self.views, (rows, row_groups, times), ends, groups)
        views, places = self._shorter
        latent = self.signal.model.latent_size
        found = Measurement.empty(
            self.views.n_features,
            len(ends),
            rows.shape[1],
            latent,
            settling=self.views.settling,
        )
        for who, picked, where in (
            (self.views, np.flatnonzero(~partial), None),
            (views, np.flatnonzero(partial), places),
        ):
            if len(picked):
                of = (rows, row_groups, times)
                some = self._measured_by(who, of, ends[picked], groups[picked])
                found.take(some, picked, where)
        return found

    @torch.inference_mode()
    def _measured_by(
        self,
        views: Views,
        of: tuple[Rows, Int64[np.ndarray, "..."], Times | None],
        ends: Ends,
        groups: Groups,
    ) -> Measurement:
        prepared = views.prepare(*of)
        window_ends = torch.from_numpy(ends.astype(np.int64)).to(self.device)
        window_groups = torch.from_numpy(groups.astype(np.int64)).to(self.device)
        found = defaultdict[str, list[np.ndarray]](list)
        size = _TILES * views.tile
        for begin in range(0, len(ends), size):
            block = slice(begin, begin + size)
            measured = views.measure(prepared, window_ends[block])
            distances, parts = self._fusion.combine(measured.features, window_groups[block])
            assert measured.expected is not None, "a reconstruction says what it expected"
            assert measured.latent is not None, "a reconstruction has a latent vector"
            several = {
                "distances": distances,
                "parts": parts,
                "expected": measured.expected,
                "latent": measured.latent,
                **named("cleaned", measured.cleaned),
                **named("settled", measured.settled),
            }
            for name, value in several.items():
                found[name].append(value.cpu().numpy())
        along = {"distances": 1, "parts": 1}
        whole = {
            name: np.concatenate(pieces, axis=along.get(name, 0)) for name, pieces in found.items()
        }
        return Measurement.of(whole, settling=views.settling)

    def _finish(
        self,
        rows: Rows,
        ends: Ends,
        groups: Groups,
        partial: Bool[np.ndarray, " n"],
        measured: Measurement,
    ) -> Scores:
        """Thresholds, p-values and channel units; row by row, so free of the tiles."""
        head = self.head
        fused = head.fusion.fuse(measured.distances, groups, partial)
        threshold = head.calibration.threshold[groups]
        if head.partial is not None:
            threshold = np.where(partial, head.partial.threshold[groups], threshold)
        raw, normal = fused.raw, fused.raw / threshold
        missing = self._missing(rows, ends, groups)
        levels = fused.levels
        if missing is not None:
            worst = missing.max(axis=1)
            # A channel that stays away must open an incident as any other fault does.
            least = np.maximum(worst, np.finfo(np.float32).tiny)
            calibrations = (head.calibration, head.partial or head.calibration)
            levels = np.maximum(levels, levels_of(least, groups, head.fusion, calibrations))
            normal = np.maximum(normal, worst)
            raw = (normal * threshold).astype(np.float32)
        score = np.round(normal, _SCORE_DECIMALS)
        flagged = np.flatnonzero(score >= 1.0)
        shares = head.fusion.shares(fused, measured.parts, partial)
        if missing is not None:
            lost = missing >= 1.0
            gone = missing.max(axis=1) >= np.maximum(fused.raw / threshold, 1.0)
            dark = lost / np.maximum(lost.sum(axis=1, keepdims=True), 1)
            shares = np.where(gone[:, None], dark.astype(np.float32), shares)
        expected = self._in_units(measured.expected, groups)
        denoised = self._cleaned(rows, ends, groups, measured.cleaned)
        settled = None
        if measured.settled is not None:
            early = ends - self.settled_lag
            settled = self._cleaned(rows, np.maximum(early, 0), groups, measured.settled)
            settled[partial | (early < 0)] = np.nan
        return Scores(
            score=score,
            raw=raw,
            p_value=self._p_value(raw.astype(np.float64), groups.astype(np.int64), partial),
            expected=expected,
            denoised=denoised,
            settled=settled,
            flagged=flagged,
            contribution=shares,
            levels=np.ascontiguousarray(levels.T),
            partial=partial,
            latent=measured.latent,
        )

    def _p_value(
        self,
        raw: Float64[np.ndarray, " n"],
        groups: Int64[np.ndarray, " n"],
        partial: Bool[np.ndarray, " n"],
    ) -> Float32[np.ndarray, " n"]:
        whole = self.head.calibration.p_value(raw, groups)
        if self.head.partial is None or not partial.any():
            return whole
        return np.where(partial, self.head.partial.p_value(raw, groups), whole)

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

    def _in_units(self, scaled: Scaled, groups: Groups) -> Samples:
        """Scaled values in channel units, rounded, in blocks that stay in the cache."""
        values = np.empty(scaled.shape)
        for begin in range(0, len(scaled), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            values[block] = self._rounded(self.signal.scaler.invert(scaled[block], groups[block]))
        return values

    def _cleaned(
        self, rows: Rows, places: Ends, groups: Groups, cleaning: tuple[Scaled, Scaled]
    ) -> Samples:
        """Readings without what is noise of them; predictions where one is missing."""
        values = np.empty(cleaning[0].shape)
        for begin in range(0, len(places), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            readings = rows.take(places[block], axis=0)
            prediction, share = (one[block] for one in cleaning)
            predicted = self.signal.scaler.invert(prediction, groups[block])
            with np.errstate(over="ignore", invalid="ignore"):
                clean = readings + share * (predicted - readings)
            clean = self._rounded(np.where(np.isfinite(readings), clean, predicted))
            # A reading of which nothing is noise comes back as it came, to its last digit.
            values[block] = np.where((share > 0) | ~np.isfinite(readings), clean, readings)
        return values

    def _rounded(self, values: Samples) -> Samples:
        with np.errstate(over="ignore"):
            rounded: Samples = values * self._factor
        np.rint(rounded, out=rounded)
        rounded /= self._factor
        if not np.isfinite(rounded).all():  # a value that large has no decimals to round
            rounded = np.where(np.isfinite(rounded), rounded, values)
        return rounded

    def _checked(self, rows: Rows, ends: Ends, groups: Groups, lengths: Ends | None) -> Ends:
        """How many rows each window has, if all is as it must be."""
        reach = np.full(len(ends), self.receptive_field) if lengths is None else lengths
        windows.check(
            rows,
            ends,
            groups,
            reach,
            channels=self.channels,
            limits=(self.warm_up, self.receptive_field),
            n_groups=self.n_groups,
        )
        return reach

    def _empty(self) -> Scores:
        none, wide = np.zeros(0, dtype=np.float32), np.zeros((0, len(self.channels)))
        return Scores(
            score=np.zeros(0),
            raw=none,
            p_value=none,
            expected=wide,
            denoised=wide,
            settled=wide if self.views.settling else None,
            flagged=np.zeros(0, dtype=np.int64),
            contribution=wide.astype(np.float32),
            levels=np.zeros((0, LEVELS)),
            partial=np.zeros(0, dtype=np.bool_),
            latent=np.zeros((0, self.signal.model.latent_size), dtype=np.float32),
        )


def pick_device(device: str | torch.device) -> torch.device:
    """A device by name; "auto" takes the GPU when there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)

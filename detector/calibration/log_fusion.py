"""From the distances that several looks measure to one score: a weighted mean of their logarithms.

A distance d of a look becomes l = log(d / median + 0.3), with the median of the distances that
normal operation has shown. The logarithm keeps a look that is far out from drowning the others,
and the 0.3 keeps a distance of nothing from drowning them downwards. The raw score is
exp(sum of w l / sum of w), the weighted geometric mean of (d / median + 0.3): twice as high means
about twice as far from normal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch import Tensor

from detector.calibration.fusion import LEVELS, Fused
from detector.compiled import compiled
from detector.signal.norm import added
from detector.signal.series import trailing_mean, true_runs

OFFSET = 0.3
_TINY = 1e-30
_LEAST_MEDIAN = 1e-3
_MANY_ROWS = 24 * 256
_LEAST_WEIGHT = 0.02
_SMOOTH, _FAR = 16, 8.0
"""A stretch: the level, averaged over rows, lies so many of the nearer quarter's distances from the
median above it."""
_MOST_STRETCHES, _MOST_SHARE = 2, 0.25


@dataclass(frozen=True, kw_only=True)
class LogFusion:
    """What each distance is while all is well, and how much it counts.

    Attributes:
        median: of each distance, > 0.
        weight: of each distance in each level, >= 0: in the ranking score, and in the short level
            (which is the score of a window that is not full yet).
    """

    kind: ClassVar[str] = "log"
    median: Float32[np.ndarray, "distances groups"]
    weight: Float64[np.ndarray, "levels distances"]

    def only(self, places: Sequence[int]) -> "LogFusion":
        """The fusion of some of the distances."""
        kept = list(places)
        return LogFusion(median=self.median[kept], weight=self.weight[:, kept])

    @staticmethod
    def medians(
        distances: Float32[np.ndarray, "distances windows"],
    ) -> Float32[np.ndarray, " distances"]:
        """The medians of one group's distances."""
        middle: Float32[np.ndarray, " distances"] = np.median(distances, axis=1).astype(np.float32)
        np.maximum(middle, np.float32(_LEAST_MEDIAN), out=middle)
        return middle

    def ready(self, device: torch.device) -> "LogFusion":  # noqa: ARG002
        """Itself: what it does on a device needs no numbers."""
        return self

    @staticmethod
    def combine(
        features: Float[Tensor, "distances windows channels"],
        groups: Int[Tensor, " windows"],  # noqa: ARG004
    ) -> tuple[Float[Tensor, "distances windows"], Float[Tensor, "distances windows channels"]]:
        """Distances, and each channel's part of their squares, which is what the features are."""
        return added(features).sqrt_(), features

    def fuse(
        self,
        distances: Float32[np.ndarray, "distances n"],
        groups: Int[np.ndarray, " n"],
        partial: Bool[np.ndarray, " n"],
    ) -> Fused:
        """The scores of windows.

        Args:
            distances: those that a partial window lacks may be anything finite.
            groups: calibration group of each.
            partial: whether the window is not full yet: the short level is its score then.
        """
        logs = np.log(distances / self.median[:, groups].astype(np.float64) + OFFSET)
        levels = np.zeros((LEVELS, logs.shape[1]))
        for level, weights in enumerate(self.weight):
            for weight, one in zip(weights, logs, strict=True):
                if weight > 0:
                    levels[level] += weight * one
        levels[0] = np.where(partial, np.nan, levels[0])
        total = np.maximum(self.weight.sum(axis=1), _TINY)
        mean = np.where(partial, levels[1] / total[1], levels[0] / total[0])
        return Fused(raw=np.exp(mean).astype(np.float32), levels=levels, logs=logs)

    def shares(
        self,
        fused: Fused,
        parts: Float32[np.ndarray, "distances n channels"],
        partial: Bool[np.ndarray, " n"],
    ) -> Float32[np.ndarray, "n channels"]:
        """Each channel's share in the score of each window; sums to 1.

        A distance counts by how far its log lies above normal, a channel by its part of the
        square.
        """
        shares: Float32[np.ndarray, "n channels"] = _shares(self.by_distance(fused, partial), parts)
        return shares

    def by_distance(
        self, fused: Fused, partial: Bool[np.ndarray, " n"]
    ) -> Float64[np.ndarray, "distances n"]:
        """Each distance's share in the score of each window; sums to 1."""
        above = np.maximum(fused.logs - np.log(1 + OFFSET), 0.0) + _TINY
        weighted: Float64[np.ndarray, "distances n"] = above * np.where(
            partial, self.weight[1][:, None], self.weight[0][:, None]
        )
        weighted /= weighted.sum(axis=0)
        return weighted


@compiled
def _shares(
    by_distance: Float64[np.ndarray, "distances n"], parts: Float32[np.ndarray, "distances n c"]
) -> Float32[np.ndarray, "n c"]:
    """By channel; alike for all where nothing is far out."""
    distances, n, channels = parts.shape
    shares = np.empty((n, channels), np.float32)
    own = np.empty(channels)
    for row in range(n):
        own[:] = 0.0
        for distance in range(distances):
            total = 0.0
            for channel in range(channels):
                total += parts[distance, row, channel]
            share = by_distance[distance, row] / max(total, _TINY)
            for channel in range(channels):
                own[channel] += share * parts[distance, row, channel]
        total = 0.0
        for channel in range(channels):
            total += own[channel]
        for channel in range(channels):
            shares[row, channel] = own[channel] / total if total > 0.0 else 1.0 / channels
    return shares


def short_level(
    names: Sequence[str], distances: Float32[np.ndarray, "distances n"]
) -> Float64[np.ndarray, " n"]:
    """The sum of the logs of the short look's distances, over the history of one group or all."""
    own = distances[[place for place, name in enumerate(names) if name.split()[0] == "short"]]
    logs = np.log(own / LogFusion.medians(own).astype(np.float64)[:, None] + OFFSET)
    total: Float64[np.ndarray, " n"] = logs.sum(axis=0)
    return total


def trust(short: Float[np.ndarray, " n"], rows: int) -> tuple[float, float]:
    """How far the short looks may join the ranking, by normal operation alone; both 0..1.

    Short looks that spike on held-back *normal* rows (binary command channels) would drown the
    long ones, so their weight falls from 1 to 0 as the tail of their calibration scores, (99 %
    quantile - median) / 2 of the summed logs, grows from 1 to 2. What stands out once or twice is
    no spike of a restless channel but a fault, and left out. And they are a help while there
    are few independent long windows: with more than 24 their weight falls as 1 / number.

    Args:
        short: sum of the logs of the short look's distances in calibration.
        rows: of the history.

    Returns:
        What the tail says alone, and what both say.
    """
    quiet = _quiet(short[usual(short)] / 2)
    return quiet, quiet * min(1.0, _MANY_ROWS / rows) ** 2


def weights(
    names: Sequence[str],
    distances: Float32[np.ndarray, "distances n"],
    held_back: Float32[np.ndarray, "distances k"],
    understood: float,
) -> Float64[np.ndarray, "levels distances"]:
    """The weight of each distance in each level, by normal operation alone.

    The signal autoencoder sees every row of its window and knows how channels move together. Where
    it explains them down to their noise, it finds what means and spreads do not (simulated pumps:
    13 of 13 faults above all healthy rows, the looks 6); where it does not, it ranks worse than
    they do. It counts as far as its channels are understood, as it is quiet on rows that it has
    not learned from (as for `trust`), and as those are many; as far as it counts, the looks count
    less, up to a quarter.

    Args:
        names: of the distances, "signal", "long nearest", "short autoencoder", ...
        distances: of the history.
        held_back: of rows that the signal autoencoder has not learned from.
        understood: how far its reconstruction is better than the reading, mean over the channels
            that move (the weight of `detector.signal.denoising`), 0..1.
    """
    quiet, share = trust(short_level(names, distances), distances.shape[1])
    clear = 0.0
    if "signal" in names and held_back.shape[1]:
        own = held_back[names.index("signal")]
        logs = np.log(own / LogFusion.medians(own[None]).astype(np.float64) + OFFSET)
        enough = _share(len(logs) / 32, 2, 10)
        clear = _quiet(logs[usual(logs)]) * enough * _share(understood, 0.65, 0.8)
    looks = 1.0 - 0.75 * clear
    ranking = {"long": 1.0, "short": 2 * share, "extremes": (1.0 - quiet) / 2}
    ranking = {look: looks * weight for look, weight in ranking.items()} | {"signal": 4 * clear}
    ranking = {look: weight if weight > _LEAST_WEIGHT else 0.0 for look, weight in ranking.items()}
    found = np.zeros((LEVELS, len(names)))
    for place, name in enumerate(names):
        look = name.split()[0]
        found[0, place] = ranking.get(look, 0.0)
        found[1, place] = {"short": looks, "signal": ranking["signal"]}.get(look, 0.0)
    return found


def usual(level: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """All rows but one or two stretches that stand out.

    Args:
        level: a log of a distance, or a sum of them, in order of time.
    """
    smooth = trailing_mean(level.astype(np.float64), _SMOOTH)
    lower, median, upper = np.quantile(smooth, [0.25, 0.5, 0.75])
    # A fault in a short history widens the upper quarter, not the lower.
    unit = min(upper - median, median - lower)
    runs = true_runs(smooth > median + _FAR * unit)
    apart = np.flatnonzero(runs[1:, 0] - runs[:-1, 1] > _SMOOTH) + 1
    stretches = [(part[0, 0], part[-1, 1]) for part in np.split(runs, apart) if len(part)]
    out = np.zeros(len(level), dtype=bool)
    for start, end in stretches:
        out[max(start - _SMOOTH, 0) : end] = True
    few = 0 < len(stretches) <= _MOST_STRETCHES and out.mean() <= _MOST_SHARE
    return ~out if few else np.ones(len(level), dtype=bool)


def _share(value: float, none: float, full: float) -> float:
    """0 up to `none`, 1 from `full` on, straight between."""
    return min(max((value - none) / (full - none), 0.0), 1.0)


def _quiet(logs: Float[np.ndarray, " n"]) -> float:
    """1 while the tail of a distance's logs is short, 0 where it is long."""
    tail = float(np.quantile(logs, 0.99)) - float(np.median(logs))
    return min(max(2.0 - tail, 0.0), 1.0)

"""From an alarm rate and the scores of a quiet block to a threshold, and what it is worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

KNOTS = 256
"""Stored points of each group's distribution of calibration scores."""

_MIN_EXCEEDANCES = 10
_POOLED_WEIGHT = 50.0


def tail_quantile(scores: Float[np.ndarray, " n"], rate: float) -> float:
    """The score that a share `rate` of the population exceeds.

    The empirical quantile where at least ten scores lie beyond it. Where there are fewer, the
    tail beyond a high quantile u is taken as exponential: u + b ln(p/rate), with p the share
    above u and b the mean excess over u. A tail of finite weight can be heavier: then the true
    rate is higher. No shape is fitted: with few samples a free shape errs by factors (two
    common fits of a generalised Pareto tail gave .83 and 2.35 from the same scores).

    Args:
        scores: at least one, finite.
        rate: 0 < rate < 1.

    Raises:
        ValueError: no score, or the rate is out of range.
    """
    if len(scores) == 0 or not 0 < rate < 1:
        raise ValueError(f"needs scores and 0 < rate < 1, got {len(scores)} scores, rate {rate}")
    if rate * len(scores) >= _MIN_EXCEEDANCES:
        return float(np.quantile(scores, 1 - rate, method="higher"))
    share = max(_tail_share(len(scores)), rate)
    start, excess = _tail(scores, share)
    return start + excess * math.log(share / rate)


def _tail_share(n: int) -> float:
    """The 100 largest scores, but between 1 and 10 percent of them."""
    return min(0.1, max(0.01, 100 / n))


def _tail(scores: Float[np.ndarray, " n"], share: float) -> tuple[float, float]:
    start = float(np.quantile(scores, 1 - share))
    above = scores[scores > start]
    return start, float(np.mean(above - start)) if len(above) else 0.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Thresholds and score distributions of each group; row 0 is the pooled one.

    Attributes:
        threshold: raw score at which the normalised score is 1.
        knots: calibration scores, ascending; `KNOTS` of each group.
        above: calibration scores greater than each knot.
        count: calibration scores.
    """

    threshold: Float64[np.ndarray, " groups"]
    knots: Float32[np.ndarray, "groups knots"]
    above: Int64[np.ndarray, "groups knots"]
    count: Int64[np.ndarray, " groups"]

    @classmethod
    def fit(
        cls, scores: list[Float32[np.ndarray, " _"]], *, rate: float, receptive_field: int
    ) -> "Calibration":
        """Set one threshold per group.

        A sensor's threshold starts from its own high quantile. The slope of its tail is mixed
        with the pooled one's in proportion to its independent windows: a few hundred neighbouring
        scores hold only a handful of them, too few to know a tail by.

        Args:
            scores: raw calibration scores, the pooled group's first; each at least one.
            rate: share of healthy readings that may be flagged.
            receptive_field: R; R neighbouring scores share readings.
        """
        thresholds = [tail_quantile(scores[0], rate)]
        thresholds += [
            _mixed_threshold(own, scores[0], rate, receptive_field) for own in scores[1:]
        ]
        return cls.of(scores, np.array(thresholds))

    @classmethod
    def of(
        cls, scores: Sequence[Float32[np.ndarray, " _"]], thresholds: Float64[np.ndarray, " groups"]
    ) -> "Calibration":
        """With thresholds that are known.

        Args:
            scores: as for `fit`.
            thresholds: of each group.
        """
        tables = [_distribution(one) for one in scores]
        return cls(
            threshold=np.maximum(thresholds, np.finfo(np.float32).tiny),
            knots=np.stack([knots for knots, _ in tables]),
            above=np.stack([above for _, above in tables]),
            count=np.array([len(one) for one in scores], dtype=np.int64),
        )

    def p_value(
        self, raw: Float[np.ndarray, " n"], groups: Int64[np.ndarray, " n"]
    ) -> Float32[np.ndarray, " n"]:
        """(1 + calibration scores at least as high) / (1 + calibration scores).

        Exact at the stored knots, and between them rounded up to the next: never too small.
        It cannot fall below 1/(count + 1).
        """
        # One search for all groups: group g's scores are mapped into g .. g + 1, in order.
        n_knots = self.knots.shape[1]
        middle = self.threshold[:, None]
        table = np.arange(len(self.threshold))[:, None] + self.knots / (self.knots + middle)
        place = groups + raw / (raw + self.threshold[groups])
        below = np.searchsorted(table.ravel(), place, side="left") - groups * n_knots
        counts = self.count[groups]
        above = np.where(below > 0, self.above[groups, np.maximum(below - 1, 0)], counts)
        p_value: Float32[np.ndarray, " n"] = ((1 + above) / (1 + counts)).astype(np.float32)
        return p_value


def _mixed_threshold(
    own: Float32[np.ndarray, " n"],
    pooled: Float32[np.ndarray, " m"],
    rate: float,
    receptive_field: int,
) -> float:
    if rate * len(own) >= _MIN_EXCEEDANCES:
        return tail_quantile(own, rate)
    share = max(_tail_share(len(own)), rate)
    start, excess = _tail(own, share)
    pooled_start, pooled_excess = _tail(pooled, share)
    # The pooled slope in the sensor's own units of score.
    expected = pooled_excess * start / pooled_start if pooled_start > 0 else pooled_excess
    independent = len(own) / receptive_field
    slope = (independent * excess + _POOLED_WEIGHT * expected) / (independent + _POOLED_WEIGHT)
    return start + slope * math.log(share / rate)


def _distribution(
    scores: Float32[np.ndarray, " n"],
) -> tuple[Float32[np.ndarray, " knots"], Int64[np.ndarray, " knots"]]:
    """Evenly spread knots for the bulk, every single score at the top."""
    ranked = np.sort(scores)
    n = len(ranked)
    half = KNOTS // 2
    top = np.arange(n - half, n)
    bulk = np.linspace(0, max(n - half - 1, 0), half).astype(np.int64)
    picked = np.maximum(np.concatenate([bulk, top]), 0) if n > half else np.arange(n)
    picked = np.concatenate([np.zeros(KNOTS - len(picked), dtype=np.int64), np.sort(picked)])
    knots = ranked[picked]
    above = n - np.searchsorted(ranked, knots, side="right")
    return knots.astype(np.float32), above.astype(np.int64)

"""How sure a mean over series is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

RESAMPLES = 10_000
MAX_SERIES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean and its 95 % interval; all NaN where there is nothing to average."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_mean(
    values: Float64[np.ndarray, " series"], generator: np.random.Generator
) -> Interval:
    """Mean over series, percentile bootstrap by drawing the series anew.

    For paired differences give the differences. With a handful of series the interval is too
    narrow: it knows only the series it has seen.

    Args:
        values: one for each series, at most 10,000; NaN = not defined, left out.
        generator: of the draws.

    Raises:
        ValueError: too many series.
    """
    if len(values) > MAX_SERIES:
        raise ValueError(f"at most {MAX_SERIES} series, got {len(values)}")
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return Interval(mean=float("nan"), low=float("nan"), high=float("nan"))
    # Drawn in blocks: memory stays small for any number of series.
    means = np.concatenate(
        [
            known[generator.integers(0, len(known), (RESAMPLES // 20, len(known)))].mean(axis=1)
            for _ in range(20)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean=float(known.mean()), low=float(low), high=float(high))

"""A causal picture of the last rows at several scales: means, steps, spreads, extremes.

What makes a small autoencoder strong is not its size but what it is shown: a row says little, the
same row beside the means and spreads of the last 4 to 256 rows says where the signal is, where it
comes from and how restless it is.

Each window is summed from its own rows, from the newest to the oldest. A running sum would carry
its start along, and a score would depend on where a stream was cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int64

from detector.compiled import compiled

MAX_SPAN = 4096

Kind = Literal["mean", "step", "spread", "highest", "lowest", "range"]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One number per channel.

    Attributes:
        kind: of the last `span` rows "mean", "spread" (standard deviation), "highest", "lowest",
            "range" (highest less lowest); "step" from the mean of the last `longer` rows to it.
        span: rows, a power of two.
        longer: of a step, a power of two above `span`; else 0.
    """

    kind: Kind
    span: int
    longer: int = 0

    def __post_init__(self) -> None:
        for span in (self.span, self.longer):
            if not 0 <= span <= MAX_SPAN or span & (span - 1):
                raise ValueError(f"a span must be a power of two up to {MAX_SPAN}, got {span}")
        step = self.longer > self.span if self.kind == "step" else self.longer == 0
        if self.span < 1 or not step or self.kind not in get_args(Kind):
            raise ValueError(f"{self} is no feature")

    @property
    def rows(self) -> int:
        """Rows that it looks at."""
        return max(self.span, self.longer)

    def __str__(self) -> str:
        if self.kind == "step":
            return f"mean of {self.span} less mean of {self.longer}"
        return f"{self.kind} of {self.span}"


LONG = (
    *(Feature(kind="mean", span=span) for span in (1, 16, 64, 256)),
    *(Feature(kind="step", span=a, longer=b) for a, b in ((1, 4), (4, 16), (16, 64), (64, 256))),
    *(Feature(kind="spread", span=span) for span in (16, 64, 256)),
)
"""Levels, steps and spreads over up to 256 rows."""

SHORT = (
    *(Feature(kind="mean", span=span) for span in (1, 4, 16)),
    *(Feature(kind="step", span=a, longer=b) for a, b in ((1, 4), (4, 16))),
    Feature(kind="spread", span=16),
)
"""The same over up to 16 rows: it forgets an event as soon as it is over."""

ROW = (Feature(kind="mean", span=1),)
"""The newest row alone."""

EXTREMES = tuple(
    Feature(kind=kind, span=span)
    for span in (16, 64, 256)
    for kind in ("highest", "lowest", "range")
)
"""How far the signal went: short excursions that a mean over 256 rows drowns."""


_AVERAGES: tuple[Kind, ...] = ("mean", "step", "spread")
_MEAN, _STEP = 0, 1
_EXTREMES: tuple[Kind, ...] = ("highest", "lowest", "range")
_HIGHEST, _LOWEST = 0, 1


def pyramid(
    rows: Float32[np.ndarray, "rows channels"],
    present: Bool[np.ndarray, "rows channels"] | None,
    ends: Int64[np.ndarray, " n"],
    features: Sequence[Feature],
) -> Float32[np.ndarray, "n features channels"]:
    """The features of the windows that end at `ends`.

    A mean over a span without a value is that over the next longer span, of those that means, steps
    and spreads here look at, that has one, or 0, the centre; a spread of fewer than two values and
    an extreme of none are 0.

    Args:
        rows: scaled; what is missing may be anything.
        present: whether a value is there; None when all are.
        ends: last row of each window, each with as many rows before it as the longest feature
            looks at.
        features: what to compute.
    """
    out = np.empty((len(ends), len(features), rows.shape[1]), dtype=np.float32)
    everything = np.ones((0, 0), dtype=np.bool_) if present is None else present
    for kernel, kinds in ((_averages, _AVERAGES), (_extremes, _EXTREMES)):
        own = [(place, one) for place, one in enumerate(features) if one.kind in kinds]
        if not own:
            continue
        spans = sorted({span for _, one in own for span in (one.span, one.longer) if span})
        at = {span: number for number, span in enumerate(spans)} | {0: 0}
        codes = [(p, kinds.index(one.kind), at[one.span], at[one.longer]) for p, one in own]
        kernel(rows, everything, ends, np.array(spans), np.array(codes), out)
    return out


@compiled
def _averages(  # noqa: C901, PLR0912, PLR0917 (compiled: no keywords, and loops in the open)
    rows: Float32[np.ndarray, "rows channels"],
    present: Bool[np.ndarray, "..."],
    ends: Int64[np.ndarray, " n"],
    spans: Int64[np.ndarray, " spans"],
    codes: Int64[np.ndarray, "features 4"],
    out: Float32[np.ndarray, "n features channels"],
) -> None:
    """Means, steps and spreads; an empty `present` says that no value is missing."""
    channels, whole = rows.shape[1], present.shape[0] == 0
    total, square, count = np.empty(channels), np.empty(channels), np.empty(channels)
    means, spreads = np.empty((len(spans), channels)), np.empty((len(spans), channels))
    counts = np.empty((len(spans), channels))
    for n in range(len(ends)):
        total[:], square[:], count[:] = 0.0, 0.0, 0.0
        age = 0
        for level in range(len(spans)):
            while age < spans[level]:
                row = ends[n] - age
                age += 1
                if whole:  # a loop of its own: the compiler makes vectors of it
                    for c in range(channels):
                        value = np.float64(rows[row, c])
                        total[c] += value
                        square[c] += value * value
                    continue
                for c in range(channels):
                    if present[row, c]:
                        value = np.float64(rows[row, c])
                        total[c] += value
                        square[c] += value * value
                        count[c] += 1.0
            if whole:
                count[:] = float(age)
            for c in range(channels):
                known = max(count[c], 1.0)
                mean = total[c] / known
                counts[level, c], means[level, c] = count[c], mean
                spreads[level, c] = np.sqrt(max(square[c] / known - mean * mean, 0.0))
        for level in range(len(spans) - 2, -1, -1):
            for c in range(channels):
                if counts[level, c] == 0:
                    means[level, c] = means[level + 1, c]
        for f in range(len(codes)):
            place, kind, level, longer = codes[f]
            for c in range(channels):
                if kind == _MEAN:
                    out[n, place, c] = means[level, c]
                elif kind == _STEP:
                    out[n, place, c] = means[level, c] - means[longer, c]
                else:
                    out[n, place, c] = spreads[level, c]


@compiled
def _extremes(  # noqa: PLR0917 (compiled: no keywords, and loops in the open)
    rows: Float32[np.ndarray, "rows channels"],
    present: Bool[np.ndarray, "..."],
    ends: Int64[np.ndarray, " n"],
    spans: Int64[np.ndarray, " spans"],
    codes: Int64[np.ndarray, "features 4"],
    out: Float32[np.ndarray, "n features channels"],
) -> None:
    """Highest, lowest and range; an empty `present` says that no value is missing."""
    channels, whole = rows.shape[1], present.shape[0] == 0
    high, low = np.empty(channels, np.float32), np.empty(channels, np.float32)
    highs = np.empty((len(spans), channels), np.float32)
    lows = np.empty((len(spans), channels), np.float32)
    for n in range(len(ends)):
        high[:], low[:] = -np.inf, np.inf
        age = 0
        for level in range(len(spans)):
            while age < spans[level]:
                row = ends[n] - age
                age += 1
                for c in range(channels):
                    value = rows[row, c]
                    known = whole or present[row, c]
                    high[c] = value if known and value > high[c] else high[c]
                    low[c] = value if known and value < low[c] else low[c]
            for c in range(channels):
                known = high[c] >= low[c]
                highs[level, c] = high[c] if known else 0.0
                lows[level, c] = low[c] if known else 0.0
        for f in range(len(codes)):
            place, kind, level, _ = codes[f]
            for c in range(channels):
                if kind == _HIGHEST:
                    out[n, place, c] = highs[level, c]
                elif kind == _LOWEST:
                    out[n, place, c] = lows[level, c]
                else:
                    out[n, place, c] = highs[level, c] - lows[level, c]

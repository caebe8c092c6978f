"""A causal picture of the last rows at several scales: means, steps between them, spreads, extremes.

What makes a small autoencoder strong is not its size but what it is shown: a row says little, the
same row beside the means and spreads of the last 4 to 256 rows says where the signal is, where it
comes from and how restless it is.

Each window is summed from its own rows in a fixed order: sums over 1, 2, 4 ... rows are built from
one another, the same tree of additions for every row. A running sum would carry its start along,
and a score would depend on where a stream was cut.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

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
        if self.span < 1 or (self.kind == "step") != (self.longer > self.span):
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


_EXTREMES = frozenset({"highest", "lowest", "range"})


@dataclass(frozen=True, kw_only=True)
class Trailing:
    """What is known of the last 1, 2, 4 ... rows up to each row; incomplete for the first rows.

    Attributes:
        values, squares: sums.
        present: how many values there are; empty when none is missing.
        highest, lowest: of the values; -inf and inf where there is none.
    """

    values: Mapping[int, Tensor]
    squares: Mapping[int, Tensor]
    present: Mapping[int, Tensor]
    highest: Mapping[int, Tensor]
    lowest: Mapping[int, Tensor]

    def mean(self, span: int, ends: Int64[Tensor, " n"]) -> Float32[Tensor, "n channels"]:
        """The mean of the last `span` rows; where all are missing, that of twice as many.

        0, the centre, where there is nothing in the longest either.
        """
        total = self.values[span].index_select(0, ends)
        if not self.present:
            return total.mul_(1.0 / span)
        number = self.present[span].index_select(0, ends)
        mean = total / number.clamp(min=1.0)
        if 2 * span not in self.values or bool((number > 0).all()):
            return mean
        return torch.where(number > 0, mean, self.mean(2 * span, ends))

    def spread(self, span: int, ends: Int64[Tensor, " n"]) -> Float32[Tensor, "n channels"]:
        """The standard deviation of the last `span` rows; 0 with fewer than two values."""
        square = self.squares[span].index_select(0, ends)
        mean = self.values[span].index_select(0, ends)
        if self.present:
            number = self.present[span].index_select(0, ends).clamp_(min=1.0)
            square, mean = square.div_(number), mean.div_(number)
        else:
            square, mean = square.mul_(1.0 / span), mean.mul_(1.0 / span)
        return square.sub_(mean.square_()).clamp_(min=0.0).sqrt_()

    def extreme(
        self, kind: Kind, span: int, ends: Int64[Tensor, " n"]
    ) -> Float32[Tensor, "n channels"]:
        """Highest, lowest or range of the last `span` rows; 0 where all are missing."""
        high = self.highest[span].index_select(0, ends)
        low = self.lowest[span].index_select(0, ends)
        value = {"highest": high, "lowest": low, "range": high - low}[kind]
        return torch.where(high >= low, value, 0.0) if self.present else value


def trailing(
    rows: Float32[Tensor, "rows channels"],
    present: Float32[Tensor, "rows channels"] | None,
    features: Iterable[Feature],
) -> Trailing:
    """Prepare what `features` need.

    Args:
        rows: scaled, 0 where missing.
        present: 1.0 where a value is there, 0.0 where not; None when all are.
        features: what will be asked for.
    """
    wanted = list(features)
    longest = {
        kind: max((f.rows for f in wanted if f.kind == kind), default=0) for kind in get_args(Kind)
    }
    extremes = max(longest[kind] for kind in _EXTREMES)
    high = low = rows
    if present is not None and extremes:
        gone = present == 0
        high, low = rows.masked_fill(gone, -torch.inf), rows.masked_fill(gone, torch.inf)
    most = max(longest.values())
    return Trailing(
        values=_doubled(rows, most, torch.add),
        squares=_doubled(rows * rows, longest["spread"], torch.add) if longest["spread"] else {},
        present={} if present is None else _doubled(present, most, torch.add),
        highest=_doubled(high, extremes, torch.maximum) if extremes else {},
        lowest=_doubled(low, extremes, torch.minimum) if extremes else {},
    )


def pyramid(
    of: Trailing, ends: Int64[Tensor, " n"], features: Sequence[Feature]
) -> Float32[Tensor, "n features channels"]:
    """The features of the windows that end at `ends`.

    Args:
        of: of `trailing` for these features.
        ends: last row of each window, as many rows before it as the longest feature looks at (or
            rows that are missing).
        features: what to compute.
    """
    averaged = {s for f in features if f.kind in {"mean", "step"} for s in (f.span, f.longer) if s}
    means = {span: of.mean(span, ends) for span in averaged}
    rows = of.values[1]
    out = torch.empty(len(ends), len(features), rows.shape[1], device=rows.device)
    for place, feature in enumerate(features):
        match feature.kind:
            case "mean":
                out[:, place] = means[feature.span]
            case "step":
                torch.sub(means[feature.span], means[feature.longer], out=out[:, place])
            case "spread":
                out[:, place] = of.spread(feature.span, ends)
            case extreme:
                out[:, place] = of.extreme(extreme, feature.span, ends)
    return out


def _doubled(
    rows: Float32[Tensor, "rows channels"],
    longest: int,
    join: Callable[[Tensor, Tensor], Tensor],
) -> dict[int, Tensor]:
    """What spans of 1, 2, 4 ... rows come to, each joined from two of half the length."""
    joined = {1: rows}
    width = 1
    while width < longest:
        shorter = joined[width]
        joined[2 * width] = torch.cat([shorter[:width], join(shorter[width:], shorter[:-width])])
        width *= 2
    return joined

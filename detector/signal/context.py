"""What surrounds a reading: means of the rows before it (and behind it), the reading left out.

Near rows stand by themselves, farther ones in means of 2, 4, 8 ... rows, so that a few numbers
reach far back. All are taken relative to the mean of the whole context: what is learned of them
holds at a level that training has not seen.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from detector.compiled import compiled

_SINGLE = 8
"""Rows next to the reading that stand by themselves."""
_PER_WIDTH = 4
"""Means of each larger width."""
_RUN = 256
"""Windows of consecutive rows whose sums are made together: they stay in the cache."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where the means lie, counted back from the newest row of the window, nearest first.

    Attributes:
        target: rows between the reading and the newest row: 0 where nothing behind it is known.
        lags: rows between the newest row of each mean and the newest row of the window.
        widths: rows of each mean, a power of two.

    Raises:
        ValueError: there is no mean, or one that holds the reading, ends behind the window or is
            not a power of two wide.
    """

    target: int
    lags: tuple[int, ...]
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        spans = list(zip(self.lags, self.widths, strict=True))
        if not spans or any(
            width < 1 or width.bit_count() > 1 or lag < 0 or lag <= self.target < lag + width
            for lag, width in spans
        ):
            raise ValueError(f"no context of a reading {self.target} rows back: {spans}")

    @property
    def field(self) -> int:
        """Rows of a window that holds all of it."""
        ends = [lag + width for lag, width in zip(self.lags, self.widths, strict=True)]
        return max(self.target + 1, *ends)

    @classmethod
    def of(cls, field: int, *, ahead: int = 0) -> "Context":
        """The context in a window of so many rows, of the reading that `ahead` rows follow."""
        before = _spans(field - ahead - 1)
        behind = _spans(ahead)
        lags = [ahead + first for first, _ in before]
        lags += [ahead - first - width + 1 for first, width in behind]
        return cls(
            target=ahead,
            lags=tuple(lags),
            widths=tuple(width for _, width in (*before, *behind)),
        )

    @property
    def before(self) -> Bool[np.ndarray, " means"]:
        """Which means lie before the reading."""
        return np.array(self.lags) > self.target

    def measure(
        self,
        rows: Float32[np.ndarray, "rows channels"],
        present: Bool[np.ndarray, "rows channels"],
        ends: Int64[np.ndarray, " n"],
    ) -> tuple[Float32[np.ndarray, "n places channels"], Float32[np.ndarray, "n channels"]]:
        """The means and, in the last place, the reading; and what they are relative to.

        Of a mean without a value the next farther one stands in, at the end the next nearer one.
        Of a missing reading the nearest mean stands in.

        Args:
            rows: scaled; what is missing may hold anything.
            present: where something was measured; empty if everywhere.
            ends: newest row of each window.
        """
        means = np.empty((len(ends), len(self.lags) + 1, rows.shape[1]), dtype=np.float32)
        middle = np.empty((len(ends), rows.shape[1]), dtype=np.float32)
        _measure(
            rows,
            present,
            ends,
            np.array([self.target, int(self.before.sum()), self.field], dtype=np.int64),
            np.array([self.lags, self.widths, np.log2(self.widths)], dtype=np.int64),
            means,
            middle,
        )
        return means, middle


def _spans(rows: int) -> list[tuple[int, int]]:
    """Distance of the nearest row, and rows, of each mean; nearest first."""
    spans, next_row, width = list[tuple[int, int]](), 1, 1
    while next_row <= rows:
        for _ in range(_SINGLE if width == 1 else _PER_WIDTH):
            if next_row + width - 1 > rows:
                return spans
            spans.append((next_row, width))
            next_row += width
        width *= 2
    return spans


@compiled
def _measure(  # noqa: PLR0917 (compiled: no keywords, and loops in the open)
    rows: Float32[np.ndarray, "rows channels"],
    present: Bool[np.ndarray, "..."],
    ends: Int64[np.ndarray, " n"],
    places: Int64[np.ndarray, " 3"],
    spans: Int64[np.ndarray, "3 means"],
    means: Float32[np.ndarray, "n places channels"],
    middle: Float32[np.ndarray, "n channels"],
) -> None:
    """See `Context.measure`; an empty `present` says that no value is missing.

    Every sum is that of its own rows, in one order, wherever a run begins.
    """
    channels, whole, before = rows.shape[1], present.shape[0] == 0, places[2] - 1
    levels, stride = spans[2].max() + 1, (before + min(len(ends), _RUN)) * channels
    sums = np.empty(levels * stride)
    counts = np.empty(0 if whole else len(sums))
    # Of each mean, its sum's place less that of the newest row.
    offsets = spans[2] * stride - spans[0] * channels
    start = 0
    while start < len(ends):
        stop = start + 1
        while stop < len(ends) and stop - start < _RUN and ends[stop] == ends[stop - 1] + 1:
            stop += 1
        first, size = ends[start] - before, before + stop - start
        for row in range(size):
            for c in range(channels):
                value, place = np.float64(rows[first + row, c]), row * channels + c
                if whole:
                    sums[place] = value
                else:
                    known = present[first + row, c]
                    sums[place] = value if known else 0.0
                    counts[place] = 1.0 if known else 0.0
        _add_up(sums, levels, stride, size * channels, channels)
        if whole:
            newest = before * channels
            _whole(sums, newest, places, offsets, spans[1], means[start:stop], middle[start:stop])
        else:
            _add_up(counts, levels, stride, size * channels, channels)
            for n in range(start, stop):
                newest = (before + n - start) * channels
                _known(sums, counts, newest, places, offsets, means[n], middle[n])
        start = stop


@compiled
def _add_up(
    sums: Float64[np.ndarray, " numbers"], levels: int, stride: int, size: int, channels: int
) -> None:
    """From values to sums of the last 2, 4, 8 ... rows; those of the first rows are none."""
    for level in range(levels - 1):
        step = channels << level
        values = sums[level * stride : level * stride + size]
        into = sums[(level + 1) * stride : (level + 1) * stride + size]
        for place in range(step, size):
            into[place] = values[place] + values[place - step]


@compiled
def _whole(  # noqa: PLR0917
    sums: Float64[np.ndarray, " numbers"],
    newest: int,
    places: Int64[np.ndarray, " 3"],
    offsets: Int64[np.ndarray, " means"],
    widths: Int64[np.ndarray, " means"],
    means: Float32[np.ndarray, "n places channels"],
    middle: Float32[np.ndarray, "n channels"],
) -> None:
    """A run of windows without a missing value, the newest row of the first at `newest`."""
    count, channels = len(offsets), middle.shape[1]
    total, shares, of_all = np.empty(channels), 1.0 / widths, 1.0 / widths.sum()
    for n in range(len(means)):
        at = newest + n * channels
        total[:] = 0.0
        for k in range(count):
            own = at + offsets[k]
            for c in range(channels):
                total[c] += sums[own + c]
        for c in range(channels):
            total[c] *= of_all
            middle[n, c] = total[c]
        for k in range(count):
            own, share = at + offsets[k], shares[k]
            for c in range(channels):
                means[n, k, c] = sums[own + c] * share - total[c]
        reading = at - places[0] * channels
        for c in range(channels):
            means[n, count, c] = sums[reading + c] - total[c]


@compiled
def _known(  # noqa: PLR0917
    sums: Float64[np.ndarray, " numbers"],
    counts: Float64[np.ndarray, " numbers"],
    newest: int,
    places: Int64[np.ndarray, " 3"],
    offsets: Int64[np.ndarray, " means"],
    means: Float32[np.ndarray, "places channels"],
    middle: Float32[np.ndarray, " channels"],
) -> None:
    """One window of what is known, its newest row at `newest`."""
    count, of = len(offsets), np.empty(len(offsets))
    for c in range(len(middle)):
        total, known, holes = 0.0, 0.0, False
        for k in range(count):
            own = newest + offsets[k] + c
            total += sums[own]
            of[k] = counts[own]
            known += of[k]
            holes |= of[k] == 0
        center = total / max(known, 1.0)
        middle[c] = center
        for k in range(count):
            means[k, c] = sums[newest + offsets[k] + c] / max(of[k], 1.0) - center
        if holes:
            _fill(means[:, c], of, 0, places[1])
            _fill(means[:, c], of, places[1], count)
        reading = newest - places[0] * len(middle) + c
        means[count, c] = sums[reading] - center if counts[reading] > 0 else means[0, c]


@compiled
def _fill(
    means: Float32[np.ndarray, " places"], of: Float64[np.ndarray, " means"], first: int, stop: int
) -> None:
    """Put the next farther mean where there is no value, or the next nearer, or the middle."""
    for k in range(stop - 2, first - 1, -1):
        if of[k] == 0 and of[k + 1] > 0:
            means[k], of[k] = means[k + 1], 1.0
    for k in range(first + 1, stop):
        if of[k] == 0 and of[k - 1] > 0:
            means[k], of[k] = means[k - 1], 1.0
    for k in range(first, stop):
        if of[k] == 0:
            means[k] = 0.0

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


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where the means lie, counted back from the newest row of the window, nearest first.

    Attributes:
        target: rows between the reading and the newest row: 0 where nothing behind it is known.
        lags: rows between the newest row of each mean and the newest row of the window.
        widths: rows of each mean.

    Raises:
        ValueError: there is no mean, or one that holds the reading or ends behind the window.
    """

    target: int
    lags: tuple[int, ...]
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        spans = list(zip(self.lags, self.widths, strict=True))
        if not spans or any(
            width < 1 or lag < 0 or lag <= self.target < lag + width for lag, width in spans
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
            np.array([self.target, int(self.before.sum())], dtype=np.int64),
            np.array([self.lags, self.widths], dtype=np.int64),
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
def _measure(  # noqa: C901, PLR0912, PLR0917 (compiled: no keywords, and loops in the open)
    rows: Float32[np.ndarray, "rows channels"],
    present: Bool[np.ndarray, "..."],
    ends: Int64[np.ndarray, " n"],
    places: Int64[np.ndarray, " 2"],
    spans: Int64[np.ndarray, "2 means"],
    means: Float32[np.ndarray, "n places channels"],
    middle: Float32[np.ndarray, "n channels"],
) -> None:
    """See `Context.measure`; an empty `present` says that no value is missing."""
    channels, whole, count = rows.shape[1], present.shape[0] == 0, spans.shape[1]
    target, first_behind = places[0], places[1]
    total, known, own = np.empty(channels), np.empty(channels), np.empty(channels)
    of = np.empty((count, channels))
    for n in range(len(ends)):
        total[:], known[:] = 0.0, 0.0
        for k in range(count):
            newest, width = ends[n] - spans[0, k], spans[1, k]
            own[:] = 0.0
            if whole:  # a loop of its own: the compiler makes vectors of it
                of[k] = float(width)
                for row in range(newest - width + 1, newest + 1):
                    for c in range(channels):
                        own[c] += np.float64(rows[row, c])
            else:
                of[k] = 0.0
                for row in range(newest - width + 1, newest + 1):
                    for c in range(channels):
                        if present[row, c]:
                            own[c] += np.float64(rows[row, c])
                            of[k, c] += 1.0
            for c in range(channels):
                total[c] += own[c]
                known[c] += of[k, c]
                means[n, k, c] = own[c] / max(of[k, c], 1.0)
        for c in range(channels):
            middle[n, c] = total[c] / max(known[c], 1.0)
            if not whole:
                _fill(means[n, :, c], of[:, c], 0, first_behind, middle[n, c])
                _fill(means[n, :, c], of[:, c], first_behind, count, middle[n, c])
        reading = ends[n] - target
        for k in range(count):
            for c in range(channels):
                means[n, k, c] -= middle[n, c]
        for c in range(channels):
            if whole or present[reading, c]:
                means[n, count, c] = rows[reading, c] - middle[n, c]
            else:
                means[n, count, c] = means[n, 0, c]


@compiled
def _fill(
    means: Float32[np.ndarray, " places"],
    of: Float64[np.ndarray, " means"],
    first: int,
    stop: int,
    middle: float,
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
            means[k] = middle

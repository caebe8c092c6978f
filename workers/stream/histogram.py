"""Histograms of constant memory that pickle and add up over workers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

# R20 of the Renard series (ISO 3): twenty steps of 12 % to a decade, round numbers among them.
_R20: Final = (
    1.0, 1.12, 1.25, 1.4, 1.6, 1.8, 2.0, 2.24, 2.5, 2.8,
    3.15, 3.55, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0,
)  # fmt: skip


class Histogram:
    """How often a measure was at most as large as an edge, and above the one before.

    Attributes:
        buckets: int64 [number of edges + 1]; the last is of what is larger than every edge.
        total: sum of all that was observed.
    """

    EDGES: ClassVar[NDArray[np.float64]]
    SHOWN: ClassVar[tuple[float, ...]]
    """The edges that Prometheus is shown: each is a series."""

    def __init__(self, buckets: NDArray[np.int64] | None = None, total: float = 0.0) -> None:
        """Begin empty, or with the numbers of another."""
        self.buckets = np.zeros(len(self.EDGES) + 1, np.int64) if buckets is None else buckets
        self.total = total

    def observe(self, *measures: float) -> None:
        """Add single measures."""
        self.observe_all(np.asarray(measures, np.float64))

    def observe_all(self, measures: NDArray[np.float64]) -> None:
        """Add float64 [n]; negative ones (clocks apart) count as 0."""
        found = np.maximum(measures, 0.0)
        places = np.searchsorted(self.EDGES, found, side="left")
        # A new array: a health that was handed over keeps the numbers that it had.
        self.buckets = self.buckets + np.bincount(places, minlength=len(self.buckets))
        self.total += float(found.sum())

    def quantile(self, q: float) -> float | None:
        """The q-quantile, to the upper edge of its bucket; None when empty."""
        count = int(self.buckets.sum())
        if not count:
            return None
        place = int(np.searchsorted(np.cumsum(self.buckets), q * count))
        return float(self.EDGES[min(place, len(self.EDGES) - 1)])

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each shown edge, then infinity, with how many measures were at most that large."""
        sums = np.cumsum(self.buckets)
        for edge in self.SHOWN:
            yield edge, int(sums[np.searchsorted(self.EDGES, edge)])
        yield float("inf"), int(sums[-1])

    def copy(self) -> Self:
        """The numbers of now."""
        return type(self)(self.buckets, self.total)

    def __add__(self, other: Self) -> Self:
        """Both together."""
        return type(self)(self.buckets + other.buckets, self.total + other.total)


class LatencyHistogram(Histogram):
    """Latencies in milliseconds, from 1 ms to a quarter of an hour: 12 % wide."""

    EDGES = np.array([step * 10**decade for decade in range(6) for step in _R20] + [1e6])
    SHOWN = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 50_000, 100_000, 1_000_000)


class DurationHistogram(Histogram):
    """Durations of what a worker does, in seconds."""

    SHOWN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
    EDGES = np.array(SHOWN)


class SizeHistogram(Histogram):
    """Numbers of things."""

    SHOWN = (1, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000, 100_000)
    EDGES = np.array(SHOWN, np.float64)


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is measured of an ingest worker.

    Attributes:
        latency: milliseconds from a record's timestamp to the hand-over of its outputs.
        batch: readings in a call to a scorer.
        queue, device: seconds that a call waited for its scorer, and was computed.
        commit: seconds from the begin of a commit to its end.
    """

    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    batch: SizeHistogram = field(default_factory=SizeHistogram)
    queue: DurationHistogram = field(default_factory=DurationHistogram)
    device: DurationHistogram = field(default_factory=DurationHistogram)
    commit: DurationHistogram = field(default_factory=DurationHistogram)

    def copy(self) -> Measures:
        """The numbers of now."""
        return Measures(**{one.name: getattr(self, one.name).copy() for one in fields(self)})

    def __add__(self, other: Measures) -> Measures:
        """Both together."""
        sums = {
            one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)
        }
        return Measures(**sums)

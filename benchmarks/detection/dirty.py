"""Histories that are not clean: rows of a fault, a sentinel, a short fault in training."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

import numpy as np

from benchmarks.detection.series import LabelledSeries
from detector.signal.series import true_runs

SENTINEL = -9_999.0
SHORT_FAULT_ROWS = 20
SHORT_FAULT_DEVIATIONS = 8.0


class Place(Enum):
    """Where in the history, as a share of it."""

    FIRST = 0.1
    MIDDLE = 0.5
    LAST = 0.9


def contaminated(
    series: LabelledSeries, share: float, *, largest: float, seed: int
) -> LabelledSeries:
    """The series with so many of its training rows replaced by rows of its longest event.

    At most the second half of the event is copied, over and over if need be, in one block at a
    random place. The rows that are copied at the largest share, and those they replace, are judged
    at no share: so that all shares are judged on the same rows.

    Args:
        series: with an event after training.
        share: of the training rows, 0..largest.
        largest: share that it is compared with, at most 0.5.
        seed: of the place.

    Raises:
        ValueError: there is no event after training, or a share is out of range.
    """
    if not 0.0 <= share <= largest <= 0.5:
        raise ValueError(f"0 <= share <= largest <= 0.5 must hold, got {share} and {largest}")
    events = true_runs(series.labels & series.alarm_judged).tolist()
    if not events:
        raise ValueError(f"{series.set}/{series.name}: no event to copy from")
    count, most = round(share * series.n_train), round(largest * series.n_train)
    start, end = max(events, key=lambda event: event[1] - event[0])
    source = np.arange(end - max(min(most, (end - start) // 2), 1), end)
    place = int(np.random.default_rng([seed, 31]).integers(0, series.n_train - most + 1))
    rows, judged = series.rows.copy(), series.judged.copy()
    rows[place : place + count] = series.rows[np.resize(source, count)]
    judged[source] = False
    judged[place : place + most] = False
    return replace(series, rows=rows, judged=judged)


def with_sentinel(series: LabelledSeries, place: Place) -> LabelledSeries:
    """The series with one -9999 in the first channel of its history."""
    rows = series.rows.copy()
    rows[int(place.value * series.n_train), 0] = SENTINEL
    return replace(series, rows=rows)


def with_short_fault(series: LabelledSeries, place: Place) -> LabelledSeries:
    """The series with a third of its channels far off for 20 rows of its history."""
    rows, start = series.rows.copy(), int(place.value * series.n_train)
    off = slice(start, start + SHORT_FAULT_ROWS)
    scale = np.nanstd(rows[: series.n_train], axis=0)
    touched = slice(0, max(rows.shape[1] // 3, 1))
    rows[off, touched] += SHORT_FAULT_DEVIATIONS * scale[touched]
    return replace(series, rows=rows)

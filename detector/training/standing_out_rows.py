"""Stretches of a history that would have opened incidents: faults that nobody noticed, most likely.

Judged by models that have not seen them (`CrossFit`), sensor by sensor. Named are stretches that
are few, short and far out; a sensor that is restless all the time has none: that is how it is.
The alarm rule's numbers are medians over blocks of time and hardly move by them; `factor` says by
how much they did.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from detector.calibration.alarm_numbers import AlarmNumbers
from detector.signal.series import true_runs
from detector.training.dataset import Dataset
from detector.training.fitted_scores import Stretch

MOST_STRETCHES = 4
"""Of a sensor."""
MOST_SHARE = 0.1
"""Of its rows; more is no stretch but how the sensor is."""
MERGE_GAP = 16
"""Rows of it with fewer between them are one stretch."""
TAIL = 256
"""Rows for which a long window may hold a stretch."""
WARM_UP = 32
FALSE = 0.05
"""Stretches that a healthy history may be expected to show."""


def standing_out_rows(
    data: Dataset,
    rows: Int64[np.ndarray, " n"],
    levels: Float64[np.ndarray, "n levels"],
    alarms: AlarmNumbers,
    group: int,
    *,
    threshold_without: Callable[[Int64[np.ndarray, " k"]], float],
) -> list[tuple[Stretch, Int64[np.ndarray, " k"]]]:
    """What stands out among the rows of a calibration group.

    Args:
        data: the history.
        rows: places in it, ascending; all of the group.
        levels: theirs, cross-fitted.
        alarms: start numbers of the alarm rule.
        group: whose numbers judge.
        threshold_without: how many times as high the threshold is as it would be without some
            of the rows, given by their places in `rows`.

    Returns:
        Each stretch, and the places of its rows in `rows`.
    """
    # Of the whole history, whatever the budget: what stands out does not hang on it.
    bars = alarms.bars(FALSE / len(data.rows))[group]
    z = (levels - alarms.centre[group]) / alarms.spread[group]
    # The long view still holds what the short one has long forgotten.
    near = (z > bars / 2).all(axis=1) & _warm(data)[rows]
    over = near & (z[:, 0] > bars[0])
    found = []
    for owner in np.unique(data.owners[rows[over]]).tolist():
        mine = np.flatnonzero(data.owners[rows] == owner)
        near_runs = _merged(true_runs(near[mine]).tolist())
        # A single row opens no incident.
        runs = [(a, b) for a, b in near_runs if over[mine[a:b]].sum() > 1]
        runs = _without_tails(runs, z[mine, 1])
        if len(runs) > MOST_STRETCHES or sum(b - a for a, b in runs) > MOST_SHARE * len(mine):
            continue
        for start, end in runs:
            places = mine[start:end]
            stretch = Stretch(
                sensor=data.names[owner],
                start_ns=int(data.ts_ns[rows[places[0]]]),
                end_ns=int(data.ts_ns[rows[places[-1]]]),
                readings=end - start,
                factor=threshold_without(places),
            )
            found.append((stretch, places))
    return found


def _warm(data: Dataset) -> Bool[np.ndarray, " rows"]:
    """Rows that a stream would have scored: the first ones of a run have hardly a window."""
    warm = np.ones(len(data.rows), dtype=bool)
    for start, end in data.runs:
        warm[start : min(start + WARM_UP, end)] = False
    return warm


def _without_tails(
    runs: Sequence[tuple[int, int]], short: Float64[np.ndarray, " n"]
) -> list[tuple[int, int]]:
    """Without what follows a stretch at less than half its height: long windows still hold it."""
    kept: list[tuple[int, int]] = []
    for start, end in runs:
        if kept and start - kept[-1][1] < TAIL:
            before = short[kept[-1][0] : kept[-1][1]].max()
            if short[start:end].max() < before / 2:
                continue
        kept.append((start, end))
    return kept


def _merged(runs: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in runs:
        if joined and start - joined[-1][1] < MERGE_GAP:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined

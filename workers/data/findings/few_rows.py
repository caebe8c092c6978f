"""Sensors that a training with its defaults would learn nothing from. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from detector.signal.scorable import Obstacle, unscorable
from detector.signal.series import GAP_INTERVALS, runs
from workers.data.errors import listed
from workers.data.finding import Finding, Kind
from workers.data.history import History, SensorRows

_WINDOW = 32
"""Readings of a window, unless --receptive-field says otherwise."""
_PARTS = (0.7, 0.1, 0.2)
"""Shares of the rows that train, tell when to stop, and set the threshold."""


def few_rows_findings(history: History) -> Iterator[Finding]:
    """What is too short for windows: all sensors for a training, or some of them for their part."""
    sensors = [one for one in history.sensors if len(one)]
    steps = [float(np.median(np.diff(one.ts_ns))) for one in sensors if len(one) > 1]
    if not sensors:
        return
    gap_ns = int(GAP_INTERVALS * np.median(steps)) if steps else 1
    needed = math.ceil(_WINDOW / min(_PARTS))
    pieces = {one.sensor: _pieces(one) for one in sensors}
    longest = np.array([[_longest(part, gap_ns) for part in parts] for parts in pieces.values()])
    if (longest.max(axis=0) < _WINDOW).any():
        most = max(_longest(one.ts_ns, gap_ns) for one in sensors)
        yield Finding(
            kind=Kind.FEW_ROWS,
            text=f"no sensor has the {needed:,} rows without a gap that a training takes, at most "
            f"{most:,}: give it a longer history, or a smaller --receptive-field than {_WINDOW}",
        )
        return
    found = [
        one
        for sensor, parts in pieces.items()
        if (
            one := unscorable(
                sensor, parts, receptive_field=_WINDOW, max_gap_ns=gap_ns, needed=needed
            )
        )
        and one.obstacle is not Obstacle.LONG_STEPS  # that is said of its rate
    ]
    if found:
        yield Finding(
            kind=Kind.FEW_ROWS,
            text=f"{len(found):,} of {len(sensors):,} sensors are not learned from "
            f"({listed([one.sensor for one in found])}); {found[0].sensor!r}: {found[0]}",
        )


def _pieces(one: SensorRows) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    borders = [round(len(one) * sum(_PARTS[:number])) for number in range(1, len(_PARTS))]
    return np.split(one.ts_ns, borders)


def _longest(ts_ns: np.ndarray[tuple[int], np.dtype[np.int64]], gap_ns: int) -> int:
    return max((end - start for start, end in runs(ts_ns, gap_ns)), default=0)

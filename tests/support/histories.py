"""Histories of the sensors that `tests.support.models` makes readings of."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tests.support.models import CHANNELS, SECOND_NS, START_NS, plant_values
from workers.data.history import History, SensorRows


def rows_of(
    sensor: str,
    *,
    rows: int = 60,
    labelled: Any = None,
    gap_after: int | None = None,
    missing: int | None = None,
    seed: int = 1,
) -> SensorRows:
    """Rows a second apart; an hour passes after `gap_after`, `missing` has no pressure."""
    ts_ns = START_NS + np.arange(rows, dtype=np.int64) * SECOND_NS
    if gap_after is not None:
        ts_ns[gap_after + 1 :] += 3600 * SECOND_NS
    values = plant_values(rows, seed=seed)
    if missing is not None:
        values[missing, 1] = np.nan
    labels = None
    if labelled is not None:
        labels = np.zeros(rows, np.bool_)
        labels[labelled] = True
    return SensorRows(sensor=sensor, ts_ns=ts_ns, values=values, labels=labels)


def history_of(*sensors: SensorRows) -> History:
    """What would have been read of them."""
    return History(
        channels=CHANNELS,
        sensors=sensors,
        read=sum(map(len, sensors)),
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )

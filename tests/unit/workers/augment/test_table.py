"""The larger set as a table: where made windows stand in time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from detector.augmentation import Made, Method
from workers.augment.augment import ClassOutcome
from workers.augment.labelled import Labelled
from workers.augment.table import Columns, table_of
from workers.augment.windows import Place
from workers.data.history import History, SensorRows

SECOND_NS = 10**9
ROWS = 6
GAP_NS = 10 * SECOND_NS


def read() -> Labelled:
    """One sensor, a row a second, all of one class."""
    ts_ns = np.arange(ROWS, dtype=np.int64) * SECOND_NS
    sensor = SensorRows(sensor="pump-1", ts_ns=ts_ns, values=np.ones((ROWS, 1)))
    history = History(
        channels=("flow",),
        sensors=(sensor,),
        read=ROWS,
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )
    return Labelled(history=history, classes=("leak",), codes=(np.zeros(ROWS, np.int64),))


@pytest.mark.parametrize("size", [1, 3])
def test_no_window_of_the_table_reaches_from_a_made_window_into_another(size: int) -> None:
    made = Made(
        windows=np.zeros((2, size, 1)),
        groups=np.zeros(2, np.int64),
        methods=(Method.NEIGHBOURS,) * 2,
        sources=np.array([[0, -1], [0, -1]]),
        weight=np.full(2, np.nan),
        radius=np.ones(2),
    )
    place = Place(sensor=0, first=2, code=0)
    outcome = ClassOutcome(label="leak", places=(place,), made=made)
    columns = Columns(channels=("flow",), label="kind")

    table = table_of(read(), [outcome], columns, rows=size, max_gap_ns=GAP_NS)

    sensors = table.column("sensor_id").to_pylist()
    assert sensors == ["pump-1"] * ROWS + ["pump-1+leak"] * 2 * size
    times = table.column("ts").cast(pa.int64()).to_numpy()[ROWS - 1 :]
    gaps = np.diff(times).reshape(2, size)
    assert (gaps[:, 0] > GAP_NS).all()
    assert (gaps[:, 1:] == SECOND_NS).all()

"""The incidents of a topic are those of a backtest of its readings, over a real broker."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from schemas.wire.anomaly import anomaly_id
from schemas.wire.incident import Incident
from tests.support.broker import MakeTopic, produce
from tests.support.models import (
    CHANNELS,
    SECOND_NS,
    START_NS,
    encoded,
    plant_values,
    small_detector,
)
from tests.support.streams import (
    anomalies,
    drained,
    incidents,
    make_settings,
    open_loop,
    records_done,
    step_until,
)
from workers.backtest.backtest import ScoredSensor, score_history
from workers.data.history import History, SensorRows
from workers.kafka.client import Connection

pytestmark = pytest.mark.kafka

ROWS = 260
SENSOR = "pump-1"


def values() -> np.ndarray:
    """One fault that ends, and one that goes on."""
    measured = plant_values(ROWS, seed=30)
    measured[60:100, 1] -= 4.0
    measured[230:, 1] += 1.0
    return measured


def backtested() -> ScoredSensor:
    ts_ns = START_NS + np.arange(ROWS, dtype=np.int64) * SECOND_NS
    history = History(
        channels=CHANNELS,
        sensors=(SensorRows(sensor=SENSOR, ts_ns=ts_ns, values=values(), labels=None),),
        read=ROWS,
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )
    (one,), _ = score_history(history, small_detector())
    return one


def without_place(one: Incident) -> dict[str, object]:
    return one.model_dump(exclude={"id", "source"})


def test_the_incidents_of_a_topic_are_those_of_a_backtest_through_kills(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    """One sensor in one partition: a row of the file is an offset, so the ids agree too."""
    settings = make_settings(
        connection,
        make_topic,
        group,
        partitions=1,
        stream={"max_poll_records": 20},
        processing={"commit_interval_s": 0.001},
    )
    topic = settings.topics.readings
    rows = enumerate(values())
    produce(
        connection, topic,
        encoded([(SENSOR, START_NS + row * SECOND_NS, measured) for row, measured in rows]),
    )  # fmt: skip
    done = 0
    for reach in (70, 90, 240, ROWS):
        with open_loop(settings, small_detector()) as loop:
            step_until(loop, lambda: done + records_done(loop) >= reach)  # noqa: B023
            if reach == ROWS:
                drained(loop)
            done += records_done(loop)

    live = incidents(connection, settings)
    tested = backtested()

    ended, standing = (found.told for found in tested.incidents)
    assert (ended.end_reason, standing.end_reason) == ("recovered", None)
    for one in (ended, standing):
        events = live.pop(anomaly_id(topic, 0, one.source.first_offset, 0))
        assert [event.sequence for event in events] == [
            f"{number:010d}" for number in range(1, len(events) + 1)
        ]
        last = events[-1].data
        assert (last.first_ns, last.opened_ns) == (one.first_ns, one.opened_ns)
        if one is ended:
            assert without_place(last) == without_place(one)
            assert last.source == one.source.model_copy(update={"topic": topic})
    assert live == {}
    flagged = {found.ts_ns for found in anomalies(connection, settings).values()}
    assert flagged == set(tested.ts_ns[tested.flagged].tolist())

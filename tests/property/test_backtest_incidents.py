"""Promise 3: a backtest gives the incidents of the stream, however the stream was cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.columns import Readings
from schemas.wire.incident import Incident
from tests.support.models import CHANNELS, SECOND_NS, START_NS, plant_values, small_detector
from workers.backtest.backtest import ScoredSensor, partition_of, score_history
from workers.data.history import History, SensorRows
from workers.stream.incident_events import IncidentEvents
from workers.stream.scoring.backend import Work
from workers.stream.sensor_labels import no_labels
from workers.stream.state.incident import IncidentChange
from workers.stream.state.partition import Batch, PartitionState

ROWS = 240
Values = dict[str, NDArray[np.float64]]

FAULTS = st.lists(
    st.tuples(st.integers(10, ROWS - 1), st.integers(1, 60), st.sampled_from([0.4, 1.0, -4.0])),
    max_size=4,
)


def values_of(sensors: int, faults: Sequence[tuple[int, int, float]]) -> Values:
    """What the sensors measure; the faults are in turn of each of them."""
    values = {f"s{i}": plant_values(ROWS, seed=30 + i, phase=i) for i in range(sensors)}
    for number, (start, length, height) in enumerate(faults):
        values[f"s{number % sensors}"][start : start + length, 1] += height
    return values


def backtested(values: Values) -> list[ScoredSensor]:
    """By files."""
    history = History(
        channels=CHANNELS,
        sensors=tuple(
            SensorRows(sensor=name, ts_ns=times(), values=rows, labels=None)
            for name, rows in values.items()
        ),
        read=ROWS * len(values),
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )
    return score_history(history, small_detector())[0]


def times() -> NDArray[np.int64]:
    return START_NS + np.arange(ROWS, dtype=np.int64) * SECOND_NS


def streamed(
    values: Values, cuts: Sequence[int]
) -> tuple[dict[tuple[str, int], float], set[tuple[str, int]], list[IncidentChange]]:
    """By one partition, row by row: scores, what was flagged, what happened to incidents."""
    state = partition_of(small_detector())
    edges = sorted({0, *(cut % (ROWS * len(values)) for cut in cuts), ROWS * len(values)})
    scores: dict[tuple[str, int], float] = {}
    flagged: set[tuple[str, int]] = set()
    changes: list[IncidentChange] = []
    for low, high in pairwise(edges):
        request = state.polled(batch(values, low, high))
        assert request is not None
        found = Work.of(request.samples).scores(small_detector())
        judged = state.scored(request.number, found).judged
        for run in request.samples.runs:
            for row in range(run.start, run.stop):
                place = (run.sensor, int(request.samples.ts_ns[row]))
                scores[place] = float(judged.score[row])
                if judged.flagged[row]:
                    flagged.add(place)
        changes += judged.changes
    return scores, flagged, [*changes, *standing(state)]


def standing(state: PartitionState) -> list[IncidentChange]:
    return list(state.recorded.standing())


def batch(values: Values, low: int, high: int) -> Batch:
    """Records from one offset to another, of the sensors in turn."""
    offsets, names = np.arange(low, high), list(values)
    sensors = [names[offset % len(names)] for offset in offsets.tolist()]
    rows = (offsets // len(names)).tolist()
    return Batch(
        offsets=offsets,
        stamps_ms=times()[rows] // 1_000_000,
        readings=Readings(
            positions=np.arange(high - low),
            sensors=sensors,
            counts=np.ones(high - low, np.int64),
            ts_ns=times()[rows],
            values=np.array([values[s][row] for s, row in zip(sensors, rows, strict=True)]),
        ),
        failures=(),
    )


def documents(changes: Sequence[IncidentChange]) -> list[Incident]:
    """The last state of each incident, in order of sensor and time."""
    events = IncidentEvents(
        small_detector(), topic="vigie.readings", group="any", labels_of=no_labels
    )
    latest = {(change.sensor, change.incident.first): change for change in changes}
    return [events.incident(latest[key], 0) for key in sorted(latest)]


@settings(max_examples=25, deadline=None)
@given(
    sensors=st.integers(1, 3),
    faults=FAULTS,
    cuts=st.lists(st.integers(1, 3 * ROWS), max_size=12),
)
def test_a_backtest_gives_the_incidents_of_the_stream(sensors, faults, cuts):
    """Equal but for where they lie in the log; for one sensor, whose rows are offsets, in all."""
    values = values_of(sensors, faults)

    scores, flagged, changes = streamed(values, cuts)
    tested = backtested(values)

    for one in tested:
        known = np.flatnonzero(one.scored).tolist()
        assert [scores[one.sensor, int(one.ts_ns[row])] for row in known] == one.score[
            known
        ].tolist()
        own = {ts_ns for sensor, ts_ns in flagged if sensor == one.sensor}
        assert own == set(one.ts_ns[one.flagged].tolist())
    live = documents(changes)
    filed = [found.told for one in tested for found in one.incidents]
    placeless = {"id", "source"} if sensors > 1 else None
    assert [one.model_dump(exclude=placeless) for one in live] == [
        one.model_dump(exclude=placeless) for one in filed
    ]


def test_there_is_something_to_compare():
    """Of the faults above, some open an incident and end, and one is open in the end."""
    (one,) = backtested(values_of(1, [(60, 40, -4.0), (220, 60, 1.0)]))

    assert [found.told.end_reason for found in one.incidents] == ["recovered", None]
    assert all(found.told.flagged > 1 for found in one.incidents)

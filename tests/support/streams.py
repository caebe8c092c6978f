"""An ingest loop on a real broker, in this process, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from detector.scoring import Detector
from schemas.codec import decode_denoised
from schemas.settings import Guarantee, Settings
from schemas.wire.anomaly import Anomaly
from schemas.wire.event import IncidentEvent
from tests.support.broker import MakeTopic, read_all
from tests.support.wait import wait_until
from workers.kafka.client import Connection, TableTail
from workers.kafka.deadline import Deadline
from workers.kafka.factory import sink_of, source_of, table_of, verdicts_of
from workers.stream.build import build_loop
from workers.stream.loop import IngestLoop
from workers.stream.scoring.backend import LocalScoring, Scoring

_OUTPUTS = ("anomalies", "denoised", "dead_letters", "incidents")


def make_settings(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    *,
    partitions: int = 2,
    **sections: dict[str, Any],
) -> Settings:
    """Settings with topics of their own; `sections` adds others, as stream={"start": "latest"}."""
    return Settings.model_validate(
        {
            **sections,
            "kafka": {"bootstrap": connection.bootstrap, "group": group},
            "topics": {
                "readings": make_topic(partitions=partitions),
                **{name: make_topic() for name in _OUTPUTS},
                "sensor_state": make_topic(partitions, **{"cleanup.policy": "compact"}),
                "verdicts": make_topic(1, **{"cleanup.policy": "compact"}),
            },
        }
    )


@contextmanager
def open_loop(
    settings: Settings,
    detector: Detector,
    *,
    slot: int = 0,
    scoring: Scoring | None = None,
    wishes: TableTail | None = None,
) -> Iterator[IngestLoop]:
    """An ingest loop as a worker runs it; closing it leaves without draining, as a kill would."""
    with ExitStack() as stack:
        source = stack.enter_context(source_of(settings, slot).open())
        sink = stack.enter_context(sink_of(settings, slot).open(source))
        table = stack.enter_context(table_of(settings).open())
        wishes = stack.enter_context(verdicts_of(settings).open())
        yield build_loop(
            slot=slot,
            source=source,
            sink=sink,
            table=table,
            scoring=scoring or LocalScoring(detector),
            detector=detector,
            settings=settings,
            wishes=wishes,
        )


def step_until(loop: IngestLoop, condition: Callable[[], bool], *, within: float = 30.0) -> None:
    """Turn the loop until the condition holds."""

    def turn() -> bool:
        loop.step()
        return condition()

    try:
        wait_until(turn, within=within, what="the loop")
    except AssertionError as error:
        raise AssertionError(f"{error}; {loop.health}") from None


def drained(loop: IngestLoop) -> None:
    """Finish and commit what is in flight."""
    loop.drain(Deadline.after(10.0))


def records_done(loop: IngestLoop) -> int:
    """Records committed by this loop."""
    return sum(counts.records for counts in loop._counts.values())


@dataclass(frozen=True)
class Scored:
    """What came out for one reading."""

    ts_ns: int
    score: float | None
    denoised: tuple[float | None, ...]


Place = tuple[int, int, int]
"""Partition, offset, index."""


def scored_readings(connection: Connection, settings: Settings) -> dict[Place, Scored]:
    """Every denoised reading by its place in the source, as a `read_committed` reader sees it.

    Exactly once means no repeats; under at least once a repeat must be equal.
    """
    once = settings.processing.guarantee is Guarantee.EXACTLY_ONCE
    found: dict[Place, Scored] = {}
    for record in read_all(connection, settings.topics.denoised):
        content_type = dict(record.headers)["content-type"].decode()
        frame = decode_denoised(record.value, content_type)
        for i, offset in enumerate(frame.offset):
            index = frame.index[i] if frame.index else 0
            values = tuple(column[i] for column in frame.values.values())
            place = (frame.partition, offset, index)
            scored = Scored(frame.ts_ns[i], frame.score[i], values)
            assert not (once and place in found), f"{place} came twice"
            assert found.setdefault(place, scored) == scored, f"{place} came twice, differently"
    return found


def anomalies(connection: Connection, settings: Settings) -> dict[UUID, Anomaly]:
    """Every anomaly by its id; repeats as in `scored_readings`."""
    once = settings.processing.guarantee is Guarantee.EXACTLY_ONCE
    found: dict[UUID, Anomaly] = {}
    for record in read_all(connection, settings.topics.anomalies):
        anomaly = Anomaly.model_validate_json(record.value)
        assert not (once and anomaly.id in found), f"{anomaly.id} came twice"
        assert found.setdefault(anomaly.id, anomaly) == anomaly
    return found


def incidents(connection: Connection, settings: Settings) -> dict[UUID, list[IncidentEvent]]:
    """Every event of each incident in its order; repeats as in `scored_readings`."""
    once = settings.processing.guarantee is Guarantee.EXACTLY_ONCE
    found: dict[UUID, dict[str, IncidentEvent]] = {}
    for record in read_all(connection, settings.topics.incidents):
        event = IncidentEvent.model_validate_json(record.value)
        events = found.setdefault(event.data.id, {})
        assert not (once and event.id in events), f"{event.id} came twice"
        assert events.setdefault(event.id, event) == event
    return {name: list(events.values()) for name, events in found.items()}

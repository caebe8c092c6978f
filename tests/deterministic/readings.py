"""Readings on the simulated wire, and what an undisturbed run makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from schemas.codec import FRAME_JSON, READING_JSON
from schemas.wire.anomaly import anomaly_id
from schemas.wire.event import IncidentEvent
from tests.deterministic.broker import Log
from tests.deterministic.scoring import POISON, SimDetector
from tests.support.incident_terms import Terms
from tests.support.incident_twin import Answer, Heard, Logged, defined
from tests.support.logs import Entry, Remembering, Rules, cuts_of, log_of
from tests.support.partitions import Sample
from workers.kafka.client import Record

EPOCH_MS = 1_000_000
TICK_MS = 5_000
"""What a log's unit of time is here: an incident of a dozen is told of by the minute."""
MAX_STALE_TICKS = 12
CONSUMERS = "g"


class Place(NamedTuple):
    partition: int
    offset: int
    nth: int


class Scored(NamedTuple):
    """What comes out for a reading."""

    sensor: str
    ts_ms: int
    cleaned: float
    score: float


class Flagged(NamedTuple):
    """What comes out for an anomaly beside that."""

    threshold: float
    incident: UUID


@dataclass
class Expected:
    """What an undisturbed run gives."""

    scored: dict[Place, Scored] = field(default_factory=dict)
    flagged: dict[UUID, Flagged] = field(default_factory=dict)
    events: dict[str, IncidentEvent] = field(default_factory=dict)
    dead_letters: set[tuple[int, int]] = field(default_factory=set)
    recorded: dict[int, dict[str, Any]] = field(default_factory=dict)
    kept_from: dict[int, int] = field(default_factory=dict)
    """What was last heard of before that is forgotten."""


def simulated(entries: Sequence[Entry], partition: int) -> list[Entry]:
    """The same with whole numbers for values, sensors of this partition, and single poison."""
    return [
        entry._replace(
            frame=tuple(
                sample._replace(
                    sensor=f"{sample.sensor}{partition}",
                    value=float(
                        POISON + number
                        if entry.kind == "poison"
                        else (number * 37 + index * 11 + partition * 101) % 997
                    ),
                )
                for index, sample in enumerate(
                    entry.frame[:1] if entry.kind == "poison" else entry.frame
                )
            )
        )
        for number, entry in enumerate(entries)
    ]


def world_of(noises: Sequence[bytes]) -> dict[int, list[Entry]]:
    """The entries of each partition."""
    return {p: simulated(log_of(noise), p) for p, noise in enumerate(noises)}


def on_the_wire(entries: Sequence[Entry], partition: int) -> Log:
    return Log([_record(entry, partition) for entry in entries])


def _record(entry: Entry, partition: int) -> Record:
    frame = entry.frame
    ts = [on_the_clock(sample.ts_ns) for sample in frame]
    if len(frame) == 1:
        content_type = READING_JSON
        body = {"sensor_id": frame[0].sensor, "ts": ts[0], "values": {"x": frame[0].value}}
    else:
        content_type = FRAME_JSON
        values = {"x": [sample.value for sample in frame]}
        body = {"sensor_id": frame[0].sensor, "ts": ts, "values": values}
    return Record(
        topic="r",
        partition=partition,
        offset=entry.offset,
        timestamp=_stamp_ms(entry),
        key=frame[0].sensor.encode(),
        value=b"no reading" if entry.kind == "bad" else json.dumps(body).encode(),
        headers=(("content-type", content_type.encode()),),
    )


def undisturbed(world: Mapping[int, Sequence[Entry]], rules: Rules) -> Expected:
    """By the definition; poison is found when it would be remembered, and then was never read."""
    expected, detector = Expected(), SimDetector.of(rules)
    for partition, entries in world.items():
        logged = [_logged(entry, memory, detector) for entry, memory in _remembered(entries, rules)]
        terms = Terms.of(
            detector,
            topic="r",
            partition=partition,
            consumers=CONSUMERS,
            max_stale_ms=MAX_STALE_TICKS * TICK_MS,
        )
        cuts = cuts_of(entries, rules)
        expected.kept_from[partition] = cuts[-2] if cuts[1:] else 0
        found = defined(terms, logged, cuts[1:])
        expected.events |= {event.id: event for event in found.events}
        expected.recorded[partition] = found.documents
        for record in logged:
            if not record.sensor:
                expected.dead_letters.add((partition, record.offset))
            for nth, heard in enumerate(record.readings):
                if heard.answer is None:
                    continue
                judged = found.judged[record.offset, nth]
                expected.scored[Place(partition, record.offset, nth)] = Scored(
                    record.sensor, heard.ts_ns // 10**6, heard.answer.expected[0], judged.score
                )
                if judged.incident is not None:
                    group = detector.group_of(record.sensor)
                    key = anomaly_id("r", partition, record.offset, nth)
                    threshold = judged.bar * detector.threshold_of(group)
                    expected.flagged[key] = Flagged(threshold, UUID(judged.incident))
    return expected


def _remembered(entries: Sequence[Entry], rules: Rules) -> Iterator[tuple[Entry, Remembering]]:
    """Each record, and what is known when it comes."""
    memory = Remembering(entries, rules)
    for entry in entries:
        memory.reach(entry.offset)
        yield entry, memory


def _logged(entry: Entry, memory: Remembering, detector: SimDetector) -> Logged:
    stamp_ms = _stamp_ms(entry)
    is_bad = entry.kind == "bad"
    if entry.kind == "poison":
        (sample,) = entry.frame
        is_bad = any(cold.look(sample) for cold in (memory.known, memory.shadow))
    if is_bad:
        return Logged(entry.offset, stamp_ms)
    heard = tuple(_heard(sample, memory, detector) for sample in entry.frame)
    return Logged(entry.offset, stamp_ms, entry.frame[0].sensor, heard)


def _heard(sample: Sample, memory: Remembering, detector: SimDetector) -> Heard:
    reading = (on_the_clock(sample.ts_ns) * 10**6, (sample.value,))
    is_dropped = memory.known.look(sample) is None
    window = memory.take(sample)
    if window is None:
        return Heard(*reading, "d" if is_dropped else "w")
    times_ns = [on_the_clock(ts) * 10**6 for ts, _ in window]
    number = detector.number(times_ns, [value for _, value in window])
    partial = len(window) < detector.receptive_field
    levels = detector.levels(number, partial=partial)
    group = np.array([detector.group_of(sample.sensor)])
    (score,) = detector.scores(np.array([levels]), group).tolist()
    return Heard(
        *reading, "s", Answer(score, *levels, (float(number),), (1.0,), (float(number),), partial)
    )


def on_the_clock(tick: int) -> int:
    """Epoch milliseconds of a log's time."""
    return EPOCH_MS + tick * TICK_MS


def _stamp_ms(entry: Entry) -> int:
    """Of the record; below 0 is none."""
    return entry.stamp_ms if entry.stamp_ms < 0 else on_the_clock(entry.stamp_ms)

"""Readings on the simulated wire, and what an undisturbed run makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.codec import FRAME_JSON, READING_JSON
from schemas.wire.sensor_state import SensorState
from tests.deterministic.broker import Log
from tests.deterministic.scoring import FLAGGED_FROM, POISON, SimDetector
from tests.support.logs import Entry, Remembering, Rules, cuts_of, log_of
from tests.support.recorded import Fated, recorded_by_definition
from workers.kafka.client import Record

EPOCH_MS = 1_000_000


class Place(NamedTuple):
    partition: int
    offset: int
    nth: int


class Scored(NamedTuple):
    """What comes out for a reading."""

    sensor: str
    ts_ms: int
    cleaned: float


@dataclass
class Expected:
    """What an undisturbed run gives."""

    scored: dict[Place, Scored] = field(default_factory=dict)
    flagged: set[Place] = field(default_factory=set)
    dead_letters: set[tuple[int, int]] = field(default_factory=set)
    recorded: dict[int, dict[str, SensorState]] = field(default_factory=dict)


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
    ts = [EPOCH_MS + sample.ts_ns for sample in frame]
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
        timestamp=entry.stamp_ms if entry.stamp_ms < 0 else EPOCH_MS + entry.stamp_ms,
        key=frame[0].sensor.encode(),
        value=b"no reading" if entry.kind == "bad" else json.dumps(body).encode(),
        headers=(("content-type", content_type.encode()),),
    )


def undisturbed(world: Mapping[int, Sequence[Entry]], rules: Rules) -> Expected:
    """By the definition; poison is found when it would be remembered, and then was never read."""
    expected, detector = Expected(), SimDetector.of(rules)
    for partition, entries in world.items():
        memory = Remembering(entries, rules)
        fated = []
        for entry in entries:
            memory.reach(entry.offset)
            is_bad = entry.kind == "bad"
            if entry.kind == "poison":
                (sample,) = entry.frame
                is_bad = any(cold.look(sample) for cold in (memory.known, memory.shadow))
            if is_bad:
                expected.dead_letters.add((partition, entry.offset))
                continue
            fates = ""
            for index, sample in enumerate(entry.frame):
                is_dropped = memory.known.look(sample) is None
                window = memory.take(sample)
                if window is None:
                    fates += "d" if is_dropped else "w"
                    continue
                place = Place(partition, entry.offset, index)
                number = detector.number(
                    [(EPOCH_MS + ts) * 10**6 for ts, _ in window], [value for _, value in window]
                )
                ts_ms = EPOCH_MS + sample.ts_ns
                expected.scored[place] = Scored(sample.sensor, ts_ms, float(number))
                fates += "f" if number >= FLAGGED_FROM else "s"
                if number >= FLAGGED_FROM:
                    expected.flagged.add(place)
            fated.append(Fated(entry.offset, entry.frame[0].sensor, fates))
        cuts = cuts_of(entries, rules)[1:]
        expected.recorded[partition] = recorded_by_definition(fated, cuts)
    return expected

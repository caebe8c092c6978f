"""What came out of a pipeline, parsed: denoised readings, anomalies, incidents, dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic_core import from_json

from schemas.codec import decode_denoised
from schemas.settings import TopicSettings
from schemas.wire.anomaly import Anomaly
from schemas.wire.dead_letter import read_dead_letter
from schemas.wire.event import DeedEvent, IncidentEvent

_EVENT: TypeAdapter[IncidentEvent | DeedEvent] = TypeAdapter(IncidentEvent | DeedEvent)


class Place(NamedTuple):
    """A reading of the source: partition, offset of its record, number in the record."""

    partition: int
    offset: int
    nth: int


class At(NamedTuple):
    """Where an output lies: partition and offset of its own topic."""

    partition: int
    offset: int


class Denoised(NamedTuple):
    """One reading that was scored."""

    place: Place
    sensor: str
    ts_ns: int
    score: float | None
    values: tuple[float | None, ...]


class Flagged(NamedTuple):
    """One anomaly; `document` is all of it."""

    place: Place
    id: str
    sensor: str
    document: dict[str, Any]


class Letter(NamedTuple):
    """One dead letter: partition and offset of its record, why, and the record itself."""

    partition: int
    offset: int
    stage: str
    key: bytes | None
    value: bytes


@dataclass
class Outcome:
    """Everything that came out, each with its place in the topic, in the order of the topics."""

    denoised: list[tuple[At, Denoised]] = field(default_factory=list)
    flagged: list[tuple[At, Flagged]] = field(default_factory=list)
    letters: list[tuple[At, Letter]] = field(default_factory=list)
    incidents: list[tuple[At, IncidentEvent]] = field(default_factory=list)
    deeds: list[tuple[At, DeedEvent]] = field(default_factory=list)

    def add(self, topics: TopicSettings, record: Any) -> None:
        """Parse one record of one of the four topics.

        Raises:
            ValueError: it is none of ours, or damaged.
        """
        at = At(record.partition, record.offset)
        if record.topic == topics.denoised:
            self.denoised += [(at, reading) for reading in _denoised(record)]
        elif record.topic == topics.anomalies:
            self.flagged.append((at, _flagged(record)))
        elif record.topic == topics.dead_letters:
            self.letters.append((at, _letter(record)))
        elif record.topic == topics.incidents:
            event = _EVENT.validate_json(record.value)
            if record.key != event.subject.encode():
                raise ValueError(f"the key {record.key!r} is not the sensor {event.subject!r}")
            if isinstance(event, IncidentEvent):
                self.incidents.append((at, event))
            else:
                self.deeds.append((at, event))
        else:
            raise ValueError(f"{record.topic} is no topic of the outputs")


def outcome_of(topics: TopicSettings, records: Iterable[Any]) -> Outcome:
    """Parse the records of the four topics; each in the order of its topic."""
    outcome = Outcome()
    for record in records:
        outcome.add(topics, record)
    return outcome


def without_repeats(outcome: Outcome) -> Outcome:
    """What a reader of `at_least_once` keeps: of each id the first.

    Repeats that differ stay, so that a checker meets them.
    """
    return Outcome(
        denoised=_firsts(outcome.denoised, lambda reading: reading),
        flagged=_firsts(outcome.flagged, lambda flag: (flag.place, repr(flag.document))),
        letters=_firsts(outcome.letters, lambda letter: letter),
        incidents=_firsts(outcome.incidents, repr),
        deeds=_firsts(outcome.deeds, repr),
    )


def _firsts(items: Sequence[tuple[At, Any]], key: Any) -> list[tuple[At, Any]]:
    kept: dict[Any, tuple[At, Any]] = {}
    for at, item in items:
        kept.setdefault(key(item), (at, item))
    return list(kept.values())


def _denoised(record: Any) -> list[Denoised]:
    frame = decode_denoised(record.value, dict(record.headers)["content-type"])
    if record.key != frame.sensor_id.encode():
        raise ValueError(f"the key {record.key!r} is not the sensor {frame.sensor_id!r}")
    indices = frame.index or [0] * len(frame.offset)
    return [
        Denoised(Place(frame.partition, offset, index), frame.sensor_id, ts_ns, score, values)
        for offset, index, ts_ns, score, values in zip(
            frame.offset,
            indices,
            frame.ts_ns,
            frame.score,
            zip(*frame.values.values(), strict=True),
            strict=True,
        )
    ]


def _flagged(record: Any) -> Flagged:
    anomaly = Anomaly.model_validate_json(record.value)
    if record.key != anomaly.sensor_id.encode():
        raise ValueError(f"the key {record.key!r} is not the sensor {anomaly.sensor_id!r}")
    source = anomaly.source
    return Flagged(
        Place(source.partition, source.offset, source.index),
        str(anomaly.id),
        anomaly.sensor_id,
        from_json(record.value),
    )


def _letter(record: Any) -> Letter:
    letter = read_dead_letter([(name, value) for name, value in record.headers])
    return Letter(letter.partition, letter.offset, letter.stage, record.key, record.value)

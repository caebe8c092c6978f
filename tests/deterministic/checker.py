"""Whether a run kept its promises, from what a `read_committed` reader finds and the offsets."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from schemas.settings import TopicSettings
from schemas.wire.dead_letter import read_dead_letter
from schemas.wire.event import IncidentEvent
from schemas.wire.sensor_state import SensorState
from tests.deterministic.broker import Broker, Fate, Sent
from tests.deterministic.readings import Expected, Flagged, Place, Scored
from tests.support.incident_terms import unpacked

SENSOR_STATE = TopicSettings().sensor_state


def check_exactly_once(broker: Broker, expected: Expected) -> None:
    """Everything that an undisturbed run gives, once, in order, and nothing else."""
    found = _Found(broker)
    assert not found.repeated, f"came twice: {found.repeated}"
    _check_content(found, expected)
    _check_recorded(broker, expected, exactly=True)
    _check_order(found)
    _check_sequences(found)
    _check_offsets(broker, found)


def check_at_least_once(broker: Broker, expected: Expected) -> None:
    """Everything that an undisturbed run gives; a repeat is the same, down to the id."""
    found = _Found(broker)
    _check_content(found, expected)
    _check_recorded(broker, expected, exactly=False)
    _check_sequences(found)
    _check_positions(broker)


class _Found:
    """The visible outputs."""

    def __init__(self, broker: Broker) -> None:
        self.scored: dict[Place, Scored] = {}
        self.anomalies: dict[UUID, Flagged] = {}
        self.events: dict[str, IncidentEvent] = {}
        self.dead_letters: set[tuple[int, int]] = set()
        self.repeated: list[object] = []
        self.order: dict[str, list[Place]] = defaultdict(list)
        # By the identity of the transaction, the places that came with it.
        self.units: dict[int, set[tuple[int, int]]] = defaultdict(set)
        for sent in broker.sent:
            if sent.transaction.fate is Fate.COMMITTED:
                self._take(sent)

    def _take(self, sent: Sent) -> None:
        if sent.topic == SENSOR_STATE:
            return  # see `_check_recorded`
        assert sent.value is not None
        unit = self.units[id(sent.transaction)]
        if "dead" in sent.topic:
            letter = read_dead_letter(sent.headers)  # type: ignore[arg-type]
            at = (letter.partition, letter.offset)
            self._note(at, at in self.dead_letters)
            self.dead_letters.add(at)
            unit.add(at)
        elif "anomalies" in sent.topic:
            told = json.loads(sent.value)
            key, flagged = UUID(told["id"]), Flagged(told["threshold"], UUID(told["incident"]))
            self._note(key, key in self.anomalies)
            assert self.anomalies.setdefault(key, flagged) == flagged, f"{key} differs"
        elif "incidents" in sent.topic:
            event = IncidentEvent.model_validate_json(sent.value)
            assert sent.key == event.subject.encode()
            self._note(event.id, event.id in self.events)
            assert self.events.setdefault(event.id, event) == event, f"{event.id} differs"
        else:
            for place, scored in _rows(json.loads(sent.value)):
                self._note(place, place in self.scored)
                assert self.scored.setdefault(place, scored) == scored, f"{place} differs"
                self.order[scored.sensor].append(place)
                unit.add(place[:2])

    def _note(self, what: object, is_there: bool) -> None:  # noqa: FBT001 - a fact, no flag
        if is_there:
            self.repeated.append(what)


def _rows(frame: dict[str, Any]) -> Iterator[tuple[Place, Scored]]:
    indices = frame.get("index") or [0] * len(frame["ts"])
    columns = (frame["offset"], indices, frame["ts"], frame["values"]["x"])
    for offset, index, ts, cleaned, score in zip(*columns, frame["score"], strict=True):
        scored = Scored(frame["sensor_id"], ts, cleaned, score)
        yield Place(frame["partition"], offset, index), scored


def _check_content(found: _Found, expected: Expected) -> None:
    assert found.scored == expected.scored, "scored readings differ"
    assert found.dead_letters == expected.dead_letters, "dead letters differ"
    assert found.anomalies == expected.flagged, "anomalies differ"
    assert found.events == expected.events, "incidents differ"


def _check_recorded(broker: Broker, expected: Expected, *, exactly: bool) -> None:
    """What is recorded of each sensor is what an undisturbed run leaves, and no other has anything.

    At least once, a forgotten one may be left until its partition is read on.
    """
    for partition in broker.logs:
        kept_from = 0 if exactly else expected.kept_from[partition]
        found = {
            key.decode(): document
            for key, value in broker.latest(SENSOR_STATE, partition).items()
            if (document := unpacked(SensorState.model_validate_json(value)))["next_offset"]
            > kept_from
        }
        assert found == expected.recorded[partition], f"partition {partition} counts otherwise"


def _check_order(found: _Found) -> None:
    for sensor, places in found.order.items():
        assert places == sorted(places), f"{sensor} is out of order"


def _check_sequences(found: _Found) -> None:
    """The events of an incident come in order and without a hole; repeats are dropped by id."""
    sequences: dict[UUID, list[int]] = defaultdict(list)
    for event in found.events.values():  # in the order of their first coming
        sequences[event.data.id].append(int(event.sequence))
    for incident, numbers in sequences.items():
        assert numbers == list(range(1, len(numbers) + 1)), f"{incident} is out of order"


def _check_positions(broker: Broker) -> None:
    """Committed offsets go forward, each from where the one before ended."""
    for partition in broker.logs:
        steps = [step for step in broker.steps if step.partition == partition]
        assert all(step.before is None or step.before <= step.after for step in steps), steps


def _check_offsets(broker: Broker, found: _Found) -> None:
    """What a transaction committed are the offsets of what it published."""
    _check_positions(broker)
    covered: dict[int, dict[int, range]] = defaultdict(dict)
    for step in broker.steps:
        if step.transaction is not None:
            span = range(step.before or 0, step.after)
            covered[id(step.transaction)][step.partition] = span
    for unit, places in found.units.items():
        for partition, offset in places:
            assert offset in covered[unit].get(partition, ()), "published without its offset"

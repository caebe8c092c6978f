"""The judges of incidents pass a sound result and catch every way in which it was made unsound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas.wire.anomaly import anomaly_id
from schemas.wire.event import IncidentEvent
from tests.chaos.incidents import (
    anomalies_belong,
    by_id,
    equal_incidents,
    ordered_incidents,
    same_incidents,
    unique_incidents,
)
from tests.chaos.outcome import At, Flagged, Outcome, Place, outcome_of, without_repeats
from tests.chaos.test_reference import SETTINGS, expected


def event(offset: int, sequence: int, what: str, **changes: Any) -> IncidentEvent:
    """Of the incident whose first reading lies there; its fields are those of a real one."""
    whole = next(one for one in expected().events.values() if one.data.end_reason)
    source = whole.data.source.model_copy(update={"first_offset": offset, "first_index": 0})
    id_ = anomaly_id(source.topic, source.partition, offset, 0)
    fields = {"flagged": sequence, "source": source, "id": id_}
    if what != "resolved":
        fields |= {"end_ns": None, "end_reason": None}
    data = whole.data.model_copy(update=fields | changes)
    attributes = {
        "id": f"{id_}-{sequence}",
        "type": f"incident.{what}",
        "sequence": f"{sequence:010d}",
    }
    return whole.model_copy(update={"data": data, **attributes})


def flag(offset: int, incident: int) -> Flagged:
    place, topic = Place(0, offset, 0), SETTINGS.topics.readings
    of = str(anomaly_id(topic, 0, incident, 0))
    return Flagged(place, str(anomaly_id(topic, *place)), "s", {"incident": of})


def sound() -> Outcome:
    events = [
        event(3, 1, "opened"),
        event(3, 2, "updated"),
        event(8, 1, "opened"),
        event(3, 3, "resolved"),
    ]
    flagged = [flag(3, 3), flag(4, 3), flag(5, 3), flag(8, 8)]
    return Outcome(
        incidents=[(At(0, number), one) for number, one in enumerate(events)],
        flagged=[(At(0, number), one) for number, one in enumerate(flagged)],
    )


def judged(outcome: Outcome) -> set[str]:
    right = sound()
    return {
        violation.check
        for violations in (
            unique_incidents(outcome),
            ordered_incidents(outcome),
            anomalies_belong(outcome),
            equal_incidents(by_id(right.incidents), outcome),
            same_incidents(right, outcome),
        )
        for violation in violations
    }


def plant(name: str, change: Callable[[Outcome], object], *caught: str) -> Any:
    return pytest.param(change, set(caught), id=name)


def put(number: int, one: IncidentEvent) -> Callable[[Outcome], object]:
    return lambda outcome: outcome.incidents.__setitem__(number, (At(0, number), one))


MISSING = ("incident events missing", "incident events, against the undisturbed run missing")
MANY = ("incident events too many", "incident events, against the undisturbed run too many")
DIFFER = ("incident events that differ", "incident events, against the undisturbed run that differ")
HOLES = "incidents whose events are out of order or not all there"
COURSE = "incidents that do not go from opened to resolved"
COUNTS = "incidents that count other anomalies than name them"


def test_a_sound_result_has_no_violation():
    assert judged(sound()) == set()


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        plant("lost", lambda o: o.incidents.pop(2), *MISSING),
        plant("an update lost", lambda o: o.incidents.pop(1), HOLES, *MISSING),
        plant("its opening lost", lambda o: o.incidents.pop(0), HOLES, COURSE, *MISSING),
        plant("invented", lambda o: o.incidents.append((At(0, 9), event(9, 1, "opened"))), *MANY),
        plant(
            "twice",
            lambda o: o.incidents.append((At(0, 9), o.incidents[2][1])),
            "events more than once", HOLES, COURSE,
        ),
        plant("another peak", put(2, event(8, 1, "opened", peak=1.25)), *DIFFER),
        plant(
            "counts too many",
            put(3, event(3, 3, "resolved", flagged=4)), COUNTS, *DIFFER,
        ),
        plant(
            "an id that is not its first reading's",
            put(2, event(8, 1, "opened").model_copy(update={"id": "another-1"})),
            "incidents whose id is not their first reading's", *MISSING, *MANY,
        ),
        plant(
            "an id that is not in the event",
            put(2, event(8, 1, "opened", id=anomaly_id("readings", 0, 7, 0))),
            "incidents whose id is not their first reading's", *DIFFER,
        ),
        plant(
            "out of order",
            lambda o: o.incidents.__setitem__(0, (At(0, 9), o.incidents[0][1])), HOLES, COURSE,
        ),
        plant(
            "resolved twice",
            lambda o: o.incidents.append((At(0, 9), event(3, 4, "resolved"))),
            COURSE, COUNTS, *MANY,
        ),
        plant(
            "in two partitions",
            lambda o: o.incidents.__setitem__(3, (At(1, 0), o.incidents[3][1])),
            "incidents in two partitions",
        ),
        plant(
            "an anomaly of another incident",
            lambda o: o.flagged.__setitem__(0, (At(0, 0), flag(3, 8))), COUNTS,
        ),
        plant(
            "an anomaly of none",
            lambda o: o.flagged[3][1].document.update(incident=None),
            "anomalies without an incident",
        ),
    ],
)  # fmt: skip
def test_a_planted_violation_is_caught(change, caught):
    outcome = sound()
    change(outcome)

    assert judged(outcome) == caught


def test_repeats_are_dropped_by_id_and_differing_ones_stay():
    outcome = sound()
    outcome.incidents.append((At(0, 9), outcome.incidents[0][1]))

    assert judged(without_repeats(outcome)) == set()

    outcome.incidents.append((At(0, 10), event(3, 1, "opened", peak=1.25)))

    assert "events more than once" in judged(without_repeats(outcome))


def test_events_are_read_with_their_key():
    class Record:
        topic, partition, offset = SETTINGS.topics.incidents, 1, 7
        value = event(3, 1, "opened").model_dump_json().encode()
        key = event(3, 1, "opened").subject.encode()

    (found,) = outcome_of(SETTINGS.topics, [Record()]).incidents
    assert found == (At(1, 7), event(3, 1, "opened"))
    Record.key = b"another"
    with pytest.raises(ValueError, match="is not the sensor"):
        outcome_of(SETTINGS.topics, [Record()])

"""What holds for incidents, whatever happened: pure functions that give the violations found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from schemas.wire.anomaly import anomaly_id
from schemas.wire.event import IncidentEvent
from tests.chaos.checkers import Violations, differing, found
from tests.chaos.outcome import At, Outcome

Events = Mapping[str, IncidentEvent]
"""By id."""


def unique_incidents(outcome: Outcome) -> Violations:
    """No event comes twice; ids are made of the first reading, the place and the number."""
    counts = Counter(event.id for _, event in outcome.incidents)
    foreign = []
    for _, event in outcome.incidents:
        source = event.data.source
        first = (source.topic, source.partition, source.first_offset, source.first_index)
        if event.id != f"{anomaly_id(*first)}-{int(event.sequence)}":
            foreign.append(f"{event.id} of {first}")
        elif str(event.data.id) != event.id.rpartition("-")[0]:
            foreign.append(f"{event.id} of {event.data.id}")
    return [
        *found("events more than once", sorted(id_ for id_, n in counts.items() if n > 1)),
        *found("incidents whose id is not their first reading's", foreign),
    ]


def ordered_incidents(outcome: Outcome) -> Violations:
    """An incident is opened, then updated, then resolved: numbered, in one partition, in order."""
    lives: dict[UUID, list[tuple[At, IncidentEvent]]] = defaultdict(list)
    for at, event in sorted(outcome.incidents, key=lambda one: one[0]):
        lives[event.data.id].append((at, event))
    holes, wrong, strays = [], [], []
    for incident, life in lives.items():
        numbers = [int(event.sequence) for _, event in life]
        if numbers != list(range(1, len(life) + 1)):
            holes.append(f"{incident}: {numbers}")
        kinds = [event.type.removeprefix("incident.") for _, event in life]
        middle = kinds[1:-1] if kinds[-1] == "resolved" else kinds[1:]
        if kinds[0] != "opened" or set(middle) - {"updated"}:
            wrong.append(f"{incident}: {kinds}")
        if len({at.partition for at, _ in life}) > 1:
            strays.append(str(incident))
    return [
        *found("incidents whose events are out of order or not all there", holes),
        *found("incidents that do not go from opened to resolved", wrong),
        *found("incidents in two partitions", strays),
    ]


def anomalies_belong(outcome: Outcome) -> Violations:
    """Each anomaly names an incident, and each incident is named by as many as it flagged."""
    named = Counter(flag.document["incident"] for _, flag in outcome.flagged)
    latest = {str(event.data.id): event.data for _, event in outcome.incidents}
    return [
        *found(
            "anomalies without an incident",
            (flag.id for _, flag in outcome.flagged if flag.document["incident"] is None),
        ),
        *found(
            "incidents that count other anomalies than name them",
            (
                f"{id_}: {named[id_]} instead of {one.flagged}"
                for id_, one in sorted(latest.items())
                if one.end_ns is not None and named[id_] != one.flagged
            ),
        ),
    ]


def equal_incidents(expected: Events, outcome: Outcome) -> Violations:
    """Every event is the definition's, in every field."""
    return differing("incident events", expected, by_id(outcome.incidents))


def same_incidents(undisturbed: Outcome, outcome: Outcome) -> Violations:
    """Two groups tell the same of one log."""
    calm, stormed = (
        {id_: event.model_copy(update={"source": ""}) for id_, event in by_id(events).items()}
        for events in (undisturbed.incidents, outcome.incidents)
    )
    return differing("incident events, against the undisturbed run", calm, stormed)


def by_id(events: Sequence[tuple[At, IncidentEvent]]) -> dict[str, IncidentEvent]:
    """The events of a topic."""
    return {event.id: event for _, event in events}

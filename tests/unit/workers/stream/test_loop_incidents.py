"""What a worker says of its incidents: those that it published, and how its budget stands."""

from __future__ import annotations

from collections import Counter

import numpy as np

from schemas.wire.event import IncidentEvent
from tests.support.fakes import FakeStream, make_stream
from tests.support.models import encoded, reading_records

ROWS = 240
FAULTS = ((100, 110), (170, 180), (230, 240))
SMALL = {"max_poll_records": 10}


def values() -> list[bytes]:
    """Readings of two sensors, one of which has faults, the last one to the end."""
    records = reading_records(["a", "b"], ROWS)
    for row, (sensor, _, channels) in enumerate(records):
        if sensor == "a" and any(begin <= row // 2 < end for begin, end in FAULTS):
            np.add(channels, 5.0, out=channels)
    return [record["value"] for record in encoded(records)]


def published(stream: FakeStream) -> Counter[str]:
    """Incidents opened, and resolved by reason, as the topic tells; a repeat counts once."""
    events = {
        event.id: event.data.end_reason or event.type
        for topic, value, _ in stream.sink.sent
        if topic == "vigie.incidents"
        for event in [IncidentEvent.model_validate_json(value)]
        if event.type != "incident.updated"
    }
    return Counter(events.values())


def test_the_counts_agree_with_the_topic_even_if_a_commit_is_done_again() -> None:
    stream = make_stream(values(), stream=SMALL)
    stream.sink.refusals = {12, 13, 20}
    stream.run_to_the_end()
    for _ in range(6):
        stream.turn()
    total = stream.loop.health.total
    assert (total.incidents_opened, dict(total.resolved)) == (3, {"recovered": 2})
    assert published(stream) == {"incident.opened": 3, "recovered": 2}


def test_the_budget_is_looked_at_every_few_seconds() -> None:
    stream = make_stream(values(), stream=SMALL)
    stream.turn()
    assert stream.loop.health.budget_use == {}
    stream.run_to_the_end()
    for _ in range(6):
        stream.turn()
    use = stream.loop.health.budget_use[0]
    assert (use.sensors, use.day, use.week, use.open, use.over) == (2, 3, 3, 1, 1)
    assert [at.sensor for at in use.farthest] == ["a"]
    assert use.desk_week == 2.0
    before = stream.loop.health.budget_use
    stream.turn()
    assert stream.loop.health.budget_use is before

"""What is recorded of each sensor: read back, and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.wire.sensor_state import SensorState
from tests.chaos.checkers import Violations, differing
from tests.support.incident_terms import unpacked

Recorded = Mapping[tuple[int, str], Mapping[str, Any]]
"""By partition and sensor: counts, what the alarm rule has learnt, the open incident; unpacked."""


def recorded_of(records: Iterable[Any], kept_from: Mapping[int, int] | None = None) -> Recorded:
    """The last word on each key, of the committed records of the topic in order.

    Args:
        records: of the topic.
        kept_from: by partition, what was last heard of before is left out. At least once, it may
            lie there until its partition is read on.
    """
    first = kept_from or {}
    last = {(record.partition, record.key.decode()): record.value for record in records}
    found = {
        place: unpacked(SensorState.model_validate_json(value))
        for place, value in last.items()
        if value is not None
    }
    return {
        place: one for place, one in found.items() if one["next_offset"] > first.get(place[0], 0)
    }


def recorded_alike(wanted: Recorded, undisturbed: Recorded, stormed: Recorded) -> Violations:
    """Sensor by sensor, what the storm left is the definition's and the calm run's."""
    return [
        *differing("recorded sensors", wanted, stormed),
        *differing("recorded sensors, against the undisturbed run", undisturbed, stormed),
    ]

"""Incidents of recorded readings: what happened to each, as its last state, and the rows of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.wire.incident import Incident
from workers.stream.incident_events import IncidentEvents
from workers.stream.state.incident import IncidentChange, Place

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class FoundIncident:
    """An incident of one sensor, or a drift.

    Attributes:
        told: as the stream publishes it, in its last state. Its end is null where the readings end
            first. The rows of the sensor are the offsets of its source.
        first, opened: rows of the first flagged reading, and of the one that opened it.
        until: row of the last reading in alarm, which need not be flagged.
        top: row that was farthest over its bar, of which the channels are told.
        strength: slopes of the tail that it lies over it.
    """

    told: Incident
    first: int
    opened: int
    until: int
    top: int
    strength: float


def found_incidents(
    changes: Iterable[IncidentChange],
    ts_ns: IntArray,
    strength: FloatArray,
    events: IncidentEvents,
    partition: int,
) -> Sequence[FoundIncident]:
    """The incidents of a sensor and its drifts, in order of time, from all that happened to them.

    Args:
        changes: in order; what is open still comes last, as it is.
        ts_ns: times of the sensor's rows, [n].
        strength: slopes of the tail over the bar; NaN of rows not flagged nor in alarm, [n].
        events: of the model that judged.
        partition: that the incidents are said to be of.
    """
    latest: dict[tuple[str, Place], IncidentChange] = {}
    for change in changes:
        latest[change.incident.kind, change.incident.first] = change
    found = []
    for change in latest.values():
        one = change.incident
        opened = int(np.searchsorted(ts_ns, one.opened_ns))
        inside = strength[opened : one.until.offset + 1]
        found.append(
            FoundIncident(
                told=events.incident(change, partition),
                first=one.first.offset,
                opened=opened,
                until=one.until.offset,
                top=opened + int(np.argmax(np.nan_to_num(inside, nan=-np.inf))),
                strength=one.strength,
            )
        )
    return found

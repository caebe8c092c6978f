"""Parts of a record that holds readings of several sensors: the same record, with fewer readings.

A part is the record as it was found, but for the array of its readings, which has those of one
sensor. So it is read again by the same `[input]`, and nothing that is not looked at here is lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from schemas.record_path import RecordPath


def split_json(value: bytes, place: RecordPath, sensors: Sequence[str]) -> Mapping[str, bytes]:
    """The part of each sensor, in the order of their first reading.

    Args:
        value: a record that was decoded before.
        place: of its array of readings.
        sensors: of each of them.
    """
    top = from_json(value, allow_inf_nan=True)
    own: dict[str, list[Any]] = defaultdict(list)
    for sensor, reading in zip(sensors, place.of(top), strict=True):
        own[sensor].append(reading)
    return {
        sensor: to_json(_with(top, place, readings), inf_nan_mode="constants")
        for sensor, readings in own.items()
    }


def _with(top: Any, place: RecordPath, found: list[Any], depth: int = 0) -> Any:
    """The object with something else at that place."""
    if depth == len(place.steps):
        return found
    step = place.steps[depth]
    inner = step.of(top)
    if inner is top:  # the name may be absent, and is
        return _with(top, place, found, depth + 1)
    changed = _with(inner, place, found, depth + 1)
    if type(top) is list:
        at = int(step.name)
        return [*top[:at], changed, *top[at + 1 :]]
    return {**top, step.name: changed}

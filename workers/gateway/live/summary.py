"""What stands beside numbers on the page: how the topics are followed, and a sensor of a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Following", "LiveSensor"]


@dataclass(frozen=True, kw_only=True)
class Following:
    """How the topics are followed.

    Attributes:
        said: in words, for people.
        is_following: whether what is here is up to date.
        skipped: records that were left out to keep up.
        unfollowed: readings of sensors beyond `gateway.live_sensors`.
    """

    said: str = "not following the readings"
    is_following: bool = False
    skipped: int = 0
    unfollowed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveSensor:
    """One sensor as a list shows it.

    Attributes:
        sensor_id: its name.
        labels: as the file of the settings or its last anomaly gave them.
        last_ns: event time of its last reading, scored or not; 0 is none.
        score: of its last scored reading; NaN is none.
        worst: highest score of the last two hours before the newest reading of all; NaN is none.
    """

    sensor_id: str
    labels: Mapping[str, str]
    last_ns: int
    score: float
    worst: float

"""What is recorded of each sensor, by the topic of the sensor states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.wire.sensor_state import SensorState
from workers.kafka.client import Table


@dataclass(frozen=True, kw_only=True)
class RecordedSensor:
    """One sensor in one partition; a sensor whose readings moved is in two.

    Attributes:
        sensor: its name.
        partition: of the readings.
        scored, flagged, dropped: readings since its first one.
        flagged_share: flagged of scored; 0 when none was scored.
        since: offset of its first record.
        next_offset: offset behind its last one.
    """

    sensor: str
    partition: int
    scored: int
    flagged: int
    flagged_share: float
    dropped: int
    since: int
    next_offset: int


def recorded_sensors(table: Table, partitions: Iterable[int]) -> tuple[list[RecordedSensor], int]:
    """What is recorded, most flagged first; and how many documents are of another version.

    Raises:
        BrokerUnavailableError: see `Table.latest`.
    """
    sensors, unknown = [], 0
    for partition in partitions:
        for key, value in table.latest(partition).items():
            try:
                sensors.append(_recorded(key.decode(), partition, value))
            except ValueError:
                unknown += 1
    sensors.sort(key=lambda at: (-at.flagged, -at.flagged_share, at.sensor, at.partition))
    return sensors, unknown


def _recorded(sensor: str, partition: int, value: bytes) -> RecordedSensor:
    state = SensorState.model_validate_json(value)
    return RecordedSensor(
        sensor=sensor,
        partition=partition,
        scored=state.scored,
        flagged=state.flagged,
        flagged_share=state.flagged / state.scored if state.scored else 0.0,
        dropped=state.dropped,
        since=state.since,
        next_offset=state.next_offset,
    )

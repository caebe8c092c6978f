"""What is asked: how many sensors, how often, and what is wanted of the stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.settings import Guarantee
from schemas.wire.limits import MAX_CHANNELS
from workers.sizing.measured import DetectorKind, Encoding

DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
_MOST_SENSORS: Final = 1_000_000_000
_MOST_FRAME: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Sensors, and what is wanted.

    Attributes:
        sensors: how many.
        channels: values of a reading.
        every_s: seconds between two readings of a sensor.
        encoding: how they come; frames hold `frame_readings`.
        detector: what scores them.
        guarantee: of the outputs.
        gpu: whether scorers on GPUs score, not the ingest workers.
        busy: share of the time that workers are at work at this load; the rest is head-room.
        recover_s: after a worker's crash its sensors have caught up again within so long.
        retention_s: how long topics keep what they hold.
        replication: copies of each partition.
        incidents_per_week: of a sensor: the alarm budget, and what is true.
        growth: partitions for so many times the workers needed now.

    Raises:
        ValueError: a number out of range; names it.
    """

    sensors: int
    channels: int = 8
    every_s: float = 1.0
    encoding: Encoding = Encoding.READING
    frame_readings: int = 100
    detector: DetectorKind = DetectorKind.FULL
    guarantee: Guarantee = Guarantee.EXACTLY_ONCE
    gpu: bool = False
    busy: float = 0.6
    recover_s: float = 120.0
    retention_s: float = WEEK_S
    replication: int = 3
    incidents_per_week: float = 1.0
    growth: float = 2.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value, least, most in (
            ("sensors", self.sensors, 1, _MOST_SENSORS),
            ("channels", self.channels, 1, MAX_CHANNELS),
            ("every", self.every_s, 1e-4, WEEK_S),
            ("frame-readings", self.frame_readings, 1, _MOST_FRAME),
            ("busy", self.busy, 0.05, 0.95),
            ("recover", self.recover_s, 1, DAY_S),
            ("retention", self.retention_s, 60, 3650 * DAY_S),
            ("replication", self.replication, 1, 7),
            ("incidents-per-week", self.incidents_per_week, 0, 1e6),
            ("growth", self.growth, 1, 100),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name} must be in {least:,g}..{most:,g}, got {value:,g}")

    @property
    def readings_per_s(self) -> float:
        """Of all sensors."""
        return self.sensors / self.every_s

    @property
    def readings_per_record(self) -> int:
        """In what a producer sends."""
        return self.frame_readings if self.encoding is Encoding.FRAME else 1

    @property
    def restored_readings(self) -> int:
        """Of a sensor that its window is made of again after a restart."""
        return self.detector.receptive_field - 1

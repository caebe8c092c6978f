"""A simulated plant with labelled faults."""

from workers.plant.faults import (
    Fault,
    FaultKind,
    FixedSchedule,
    RandomSchedule,
    Schedule,
)
from workers.plant.physics import CHANNEL_NAMES, CHANNELS, NOISE, Channel
from workers.plant.plant import FleetColumns, Plant, PlantChunk, PlantConfig

__all__ = [
    "CHANNELS",
    "CHANNEL_NAMES",
    "NOISE",
    "Channel",
    "Fault",
    "FaultKind",
    "FixedSchedule",
    "FleetColumns",
    "Plant",
    "PlantChunk",
    "PlantConfig",
    "RandomSchedule",
    "Schedule",
]

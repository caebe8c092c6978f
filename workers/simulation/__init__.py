"""A simulated plant with labelled faults."""

from workers.simulation.columns import FleetColumns, columns_of
from workers.simulation.faults import (
    Fault,
    FaultKind,
    FixedSchedule,
    RandomSchedule,
    Schedule,
)
from workers.simulation.physics import CHANNEL_NAMES, CHANNELS, NOISE, Channel
from workers.simulation.plant import Plant, PlantChunk, PlantConfig

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
    "columns_of",
]

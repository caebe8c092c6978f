"""A simulated plant with labelled faults."""

from workers.plant.faults import (
    Fault,
    FaultKind,
    RandomSchedule,
    Schedule,
)
from workers.plant.physics import CHANNEL_NAMES, CHANNELS, NOISE, Channel
from workers.plant.plant import FleetColumns, Plant, PlantChunk, PlantConfig
from workers.plant.process import BLOCK_ROWS

__all__ = [
    "BLOCK_ROWS",
    "CHANNELS",
    "CHANNEL_NAMES",
    "NOISE",
    "Channel",
    "Fault",
    "FaultKind",
    "FleetColumns",
    "Plant",
    "PlantChunk",
    "PlantConfig",
    "RandomSchedule",
    "Schedule",
]

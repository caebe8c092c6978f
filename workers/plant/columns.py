"""The rows of a fleet as one table, the shape in which files and topics take them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.plant.plant import Plant, PlantChunk


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetColumns:
    """Rows in order of time, machine by machine within each moment.

    Attributes:
        sensors: names of the machines.
        sensor_codes: machine of each row, int32 [n].
        ts_ns: event time, int64 [n].
        values: what the sensors say, NaN = missing, float64 [n, C].
        labels: code of the fault's kind, 0 for none, int8 [n].
    """

    sensors: tuple[str, ...]
    sensor_codes: npt.NDArray[np.int32]
    ts_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int8]


def columns_of(plant: Plant, chunks: Iterable[PlantChunk]) -> Iterator[FleetColumns]:
    """What the sensors of a plant say, chunk by chunk."""
    n_machines = len(plant.machines)
    for chunk in chunks:
        yield FleetColumns(
            sensors=plant.machines,
            sensor_codes=np.tile(np.arange(n_machines, dtype=np.int32), len(chunk)),
            ts_ns=np.repeat(chunk.ts_ns, n_machines),
            values=chunk.noisy.reshape(-1, len(plant.channels)),
            labels=chunk.label.reshape(-1),
        )

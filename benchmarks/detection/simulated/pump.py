"""One pump of the product's simulated plant; an hour without a fault teaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.detection.simulated.base import Simulation
from workers.plant.faults import SLOT_ROWS, FaultKind, FixedSchedule, draw_fault
from workers.plant.plant import Plant, PlantConfig

TRAIN_ROWS = 3_600


def pump(seed: int, kinds: Sequence[FaultKind], *, quiet_rows: int = 0) -> Simulation:
    """A pump with one fault of each of these kinds after training, in this order.

    Args:
        seed: of the pump and its faults.
        kinds: of the faults.
        quiet_rows: rows without a fault behind them.
    """
    rng = np.random.default_rng([seed, 11])
    faults = [
        draw_fault(rng, kind=kind, machine=0, first_row=TRAIN_ROWS + slot * SLOT_ROWS)
        for slot, kind in enumerate(kinds)
    ]
    config = PlantConfig(machines=1, seed=seed)
    n_rows = TRAIN_ROWS + len(kinds) * SLOT_ROWS + quiet_rows
    faulty = list(Plant(config, FixedSchedule(faults)).chunks(n_rows))
    sound = list(Plant(config).chunks(n_rows))
    return Simulation(
        rows=np.concatenate([chunk.noisy[:, 0] for chunk in faulty]),
        clean=np.concatenate([chunk.noisy[:, 0] for chunk in sound]),
        labels=np.concatenate([chunk.label[:, 0] for chunk in faulty]) > 0,
        ts_ns=np.concatenate([chunk.ts_ns for chunk in faulty]),
        interval_s=config.interval_s,
        n_train=TRAIN_ROWS,
    )

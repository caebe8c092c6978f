"""The demo's model: learned from a stretch of the plant without faults.

It is the full detector, as `vigie train` makes it. The plain one learns in a third of the time, but
it finds fewer of the faults, and is calibrated on so little of the history that nothing speaks for
a budget that a plant would ask for (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from detector.artifact import load, save
from detector.calibration.budget import DAY_S, AlarmBudget
from detector.scoring import Detector
from detector.signal.series import Series
from detector.training.dataset import Split
from detector.training.pyramid import PyramidTraining
from detector.training.train import Progress, TrainingConfig, train
from workers.demo.scenario import Scenario

BUDGET = AlarmBudget(false_alarms=1.0, per_s=DAY_S)
"""Of plant time: 20 false incidents a day on the desk of who minds 20 pumps, where EEMUA 191 holds
150 alarms a day for manageable. The history of twenty pumps, 160 pump-hours, can certify it."""
BUDGET_WORDS = str(BUDGET).replace("sensor", "pump")


def learn(
    scenario: Scenario, folder: Path, *, max_steps: int, progress: Callable[[Progress], None]
) -> Detector:
    """Train on the plant's first, faultless rows; gives what it stored in `folder`, on the CPU."""
    plant = scenario.plant()
    values = np.concatenate([chunk.noisy for chunk in plant.chunks(scenario.training_rows)])
    # Stamped as the show will be, so that sampling interval and gaps mean the same.
    ts_ns = np.arange(scenario.training_rows, dtype=np.int64) * scenario.interval_ns
    config = TrainingConfig(
        channels=plant.channels,
        units=plant.units,
        name="demo-pumps",
        seed=scenario.seed,
        max_steps=max_steps,
        # Load changes every quarter of an hour: the thresholds must have seen enough of them.
        split=Split(validation=0.1, calibration=0.4),
        budget=replace(BUDGET, per_s=BUDGET.per_s / scenario.lapse),
        accept_after_s=DAY_S / scenario.lapse,
        # A show on a busy machine may stutter; event times do not, but be generous.
        max_gap_s=60.0 / scenario.lapse,
        further_views=(PyramidTraining(),),
    )
    series = [
        Series(sensor=machine, ts_ns=ts_ns, values=np.ascontiguousarray(values[:, place]))
        for place, machine in enumerate(plant.machines)
    ]
    # The layers are small: on two busy cores two threads took eight times as long as one, because
    # they wait for each other at every layer.
    torch.set_num_threads(1)
    return load(save(train(series, config, progress=progress), folder), device="cpu")

"""The demo's model: learned from a stretch of the plant without faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from detector.artifact import load, save
from detector.calibration.budget import WEEK_S, AlarmBudget
from detector.scoring import Detector
from detector.signal.series import Series
from detector.training.dataset import Split
from detector.training.train import Progress, TrainingConfig, train
from workers.demo.scenario import Scenario

BUDGET_WORDS = "one false alarm per pump and week of plant time"


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
        budget=AlarmBudget(false_alarms=1.0, per_s=WEEK_S / scenario.lapse),
        # A show on a busy machine may stutter; event times do not, but be generous.
        max_gap_s=60.0 / scenario.lapse,
    )
    series = [
        Series(sensor=machine, ts_ns=ts_ns, values=np.ascontiguousarray(values[:, place]))
        for place, machine in enumerate(plant.machines)
    ]
    # The layers are small: on two busy cores two threads took eight times as long as one, because
    # they wait for each other at every layer.
    torch.set_num_threads(1)
    return load(save(train(series, config, progress=progress), folder), device="cpu")

"""Windows of known classes, and unlabelled readings for the autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.detection.sets.skab import MAX_GAP_S, TRAIN_ROWS, find_files, read_rows
from detector.scoring import Detector
from detector.signal.series import Series, true_runs
from detector.training.train import TrainingConfig, train
from workers.plant.faults import Fault, FaultKind, RandomSchedule
from workers.plant.physics import CHANNEL_NAMES
from workers.plant.plant import Plant, PlantConfig

FloatArray = npt.NDArray[np.float64]

R = 32
"""Rows of a window."""
NORMAL = "normal"
SKAB_CHANNELS = (
    "accelerometer 1", "accelerometer 2", "current", "pressure", "temperature", "thermocouple",
    "voltage", "flow",
)  # fmt: skip
MACHINES, TEST_MACHINES = 20, 10
UNLABELLED_ROWS = 7_200
LABELLED_ROWS = 6 * 3_600
FAULTS_PER_HOUR = 180
NORMAL_WINDOWS = 160


@dataclass(frozen=True, kw_only=True)
class Task:
    """A classification of windows.

    Attributes:
        name: of the set.
        windows: channel units, [n, R, C].
        labels: class of each, [n].
        sources: machine or file of each, [n].
        teaching: sources that examples come from; None = half of them, drawn anew each time.
        unlabelled: what the autoencoder learns from.
        channels: names.
        max_gap_s: that no window reaches over.
    """

    name: str
    windows: FloatArray
    labels: npt.NDArray[np.str_]
    sources: npt.NDArray[np.str_]
    teaching: tuple[str, ...] | None
    unlabelled: tuple[Series, ...]
    channels: tuple[str, ...]
    max_gap_s: float

    def split(self, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Windows to draw examples from; the others are the test: no source is in both, [n].

        Half the sources of each folder, drawn anew, unless the task says which.
        """
        if self.teaching is not None:
            return np.isin(self.sources, self.teaching)
        picked: list[str] = []
        folders = np.array([source.partition("-")[0] for source in self.sources])
        for folder in np.unique(folders):
            own = np.unique(self.sources[folders == folder])
            picked += generator.permutation(own)[: (len(own) + 1) // 2].tolist()
        return np.isin(self.sources, picked)

    def train(self, kind: str, *, latent_size: int, steps: int) -> Detector:
        """An autoencoder of the unlabelled readings."""
        config = TrainingConfig(
            channels=self.channels,
            kind=kind,
            receptive_field=R,
            model={"latent_size": latent_size},
            max_steps=steps,
            device="cpu",
            max_gap_s=self.max_gap_s,
        )
        return train(self.unlabelled, config)

    def unlabelled_windows(self, detector: Detector) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Windows of the unlabelled readings, one in 16 rows, and the group of each."""
        found, groups = [], []
        for one in self.unlabelled:
            for first in range(0, len(one.values) - R + 1, R // 2):
                found.append(one.values[first : first + R])
                groups.append(detector.group_of(one.sensor))
        return np.stack(found), np.array(groups)


def plant(seed: int) -> Task:
    """A window of each long fault of 20 pumps, and windows without one.

    The autoencoder has two earlier hours of the ten pumps that examples come from, with the
    faults (14 an hour) that are in them.
    """
    config = PlantConfig(machines=MACHINES, seed=seed)
    sparse = RandomSchedule(machines=MACHINES, seed=seed)
    dense = RandomSchedule(
        machines=MACHINES,
        seed=seed + 1,
        first_row=UNLABELLED_ROWS,
        faults_per_epoch=FAULTS_PER_HOUR,
    )
    before = list(Plant(config, sparse).chunks(UNLABELLED_ROWS))
    total = UNLABELLED_ROWS + LABELLED_ROWS
    chunks = list(Plant(config, dense).chunks(total))
    rows = np.concatenate([chunk.noisy for chunk in chunks])
    sound = np.concatenate([chunk.label for chunk in chunks]) == 0
    rng = np.random.default_rng([seed, 5])
    places = [
        (fault.kind.label, fault.machine, fault.start_row + int(rng.integers(0, room)))
        for fault in dense.between(UNLABELLED_ROWS, total)
        if (room := _room(fault, total)) > 0
    ]
    places += list(_normal(sound, rng))
    names = [f"pump-{machine}" for machine in range(MACHINES)]
    teaching = names[:-TEST_MACHINES]
    return Task(
        name="plant",
        windows=np.stack([rows[first : first + R, machine] for _, machine, first in places]),
        labels=np.array([kind for kind, _, _ in places]),
        sources=np.array([names[machine] for _, machine, _ in places]),
        teaching=tuple(teaching),
        unlabelled=tuple(
            Series(
                sensor=name,
                ts_ns=np.concatenate([chunk.ts_ns for chunk in before]),
                values=np.concatenate([chunk.noisy[:, machine] for chunk in before]),
            )
            for machine, name in enumerate(teaching)
        ),
        channels=CHANNEL_NAMES,
        max_gap_s=0.0,
    )


def _room(fault: Fault, total: int) -> int:
    """First rows that a window inside the fault may have; spikes are shorter than a window."""
    if fault.kind is FaultKind.SPIKE:
        return 0
    return min(fault.end_row, total) - fault.start_row - R + 1


def _normal(
    sound: npt.NDArray[np.bool_], rng: np.random.Generator
) -> Iterator[tuple[str, int, int]]:
    found = 0
    while found < NORMAL_WINDOWS:
        first = int(rng.integers(UNLABELLED_ROWS, len(sound) - R))
        machine = int(rng.integers(MACHINES))
        if sound[first : first + R, machine].all():
            found += 1
            yield NORMAL, machine, first


def skab(root: Path) -> Task:
    """Windows of SKAB: which valve was closed, another fault, or normal.

    Windows lie in the rows behind the first 400 of each file; these are the autoencoder's.
    """
    found: list[tuple[str, str, FloatArray]] = []
    unlabelled = []
    for path in find_files(root):
        one = read_rows(path)
        assert one.labels is not None  # the labelled files
        unlabelled.append(
            Series(sensor=one.sensor, ts_ns=one.ts_ns[:TRAIN_ROWS], values=one.values[:TRAIN_ROWS])
        )
        for mask, label in ((one.labels, path.parent.name), (~one.labels, NORMAL)):
            behind = mask & (np.arange(len(mask)) >= TRAIN_ROWS)
            found += [
                (label, one.sensor, one.values[first : first + R])
                for start, end in true_runs(behind).tolist()
                for first in range(start, end - R + 1, R // 2)
            ]
    return Task(
        name="SKAB",
        windows=np.stack([values for _, _, values in found]),
        labels=np.array([label for label, _, _ in found]),
        sources=np.array([sensor for _, sensor, _ in found]),
        teaching=None,
        unlabelled=tuple(unlabelled),
        channels=SKAB_CHANNELS,
        max_gap_s=MAX_GAP_S,
    )

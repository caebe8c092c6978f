"""What is compared: the latent spaces of trained detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.latent.pumps import IntArray, Run, Windows
from detector.latent import LatentSpace, decode, encode
from detector.scoring import Detector
from detector.signal.series import Series
from detector.training.train import TrainingConfig, train
from workers.plant.plant import Plant

FloatArray = npt.NDArray[np.float64]
Latents = npt.NDArray[np.float32]

KINDS = ("dense", "wae", "conv", "pca")
SIZE = 32


def trained(run: Run, kind: str, *, seed: int, steps: int) -> Detector:
    """A plain detector of one kind; every kind has the same data, window and bottleneck."""
    rows, machines = run.noisy.shape[:2]
    times = np.arange(rows, dtype=np.int64) * 10**9
    return train(
        [Series(sensor=str(one), ts_ns=times, values=run.noisy[:, one]) for one in range(machines)],
        TrainingConfig(
            channels=Plant.channels,
            units=Plant.units,
            kind=kind,
            receptive_field=SIZE,
            max_steps=steps,
            seed=seed,
            device="cpu",
        ),
    )


@dataclass(frozen=True)
class Subject:
    """A detector, for the windows of several pumps at once."""

    detector: Detector

    def encode(self, windows: FloatArray, machine: IntArray) -> Latents:
        """The latent vector of each window."""
        return encode(self.detector, windows, self._groups(machine))

    def decode(self, latents: Latents, machine: IntArray) -> FloatArray:
        """The window of each latent vector, in the units of its pump."""
        return decode(self.detector, latents, self._groups(machine))

    def near(
        self,
        windows: Windows,
        *,
        space: LatentSpace,
        radius: float,
        generator: np.random.Generator,
    ) -> FloatArray:
        """One new window near each."""
        latents = self.encode(windows.noisy, windows.machine)
        moved = [
            space.neighbours(one, radius=radius, count=1, generator=generator) for one in latents
        ]
        return self.decode(np.concatenate(moved), windows.machine)

    def paths(self, start: Windows, end: Windows, steps: int) -> FloatArray:
        """[n, steps, R, C]: from each start to the end beside it, of one pump."""
        first = self.encode(start.noisy, start.machine).astype(np.float64)
        last = self.encode(end.noisy, end.machine).astype(np.float64)
        share = np.linspace(0, 1, steps)[:, None, None]
        latents = (first + share * (last - first)).astype(np.float32)
        return np.stack([self.decode(one, start.machine) for one in latents], axis=1)

    def changed(self, a: Windows, b: Windows, c: Windows) -> FloatArray:
        """The change from B to A applied to C, one by one."""
        change = self.encode(a.noisy, a.machine) - self.encode(b.noisy, b.machine)
        return self.decode(self.encode(c.noisy, c.machine) + change, c.machine)

    def scaled(self, windows: FloatArray, machine: IntArray) -> FloatArray:
        """In usual spreads of each channel."""
        scaler, groups = self.detector.signal.scaler, self._groups(machine)
        units: FloatArray = (windows - scaler.center[groups][:, None]) / scaler.scale[groups][
            :, None
        ]
        return units

    def unscaled(self, units: FloatArray, machine: IntArray) -> FloatArray:
        """Back in the units of the channels."""
        scaler, groups = self.detector.signal.scaler, self._groups(machine)
        windows: FloatArray = units * scaler.scale[groups][:, None] + scaler.center[groups][:, None]
        return windows

    def _groups(self, machine: Sequence[int] | IntArray) -> IntArray:
        return np.array([self.detector.group_of(str(one)) for one in machine], np.int64)

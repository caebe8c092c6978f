"""Signals whose truth is known: the simulated plant, and real ones that are nearly clean."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import welch

from workers.plant.plant import Plant, PlantConfig

FloatArray = npt.NDArray[np.float64]

MACHINES = ("machine-1-6", "machine-1-7", "machine-2-1", "machine-2-2")
LEAST_CLEAN_DB = 30.0
LEAST_VALUES = 100
TRAINING = 0.6
_MOST_ROWS = 18_000
_LEAST_ROWS = 4_000
_SEGMENT = 64
_SKAB_CHANNELS = slice(1, 9)


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A record and the channels that noise is added to.

    Attributes:
        name: for the table.
        clean: the truth, [n, C].
        channels: that are measured; the others come as they are.
        cut: rows before it train and tune, the others are the test.
        measured: what the instruments of a noiseless plant say; None: nothing of the kind.
        noisy: what they say with the plant's own noise.
    """

    name: str
    clean: FloatArray
    channels: npt.NDArray[np.int64]
    cut: int
    measured: FloatArray | None = None
    noisy: FloatArray | None = None

    @property
    def deviation(self) -> FloatArray:
        """Of each channel, training part."""
        deviation: FloatArray = self.clean[: self.cut].std(axis=0)
        return deviation


def plant(*, interval_s: float, rows: int, seed: int) -> Signal:
    """One pump of the simulated plant, eight channels; two thirds of it train."""
    found: dict[str, FloatArray] = {}
    for noise in (0.0, 1.0):
        config = PlantConfig(machines=1, seed=seed, interval_s=interval_s, noise=noise)
        chunks = list(Plant(config).chunks(rows))
        found["clean"] = np.concatenate([one.clean[:, 0] for one in chunks])
        found[f"{noise}"] = np.concatenate([one.noisy[:, 0] for one in chunks])
    return Signal(
        name=f"plant, {interval_s:g} s",
        clean=found["clean"],
        channels=np.arange(found["clean"].shape[1]),
        cut=rows * 2 // 3,
        measured=found["0.0"],
        noisy=found["1.0"],
    )


def real(folder: Path) -> Iterator[Signal]:
    """The records in a data folder that have channels clean enough."""
    for machine in MACHINES:
        if (path := folder / "smd" / f"{machine}.npz").exists():
            yield from _chosen(f"SMD {machine.removeprefix('machine-')}", _array(path, "train"))
    if (path := folder / "skab" / "anomaly-free" / "anomaly-free.csv").exists():
        with path.open() as file:
            lines = list(csv.reader(file, delimiter=";"))[1:]
        values = [[float(value) for value in line[_SKAB_CHANNELS]] for line in lines]
        yield from _chosen("SKAB", np.array(values))
    for path in sorted((folder / "nasa").glob("*.npz")):
        yield from _chosen(f"NASA {path.stem}", _array(path, "test"), most=1)


def _array(path: Path, name: str) -> FloatArray:
    with np.load(path) as arrays:
        values: FloatArray = arrays[name].astype(np.float64)
    return values


def _chosen(name: str, values: FloatArray, *, most: int | None = None) -> Iterator[Signal]:
    """The record, if the rule leaves channels: decided on the training part alone."""
    values = values[:_MOST_ROWS]
    if len(values) < _LEAST_ROWS:
        return
    cut = round(TRAINING * len(values))
    channels = clean_channels(values[:cut, :most])
    if len(channels):
        yield Signal(name=name, clean=values, channels=channels, cut=cut)


def clean_channels(rows: FloatArray) -> npt.NDArray[np.int64]:
    """Channels with 100 different values and next to no power in the top quarter of the spectrum.

    Were it white noise, it would be 30 dB below the variance: the truth that a real record has.
    """
    _, power = welch(rows, fs=1.0, nperseg=_SEGMENT, axis=0, average="median", detrend="linear")
    white = power[-_SEGMENT // 8 :].mean(axis=0) / 2  # of both halves of the spectrum
    values = np.array([len(np.unique(column)) for column in rows.T])
    clean = white <= rows.var(axis=0) / 10 ** (LEAST_CLEAN_DB / 10)
    return np.flatnonzero(clean & (values >= LEAST_VALUES))

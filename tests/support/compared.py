"""Histories to compare methods on: a load that moves channels, along lines or along curves."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from workers.data.history import History, SensorRows

SECOND_NS = 10**9
START_NS = 1_700_000_000 * SECOND_NS
FloatArray = npt.NDArray[np.float64]


def drives(rows: int, *, seed: int, count: int = 2) -> FloatArray:
    """Independent random waves, slow against a row, of spread 1; [rows, count]."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        steps = np.convolve(rng.standard_normal(rows + 40), np.hanning(21), mode="same")[20:-20]
        found.append(steps / steps.std())
    return np.stack(found, axis=1)


def linear_rows(rows: int, *, seed: int = 0, noise: float = 0.3) -> FloatArray:
    """Two drives of unlike weight, mixed into four channels, and noise."""
    mixed = drives(rows, seed=seed) @ np.array([[3.0, 2.0, -2.0, 1.0], [0.5, -1.0, 0.5, 1.5]])
    white = np.random.default_rng([seed, 1]).standard_normal((rows, 4))
    return np.array(mixed + noise * white)


def curved_rows(rows: int, *, seed: int = 0, noise: float = 0.05) -> FloatArray:
    """One drive: itself, its square, a line of it, and a channel that has nothing to do with it."""
    own = drives(rows, seed=seed)
    load = own[:, 0]
    clean = np.stack([load, load**2, 5 - 2 * load, own[:, 1]], axis=1)
    return np.array(clean + noise * np.random.default_rng([seed, 1]).standard_normal(clean.shape))


def make_history(*values: FloatArray, labels: npt.NDArray[np.bool_] | None = None) -> History:
    """One sensor for each array of rows, a row a second."""
    sensors = tuple(
        SensorRows(
            sensor=f"pump-{number}",
            ts_ns=START_NS + np.arange(len(rows), dtype=np.int64) * SECOND_NS,
            values=rows,
            labels=labels,
        )
        for number, rows in enumerate(values)
    )
    return History(
        channels=("load", "heat", "flow", "level", "a", "b")[: values[0].shape[1]],
        sensors=sensors,
        read=sum(map(len, values)),
        left_out=Counter(),
        units={"load": "kW"},
        told_missing=Counter(),
        unordered=Counter(),
    )

"""The file of made windows: one row a reading, with where it comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from detector.scoring import Detector
from schemas.wire.timestamp import format_ns
from workers.data.writer import write_table
from workers.latent.making import Made
from workers.latent.mapping import Map

COLUMNS = (
    "window", "seconds", "sensor_id", "operation", "sources", "radius", "share", "seed", "model",
)  # fmt: skip


def write_windows(made: Made, detector: Detector, path: Path) -> None:
    """Write `COLUMNS` and the channels, window after window, oldest row first.

    window counts from 1; seconds is the time of the row, 0 that of the window's last one;
    sensor_id is the sensor whose level and spread the values have; radius, share and seed are
    there where they apply. A column that is called as a channel begins with `vigie_`.

    Args:
        made: the windows.
        detector: that made them.
        path: `.parquet` is Parquet, everything else CSV; an existing file is replaced.
    """
    n, size, _ = made.windows.shape
    values = made.windows.reshape(n * size, -1)
    sources = " | ".join(one.name for one in made.sources)
    numbers = None if made.numbers is None else np.repeat(made.numbers, size)
    seed = None if made.seed is None else pa.array(np.full(n * size, made.seed))
    told = {
        "window": pa.array(np.repeat(np.arange(1, n + 1), size)),
        "seconds": pa.array(np.tile(seconds(made, detector), n)),
        "sensor_id": pa.array([made.sensor] * (n * size)),
        "operation": pa.array([made.operation] * (n * size)),
        "sources": pa.array([sources] * (n * size)),
        "radius": _numbers(made, numbers, "radius"),
        "share": _numbers(made, numbers, "share"),
        "seed": seed,
        "model": pa.array([f"{detector.name}@{detector.version}"] * (n * size)),
    }
    named = {
        f"vigie_{name}" if name in detector.channels else name: told[name]
        for name in COLUMNS
        if told[name] is not None
    }
    channels = {name: pa.array(values[:, at]) for at, name in enumerate(detector.channels)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, pa.table({**named, **channels}))


def write_map(shown: Map, path: Path) -> None:
    """Write where each window lies: ts, sensor_id, x, y, score, and kind where there are labels."""
    columns = {
        "ts": pa.array([format_ns(int(ts)) for ts in shown.ts_ns]),
        "sensor_id": pa.array(shown.sensors),
        "x": pa.array(shown.points[:, 0]),
        "y": pa.array(shown.points[:, 1]),
        "score": pa.array(shown.score, from_pandas=True),
        **({} if shown.kinds is None else {"kind": pa.array(shown.kinds)}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, pa.table(columns))


def seconds(made: Made, detector: Detector) -> np.ndarray:
    """Time of each row of a window, seconds from its last one, [R]."""
    size = made.windows.shape[1]
    return np.arange(1 - size, 1) * (detector.interval_s or 1.0)


def _numbers(made: Made, numbers: np.ndarray | None, name: str) -> pa.Array | None:
    return pa.array(numbers) if numbers is not None and made.parameter == name else None

"""The same on a real rig: SKAB's valve1 experiments, a valve open or being closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.latent.figures import RADII, features
from benchmarks.latent.subjects import SIZE
from detector.latent import LatentSpace, decode, encode
from detector.scoring import POOLED, Detector
from detector.signal.series import Series
from detector.training.train import TrainingConfig, train
from workers.data.files import read_files
from workers.data.history import SensorRows
from workers.data.layout import make_layout

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STATES = ("open", "closing")
KINDS = ("dense", "wae", "pca")
_LAYOUT = {"time": "datetime", "sensor_from": "file", "label": "anomaly", "ignore": ["changepoint"]}


def measure_rig(folder: Path, *, quick: bool) -> list[dict[str, Any]]:
    """A row per kind: recognised of 1,000 at each radius, both states; experiments kept apart.

    Files 0..7 train the autoencoders (with the closing of the valve in them), 8..11 the classifier,
    12..15 give the windows to start from.
    """
    paths = [folder / "valve1" / f"{number}.csv" for number in range(16)]
    if lacking := [path for path in paths if not path.is_file()]:
        return [{"kind": f"skipped: there is no {lacking[0]}"}]
    history = read_files(paths, make_layout(_LAYOUT, source="benchmark"))
    of_file = {one.sensor: one for one in history.sensors}
    runs = [of_file[path.stem] for path in paths]
    learn, test = _windows(runs[8:12]), _windows(runs[12:])
    count = 100 if quick else 1_000
    rows, steps = list[dict[str, Any]](), dict[float, list[float]]()
    for kind in KINDS:
        detector = _trained(history.channels, runs[:8], kind, steps=200 if quick else 2_000)
        forest = _forest(detector, *learn)
        row, own = _near(detector, forest, *test, count=count)
        steps = steps or own
        rows.append({"kind": kind, **row})
        if kind == KINDS[0]:
            white = _noise(detector, forest, *test, steps=own, count=count)
    return [*rows, {"kind": "readings and white noise", **white}]


def _trained(
    channels: tuple[str, ...], runs: list[SensorRows], kind: str, *, steps: int
) -> Detector:
    return train(
        # One rig: every experiment is a stretch of the same sensor.
        [
            Series(sensor="rig", ts_ns=one.ts_ns + place * 10**15, values=one.values)
            for place, one in enumerate(runs)
        ],
        TrainingConfig(
            channels=channels, kind=kind, receptive_field=SIZE, max_steps=steps, device="cpu"
        ),
    )


def _windows(runs: list[SensorRows]) -> tuple[FloatArray, IntArray]:
    """Windows of one state throughout, every second row."""
    found, states = list[FloatArray](), list[IntArray]()
    for one in runs:
        assert one.labels is not None, "the layout names the label"
        ends = np.arange(SIZE - 1, len(one), 2)
        rows = ends[:, None] + np.arange(1 - SIZE, 1)
        share = one.labels[rows].mean(axis=1)
        clear = (share == 0) | (share == 1)
        found.append(one.values[rows[clear]])
        states.append(share[clear].astype(np.int64))
    return np.concatenate(found), np.concatenate(states)


def _features(detector: Detector, windows: FloatArray) -> FloatArray:
    scaler, group = detector.signal.scaler, detector.group_of("rig")
    return features((windows - scaler.center[group]) / scaler.scale[group])


def _forest(detector: Detector, windows: FloatArray, states: IntArray) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(200, random_state=0, class_weight="balanced")
    return forest.fit(_features(detector, windows), states)


def _near(
    detector: Detector, forest: Any, windows: FloatArray, states: IntArray, *, count: int
) -> tuple[dict[str, Any], dict[float, list[float]]]:
    group = detector.group_of("rig") or POOLED
    row, steps = dict[str, Any](), dict[float, list[float]]()
    scale = detector.signal.scaler.scale[group]
    for radius in (0.0, *RADII):
        told = []
        for state in range(len(STATES)):
            latents = encode(detector, windows[states == state], group)
            space, generator = LatentSpace.of(latents), np.random.default_rng([state, 1])
            picked = latents[generator.integers(0, len(latents), count)]
            moved = np.concatenate(
                [
                    space.neighbours(one, radius=radius, count=1, generator=generator)
                    for one in picked
                ]
            )
            made, base = decode(detector, moved, group), decode(detector, picked, group)
            said = forest.predict(_features(detector, made))
            told.append(round(1_000 * float((said == state).mean())))
            size = float(np.sqrt(np.square((made - base) / scale).mean()))
            steps.setdefault(radius, []).append(size)
        row[f"radius {radius:g}"] = " / ".join(map(str, told))
    return row, steps


def _noise(
    detector: Detector,
    forest: Any,
    windows: FloatArray,
    states: IntArray,
    *,
    steps: dict[float, list[float]],
    count: int,
) -> dict[str, Any]:
    row = dict[str, Any]()
    scale = detector.signal.scaler.scale[detector.group_of("rig")]
    for radius, sizes in steps.items():
        told = []
        for state, size in enumerate(sizes):
            own, generator = windows[states == state], np.random.default_rng([state, 1])
            made = own[generator.integers(0, len(own), count)]
            made = made + size * scale * generator.standard_normal(made.shape)
            said = forest.predict(_features(detector, made))
            told.append(round(1_000 * float((said == state).mean())))
        row[f"radius {radius:g}"] = " / ".join(map(str, told))
    return row

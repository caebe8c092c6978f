"""Fault classifiers on few examples, with and without windows that were made.

Two sets. The simulated plant: six kinds of fault and normal operation; examples come from ten
pumps, the test is ten others. SKAB (--data): valve 1, valve 2, another fault, normal; half the
files of each folder are the test, drawn anew for each seed, so no file is on both sides. Examples
are drawn evenly from pumps or files. The autoencoder (R = 32, 8 latents) learns once, without
labels: on the plant from two earlier hours of the ten pumps, on SKAB from the first 400 rows of
each file, of which no window is classified.

Each arm adds 60 windows to each class; made windows weigh as much in all as the examples do. The
classifiers are a random forest (50 trees) and a logistic regression (C = 1) on five numbers a
channel. Reported: balanced accuracy on the test, mean and 95 % confidence interval (Student) over
the seeds, and the same of the difference to "none" of the same seed, in points. Whatever there was
to choose was chosen on four other simulated fleets.

  python -m benchmarks.augmentation                      the plant
  python -m benchmarks.augmentation --data SKAB          and the folder of SKAB
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.sets.base import MissingDataError
from benchmarks.table import parser, write_json

PLANT_SEED = 20
MADE = 60
SIZES = (5, 10, 20)
LATENTS = 8


def main() -> None:
    """Run, print markdown, perhaps write JSON."""
    if missing := [name for name in ("sklearn", "imblearn") if find_spec(name) is None]:
        raise SystemExit(f"{' and '.join(missing)} missing: uv sync --group bench --extra latent")
    from benchmarks.augmentation.tasks import plant, skab

    arguments = _arguments()
    tasks: list[Callable[[], Any]] = [] if arguments.only_data else [partial(plant, PLANT_SEED)]
    if arguments.data is None:
        print("SKAB is left out: give its folder with --data", file=sys.stderr)
    else:
        tasks.append(partial(skab, arguments.data))
    rows: list[dict[str, Any]] = []
    for make in tasks:
        try:
            task = make()
        except MissingDataError as error:
            raise SystemExit(str(error)) from error
        found: list[dict[str, Any]] = []
        for seeds, found in enumerate(_rows_of(task, arguments), start=1):
            print(f"{task.name}: {seeds} of {arguments.seeds} seeds", file=sys.stderr)
            if arguments.json:  # an hour's work is not lost by a Ctrl-C
                write_json(
                    arguments.json, benchmark="augmentation", figures={"rows": [*rows, *found]}
                )
        rows += found
    _print(rows)


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, help="folder of SKAB, with valve1, valve2 and other")
    made.add_argument("--only-data", action="store_true", help="leave the plant out")
    made.add_argument("--seeds", type=int, default=20, help="draws of examples (default 20)")
    made.add_argument("--steps", type=int, default=1_000, help="of the autoencoder's training")
    arguments = made.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.steps = 2, 100
    return arguments


@dataclass(frozen=True, kw_only=True)
class _Way:
    """An arm, the kind of autoencoder behind it, and what the classifier sees."""

    arm: str
    kind: str = "dense"
    residual_features: bool = False

    @property
    def name(self) -> str:
        seen = ", residual features" if self.residual_features else ""
        kind = f" ({self.kind})" if self.arm.startswith("latent") else ""
        return f"{self.arm}{kind}{seen}"


WAYS = (
    _Way(arm="none"),
    _Way(arm="jitter and scaling"),
    _Way(arm="SMOTE"),
    _Way(arm="latent neighbours"),
    _Way(arm="latent interpolate"),
    _Way(arm="latent transfer"),
    _Way(arm="latent, all three"),
    _Way(arm="latent, all three", kind="wae"),
    _Way(arm="latent, all three, no residual"),
    _Way(arm="none", residual_features=True),
    _Way(arm="latent, all three", residual_features=True),
)


def _rows_of(task: Any, arguments: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """The figures after each seed."""
    from benchmarks.augmentation.arms import Knowledge
    from detector.latent import encode

    known = {}
    for kind in sorted({way.kind for way in WAYS}):
        detector = task.train(kind, latent_size=LATENTS, steps=arguments.steps)
        latents = encode(detector, *task.unlabelled_windows(detector))
        known[kind] = Knowledge(detector=detector, unlabelled=latents)
        print(f"{task.name}: {kind} is trained", file=sys.stderr)
    scores: dict[tuple[int, str, str], list[float]] = {}
    for seed in range(arguments.seeds):
        for size in SIZES:
            for way, classifier, score in _scores(task, known, seed, size):
                scores.setdefault((size, classifier, way.name), []).append(score)
        yield list(_summed_up(task.name, scores))


def _scores(
    task: Any, known: Mapping[str, Any], seed: int, size: int
) -> Iterator[tuple[_Way, str, float]]:
    """The score of each way and classifier on one draw of examples."""
    from benchmarks.augmentation.arms import ARMS, Examples
    from benchmarks.augmentation.classify import balanced_accuracies
    from benchmarks.augmentation.features import summary, with_residual

    generator = np.random.default_rng([seed, 3])
    teaching = task.split(generator)
    picked = _drawn(task, teaching, size, generator)

    def part(rows: Any, detector: Any) -> Examples:
        groups = np.array([detector.group_of(str(one)) for one in task.sources[rows]])
        return Examples(windows=task.windows[rows], labels=task.labels[rows], groups=groups)

    for number, way in enumerate(WAYS):
        detector = known[way.kind].detector
        given, test = part(picked, detector), part(~teaching, detector)
        make = ARMS[way.arm]
        sets = [given]
        if make is not None:
            sets.append(make(given, known[way.kind], MADE, np.random.default_rng([seed, number])))
        see: Callable[..., Any] = with_residual if way.residual_features else summary
        features = [see(one, detector) for one in (*sets, test)]
        for classifier, score in balanced_accuracies(
            features[:-1], [one.labels for one in sets], features[-1], test.labels, seed
        ):
            yield way, classifier, score


def _drawn(task: Any, teaching: Any, size: int, generator: np.random.Generator) -> Any:
    """So many windows of each class, as evenly from its sources as they have them."""
    picked: list[int] = []
    for label in np.unique(task.labels):
        own = np.flatnonzero(teaching & (task.labels == label))
        own = own[generator.permutation(len(own))]
        turns = np.zeros(len(own))
        for source in np.unique(task.sources[own]):
            mine = np.flatnonzero(task.sources[own] == source)
            turns[mine] = np.arange(len(mine)) + generator.random()
        if len(own) < size:
            raise SystemExit(f"{task.name}: {label} has {len(own)} windows, {size} are asked for")
        picked += own[np.argsort(turns, kind="stable")[:size]].tolist()
    return np.array(picked)


def _summed_up(
    name: str, scores: Mapping[tuple[int, str, str], list[float]]
) -> Iterator[dict[str, Any]]:
    for (size, classifier, way), values in scores.items():
        base = np.array(scores[size, classifier, "none"])
        mean, half = _interval(100 * np.array(values))
        gain, gain_half = _interval(100 * (np.array(values) - base))
        yield {
            "set": name, "examples": size, "classifier": classifier, "way": way, "accuracy": mean,
            "accuracy_half": half, "gain": gain, "gain_half": gain_half, "seeds": len(values),
        }  # fmt: skip


def _interval(values: Any) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval."""
    from scipy.stats import t

    if len(values) < 2:
        return float(values.mean()), float("nan")
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * error)


def _print(rows: list[dict[str, Any]]) -> None:
    print(f"| set | classifier | windows added | {' | '.join(f'{n} a class' for n in SIZES)} |")
    print("| --- | --- | --- |" + " ---: |" * len(SIZES))
    for name, classifier, way in dict.fromkeys(
        (row["set"], row["classifier"], row["way"]) for row in rows
    ):
        own = [r for r in rows if (r["set"], r["classifier"], r["way"]) == (name, classifier, way)]
        cells = [_cell(row) for row in own]
        print(f"| {name} | {classifier} | {way} | {' | '.join(cells)} |")


def _cell(row: Mapping[str, Any]) -> str:
    shown = f"{row['accuracy']:.1f} ± {row['accuracy_half']:.1f}"
    if row["way"] == "none":
        return shown
    return f"{shown} ({row['gain']:+.1f} ± {row['gain_half']:.1f})"


if __name__ == "__main__":
    main()

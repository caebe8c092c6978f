"""What the latent space is good for, measured on pumps whose truth is known.

    python -m benchmarks.latent [--quick] [--seeds 3] [--json PATH] [--data FOLDER]

Plant: four simulated pumps, one reading a second, eight channels, no faults. Rows 0..12,000 train
the autoencoders; 12,000..24,000 an independent classifier (random forest on mean, rise and spread
of each channel) of five states of a pump by its true speed: low, medium, high (settled), rising,
falling; 24,000..40,000 are only measured on. Every kind has the same data, windows of 32 rows, a
bottleneck of 32 numbers and 2,000 steps. Distances are in usual spreads of each channel, the same
for all. The equations: pressure, current, power and vibration computed from flow and speed by the
plant's own physics; their residual is in deviations of the sensors' noise, the mean over a window.

1. near: 1,000 windows per state at each radius (standard deviations of that state's latents), how
   many the classifier takes for that state; white noise of the same size as the baseline.
2. average: ten windows of one pump and state, decoded mean latent; distance to the nearest true
   window over that among true windows; the mean of the readings as the baseline.
3. path: from a low to a high window in 21 steps; the straight line between the readings as the
   baseline.
4. arithmetic: high - low of one pump, applied to another at low; distance to what the plant says
   that pump would truly do (temperatures, which remember, left out).
5. samples: draws of the normal distribution that fits the latents (or the readings), decoded.
6. each kind: reconstruction of held-out time, and detection of the plant's faults.

`--data` names a folder with SKAB's valve1/*.csv: 1. on a real rig, its states being the valve open
and the valve being closed.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.latent.figures import (
    RADII,
    STEPS,
    Bench,
    along,
    averages,
    detection,
    distances,
    features,
    generation,
    mixed,
    noise,
    pairs,
    reconstruction,
    samples,
    triples,
)
from benchmarks.latent.pumps import STATES, Equations, Run, Windows, simulate
from benchmarks.latent.rig import measure_rig
from benchmarks.latent.subjects import KINDS, SIZE, Subject, trained
from benchmarks.table import parser, show, write_json

MACHINES = 4
CUTS = (0, 12_000, 24_000, 40_000)
Figures = dict[str, Any]


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=3, help="plants, and trainings of each kind")
    options.add_argument("--data", type=Path, help="folder with SKAB's valve1/*.csv")
    args = options.parse_args()
    torch.set_num_threads(1)
    try:
        import sklearn  # noqa: F401 (told before an hour of training)
    except ImportError:
        sys.stderr.write("needs scikit-learn: uv sync --group bench\n")
        return 1
    seeds = range(1 if args.quick else args.seeds)
    runs = [measure(seed, quick=args.quick) for seed in seeds]
    for title, rows in tables(runs).items():
        show(title, rows)
    rig: list[Figures] = []
    if args.data is not None:
        rig = measure_rig(args.data, quick=args.quick)
        show("1b. SKAB, valve open or being closed: recognised of 1,000", rig)
    else:
        sys.stderr.write("no --data: SKAB is left out\n")
    if args.json is not None:
        write_json(args.json, benchmark="latent", figures={"seeds": runs, "rig": rig})
    return 0


def measure(seed: int, *, quick: bool) -> dict[str, Figures]:
    """All figures of one plant, by subject."""
    run = simulate(machines=MACHINES, rows=CUTS[-1], seed=seed)
    faulty = simulate(machines=MACHINES, rows=CUTS[-1], seed=seed, faults_per_epoch=16)
    training, learning, testing = (run.part(*cut) for cut in itertools.pairwise(CUTS))
    count = 100 if quick else 1_000
    found: dict[str, Figures] = {}
    bench: Bench | None = None
    for kind in KINDS:
        began_s = time.monotonic()
        detector = trained(training, kind, seed=seed, steps=200 if quick else 2_000)
        subject = Subject(detector)
        took_s = time.monotonic() - began_s
        bench = bench or _bench(subject, learning, testing, seed=seed, count=count)
        found[kind] = _of_subject(subject, bench, faulty.part(*CUTS[-2:]), took_s)
        sys.stderr.write(f"seed {seed}, {kind}: {time.monotonic() - began_s:.0f} s\n")
    assert bench is not None, "there is a kind"
    found["readings"] = _of_readings(bench, found["dense"]["near"])
    return found


def _bench(subject: Subject, learning: Run, testing: Run, *, seed: int, count: int) -> Bench:
    from sklearn.ensemble import RandomForestClassifier

    generator = np.random.default_rng([seed, 0])
    known = _clear(learning.windows(SIZE, every=4))
    per_state = [
        generator.choice(np.flatnonzero(known.state == state), 600) for state in range(len(STATES))
    ]
    known = known.take(np.concatenate(per_state))
    forest = RandomForestClassifier(200, random_state=seed)
    forest.fit(features(subject.scaled(known.noisy, known.machine)), known.state)
    return Bench(
        test=_clear(testing.windows(SIZE, every=4)),
        equations=Equations(machines=MACHINES, seed=seed),
        classifier=forest,
        yardstick=subject,
        count=count,
        seed=seed,
    )


def _clear(windows: Windows) -> Windows:
    return windows.take(np.flatnonzero(windows.state >= 0))


def _of_subject(subject: Subject, bench: Bench, faulty: Run, took_s: float) -> Figures:
    low, high = pairs(bench, bench.count // 5)
    a, b, c = triples(bench, bench.count // 2)
    truth = bench.equations.moved(a, b, c)
    return {
        "near": generation(subject, bench),
        "average": averages(subject, bench, bench.count // 5),
        "path": along(bench, subject.paths(low, high, STEPS), low),
        "arithmetic": _arithmetic(bench, subject.changed(a, b, c), truth, (a, b, c)),
        "samples": samples(subject, bench, bench.count),
        "reconstruction": reconstruction(subject, bench),
        "detection": detection(subject, faulty),
        "training_s": took_s,
    }


def _of_readings(bench: Bench, near: Figures) -> Figures:
    """The baselines: the same with the readings themselves."""
    low, high = pairs(bench, bench.count // 5)
    a, b, c = triples(bench, bench.count // 2)
    truth = bench.equations.moved(a, b, c)
    plain = a.noisy - b.noisy + c.noisy
    return {
        "near": noise(bench, {radius: one["step"] for radius, one in near.items()}),
        "average": averages(None, bench, bench.count // 5),
        "samples": samples(None, bench, bench.count),
        "path": along(bench, mixed(low, high), low),
        "arithmetic": {
            **_arithmetic(bench, plain, truth, (a, b, c)),
            "operands without noise": float(
                np.median(distances(bench, a.clean - b.clean + c.clean, truth, c))
            ),
            **{
                name: float(np.median(distances(bench, one.noisy, truth, c)))
                for name, one in (("A", a), ("B", b), ("C", c))
            },
        },
    }


def _arithmetic(
    bench: Bench,
    made: np.ndarray,
    truth: np.ndarray,
    operands: tuple[Windows, Windows, Windows],
) -> Figures:
    own = distances(bench, made, truth, operands[2])
    others = [distances(bench, one.noisy, truth, operands[2]) for one in operands]
    return {
        "distance": float(np.median(own)),
        "nearer than every operand": float((own < np.min(others, axis=0)).mean()),
    }


def tables(runs: list[dict[str, Figures]]) -> dict[str, list[Figures]]:
    """The tables, medians over the seeds."""
    names = {**{kind: kind for kind in KINDS}, "readings": "readings themselves"}

    def middle(name: str, *keys: str) -> float:
        values = []
        for run in runs:
            one: Any = run[name]
            for key in keys:
                one = one[key]
            values.append(float(np.mean(one)))
        return statistics.median(values)

    def worst(name: str, radius: str) -> float:
        return float(
            statistics.median(min(run[name]["near"][radius]["recognised"]) for run in runs)
        )

    by_state = [
        {
            "subject, radius 0.5": names[name],
            **{
                state: round(
                    1000
                    * statistics.median(
                        run[name]["near"]["0.5"]["recognised"][place] for run in runs
                    )
                )
                for place, state in enumerate(STATES)
            },
        }
        for name in names
    ]
    return {
        "1. near: recognised of 1,000, mean of the states (worst state); residual": [
            {
                "subject": names[name],
                **{
                    f"radius {radius}": f"{1000 * middle(name, 'near', radius, 'recognised'):.0f} "
                    f"({1000 * worst(name, radius):.0f}); "
                    f"{middle(name, 'near', radius, 'residual'):.2f}"
                    for radius in map(str, (0.0, *RADII))
                },
            }
            for name in names
        ],
        "1a. near, by state": by_state,
        "2. average of ten": [
            {
                "subject": names[name],
                "recognised": middle(name, "average", "recognised"),
                "distance to the type": middle(name, "average", "distance"),
                "residual": middle(name, "average", "residual"),
            }
            for name in names
        ],
        "3. path from low to high load": [
            {
                "subject": names[name],
                **{key: middle(name, "path", key) for key in runs[0][name]["path"]},
            }
            for name in names
        ],
        "4. arithmetic: distance to the true counterpart": [
            {
                "subject": names[name],
                **{
                    key: middle(name, "arithmetic", key)
                    for key in runs[0][name]["arithmetic"]
                },
            }
            for name in names
        ],
        "5. draws of the normal distribution that fits the latents": [
            {
                "subject": names[name],
                **{key: middle(name, "samples", key) for key in runs[0][name]["samples"]},
            }
            for name in names
        ],
        "6. each kind": [
            {
                "kind": name,
                **{
                    key: middle(name, "reconstruction", key)
                    for key in runs[0][name]["reconstruction"]
                },
                "average precision": middle(name, "detection"),
                "near, recognised at 0.5": middle(name, "near", "0.5", "recognised"),
                "path, residual between": middle(name, "path", "residual between"),
                "arithmetic, distance": middle(name, "arithmetic", "distance"),
                "training s": middle(name, "training_s"),
            }
            for name in KINDS
        ],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

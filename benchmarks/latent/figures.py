"""The figures of one subject: near, average, between, changed, and how well it reconstructs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.latent.pumps import DIRECT, STATES, Equations, Run, Windows
from benchmarks.latent.subjects import SIZE, Subject
from detector.evaluation.ranking import average_precision
from detector.latent import LatentSpace

FloatArray = npt.NDArray[np.float64]

RADII = (0.25, 0.5, 1.0, 2.0)
STEPS = 21
MEMBERS = 10
"""Windows in an average."""


def features(scaled: FloatArray) -> FloatArray:
    """Mean, rise and spread of each channel: what the independent classifier looks at."""
    half = scaled.shape[1] // 2
    rise = scaled[:, half:].mean(axis=1) - scaled[:, :half].mean(axis=1)
    return np.concatenate([scaled.mean(axis=1), rise, scaled.std(axis=1)], axis=1)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all subjects of one seed are measured with.

    Attributes:
        test: windows of held-out time, of clear states.
        equations: of their pumps.
        classifier: a random forest that learned the states from real windows of other times.
        yardstick: a subject whose units of channels all distances are in.
        count: windows made per state and radius.
        seed: of what is drawn.
    """

    test: Windows
    equations: Equations
    classifier: Any
    yardstick: Subject
    count: int
    seed: int

    def picked(self, state: int, count: int) -> Windows:
        """Test windows of a state, drawn with the same generator for each subject."""
        own = np.flatnonzero(self.test.state == state)
        generator = np.random.default_rng([self.seed, 1, state])
        return self.test.take(own[generator.integers(0, len(own), count)])

    def recognised(self, windows: FloatArray, of: Windows) -> float:
        """Share of windows that the classifier takes for what they come from."""
        scaled = self.yardstick.scaled(windows, of.machine)
        said = self.classifier.predict(features(scaled))
        return float((said == of.state).mean())


def generation(subject: Subject, bench: Bench) -> dict[str, Any]:
    """Per radius: share recognised by state, residual of the equations, size of the step."""
    found: dict[str, Any] = {}
    for radius in (0.0, *RADII):
        shares, residuals, steps = [], [], []
        for state in range(len(STATES)):
            of = bench.picked(state, bench.count)
            own = bench.test.take(np.flatnonzero(bench.test.state == state))
            space = LatentSpace.of(subject.encode(own.noisy, own.machine))
            generator = np.random.default_rng([bench.seed, 2, state])
            made = subject.near(of, space=space, radius=radius, generator=generator)
            base = subject.near(of, space=space, radius=0.0, generator=generator)
            shares.append(bench.recognised(made, of))
            residuals.append(float(np.median(bench.equations.residual(made, of.machine))))
            moved = bench.yardstick.scaled(made, of.machine) - bench.yardstick.scaled(
                base, of.machine
            )
            steps.append(float(np.sqrt(np.square(moved).mean())))
        found[str(radius)] = {"recognised": shares, "residual": residuals, "step": steps}
    return found


def noise(bench: Bench, steps: dict[str, list[float]]) -> dict[str, Any]:
    """As `generation`: white noise of the same size, added to the readings."""
    found: dict[str, Any] = {}
    for radius, sizes in steps.items():
        shares, residuals = [], []
        for state, size in enumerate(sizes):
            of = bench.picked(state, bench.count)
            generator = np.random.default_rng([bench.seed, 3, state])
            scaled = bench.yardstick.scaled(of.noisy, of.machine)
            made = bench.yardstick.unscaled(
                scaled + size * generator.standard_normal(scaled.shape), of.machine
            )
            shares.append(bench.recognised(made, of))
            residuals.append(float(np.median(bench.equations.residual(made, of.machine))))
        found[radius] = {"recognised": shares, "residual": residuals, "step": sizes}
    return found


def averages(subject: Subject | None, bench: Bench, count: int) -> dict[str, list[float]]:
    """Means of `MEMBERS` windows of one state and pump: share recognised, and distance to the type.

    The distance is to the nearest true window of the type (without noise), over the median of the
    same among those true windows: 1 is as near as they are to one another. None averages the
    readings.
    """
    shares, ratios, residuals = [], [], []
    for state in range(len(STATES)):
        own = bench.test.take(np.flatnonzero(bench.test.state == state))
        generator = np.random.default_rng([bench.seed, 4, state])
        counts = np.bincount(own.machine)
        machines = generator.choice(np.flatnonzero(counts >= MEMBERS), count)
        members = np.stack(
            [
                generator.choice(np.flatnonzero(own.machine == one), MEMBERS, replace=False)
                for one in machines
            ]
        )
        if subject is None:
            made = own.noisy[members].mean(axis=1)
        else:
            latents = subject.encode(own.noisy, own.machine)[members].mean(axis=1)
            made = subject.decode(latents, machines)
        of = own.take(members[:, 0])
        shares.append(bench.recognised(made, of))
        residuals.append(float(np.median(bench.equations.residual(made, machines))))
        ratios.append(_nearness(bench, made, of, own))
    return {"recognised": shares, "distance": ratios, "residual": residuals}


def _nearness(bench: Bench, made: FloatArray, of: Windows, own: Windows) -> float:
    def flat(windows: FloatArray, machine: npt.NDArray[np.int64]) -> FloatArray:
        return bench.yardstick.scaled(windows, machine).reshape(len(windows), -1)

    found, usual = [], []
    for machine in np.unique(of.machine):
        real = own.clean[own.machine == machine][:400]
        real = flat(real, np.full(len(real), machine))
        mine = made[of.machine == machine]
        mine = flat(mine, np.full(len(mine), machine))
        found.append(_distances(mine, real).min(axis=1))
        among = _distances(real, real)
        np.fill_diagonal(among, np.inf)
        usual.append(among.min(axis=1))
    return float(np.median(np.concatenate(found)) / np.median(np.concatenate(usual)))


def _distances(one: FloatArray, other: FloatArray) -> FloatArray:
    squares = np.square(one).sum(1)[:, None] + np.square(other).sum(1) - 2 * one @ other.T
    found: FloatArray = np.sqrt(np.maximum(squares, 0) / one.shape[1])
    return found


def pairs(bench: Bench, count: int) -> tuple[Windows, Windows]:
    """A low and a high window of one pump each."""
    generator = np.random.default_rng([bench.seed, 5])
    test, low, high = bench.test, list[int](), list[int]()
    at_low, at_high = test.state == STATES.index("low"), test.state == STATES.index("high")
    machines = [
        one for one in np.unique(test.machine)
        if (at_low & (test.machine == one)).any() and (at_high & (test.machine == one)).any()
    ]  # fmt: skip
    for _ in range(count):
        one = test.machine == generator.choice(machines)
        low.append(int(generator.choice(np.flatnonzero(at_low & one))))
        high.append(int(generator.choice(np.flatnonzero(at_high & one))))
    return test.take(np.array(low)), test.take(np.array(high))


def mixed(start: Windows, end: Windows) -> FloatArray:
    """Straight lines between the readings, [n, STEPS, R, C]."""
    share = np.linspace(0, 1, STEPS)[:, None, None]
    path: FloatArray = start.noisy[:, None] + share * (end.noisy - start.noisy)[:, None]
    return path


def along(bench: Bench, path: FloatArray, start: Windows) -> dict[str, float]:
    """Largest over mean step of paths, and the equations' residual at their ends and between."""
    machine = start.machine
    scaled = np.stack(
        [bench.yardstick.scaled(path[:, step], machine) for step in range(STEPS)], axis=1
    )
    steps = np.sqrt(np.square(np.diff(scaled, axis=1)).mean(axis=(2, 3)))
    residual = np.stack(
        [bench.equations.residual(path[:, step], machine) for step in range(STEPS)], axis=1
    )
    return {
        "largest / mean step": float(np.median(steps.max(axis=1) / steps.mean(axis=1))),
        "residual at the ends": float(np.median(residual[:, [0, -1]])),
        "residual between": float(np.median(residual[:, STEPS // 4 : -(STEPS // 4)])),
        "worst between": float(np.median(residual.max(axis=1))),
    }


def triples(bench: Bench, count: int) -> tuple[Windows, Windows, Windows]:
    """A and B: one pump at high and at low load; C: another pump at low load."""
    low, high = pairs(bench, count)
    generator = np.random.default_rng([bench.seed, 6])
    at_low, test = bench.test.state == STATES.index("low"), bench.test
    others = [
        int(generator.choice(np.flatnonzero(at_low & (test.machine != one)))) for one in low.machine
    ]
    return high, low, test.take(np.array(others))


def distances(bench: Bench, made: FloatArray, truth: FloatArray, c: Windows) -> FloatArray:
    """Of windows to the truth, over the channels without a memory, in usual spreads, [n]."""
    whole = c.clean.copy()
    whole[:, :, DIRECT] = truth
    off = bench.yardstick.scaled(made, c.machine) - bench.yardstick.scaled(whole, c.machine)
    found: FloatArray = np.sqrt(np.square(off[:, :, DIRECT]).mean(axis=(1, 2)))
    return found


def samples(subject: Subject | None, bench: Bench, count: int) -> dict[str, float]:
    """Windows out of nothing: draws of the normal distribution that fits the latents, decoded.

    None fits one to the readings. Distance: as for averages, to the nearest true window of any
    state.
    """
    test, generator = bench.test, np.random.default_rng([bench.seed, 7])
    machine = generator.integers(0, test.machine.max() + 1, count)
    if subject is None:
        flat = bench.yardstick.scaled(test.noisy, test.machine).reshape(len(test), -1)
        known = flat.astype(np.float32)
    else:
        known = subject.encode(test.noisy, test.machine)
    space = LatentSpace.of(known)
    drawn = generator.standard_normal((count, len(space.deviations))) * space.deviations
    latents = (space.mean + drawn @ space.axes).astype(np.float32)
    if subject is None:
        made = bench.yardstick.unscaled(
            latents.reshape(count, *test.noisy.shape[1:]).astype(np.float64), machine
        )
    else:
        made = subject.decode(latents, machine)
    every = test.take(np.arange(0, len(test), 8))
    of = Windows(
        noisy=made,
        clean=made,
        machine=machine,
        state=np.full(count, -1),
        label=np.zeros(count, int),
    )
    residual = bench.equations.residual(made, machine)
    return {
        "residual": float(np.median(residual)),
        "residual, worst tenth": float(np.quantile(residual, 0.9)),
        "distance to true windows": _nearness(bench, made, of, every),
    }


def reconstruction(subject: Subject, bench: Bench) -> dict[str, float]:
    """Of held-out windows: what is left to the reading and to the truth, in usual spreads."""
    test = bench.test
    made = subject.decode(subject.encode(test.noisy, test.machine), test.machine)
    scaled = bench.yardstick.scaled(made, test.machine)

    def error(other: FloatArray) -> float:
        off = scaled - bench.yardstick.scaled(other, test.machine)
        return float(np.sqrt(np.square(off).mean()))

    return {
        "to the reading": error(test.noisy),
        "to the truth": error(test.clean),
        "residual of the equations": float(np.median(bench.equations.residual(made, test.machine))),
    }


def detection(subject: Subject, run: Run) -> float:
    """Average precision of the score on a stretch with faults; rows of all pumps pooled."""
    labels, scores = [], []
    ends = np.arange(SIZE - 1, len(run.noisy))
    for machine in range(run.noisy.shape[1]):
        group = subject.detector.group_of(str(machine))
        rows = np.ascontiguousarray(run.noisy[:, machine])
        found = subject.detector.score(rows, ends, np.full(len(ends), group, np.int32))
        labels.append(run.label[ends, machine] > 0)
        scores.append(found.score)
    return average_precision(np.concatenate(labels), np.concatenate(scores))

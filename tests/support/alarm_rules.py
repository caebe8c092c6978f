"""An alarm rule with round numbers, and levels for it."""

import numpy as np

from detector.calibration.alarm_numbers import AlarmNumbers
from detector.calibration.alarm_rule import AlarmDials, AlarmRule

ONE = np.array([1])
RATE = 1 / 2_000


def make_rule(rate=RATE, memory=700.0, **dials):
    """Centre 0, spread 1, tail slope 1/2; bars at about 4."""
    pairs = {"centre": 0.0, "spread": 1.0, "quantile": 1.5, "slope": 0.5, "clusters": 0.2}
    numbers = AlarmNumbers(
        **{name: np.full((2, 2), value) for name, value in pairs.items()},
        memory=np.full(2, memory),
    )
    return AlarmRule(numbers=numbers, rate=rate, dials=AlarmDials(**dials))


def noise(rows, seed=0, scale=0.5):
    return scale * np.random.default_rng(seed).standard_normal((rows, 2))


def run(rule, levels, rulings=None):
    return rule.advance(levels, np.array([len(levels)]), ONE, rule.start(ONE), rulings)


def ruled(rows, at, length, ruling):
    """Rulings of rows, of which some have one."""
    rulings = np.zeros(rows, np.int8)
    rulings[at : at + length] = ruling
    return rulings


def with_step(rows, at, length, height, seed=0):
    levels = noise(rows, seed)
    levels[at : at + length] += height
    return levels


def random_levels(rng, rows):
    """Everything that can happen, and more often than it does."""
    levels = rng.standard_normal((rows, 3))
    for _ in range(rows // 60):
        at, length = rng.integers(0, rows), int(rng.exponential(40)) + 1
        levels[at : at + length, : rng.integers(1, 3)] += rng.normal(4.0, 4.0)
    for _ in range(rows // 400):
        at = rng.integers(0, rows)
        levels[at : at + 20, :2] = np.nan
        levels[at + 20 : at + 60, 0] = np.nan
    return levels


def random_rulings(rng, rows):
    """Stretches of any mixture, some of a single row."""
    rulings = np.zeros(rows, np.int8)
    for _ in range(rows // 80):
        at, length = rng.integers(0, rows), int(rng.exponential(25)) + 1
        rulings[at : at + length] = rng.choice([1, 2, 4, 8, rng.integers(0, 16)])
    return rulings

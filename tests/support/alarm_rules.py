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


def run(rule, levels):
    return rule.advance(levels, np.array([len(levels)]), ONE, rule.start(ONE))


def with_step(rows, at, length, height, seed=0):
    levels = noise(rows, seed)
    levels[at : at + length] += height
    return levels

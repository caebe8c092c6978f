"""The alarm rule gives the same bits wherever its input is cut, over any number of sensors."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.calibration.alarm_numbers import AlarmNumbers
from detector.calibration.alarm_rule import AlarmDials, AlarmRule
from tests.support.alarm_rules import random_rulings

SENSORS, ROWS = 3, 600


def make_rule(dials):
    pairs = {"centre": 0.0, "spread": 1.0, "quantile": 1.0, "slope": 0.4, "clusters": 0.3}
    numbers = AlarmNumbers(
        **{name: np.full((2, 2), value) for name, value in pairs.items()},
        memory=np.full(2, 90.0),
    )
    return AlarmRule(numbers=numbers, rate=1 / 200, dials=dials)


def make_levels(seed):
    rng = np.random.default_rng(seed)
    levels = rng.standard_normal((SENSORS, ROWS, 3))
    for sensor in range(SENSORS):
        for _ in range(12):
            at, length = rng.integers(0, ROWS), int(rng.exponential(40)) + 1
            levels[sensor, at : at + length, : rng.integers(1, 3)] += rng.normal(4, 4)
        levels[sensor, (at := rng.integers(0, ROWS)) : at + 30] = np.nan
        levels[sensor, at + 30 : at + 60, 0] = np.nan
    return levels


def spoken(incidents, sensor):
    return [
        (
            *(one.opened, one.first, one.last, one.ended),
            *(one.peak, one.strength, one.fired, one.charge, one.reason),
        )
        for one in incidents
        if one.sensor == sensor
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(0, ROWS), max_size=12).map(sorted),
    dials=st.sampled_from(
        [
            AlarmDials(),
            AlarmDials(merge_gap=0, closes_after=2),
            AlarmDials(accept=0.0, longest=64),
            AlarmDials(shortest=9, lowest=0.0, learning=0.3),
            AlarmDials(learning=0.0, accept=0.2, accept_after=50),
        ]
    ),
    ruled=st.booleans(),
)
def test_chunks_do_not_show(seed, cuts, dials, ruled):
    rule, levels, groups = make_rule(dials), make_levels(seed), np.ones(SENSORS, np.int64)
    rulings = random_rulings(np.random.default_rng(seed), SENSORS * ROWS).reshape(SENSORS, ROWS)

    def advance(begin, end, states):
        return rule.advance(
            levels[:, begin:end].reshape(-1, 3),
            np.full(SENSORS, end - begin),
            groups,
            states,
            rulings[:, begin:end].ravel() if ruled else None,
        )

    whole = advance(0, ROWS, rule.start(groups))

    states = rule.start(groups)
    parts, opened, ended = [], [], []
    for begin, end in zip([0, *cuts], [*cuts, ROWS], strict=True):
        part = advance(begin, end, states)
        states = part.states
        parts.append([a.reshape(SENSORS, -1) for a in (part.threshold, part.strength, part.alarm)])
        opened += part.opened
        ended += part.ended

    np.testing.assert_array_equal(states, whole.states)
    for name, pieces in zip(
        ("threshold", "strength", "alarm"), zip(*parts, strict=True), strict=True
    ):
        np.testing.assert_array_equal(np.concatenate(pieces, 1).ravel(), getattr(whole, name))
    for sensor in range(SENSORS):
        assert spoken(opened, sensor) == spoken(whole.opened, sensor)
        assert spoken(ended, sensor) == spoken(whole.ended, sensor)

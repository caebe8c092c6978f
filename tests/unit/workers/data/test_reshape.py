"""Pivot, rates and whole intervals against plain loops, and at their edges."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.data.layout import RULES, Resample
from workers.data.reshape import pivot, rates, resample

S = 10**9
TIMES = st.lists(st.integers(0, 40), min_size=1, max_size=30).map(sorted)
VALUES = st.one_of(st.just(math.nan), st.integers(-5, 5).map(float))


@given(rows=TIMES, data=st.data())
def test_a_pivot_keeps_the_first_value_of_each_time_and_tag(rows, data):
    n = len(rows)
    tags = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    expected: dict[tuple[int, int], float] = {}
    for row, (at, tag) in enumerate(zip(rows, tags, strict=True)):
        expected.setdefault((at, tag), float(row))

    times, made, place = pivot(np.array(rows), np.array(tags, np.int32), np.arange(float(n)), 3)

    assert times.tolist() == sorted(set(rows))
    cells = {
        (int(times[i]), j): made[i, j] for i, j in zip(*np.nonzero(np.isfinite(made)), strict=True)
    }
    assert cells == expected
    assert np.count_nonzero(place < 0) == n - len(expected)


@pytest.mark.parametrize(
    ("times", "counter", "expected"),
    [
        ([0, 1, 2], [5, 7, 7], [math.nan, 2, 0]),
        ([0, 2, 4], [5, 7, 1], [math.nan, 1, math.nan]),  # set back
        ([0, 1, 3], [5, math.nan, 11], [math.nan, math.nan, 2]),  # over the gap
        ([0, 0, 1], [5, 6, 7], [math.nan, math.nan, 2]),  # of one time the first counts
        ([0], [5], [math.nan]),
        ([], [], []),
        ([0, 1], [-1.7e308, 1.7e308], [math.nan, math.nan]),
        ([0, 1], [1e308, 1.5e308], [math.nan, 5e307]),
    ],
)
def test_the_rate_of_a_counter(times, counter, expected):
    found = rates(np.array(times, np.int64) * S, np.array(counter, float))

    assert np.allclose(found, expected, equal_nan=True)


def plain_resample(rows, values, step, rule):
    """{time: value} by a loop; NaN where no value is present."""
    groups: dict[int, list[float]] = {}
    for at, value in zip(rows, values, strict=True):
        groups.setdefault(-(-at // step) * step, []).append(value)
    made = {}
    for at, all_of in groups.items():
        known = [one for one in all_of if not math.isnan(one)]
        pick: dict[str, Callable[[list[float]], float]] = {
            "mean": lambda v: sum(v) / len(v), "last": lambda v: v[-1], "hold": lambda v: v[-1],
            "first": lambda v: v[0], "min": min, "max": max,
        }  # fmt: skip
        made[at] = pick[rule](known) if known else math.nan
    if rule == "hold":
        last, held = math.nan, {}
        for at in range(min(made), max(made) + 1, step):
            last = last if math.isnan(made.get(at, math.nan)) else made[at]
            held[at] = last
        return held
    return made


@given(rows=TIMES, step=st.integers(1, 12), rule=st.sampled_from(RULES), data=st.data())
def test_rows_at_whole_intervals_are_those_of_a_loop(rows, step, rule, data):
    values = data.draw(st.lists(VALUES, min_size=len(rows), max_size=len(rows)))

    times, made, _ = resample(
        np.array(rows, np.int64), np.array(values)[:, None], None, Resample(step, rule)
    )

    expected = plain_resample(rows, values, step, rule)
    assert times.tolist() == list(expected)
    assert np.allclose(made[:, 0], list(expected.values()), equal_nan=True)


def test_an_interval_with_an_anomalous_row_is_anomalous():
    labels = np.array([False, True, False, False])

    times, _, flags = resample(np.array([1, 2, 3, 9]), np.ones((4, 1)), labels, Resample(2))

    assert flags is not None
    assert dict(zip(times.tolist(), flags.tolist(), strict=True)) == {2: True, 4: False, 10: False}


@pytest.mark.parametrize("rule", RULES)
def test_the_largest_floats_have_a_value_in_an_interval(rule):
    _, made, _ = resample(np.arange(4), np.full((4, 1), 1.7e308), None, Resample(4, rule))

    assert np.allclose(made, 1.7e308)


def test_holding_a_value_for_ages_is_an_error():
    with pytest.raises(ValueError, match="would make 1,000,000,001 rows"):
        resample(np.array([0, 10**9]), np.ones((2, 1)), None, Resample(1, "hold"))

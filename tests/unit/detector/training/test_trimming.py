import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detector.signal.series import trailing_mean
from detector.training.trimming import MOST, hot_rows
from tests.support import naive


def make_level(rows=3000, seed=0):
    return np.random.default_rng(seed).normal(0, 0.3, rows)


def runs_of(hot):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hot.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-50, 50)))
def test_the_trailing_mean_is_that_of_the_twin(values):
    assert np.allclose(
        trailing_mean(values, 16), naive.trailing_mean(values.tolist(), 16), atol=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=3),
    faults=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), max_size=4),
)
def test_hot_rows_are_those_of_the_twin(seed, lengths, faults):
    level = np.random.default_rng(seed).normal(0, 0.3, sum(lengths))
    for start, length in faults:
        level[start : start + length] += 1.0 + start / 100
    ends = np.cumsum(lengths).tolist()
    sensors = list(zip([0, *ends[:-1]], ends, strict=True))

    expected = np.zeros(len(level), dtype=bool)
    for start, end in sensors:
        smooth = naive.trailing_mean(level[start:end].tolist(), 16)
        middle, upper = np.quantile(smooth, [0.5, 0.75])
        bar = middle + 3 * (upper - middle)
        runs = runs_of(np.array(smooth) > bar)
        left = int(MOST * (end - start))
        for first, after in sorted(runs, key=lambda run: -max(smooth[run[0] : run[1]])):
            if after - first > left:
                continue
            left -= after - first
            for row in range(first, after + 16):
                if start + row < end:
                    expected[start + row] = True

    assert np.array_equal(hot_rows(level, sensors), expected)


def test_the_first_rows_of_a_sensor_are_hot_no_more_often_than_others():
    """Their mean is over 16 rows as well: one row of noise is no fault."""
    level = make_level(20_000)
    sensors = [(start, start + 100) for start in range(0, 20_000, 100)]

    hot = hot_rows(level, sensors).reshape(200, 100)

    assert hot[:, 0].mean() < 0.1


def test_a_short_fault_and_its_tail_are_hot():
    level = make_level()
    level[2500:2520] += 3.0

    hot = hot_rows(level, [(0, len(level))])

    assert hot[2501:2536].all()


def test_a_fault_of_one_sensor_is_none_of_the_next():
    """It ends at the border, whatever its tail."""
    level = make_level()
    level[990:1000] += 5.0

    hot = hot_rows(level, [(0, 1000), (1000, 3000)])

    assert hot[999]
    assert not hot[1000:1010].any()


def test_never_more_than_their_share_and_the_hottest_first():
    level = make_level(1000)
    level[100:240] += 2.0
    level[500:620] += 6.0

    hot = hot_rows(level, [(0, 1000)])

    assert hot[520:620].all()
    assert not hot[115:240].any()
    assert hot.sum() <= MOST * 1000 + 16 * 8


@pytest.mark.parametrize("value", [0.0, 0.1, -1.2039728])
def test_of_rows_that_are_all_alike_none_is_hot(value):
    """The mean's rounding is no fault."""
    assert not hot_rows(np.full(20_000, value), [(0, 20_000)]).any()


def test_a_single_row_is_not_hot():
    assert hot_rows(np.array([7.0]), [(0, 1)]).tolist() == [False]

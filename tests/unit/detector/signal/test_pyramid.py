"""The features of the pyramid, against their slow twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.signal.pyramid import EXTREMES, LONG, ROW, SHORT, Feature, pyramid
from tests.support import naive
from tests.support.fleets import SHAPE_ERRORS

ROWS = 270
SPANS = (1, 2, 4, 8, 16, 32)
FEATURES = st.lists(
    st.one_of(
        st.builds(
            Feature,
            kind=st.sampled_from(["mean", "spread", "highest", "lowest", "range"]),
            span=st.sampled_from(SPANS),
        ),
        st.tuples(st.sampled_from(SPANS), st.sampled_from(SPANS))
        .filter(lambda pair: pair[0] < pair[1])
        .map(lambda pair: Feature(kind="step", span=pair[0], longer=pair[1])),
    ),
    min_size=1,
    max_size=8,
).map(tuple)


def make_rows(seed, *, rows=ROWS, channels=3, missing=0.0):
    """Scaled rows with flat stretches, jumps to the clip, and holes of every length."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, channels)).astype(np.float32)
    values[rng.random(values.shape) < 0.02] = 20.0
    values[rng.random(values.shape) < 0.02] = -20.0
    flat = int(rng.integers(rows))
    values[flat : flat + 40, 0] = values[flat, 0]
    present = rng.random(values.shape) >= missing
    gone = int(rng.integers(rows))
    present[gone : gone + int(rng.integers(1, 100)), int(rng.integers(channels))] = missing == 0
    return values, present


def assert_like_the_twin(rows, present, ends, features):
    found = pyramid(rows, None if present.all() else present, ends, features)
    expected = naive.pyramid(rows, present, ends, features)

    for place, one in enumerate(features):
        # Both round once to single precision. A spread is the root of a difference of squares up
        # to 400, each good to 1e-13: where it is near nothing, it is so to 3e-7.
        np.testing.assert_allclose(
            found[:, place], expected[:, place], rtol=2e-7, atol=3e-7, err_msg=str(one)
        )
        if one.kind in {"highest", "lowest"}:
            assert np.array_equal(found[:, place], expected[:, place].astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.1, 0.6, 0.97]),
    features=FEATURES,
    ends=st.lists(st.integers(31, 59), min_size=1, max_size=4),
)
def test_features_are_those_of_the_twin(seed, missing, features, ends):
    rows, present = make_rows(seed, rows=60, missing=missing)

    assert_like_the_twin(rows, present, np.array(ends), features)


@pytest.mark.parametrize("missing", [0.0, 0.5, 0.98])
@pytest.mark.parametrize("features", [LONG, SHORT, ROW, EXTREMES])
def test_every_look_is_that_of_the_twin(features, missing):
    rows, present = make_rows(7, missing=missing)

    assert_like_the_twin(rows, present, np.array([255, 262, ROWS - 1]), features)


def test_what_is_missing_may_be_anything():
    rows, present = make_rows(3, missing=0.3)
    other = np.where(present, rows, np.float32("nan"))
    ends, features = np.arange(255, ROWS), LONG + EXTREMES

    found = pyramid(other, present, ends, features)

    assert np.array_equal(found, pyramid(rows, present, ends, features))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("filler", [np.nan, 1e30, -20.0])
def test_what_lies_before_a_window_does_not_matter(filler):
    rows, present = make_rows(4, missing=0.1)
    ends, features = np.array([ROWS - 1]), LONG + EXTREMES
    other = rows.copy()
    other[: ROWS - 256] = filler

    assert np.array_equal(
        pyramid(other, present, ends, features), pyramid(rows, present, ends, features)
    )


def test_a_mask_of_ones_gives_the_bits_of_no_mask():
    rows, _ = make_rows(5)
    ends, features = np.arange(255, ROWS), LONG + EXTREMES

    masked = pyramid(rows, np.ones(rows.shape, dtype=bool), ends, features)

    assert np.array_equal(masked, pyramid(rows, None, ends, features))


def test_nothing_at_all_is_the_centre():
    rows, present = make_rows(6)

    found = pyramid(rows, np.zeros_like(present), np.array([255]), LONG + EXTREMES)

    assert not found.any()


def test_a_feature_does_not_depend_on_the_features_beside_it_while_nothing_is_missing():
    rows, _ = make_rows(8)
    ends = np.arange(255, ROWS)
    together = pyramid(rows, None, ends, LONG + SHORT + EXTREMES)

    for place, one in enumerate(LONG + SHORT + EXTREMES):
        assert np.array_equal(pyramid(rows, None, ends, (one,))[:, 0], together[:, place]), one


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "mean", "span": 0},
        {"kind": "mean", "span": 3},
        {"kind": "mean", "span": 8192},
        {"kind": "mean", "span": -4},
        {"kind": "mean", "span": 4, "longer": 16},
        {"kind": "step", "span": 16},
        {"kind": "step", "span": 16, "longer": 4},
        {"kind": "step", "span": 16, "longer": 16},
        {"kind": "median", "span": 4},
    ],
)
def test_a_feature_that_is_none_is_rejected(fields):
    with pytest.raises(SHAPE_ERRORS):
        Feature(**fields)


def test_a_feature_says_what_it_looks_at():
    step = Feature(kind="step", span=4, longer=16)

    assert (str(step), step.rows) == ("mean of 4 less mean of 16", 16)
    assert (str(LONG[-1]), LONG[-1].rows) == ("spread of 256", 256)

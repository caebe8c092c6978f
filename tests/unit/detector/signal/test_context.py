"""What surrounds a reading, against a twin that is slow and obvious."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.signal.context import Context


def measured(context, rows, ends):
    """As `Context.measure`, window by window and mean by mean."""
    means = np.empty((len(ends), len(context.lags) + 1, rows.shape[1]))
    middles = np.empty((len(ends), rows.shape[1]))
    for n, end in enumerate(ends):
        for c in range(rows.shape[1]):
            spans = [
                rows[end - lag - width + 1 : end - lag + 1, c]
                for lag, width in zip(context.lags, context.widths, strict=True)
            ]
            every = np.concatenate(spans)
            middle = np.nanmean(every) if np.isfinite(every).any() else 0.0
            own = [np.nanmean(one) if np.isfinite(one).any() else None for one in spans]
            sides = int(context.before.sum())
            filled = [*stood_in(own[:sides], middle), *stood_in(own[sides:], middle)]
            reading = rows[end - context.target, c]
            means[n, :-1, c] = np.array(filled) - middle
            means[n, -1, c] = reading - middle if np.isfinite(reading) else means[n, 0, c]
            middles[n, c] = middle
    return means, middles


def stood_in(own, middle):
    """Where there is no mean, the nearest farther one, or the nearest nearer one, or the middle."""
    found = []
    for place in range(len(own)):
        farther = [each for each in own[place:] if each is not None]
        nearer = [each for each in own[:place] if each is not None]
        found.append((farther[:1] or nearer[-1:] or [middle])[0])
    return found


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    field=st.integers(3, 60),
    ahead=st.integers(0, 20),
    missing=st.sampled_from([0.0, 0.1, 0.6, 0.95, 1.0]),
)
def test_it_is_what_a_slow_twin_says(seed, field, ahead, missing):
    context = Context.of(field + ahead, ahead=ahead)
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((context.field + 8, 3)) + 5.0
    rows[rng.random(rows.shape) < missing] = np.nan
    ends = rng.integers(context.field - 1, len(rows), 5)
    present = np.isfinite(rows)

    means, middle = context.measure(
        rows.astype(np.float32), present[:0] if present.all() else present, ends
    )

    slow_means, slow_middle = measured(context, rows, ends)
    np.testing.assert_allclose(middle, slow_middle, atol=2e-6)
    np.testing.assert_allclose(means, slow_means, atol=4e-6)


@pytest.mark.parametrize("ahead", [0, 9])
def test_nothing_of_the_reading_is_in_what_surrounds_it(ahead):
    context = Context.of(50, ahead=ahead)
    rows = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
    other = rows.copy()
    other[55 - ahead, 0] = 1e6
    whole, ends = np.zeros((0, 2), dtype=np.bool_), np.array([55])

    (means, middle), (others, same) = (context.measure(one, whole, ends) for one in (rows, other))

    assert (means[:, :-1] == others[:, :-1]).all()
    assert (middle == same).all()
    assert means[0, -1, 0] != others[0, -1, 0]


@pytest.mark.parametrize("missing", [False, True])
def test_rows_before_the_window_change_no_bit(missing):
    context = Context.of(50, ahead=7)
    rows = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    present = np.random.default_rng(1).random(rows.shape) < 0.8
    field, none = context.field, present[:0]

    means, middle = context.measure(rows, present if missing else none, np.array([199]))
    others, same = context.measure(
        rows[-field:], present[-field:] if missing else none, np.array([field - 1])
    )

    assert (means == others).all()
    assert (middle == same).all()


@pytest.mark.parametrize(("rows", "ahead"), [(2, 0), (9, 0), (256, 0), (256, 40), (24, 8)])
def test_it_fills_no_more_than_the_window_and_leaves_no_row_between_two_means(rows, ahead):
    context = Context.of(rows, ahead=ahead)

    held = np.zeros(rows, np.int64)
    for lag, width in zip(context.lags, context.widths, strict=True):
        held[lag : lag + width] += 1

    assert context.field <= rows
    assert held[ahead] == 0
    held[ahead] = 1
    first, last = np.flatnonzero(held)[[0, -1]]
    assert (held[first : last + 1] == 1).all()
    assert (context.before == (np.array(context.lags) > ahead)).all()


@pytest.mark.parametrize(
    ("target", "lags", "widths"),
    [
        (0, (), ()),
        (0, (0,), (1,)),  # the reading itself
        (3, (2,), (2,)),
        (0, (-1,), (1,)),
        (0, (1,), (0,)),
    ],
)
def test_what_is_no_context_is_rejected(target, lags, widths):
    with pytest.raises(ValueError, match="no context"):
        Context(target=target, lags=lags, widths=widths)

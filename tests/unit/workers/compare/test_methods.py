"""One aim for all: a linear autoencoder ends where PCA does, a curve goes where no line can."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.support.compared import curved_rows, linear_rows, make_history
from workers.compare.errors import errors_of
from workers.compare.methods import Method, Plan, fit
from workers.compare.time_split import cut, parts_of


def left_by(method, history, plan):
    """Mean squared error on the training time and on the held-out time."""
    split = cut(history, plan.held_out)
    fitted = fit(split.series(), plan.training(method, history.channels))
    return [
        float(
            errors_of(
                fitted.view,
                parts_of(side.sensors, split.training.sensors, fitted.group_of),
                max_gap_s=fitted.data.max_gap_s,
            ).whole.mean()
        )
        for side in (split.training, split.held_out)
    ]


@pytest.mark.parametrize(("bottleneck", "field"), [(1, 4), (4, 4), (3, 2)])
def test_a_linear_autoencoder_reaches_the_error_of_pca_within_two_percent(bottleneck, field):
    """Also where noise must be carried: who smooths or adds some falls behind there."""
    history = make_history(linear_rows(2_000, noise=1.0))
    plan = Plan(bottleneck=bottleneck, receptive_field=field, max_steps=600, batch_size=128)

    pca, learned = (left_by(method, history, plan) for method in (Method.PCA, Method.LINEAR))

    assert learned[0] == pytest.approx(pca[0], rel=0.02)
    assert learned[1] == pytest.approx(pca[1], rel=0.02)


def test_two_percent_is_little_beside_what_a_number_more_gains():
    """Or the claim above would hold of anything."""
    history = make_history(linear_rows(2_000, noise=1.0))

    errors = [
        left_by(Method.PCA, history, Plan(bottleneck=size, receptive_field=4))[1]
        for size in (1, 2, 3, 4)
    ]

    assert all(more < 0.95 * less for less, more in itertools.pairwise(errors))


def test_a_non_linear_autoencoder_follows_the_square_that_pca_misses():
    history = make_history(curved_rows(2_000)[:, :3])
    plan = Plan(bottleneck=1, receptive_field=1, hidden=(32,), max_steps=500, batch_size=128)

    (_, pca), (_, curve) = (left_by(one, history, plan) for one in (Method.PCA, Method.NONLINEAR))

    assert curve < 0.3 * pca


def test_the_same_plan_gives_the_same_weights():
    history = make_history(linear_rows(300))
    plan = Plan(bottleneck=1, receptive_field=2, max_steps=20)

    assert left_by(Method.NONLINEAR, history, plan) == left_by(Method.NONLINEAR, history, plan)


def test_readings_with_gaps_are_learned_from():
    rows = linear_rows(600)
    rows[np.random.default_rng(0).random(rows.shape) < 0.1] = np.nan

    errors = left_by(
        Method.LINEAR, make_history(rows), Plan(bottleneck=2, receptive_field=4, max_steps=100)
    )

    assert np.isfinite(errors).all()


@pytest.mark.parametrize("share", [0.0, 0.95, -1.0])
def test_a_share_that_leaves_nothing_is_rejected(share):
    with pytest.raises(ValueError, match="held_out must be in"):
        Plan(bottleneck=1, held_out=share)

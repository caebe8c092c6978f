"""A reading predicted from what surrounds it: blind to itself, and not to the others."""

import numpy as np
import pytest
import torch

from detector.models.blind_spot import BlindSpot, FusedBlindSpot, fused
from tests.support.denoisers import fitted, random_view
from tests.support.fleets import SHAPE_ERRORS, make_fleet


def predictions(view, name, rows, end):
    """In scaled units, of the last row but the cleaner's lag."""
    prepared = view.prepare(rows, np.array(1))
    _, middle, prediction, checks = view.predict(name, prepared, np.array([end]))
    return (prediction + middle)[0], checks[0]


@pytest.mark.parametrize("name", ["causal", "short", "settled"])
def test_nothing_of_a_reading_reaches_its_own_prediction(name):
    view, rows = fitted().view, make_fleet(rows=300, seed=5).noisy[0]
    place = 250 - view.cleaners[name].context.target
    before, _ = predictions(view, name, rows, 250)
    told = []

    for channel in range(rows.shape[1]):
        wild = rows.copy()
        wild[place, channel] += 3 * view.scaler.scale[1, channel]
        after, _ = predictions(view, name, wild, 250)

        assert float(after[channel]) == pytest.approx(float(before[channel]), abs=1e-6)
        told.append(not torch.equal(after, before))

    assert any(told) or not view.cleaners[name].model.cross.any()


def test_the_autoencoder_is_blind_to_the_whole_reading():
    model = random_view().cleaners["causal"].model
    context, middle = torch.randn(4, model.own.shape[1], 5), torch.randn(4, 5)
    other = context.clone()
    other[:, -1] = 1e3

    assert torch.equal(model.correction(context, middle), model.correction(other, middle))
    assert not torch.equal(
        model.correction(context, middle), model.correction(context + 1.0, middle)
    )


def test_a_level_that_training_has_hardly_seen_does_not_lead_the_autoencoder_astray():
    model = random_view().cleaners["causal"].model
    context = torch.randn(4, model.own.shape[1], 5)

    far, farther = (model.correction(context, torch.full((4, 5), one)) for one in (4.0, 20.0))

    assert torch.equal(far, farther)


def test_linear_predictions_are_sums_of_what_surrounds_a_reading():
    model = random_view(hidden=0).cleaners["causal"].model
    context = torch.randn(3, model.own.shape[1], 5)

    prediction, checks = model(context, torch.zeros(3, 5))

    near = context[:, list(model.near)].flatten(1)
    own = torch.einsum("npc,kpc->nkc", context, model.own)
    torch.testing.assert_close(prediction, own[:, 0] + near @ model.cross)
    torch.testing.assert_close(checks, own[:, 1:])


@pytest.mark.parametrize("near", [[], [0, 1], [0, 8], [-1, 7], [9, 7]])
def test_places_that_are_not_there_are_rejected(near):
    with pytest.raises(SHAPE_ERRORS, match="near must"):
        BlindSpot(channels=2, means=7, near=near, checks=0, hidden=0, latent=0)


@pytest.mark.parametrize("hidden", [0, 7, 20])
@pytest.mark.parametrize("channels", [1, 5, 18])
@pytest.mark.parametrize("name", ["causal", "settled"])
def test_fused_it_says_the_same(name, channels, hidden):
    model = random_view(channels=channels, hidden=hidden).cleaners[name].model
    context = torch.randn(9, model.own.shape[1], channels)
    middle = 3 * torch.randn(9, channels)

    for found, expected in zip(
        FusedBlindSpot(model)(context, middle), model(context, middle), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_wide_model_is_not_fused():
    models = [random_view(channels=channels).cleaners["causal"].model for channels in (32, 33)]

    assert [isinstance(fused(one), FusedBlindSpot) for one in models] == [True, False]

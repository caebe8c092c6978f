"""Every model runs every check: a new kind is tested by being in the registry."""

import numpy as np
import pytest
import torch
from torch import nn

from detector.models import KINDS, ModelConfig, PCAAutoencoder, build, default_latent_size, describe
from tests.support.fleets import make_model


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize("receptive_field", [4, 7, 12, 32])
def test_output_has_the_shape_of_the_input(kind, receptive_field):
    model = make_model(kind, receptive_field=receptive_field)
    windows = torch.randn(9, receptive_field, 3)

    assert model.reconstruct(windows).shape == windows.shape
    assert torch.equal(model(windows), model.reconstruct(windows))


def test_the_latent_space_is_smaller_than_the_window_and_leads_back(kind):
    model = make_model(kind)
    windows = torch.randn(9, 12, 3)

    latent = model.encode(windows)

    assert latent.shape == (9, model.latent_size)
    assert model.latent_size < model.receptive_field * model.n_channels
    assert torch.equal(model.decode(latent), model.reconstruct(windows))


@pytest.mark.parametrize("latent_size", [0, 36, 40])
def test_a_bottleneck_as_wide_as_the_window_is_rejected(kind, latent_size):
    with pytest.raises(ValueError, match=r"latent_size must be .* 1\.\.35, got"):
        make_model(kind, latent_size=latent_size)


@pytest.mark.parametrize("latent_size", [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 31])
@pytest.mark.parametrize(("n_channels", "receptive_field"), [(1, 33), (3, 11), (1, 7), (11, 6)])
def test_a_window_has_the_same_bits_wherever_it_stands_in_a_tile(
    kind, latent_size, n_channels, receptive_field
):
    """A tile is computed at once; narrow layers are where libraries treat its rows unlike."""
    size = n_channels * receptive_field
    model = make_model(
        kind,
        n_channels=n_channels,
        receptive_field=receptive_field,
        latent_size=min(latent_size, size - 1),
    )
    one = torch.randn(1, receptive_field, n_channels, generator=torch.Generator().manual_seed(0))
    tile = torch.randn(256, receptive_field, n_channels)
    places = torch.arange(0, 256, 5)
    tile[places] = one

    with torch.inference_mode():
        for found in (model.encode(tile)[places], model.reconstruct(tile)[places]):
            assert torch.equal(found, found[:1].expand_as(found))


def test_an_unknown_size_is_rejected_by_name(kind):
    with pytest.raises(ValueError, match="depth"):
        make_model(kind, depth=3)


def test_a_missing_size_is_rejected_by_name(kind):
    with pytest.raises(ValueError, match="latent_size"):
        build(kind, {"n_channels": 3, "receptive_field": 12})


def test_a_description_builds_a_model_of_the_same_shape(kind):
    model = make_model(kind)

    twin = build(kind, describe(model))
    twin.load_state_dict(model.state_dict())

    windows = torch.randn(4, 12, 3)
    assert torch.equal(twin.eval()(windows), model(windows))


def test_a_seed_gives_the_same_weights(kind):
    one, two, other = (make_model(kind, seed=seed).state_dict() for seed in (1, 1, 2))

    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_windows_of_a_batch_do_not_see_each_other(kind):
    model = make_model(kind)
    windows = torch.randn(8, 12, 3)
    changed = windows.clone()
    changed[1:] = 100.0

    assert torch.equal(model(windows)[0], model(changed)[0])


def test_an_unknown_kind_is_rejected_with_what_is_known():
    with pytest.raises(ValueError, match=r"dense, conv, pca, wae, got 'vae'"):
        build("vae", {})


@pytest.mark.parametrize(("channels", "readings"), [(1, 2), (1, 8), (8, 32), (55, 32)])
def test_the_default_bottleneck_is_always_smaller_than_the_window(channels, readings):
    assert 1 <= default_latent_size(channels, readings) < channels * readings


def test_pca_finds_the_plane_that_holds_the_data():
    rng = np.random.default_rng(0)
    axes = rng.standard_normal((2, 36))
    windows = torch.from_numpy((rng.standard_normal((200, 2)) @ axes).astype(np.float32) + 5)
    windows = windows.view(200, 12, 3)
    model = build("pca", {"n_channels": 3, "receptive_field": 12, "latent_size": 2})
    assert isinstance(model, PCAAutoencoder)

    model.fit([windows[:90], windows[90:]])

    assert torch.allclose(model(windows), windows, atol=1e-4)


def test_pca_needs_a_window():
    with pytest.raises(ValueError, match="at least one window"):
        PCAAutoencoder(ModelConfig(n_channels=1, receptive_field=4, latent_size=1)).fit([])


def test_an_autoencoder_follows_a_curve_that_pca_of_the_same_size_cannot():
    """One latent number for points on a parabola: the line through them must miss it."""
    rng = np.random.default_rng(0)
    place = torch.from_numpy(rng.uniform(-1.5, 1.5, (512, 1)).astype(np.float32))
    windows = torch.stack([place, place**2 - 0.75], dim=2).expand(-1, 4, -1).contiguous()
    sizes = {"n_channels": 2, "receptive_field": 4, "latent_size": 1}
    pca = PCAAutoencoder(ModelConfig(**sizes))
    pca.fit([windows])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dense = build("dense", {**sizes, "hidden": (32,)})
    optimizer = torch.optim.AdamW(dense.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.mse_loss(dense(windows), windows).backward()
        optimizer.step()

    def error(model):
        return float((model(windows).detach() - windows).square().mean())

    assert error(dense) < 0.1 * error(pca)

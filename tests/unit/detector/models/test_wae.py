"""The Wasserstein autoencoder: what its penalty measures, and what it does to a latent space."""

import numpy as np
import pytest
import torch

from detector.latent import encode
from detector.models.wae import discrepancy
from detector.training.train import train
from tests.support.fleets import make_config, make_fleet, make_model, trained


def normal(n=300, size=3, *, seed=0):
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def naive(one, other):
    """The definition, pair by pair."""

    def kernel(x, y):
        sizes = [2 * len(x) * scale for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
        distance = float(((x - y) ** 2).sum())
        return sum(size / (size + distance) for size in sizes) / len(sizes)

    n = len(one)
    apart = [(i, j) for i in range(n) for j in range(n) if i != j]
    within = [sum(kernel(v[i], v[j]) for i, j in apart) / len(apart) for v in (one, other)]
    across = sum(kernel(x, y) for x in one for y in other) / n**2
    return sum(within) - 2 * across


def test_the_discrepancy_is_that_of_the_definition():
    one, other = normal(7), normal(7, seed=1) * 2 + 1

    assert float(discrepancy(one, other)) == pytest.approx(naive(one, other), abs=1e-5)


def test_samples_of_one_distribution_have_next_to_none():
    found = [float(discrepancy(normal(seed=s), normal(seed=s + 50))) for s in range(8)]

    assert abs(np.mean(found)) < 2e-3  # unbiased: below zero as often as above
    assert min(found) < 0


@pytest.mark.parametrize("other", [normal() + 1, normal() * 3, normal() * 0.2])
def test_another_place_or_spread_is_seen(other):
    assert float(discrepancy(normal(seed=1), other)) > 0.02


def test_the_penalty_is_drawn_from_the_generator_alone():
    model = make_model("wae")
    latent = normal(16, 5)

    one, two, other = (
        model.penalty(latent, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )

    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("kind", ["dense", "conv", "pca"])
def test_other_kinds_have_no_penalty(kind):
    assert make_model(kind).penalty(normal(), torch.Generator()) is None


@pytest.mark.parametrize("pull", [-1.0, float("nan"), float("inf")])
def test_a_pull_that_is_none_is_rejected(pull):
    with pytest.raises(ValueError, match="pull must be"):
        make_model("wae", pull=pull)


def test_without_pull_the_training_is_that_of_a_dense_autoencoder():
    series, model = make_fleet(rows=600).series(), {"latent_size": 8}
    dense = train(series, make_config(max_steps=20, model=model))
    free = train(series, make_config(max_steps=20, kind="wae", model={**model, "pull": 0.0}))

    states = [one.signal.model.state_dict() for one in (dense, free)]
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_the_pull_brings_the_latents_closer_to_a_standard_normal():
    rows = make_fleet().noisy[0][: 16 * 180].reshape(180, 16, 4)
    found = {}
    for kind in ("dense", "wae"):
        latents = torch.from_numpy(encode(trained(kind), rows, 1))
        found[kind] = float(discrepancy(latents, normal(180, 8)))

    assert found["wae"] < 0.7 * found["dense"]

"""A finished detector knows what is alike: the same event in the same state, and nothing else."""

import numpy as np
import pytest

from detector.artifact import load, save
from detector.training import fit_likeness
from detector.training.pyramid import PyramidTraining
from detector.training.train import train
from tests.support.fleets import make_config, make_fleet, trained
from tests.support.models import plant_values, small_detector
from tests.support.pyramids import pyramid_detector, seasonal_detector

PERIOD = 377
"""Rows after which both waves of the simulated plant stand where they stood."""
LASTS = 12
KINDS = {"plain": (), "with a pyramid": (PyramidTraining(examples=64, max_steps=20),)}


@pytest.fixture(params=KINDS)
def detector(request):
    return small_detector(further_views=KINDS[request.param])


def event(detector, at, channel, seed, size=8.0):
    """Profile and latent vector of the top of a planted event: a channel is off for a while."""
    rows = plant_values(at + 100, seed=seed)
    rows[at : at + LASTS, channel] += size * rows[:, channel].std()
    ends = np.arange(at, at + LASTS)
    scores = detector.score(
        rows,
        ends,
        np.ones(LASTS, np.int32),
        lengths=np.minimum(ends + 1, detector.receptive_field),
    )
    top = int(np.argmax(scores.score))
    assert scores.score[top] >= 1
    return scores.contribution[top], scores.latent[top]


def alike(detector, one, other):
    (profile, latent), (remembered, vector) = one, other
    likeness = detector.head.likeness
    return likeness.alike(profile, latent, remembered[None], vector[None], 1) == 0


@pytest.mark.parametrize("channel", range(3))
def test_the_recurrence_of_an_event_is_alike(detector, channel):
    first = [event(detector, 400, channel, seed) for seed in range(20, 30)]
    again = [event(detector, 400 + PERIOD, channel, seed) for seed in range(40, 50)]

    found = [alike(detector, one, other) for one, other in zip(again, first, strict=True)]

    assert np.mean(found) >= 0.8


@pytest.mark.parametrize("channel", range(3))
def test_what_befalls_another_channel_is_not(detector, channel):
    first = event(detector, 400, channel, 20)

    for other in {0, 1, 2} - {channel}:
        for seed in range(40, 50):
            assert not alike(detector, event(detector, 400 + PERIOD, other, seed), first)


def test_the_same_channel_the_other_way_round_is_not(detector):
    first = event(detector, 400, 1, 20)

    for seed in range(40, 50):
        assert not alike(detector, event(detector, 400 + PERIOD, 1, seed, size=-8.0), first)


@pytest.mark.parametrize(
    "make",
    [
        trained,
        pyramid_detector,
        lambda: pyramid_detector("commands"),
        seasonal_detector,
    ],
    ids=["plain", "pyramid", "commands", "season"],
)
def test_every_training_states_its_radii_and_they_are_saved_with_the_detector(make, tmp_path):
    detector = make()
    likeness = detector.head.likeness

    assert likeness is not None
    assert detector.identity.training["alike_within"] == likeness.radii
    size = (detector.n_groups, detector.signal.model.latent_size)
    assert likeness.latent_scale.shape == size
    back = load(save(detector, tmp_path / "model"), "cpu").head.likeness
    assert back is not None
    assert back.radii == likeness.radii
    assert np.array_equal(back.latent_scale, likeness.latent_scale)


def test_sensors_too_short_for_numbers_of_their_own_have_the_pooled_ones():
    detector = train(make_fleet(sensors=4, rows=300).series(), make_config(max_steps=20))

    assert detector.n_groups == 1
    assert detector.head.likeness is not None
    assert detector.head.likeness.latent_scale.shape == (1, 8)


def test_readings_too_far_apart_to_be_one_exceedance_leave_nothing_alike(monkeypatch):
    monkeypatch.setattr(fit_likeness, "LEAST_GROUP_ROWS", 1)
    monkeypatch.setattr(fit_likeness, "MAX_GROUP_ROWS", 1)  # one reading a sensor

    detector = train(make_fleet(rows=600).series(), make_config(max_steps=20))

    assert detector.head.likeness is None
    assert detector.identity.training["alike_within"] is None

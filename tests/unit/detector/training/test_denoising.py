"""What is learned of noise from noisy readings alone."""

import dataclasses

import numpy as np
import pytest
import torch

from detector.signal.context import Context
from detector.training.denoising import DenoisingTraining, fit_denoiser
from detector.training.fit_blind_spot import Examples, NetworkConfig, fit_correction, fit_linear
from tests.support.denoisers import ROWS, dataset_of, fit, fitted
from tests.support.fleets import Fleet, make_fleet, trained


def clean_rows(view, rows, ends, group):
    """Clean values in channel units."""
    with torch.inference_mode():
        found = view.measure(view.prepare(rows, np.array(group)), torch.from_numpy(ends)).cleaned
    predicted = view.scaler.invert(found.prediction.numpy(), np.full(len(ends), group))
    return rows[ends] + found.share.numpy() * (predicted - rows[ends])


def fleet_of(signal, *, noise=0.0, sensors=2):
    rng = np.random.default_rng(0)
    clean = tuple(signal.copy() for _ in range(sensors))
    return Fleet(
        clean=clean, noisy=tuple(one + noise * rng.standard_normal(one.shape) for one in clean)
    )


def test_what_is_expected_is_what_later_readings_gain():
    fleet, ends = make_fleet(rows=4000), np.arange(1500, 4000)
    gains = []
    for group, (rows, clean) in enumerate(zip(fleet.noisy, fleet.clean, strict=True), 1):
        output = clean_rows(fitted().view, rows, ends, group)
        before = np.mean((rows[ends] - clean[ends]) ** 2, axis=0)
        gains.append(10 * np.log10(before / np.mean((output - clean[ends]) ** 2, axis=0)))

    told = fitted().summary

    assert np.min(gains) > 3
    assert np.mean(gains, axis=0) == pytest.approx(np.array(told["causal_gain_db"]), abs=2.5)
    assert (np.array(told["settled_bound_db"]) > told["causal_bound_db"]).all()


def test_the_noise_is_told_in_channel_units():
    fleet, told = make_fleet(rows=1500), fitted().summary

    true = np.mean([one.std(axis=0) for one in fleet.clean], axis=0) * 0.3

    assert told["noise"] == pytest.approx(true, rel=0.15)
    assert told["impulsive"] == [False] * 4
    assert told["lag_s"] == told["lag"] == fitted().view.lag > 0


def test_the_same_history_gives_the_same_numbers():
    first, second = fitted().view.tensors(), fit(make_fleet(rows=1500)).view.tensors()

    assert all(torch.equal(one, second[name]) for name, one in first.items())


def test_readings_without_white_noise_have_no_view():
    time = np.arange(1500)[:, None]
    found = fit(fleet_of(np.sin(time / [17.0, 31.0, 47.0, 90.0])))

    assert found.view is None
    assert found.summary == {"why": "no channel shows white noise"}


def test_a_history_too_short_to_tell_has_no_view():
    found = fit(make_fleet(rows=350), rows=16)

    assert found.view is None
    assert "fewer than 288 rows" in found.summary["why"]


def test_a_short_history_is_cleaned_from_a_short_context():
    whole, found = fitted().view, fit(make_fleet(rows=500)).view

    assert found is not None
    assert found.receptive_field < whole.receptive_field


def test_a_clean_channel_beside_noisy_ones_is_left_alone():
    fleet = make_fleet(rows=1500)
    rows = [
        np.column_stack([noisy[:, :3], clean[:, 3]])
        for noisy, clean in zip(fleet.noisy, fleet.clean, strict=True)
    ]
    found = fit(Fleet(clean=fleet.clean, noisy=tuple(rows)))

    assert found.view.cleaners["causal"].blend.share[:, 3].tolist() == [0.0] * 3
    assert found.summary["noise"][3] == found.summary["causal_gain_db"][3] == 0
    assert found.summary["noise"][0] > 0


def test_impulses_are_told_and_do_not_count_as_noise():
    fleet = make_fleet(rows=1500)
    rows = [one.copy() for one in fleet.noisy]
    for number, one in enumerate(rows):
        places = np.arange(20 + number, 1450, 30)
        one[places, 1] += np.where(np.arange(len(places)) % 2, 400.0, -400.0)
    found = fit(Fleet(clean=fleet.clean, noisy=tuple(rows)))

    assert found.summary["impulsive"] == [False, True, False, False]
    assert found.summary["noise"][1] == pytest.approx(fitted().summary["noise"][1], rel=0.2)


def test_a_lag_that_is_asked_for_is_taken_if_there_is_room():
    assert fit(make_fleet(rows=1500), lag=5).view.lag == 5
    assert fit(make_fleet(rows=1500), lag=ROWS).view.lag == 0


def test_a_model_says_what_its_training_found():
    told = trained().identity.training["denoising"]

    assert len(told["noise"]) == len(told["causal_gain_db"]) == 4
    assert trained().settled_lag == told["lag"] > 0


def examples(rows, context, ends):
    means, middle = context.measure(rows, np.zeros((0, rows.shape[1]), dtype=np.bool_), ends)
    return Examples(
        context=torch.from_numpy(means),
        middle=torch.from_numpy(middle),
        known=np.ones(middle.shape, dtype=np.bool_),
    )


def test_the_autoencoder_is_kept_only_where_it_pays():
    """The second channel follows the square of the first one's past; of two walks nothing bends."""
    rng, context = np.random.default_rng(0), Context.of(12)
    straight = np.cumsum(rng.standard_normal((3000, 2)), axis=0) / 20
    drive = np.repeat(rng.standard_normal(600), 5)
    bent = np.column_stack([drive, np.concatenate([[0, 0], drive[:-2] ** 2])])
    config = NetworkConfig(hidden=16, latent=4, max_steps=150, batch_size=128, learning_rate=1e-2)
    kept = []
    for signal in (straight, bent):
        rows = (signal + 0.1 * rng.standard_normal(signal.shape)).astype(np.float32)
        spans = (np.arange(20, 2000), np.arange(2000, 3000))
        training, validation = (examples(rows, context, one) for one in spans)
        variance = np.full(2, 0.01)
        linear, _ = fit_linear(context, training, validation, variance)
        model = fit_correction(
            linear,
            training,
            validation,
            variance=variance,
            config=config,
            generator=torch.Generator().manual_seed(0),
        )
        kept.append(model.width)
        if model is not linear:
            target = validation.context[:, -1, 1]
            error, before = (
                float(
                    (one(validation.context, validation.middle)[0][:, 1] - target).square().mean()
                )
                for one in (model, linear)
            )
            assert error < 0.7 * before

    assert kept == [0, 16]


def test_nothing_is_fitted_without_room_for_a_context():
    data = dataset_of(make_fleet(rows=500))
    found = fit_denoiser(
        data,
        dataclasses.replace(DenoisingTraining(), hidden=0),
        rows=3,
        short_rows=3,
        generator=torch.Generator(),
        device=torch.device("cpu"),
    )

    assert found.view is None

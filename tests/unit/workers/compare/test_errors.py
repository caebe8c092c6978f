"""What is measured: against a slow twin, and against a truth that the measure does not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detector.models import PCAAutoencoder, build
from detector.signal.scaler import ChannelScaler
from detector.views.reconstruction import ReconstructionView
from tests.support.compared import SECOND_NS, curved_rows, drives, linear_rows
from workers.compare.errors import Part, denoising_of, errors_of

FIELD = 4


def make_view(rows, *, latent_size=2, receptive_field=FIELD):
    """PCA of these rows."""
    center, scale = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    model = build(
        "pca",
        {
            "n_channels": rows.shape[1],
            "receptive_field": receptive_field,
            "latent_size": latent_size,
        },
    )
    assert isinstance(model, PCAAutoencoder)
    scaled = np.nan_to_num((rows - center) / scale)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, receptive_field, axis=0)
    model.fit([torch.from_numpy(windows.transpose(0, 2, 1).astype(np.float32).copy())])
    return ReconstructionView(model, ChannelScaler(center=center[None], scale=scale[None]))


def make_part(rows, *, sigma=0.0, truth=None, first_ns=0):
    return Part(
        rows=rows,
        ts_ns=first_ns + np.arange(len(rows), dtype=np.int64) * SECOND_NS,
        group=0,
        sigma=np.full(rows.shape[1], sigma),
        truth=truth,
    )


def slowly(view, rows, aim):
    """Squared errors of every value of every window, [windows, R, C]."""
    scaled, aimed = (view.scaler.apply(one, np.array(0)) for one in (rows, aim))
    found = []
    for end in range(FIELD, len(rows) + 1):
        window = torch.from_numpy(scaled[end - FIELD : end].astype(np.float32))[None]
        found.append((aimed[end - FIELD : end] - view.model(window)[0].numpy()) ** 2)
    return np.stack(found)


def test_errors_are_those_of_every_window_one_by_one():
    rows = linear_rows(60)
    view = make_view(rows)
    twin = slowly(view, rows, rows)

    errors = errors_of(view, [make_part(rows)], max_gap_s=10)

    assert errors.windows == len(twin) == 57
    assert errors.whole == pytest.approx(twin.mean((0, 1)), rel=1e-4)
    assert errors.newest == pytest.approx(twin[:, -1].mean(0), rel=1e-4)
    assert errors.power == pytest.approx(np.ones(4))
    assert errors.unexplained == pytest.approx(twin.mean((0, 1)).sum() / 4, rel=1e-4)


def test_against_the_truth_the_noise_of_the_readings_does_not_count():
    rows = linear_rows(60)
    truth = rows + 1.0
    view = make_view(rows)

    errors = errors_of(view, [make_part(rows, truth=truth)], max_gap_s=10)

    assert errors.whole == pytest.approx(slowly(view, rows, truth).mean((0, 1)), rel=1e-4)


def test_no_window_reaches_over_a_gap_and_parts_count_by_their_windows():
    rows = linear_rows(60)
    view = make_view(rows)
    parts = [make_part(rows[:20]), make_part(rows[20:], first_ns=10**12)]
    times = np.concatenate([one.ts_ns for one in parts])
    joined = Part(rows=rows, ts_ns=times, group=0, sigma=np.zeros(4))

    apart, together = (errors_of(view, one, max_gap_s=10) for one in (parts, [joined]))

    assert apart.windows == together.windows == 17 + 37
    assert apart.whole == pytest.approx(together.whole)


def test_a_missing_reading_counts_for_nothing():
    """Of a hole, a window holds the last value in it, or the centre, and no error is counted."""
    rows = linear_rows(60)
    view = make_view(rows)
    rows[30:40, 2] = np.nan

    errors = errors_of(view, [make_part(rows)], max_gap_s=10)

    total, count = np.zeros(4), np.zeros(4)
    for end in range(FIELD, 61):
        window = view.scaler.apply(rows[end - FIELD : end], np.array(0))
        known = np.isfinite(window)
        for row in range(FIELD):
            last = window[row - 1] if row else np.zeros(4)
            window[row] = np.where(known[row], window[row], last)
        output = view.model(torch.from_numpy(window.astype(np.float32))[None])[0].numpy()
        total += ((window - output) ** 2 * known).sum(axis=0)
        count += known.sum(axis=0)
    assert count[2] < count[0]
    assert errors.whole == pytest.approx(total / count, rel=1e-4)


def test_too_few_readings_for_a_window_are_said():
    with pytest.raises(ValueError, match="no window of 4 readings"):
        errors_of(make_view(linear_rows(60)), [make_part(linear_rows(3))], max_gap_s=10)


@pytest.mark.parametrize("latent_size", [2, 6])
def test_gains_are_known_without_clean_values(latent_size):
    """Through the noise alone the measure says what the truth says, for any leak."""
    sigma = 0.3
    clean = drives(6_000, seed=3) @ np.array([[3.0, 2.0, -2.0, 1.0], [0.5, -1.0, 0.5, 1.5]])
    noise = sigma * np.random.default_rng(0).standard_normal(clean.shape)
    rows = clean + noise
    view = make_view(rows[:3_000], latent_size=latent_size)
    held = slice(3_000, 6_000)

    errors = errors_of(view, [make_part(rows[held], sigma=sigma)], max_gap_s=10)
    told = denoising_of(errors, errors)

    scaled = view.scaler.apply(rows[held], np.array(0)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, FIELD, axis=0).transpose(0, 2, 1)
    newest = view.model(torch.from_numpy(windows.copy()))[:, -1].numpy()
    wrong = view.scaler.invert(newest, np.array(0)) - clean[held][FIELD - 1 :]
    true_gain = -10 * np.log10((wrong**2).mean(0) / sigma**2)
    assert told.reconstruction == pytest.approx(true_gain, abs=0.4)
    assert (told.blended >= np.maximum(told.reconstruction, 0.0) - 0.05).all()


def test_a_channel_without_noise_has_no_gain():
    rows = curved_rows(60, noise=0.0)
    errors = errors_of(make_view(rows), [make_part(rows)], max_gap_s=10)

    told = denoising_of(errors, errors)

    assert np.isnan(told.reconstruction).all()
    assert np.isnan(told.overall(told.blended))
    assert np.isnan(errors.noise_levels).all()

"""The arithmetic of the denoising benchmark: gains, bounds, and filters on cases that are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.denoising.baselines import (
    FAMILIES,
    bayes_shrink,
    bridged,
    carried,
    ewma,
    families,
    hampel,
    savitzky_golay,
)
from benchmarks.denoising.figures import decibel, wiener
from benchmarks.denoising.kalman import kalman
from benchmarks.denoising.noises import kinds, trial
from benchmarks.denoising.signals import Signal, clean_channels


@pytest.fixture(scope="module")
def walk():
    generator = np.random.default_rng(0)
    clean = np.cumsum(0.2 * generator.standard_normal((8_192, 2)), axis=0)
    return Signal(name="walk", clean=clean, channels=np.array([0]), cut=4_096)


def test_half_the_error_is_three_decibels():
    assert decibel(np.array([2.0]), np.array([1.0])) == pytest.approx([3.0103], abs=1e-4)


@pytest.mark.parametrize("smooth", [False, True])
def test_kalman_reaches_the_bound_of_a_walk(walk, smooth):
    noisy = walk.clean + np.random.default_rng(1).standard_normal(walk.clean.shape)
    found = kalman(noisy[:, 0].copy(), 0.04, 0.0, smooth=smooth)
    # Riccati: P = (q + sqrt(q^2 + 4 q)) / 2 before the reading, K = P / (P + 1) after it is
    # the filter's error; the smoother's is q / sqrt(q^2 + 4 q).
    q = 0.04
    root = np.sqrt(q * q + 4 * q)
    before = (q + root) / 2
    expected = q / root if smooth else before / (before + 1)
    assert np.mean((found - walk.clean[:, 0]) ** 2) == pytest.approx(expected, rel=0.1)
    bound = wiener(walk.clean, np.ones(2))["smoother" if smooth else "causal"][0]
    assert bound == pytest.approx(-10 * np.log10(expected), abs=0.3)


def test_ewma_is_the_steady_state_of_the_local_level(walk):
    noisy = walk.clean + np.random.default_rng(1).standard_normal(walk.clean.shape)
    before = (0.04 + np.sqrt(0.04**2 + 0.16)) / 2
    steady = ewma(noisy, 0, before / (before + 1))
    assert steady[200:] == pytest.approx(
        kalman(noisy[:, 0].copy(), 0.04, 0.0, smooth=False)[200:], abs=1e-6
    )


def test_a_trend_is_followed_without_lag():
    line = np.arange(400.0)
    assert kalman(line, 0.0, 1e-3, smooth=False)[-1] == pytest.approx(line[-1], abs=1e-2)
    assert kalman(line, 0.0, 1e-3, smooth=True)[5:] == pytest.approx(line[5:], abs=1e-2)


def test_the_rest_keep_what_they_should():
    pytest.importorskip("pywt", reason="needs PyWavelets: uv sync --group bench")
    rows = np.arange(512.0)
    curve = ((rows / 512) ** 2)[:, None]
    leap = curve.copy()
    leap[300] += 50.0
    assert savitzky_golay(curve, 0, 25, 2) == pytest.approx(curve[:, 0], abs=1e-9)
    assert bayes_shrink(curve, 0, 3, 1.0)[50:-50] == pytest.approx(curve[50:-50, 0], abs=1e-3)
    assert hampel(leap, 0, 9, 5.0, 1.0) == pytest.approx(curve[:, 0], abs=0.02)


def test_missing_values_are_carried_or_bridged():
    column = np.array([np.nan, 1.0, np.nan, 3.0])
    assert carried(column).tolist() == [1.0, 1.0, 1.0, 3.0]
    assert bridged(column).tolist() == [1.0, 1.0, 2.0, 3.0]


def test_the_search_finds_the_best_and_every_family_is_named(walk):
    noisy = trial(walk, "0 dB", 0).rows[:1_000]
    every = families(noisy)
    assert [family.name for family in every] == list(FAMILIES)
    best = every[0].tuned(noisy, walk.clean[:1_000], 0)
    errors = {
        one: np.mean((every[0].apply(noisy, 0, *one) - walk.clean[:1_000, 0]) ** 2)
        for one in every[0].grid
    }
    assert min(errors, key=lambda one: errors[one]) == best


@pytest.mark.parametrize("kind", ["5 dB", "coloured", "drop-outs", "impulsive", "quantised"])
def test_noise_is_as_large_as_it_is_called_and_only_where_it_is_wanted(walk, kind):
    assert kind in kinds(walk)
    added = trial(walk, kind, 0).rows - walk.clean
    assert not added[:, 1].any()
    level = np.nanvar(added[:, 0]) / walk.deviation[0] ** 2
    expected = {
        "5 dB": 10**-0.5,
        "coloured": 0.1,
        "drop-outs": 0.1,
        "impulsive": 0.1 + 0.01 * 64,
        "quantised": 0.25 / 12,
    }[kind]
    assert level == pytest.approx(expected, rel=0.25)
    lost = np.isnan(added[:, 0]).mean()
    assert lost == pytest.approx(0.05 if kind == "drop-outs" else 0.0, abs=0.01)


def test_a_rough_channel_and_one_of_few_values_are_no_truth(walk):
    generator = np.random.default_rng(2)
    smooth = np.sin(np.arange(4_096) / 200)
    rough = smooth + 0.1 * generator.standard_normal(4_096)
    assert clean_channels(np.stack([rough, smooth, np.rint(smooth)], axis=1)).tolist() == [1]

"""Predictions of a walk under white noise, without a history to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from detector.signal.context import Context
from detector.signal.walks import walk_weights


def test_they_add_up_to_one():
    for context in (Context.of(64), Context.of(64, ahead=20)):
        weights = walk_weights(context)
        assert weights.shape[1] == len(context.lags)
        assert weights.sum(axis=1) == pytest.approx(1.0, abs=1e-9)


def test_one_of_them_is_the_kalman_filter_of_a_local_level():
    context = Context(target=0, lags=tuple(range(1, 41)), widths=(1,) * 40)
    before = (0.1 + np.sqrt(0.01 + 0.4)) / 2
    gain = before / (before + 1)  # of steps with a tenth of the noise variance
    expected = gain * (1 - gain) ** np.arange(40)
    assert np.abs(walk_weights(context) - expected).max(axis=1).min() < 1e-4


def test_some_of_them_follow_a_slope_from_both_sides_and_from_one():
    for context in (Context.of(64), Context.of(64, ahead=20)):
        line = context.target - np.array(context.lags) - (np.array(context.widths) - 1) / 2
        assert np.abs(walk_weights(context) @ line).min() < 1e-6

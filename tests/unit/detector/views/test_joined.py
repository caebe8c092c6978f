"""Two views in one detector: a reconstruction of 16 rows, and the level of the last 32."""

import numpy as np
import pytest
import torch

from detector.calibration.fusion import Fusion
from detector.scoring import Detector
from detector.views.joined import Views
from tests.support.fleets import make_fleet, trained, trained_with_two_views
from tests.support.views import LevelView


@pytest.fixture(scope="module")
def rows():
    return make_fleet().noisy[0]


def score(detector: Detector, rows, ends, group=1):
    ends = np.asarray(ends, dtype=np.int64)
    return detector.score(rows, ends, np.full(len(ends), group, dtype=np.int32))


def level(detector: Detector, window, group):
    """The level view's feature of one window, without any of its code."""
    scaler = detector.signal.scaler
    return np.abs(np.nanmean((window - scaler.center[0]) / scaler.scale[0], axis=0))


def test_the_receptive_field_is_the_largest(rows):
    detector = trained_with_two_views()

    assert [view.receptive_field for view in detector.views][:2] == [16, 32]
    assert detector.receptive_field == 32
    assert len(score(detector, rows, [31]).score) == 1
    with pytest.raises(ValueError, match=r"ends must lie in 31\.\."):
        score(detector, rows, [30])


def test_a_second_view_changes_no_weight_of_the_first():
    one, two = (d.signal.tensors() for d in (trained(), trained_with_two_views()))

    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("group", [0, 1, 2])
def test_a_score_and_its_shares_are_the_4_norm_over_all_views(rows, group):
    detector = trained_with_two_views()
    rows = rows[:400].copy()
    rows[200:, 2] += 9
    rows[300:305, 0] = np.nan
    ends = np.arange(31, 400)

    scores = score(detector, rows, ends, group)

    prepared = detector.signal.prepare(rows, np.array(group))
    short = detector.signal.measure(prepared, torch.from_numpy(ends)).features.numpy()
    long = np.stack([level(detector, rows[end - 31 : end + 1], group) for end in ends])
    fusion = detector.head.fusion
    assert isinstance(fusion, Fusion)
    features = np.concatenate([short, long[None]])
    z = np.maximum(0, features - fusion.middle[:, [group]]) / fusion.reach[:, [group]]
    parts = (z**4).sum(0)
    np.testing.assert_allclose(scores.raw, parts.sum(1) ** 0.25, rtol=2e-3, atol=2e-3)
    flagged = parts[scores.flagged]
    assert len(flagged) > 100
    share = (z[5] ** 4).sum(1) / parts.sum(1)
    assert share[scores.flagged].max() > 0.01  # the second view has a say
    np.testing.assert_allclose(
        scores.contribution[scores.flagged], flagged / flagged.sum(1, keepdims=True), atol=2e-3
    )


def test_expected_values_and_latent_vectors_are_the_signal_views(rows):
    one, two, ends = trained(), trained_with_two_views(), np.arange(31, 500)

    assert np.array_equal(score(one, rows, ends).expected, score(two, rows, ends).expected)
    assert np.array_equal(one.encode(rows, ends, 1), two.encode(rows, ends, 1))
    assert one.decode(np.zeros((1, 8), np.float32), 1).shape == (1, 16, 4)


def test_a_longer_view_does_not_hide_that_a_sensor_has_gone_dark(rows):
    """Nine of the signal view's 16 rows are too many, though not of 32."""
    detector, rows = trained_with_two_views(), rows[:200].copy()
    rows[100:, 2] = np.nan

    scores = score(detector, rows, np.arange(100, 110))

    assert (scores.score[:8] < 1).all()
    assert (scores.score[8:] >= 1).all()
    assert scores.contribution[-1].tolist() == [0, 0, 1, 0]


def test_what_was_missing_before_the_signal_views_window_is_forgotten(rows):
    detector, rows = trained_with_two_views(), rows[:200].copy()
    rows[80:85, 2] = rows[100:105, 2] = np.nan

    assert (score(detector, rows, np.arange(100, 110)).score < 1).all()


def test_a_second_view_may_come_first(rows):
    detector = trained_with_two_views()
    signal, second, _ = detector.views
    turned = Views([second, signal])

    prepared = turned.prepare(rows, np.array(1))
    found = turned.measure(prepared, torch.tensor([31, 40]))
    features, expected, latent = found.features, found.expected, found.latent

    assert turned.signal is signal
    own = signal.measure(prepared[1], torch.tensor([31, 40]))
    assert expected is not None
    assert own.expected is not None
    assert torch.equal(expected, own.expected)
    assert torch.equal(features[1:], own.features)
    assert latent is not None
    assert own.latent is not None
    assert torch.equal(latent, own.latent)


def test_views_without_a_reconstruction_are_rejected():
    center = np.zeros(4)
    level = LevelView(center, center + 1, receptive_field=4, device=torch.device("cpu"))

    with pytest.raises(ValueError, match=r"needs a reconstruction view, got \['level'\]"):
        Views([level])

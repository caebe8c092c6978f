"""The scoring function, for every kind of model; its bits are in tests/property."""

import numpy as np
import pytest
import torch

from detector.models import KINDS
from detector.scoring import POOLED
from detector.training.train import train
from tests.support.fleets import SHAPE_ERRORS, make_config, make_fleet, make_series, trained


@pytest.fixture(params=KINDS)
def detector(request):
    return trained(request.param)


@pytest.fixture(scope="module")
def fleet():
    return make_fleet()


def score(detector, rows, ends, group=1):
    ends = np.asarray(ends, dtype=np.int64)
    return detector.score(rows, ends, np.full(len(ends), group, dtype=np.int32))


def reference(detector, rows, end, group):
    """Raw score of one window, said once more in a few lines of numpy."""
    size, scaler, fusion = detector.receptive_field, detector.signal.scaler, detector.head.fusion
    window = (rows[end - size + 1 : end + 1] - scaler.center[group]) / scaler.scale[group]
    output = detector.signal.model(torch.from_numpy(window[None].astype(np.float32)))[0].numpy()
    residual = window - output
    spans = [np.abs(residual[-1]), np.abs(residual[-8:].mean(0)), np.abs(residual.mean(0))]
    bends = np.sqrt((np.diff(window, 2, axis=0) ** 2).mean(0))
    features = np.stack([*spans, np.sqrt((residual**2).mean(0)), 0.02 / (0.02 + bends)])
    z = np.maximum(0, features - fusion.middle[:, group]) / fusion.reach[:, group]
    expected = output[-1] * scaler.scale[group] + scaler.center[group]
    return (z**4).sum() ** 0.25, expected, (z**4).sum(0) / (z**4).sum()


@pytest.mark.parametrize("group", [0, 1, 2])
def test_scores_are_those_of_the_reference(detector, fleet, group):
    rows, ends = fleet.noisy[1].copy(), np.arange(15, 700, 7)
    rows[200:220, 2] += 40

    scores = score(detector, rows, ends, group)

    for place, end in enumerate(ends):
        raw, expected, _ = reference(detector, rows, end, group)
        assert scores.raw[place] == pytest.approx(raw, rel=2e-3, abs=2e-3)
        step = 10.0**-detector.head.decimals
        assert (np.abs(scores.expected[place] - expected) < step + 1e-4 * np.abs(expected)).all()
        assert scores.score[place] == pytest.approx(
            float(scores.raw[place]) / detector.threshold_of(group), abs=1e-6
        )


def test_shares_of_a_score_sum_to_one_and_name_the_channel(detector, fleet):
    rows = fleet.noisy[0].copy()
    rows[300:, 2] += 15 * rows[:, 2].std()

    scores = score(detector, rows, np.arange(280, 320))

    assert 20 + 280 in scores.flagged + 280
    assert (scores.score[scores.flagged] >= 1).all()
    assert len(scores.flagged) == (scores.score >= 1).sum()
    assert np.allclose(scores.contribution.sum(1), 1, atol=1e-6)
    assert scores.contribution[20].argmax() == 2


def test_quiet_data_is_seldom_flagged(detector):
    later = make_fleet(rows=6000).noisy[0][3000:]

    scores = score(detector, later, np.arange(15, 3000))

    assert (scores.score >= 1).mean() < 0.005
    assert np.median(scores.score) < 0.7
    assert np.median(scores.p_value) > 0.1


FAULTS = {
    "spike": lambda w, s: w + s * np.eye(len(w))[:, [200]][:, 0] * 8,
    "level shift": lambda w, s: w + s * (np.arange(len(w)) >= 200) * 3,
    "drift": lambda w, s: w + s * np.clip((np.arange(len(w)) - 200) / 20, 0, None),
    "stuck": lambda w, s: np.where(np.arange(len(w)) >= 200, w[200], w),
    "noise burst": lambda w, s: (
        w + s * 3 * (np.arange(len(w)) >= 200) * np.random.default_rng(0).standard_normal(len(w))
    ),
    "broken correlation": lambda w, s: np.where(np.arange(len(w)) >= 200, w[::-1], w),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("channel", [0, 1, 3])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_a_fault_is_found(kind, fleet, fault, channel):
    """Not with PCA: on curved laws its residual is too large to show a drift or a lie."""
    detector, rows = trained(kind), fleet.noisy[0][1000:1300].copy()
    rows[:, channel] = FAULTS[fault](rows[:, channel], rows[:, channel].std())

    scores = score(detector, rows, np.arange(15, 300))

    assert (scores.score[:185] < 1).all()
    assert scores.score[185:].max() >= 1


def test_every_value_of_a_score_is_finite(detector, fleet):
    rows = fleet.noisy[0][:200].copy()
    rows[50, 0], rows[80:90], rows[120, 1], rows[130, 2] = np.inf, np.nan, 1e300, -1e300

    scores = score(detector, rows, np.arange(15, 200))

    for values in (scores.score, scores.raw, scores.p_value, scores.expected, scores.denoised):
        assert np.isfinite(values).all()
    assert ((scores.p_value > 0) & (scores.p_value <= 1)).all()


def test_the_callers_rows_are_not_written_to(detector, fleet):
    rows = fleet.noisy[0][:200].copy()
    rows[50, 0] = np.nan
    before = rows.copy()
    rows.setflags(write=False)  # as they arrive in a Ray actor

    score(detector, rows, np.arange(15, 200))

    assert np.array_equal(rows, before, equal_nan=True)


def test_no_sample_gives_no_score(detector):
    scores = score(detector, np.zeros((0, 4)), [])

    assert len(scores.score) == len(scores.flagged) == 0
    assert scores.expected.shape == scores.denoised.shape == (0, 4)


@pytest.mark.parametrize(
    ("rows", "ends", "groups", "message"),
    [
        (np.zeros((40, 3)), [20], [0], r"rows must be \[T, 4\]"),
        (np.zeros((40, 4)), [14], [0], r"ends must lie in 15\.\.39"),
        (np.zeros((40, 4)), [40], [0], r"ends must lie in 15\.\.39"),
        (np.zeros((40, 4)), [20], [3], r"groups must lie in 0\.\.2"),
        (np.zeros((40, 4)), [20], [-1], r"groups must lie in 0\.\.2"),
        (np.zeros((40, 4)), [20, 25], [0, 1], "windows of two groups overlap"),
    ],
)
def test_an_impossible_request_is_rejected(rows, ends, groups, message):
    with pytest.raises(ValueError, match=message):
        trained().score(rows, np.array(ends), np.array(groups, dtype=np.int32))


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_window_shorter_or_longer_than_the_model_takes_is_rejected(length):
    with pytest.raises(ValueError, match=r"lengths must lie in 16\.\.16"):
        trained().score(
            np.zeros((40, 4)),
            np.array([20]),
            np.array([0], dtype=np.int32),
            lengths=np.array([length]),
        )


def test_whole_windows_with_their_times_are_scored_as_without(detector, fleet):
    rows, ends = fleet.noisy[0][:60], np.arange(15, 60)
    groups = np.ones(len(ends), dtype=np.int32)
    alone = detector.score(rows, ends, groups)
    told = detector.score(
        rows, ends, groups, lengths=np.full(len(ends), 16), times=np.arange(60) * 10**9
    )
    assert (told.score == alone.score).all()
    assert not told.partial.any()


def test_a_time_for_each_row_or_none():
    with pytest.raises(ValueError, match="one time for each row"):
        trained().score(
            np.zeros((40, 4)), np.array([20]), np.array([0], np.int32), times=np.arange(39)
        )


def test_an_end_without_its_group_is_rejected():
    with pytest.raises(SHAPE_ERRORS):
        trained().score(np.zeros((40, 4)), np.array([20, 21]), np.array([0], dtype=np.int32))


def test_an_unseen_sensor_is_scored_with_the_pooled_numbers(detector):
    assert detector.group_of("s1") == 2
    assert detector.group_of("never seen") == POOLED

    unseen = make_fleet(seed=77).noisy[0]
    scores = score(detector, unseen, np.arange(15, 2000), detector.group_of("never seen"))

    assert (scores.score >= 1).mean() < 0.02


def test_latent_vectors_come_with_the_scores_and_lead_back_to_the_windows(detector, fleet):
    rows, ends = fleet.noisy[0][:300], np.arange(15, 300)

    latent = detector.encode(rows, ends, 1)
    windows = detector.decode(latent, 1)

    assert latent.shape == (285, detector.signal.model.latent_size)
    assert np.array_equal(score(detector, rows, ends).latent, latent)
    assert windows.shape == (285, 16, 4)
    step = 10.0**-detector.head.decimals
    assert np.abs(windows[:, -1] - score(detector, rows, ends).expected).max() < step.max() * 2
    assert detector.encode(rows, ends[:0], 1).shape == (0, detector.signal.model.latent_size)


def test_published_values_carry_no_more_decimals_than_the_channel_deserves(detector, fleet):
    scores = score(detector, fleet.noisy[0], np.arange(15, 500))

    for channel, decimals in enumerate(detector.head.decimals):
        for values in (scores.expected, scores.denoised):
            column = values[:, channel]
            assert (column == np.round(column, decimals)).all()
    resolution = 10.0**-detector.head.decimals
    assert (resolution <= 1e-4 * detector.signal.scaler.scale.min(0) * 1.0001).all()


class TestMissingValues:
    """Policy: carried forward inside the window, no weight in the score, too many are a fault."""

    def test_a_missing_value_changes_the_score_only_as_much_as_filling_it_does(self, fleet):
        detector, rows = trained(), fleet.noisy[0][:200].copy()
        rows[100, 1] = np.nan

        scores = score(detector, rows, np.arange(15, 200))

        assert (scores.score < 1).all()

    def test_what_came_before_the_window_does_not_reach_it(self, fleet):
        """Row 100 is missing; it is the window's first row, so row 99 must not be carried in."""
        detector, rows = trained(), fleet.noisy[0][:200].copy()
        rows[100, 1] = np.nan
        other = rows.copy()
        other[99, 1] = 1e6

        assert score(detector, rows, [115]).raw == score(detector, other, [115]).raw
        assert score(detector, rows, [114]).raw != score(detector, other, [114]).raw

    def test_filled_values_have_no_weight(self):
        """A channel that is missing in the whole window adds nothing to the score."""
        detector, rows = trained(), make_fleet().noisy[0][:16].copy()
        rows[:, 1] = np.nan
        prepared = detector.signal.prepare(rows, np.array(1))

        windows, mask = detector.signal.windows(prepared, torch.tensor([0]))
        measured = detector.signal.measure(prepared, torch.tensor([15]))

        assert mask is not None
        assert (windows[0, :, 1] == 0).all()
        assert (mask[0, :, 1] == 0).all()
        assert (measured.features[:, 0, 1] == 0).all()  # nor does it count as frozen
        assert (measured.features[:, 0, 0] > 0).all()

    def test_a_channel_missing_for_more_than_its_limit_is_an_anomaly(self, fleet):
        detector, rows = trained(), fleet.noisy[0][:200].copy()
        limit = int(detector.head.missing_limit[1, 2])
        rows[100:150, 2] = np.nan

        scores = score(detector, rows, np.arange(100, 150))

        assert limit == 8
        assert (scores.score[:limit] < 1).all()
        assert (scores.score[limit:] >= 1).all()
        assert scores.contribution[-1].tolist() == [0, 0, 1, 0]

    def test_what_training_has_shown_to_be_normal_is_no_anomaly(self):
        fleet = make_fleet(sensors=1)
        values = fleet.noisy[0].copy()
        values[np.arange(len(values)) % 4 != 0, 3] = np.nan  # measured every fourth time

        detector = train([make_series(values)], make_config())
        scores = score(detector, values, np.arange(2500, 3000))

        assert detector.head.missing_limit[1].tolist() == [8, 8, 8, 16]
        assert (scores.score >= 1).mean() < 0.02

    def test_a_missing_value_is_published_as_it_is_predicted(self, fleet):
        detector, rows = trained(), fleet.noisy[0][:200].copy()
        rows[100, 0] = np.nan

        scores = score(detector, rows, [100])

        for value in (scores.denoised[0, 0], scores.expected[0, 0]):
            assert abs(value - fleet.clean[0][100, 0]) < 300


@pytest.fixture(scope="module")
def constant():
    values = make_fleet(sensors=1).noisy[0].copy()
    values[:, 3] = 50.0
    return train([make_series(values)], make_config()), values


class TestConstantChannels:
    """Policy: a channel that never moved in training takes part; any real movement is a fault."""

    def test_it_raises_no_alarm_while_it_stands_still(self, constant):
        detector, values = constant

        assert (score(detector, values, np.arange(2000, 3000)).score < 1).mean() > 0.995

    def test_it_raises_one_when_it_moves(self, constant):
        detector, values = constant
        moved = values.copy()
        moved[2500:, 3] = 52.0

        scores = score(detector, moved, [2499, 2500])

        assert scores.score[0] < 1 <= scores.score[1]
        assert scores.contribution[1].argmax() == 3

    def test_rounding_noise_is_no_movement(self, constant):
        detector, values = constant
        rounded = values.copy()
        rounded[:, 3] += 1e-9 * np.random.default_rng(0).standard_normal(len(values))

        scores = score(detector, rounded, np.arange(2000, 3000))

        assert (scores.score < 1).mean() > 0.995


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device (torch sees none)")
def test_a_gpu_gives_the_scores_of_the_cpu(detector, fleet):
    rows, ends = fleet.noisy[0].copy(), np.arange(15, 3000)
    rows[300:, 2] += 500
    cpu, gpu = score(detector.to("cpu"), rows, ends), score(detector.to("cuda"), rows, ends)

    # The order of additions differs between devices: low bits may, flags and ids may not.
    assert np.allclose(cpu.score, gpu.score, rtol=1e-4, atol=1e-4)
    assert np.array_equal(cpu.flagged, gpu.flagged)

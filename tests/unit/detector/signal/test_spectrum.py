"""White noise and what can be done about it, told from the spectrum."""

import numpy as np
import pytest

from detector.signal.spectrum import SEGMENT, WhiteNoise, white_noise, wiener_bound


def walk(rows, *, step=1.0, seed=0):
    return np.cumsum(step * np.random.default_rng(seed).standard_normal((rows, 1)), axis=0)


def white(rows, seed=1):
    return np.random.default_rng(seed).standard_normal((rows, 1))


def noise_of(*pieces):
    return white_noise(pieces).variance


@pytest.mark.parametrize("step", [0.05, 0.3, 1.0])
def test_the_floor_of_a_random_walk_in_noise_is_the_noise(step):
    assert noise_of(walk(20_000, step=step) + 2.0 * white(20_000))[0] == pytest.approx(4.0, rel=0.1)


def test_a_random_walk_alone_has_no_floor():
    assert (
        noise_of(np.concatenate([walk(20_000, seed=seed) for seed in range(4)], axis=1)).max() == 0
    )


def test_a_smooth_signal_alone_has_no_floor():
    assert noise_of(np.cumsum(walk(20_000), axis=0))[0] == 0


def test_of_white_readings_all_is_noise():
    assert noise_of(3.0 * white(20_000))[0] == pytest.approx(9.0, rel=0.1)


def test_steps_and_spikes_in_some_segments_do_not_count():
    rows = white(20_000)
    rows[5_000:] += 100.0
    rows[::1_500] += 50.0

    assert noise_of(rows)[0] == pytest.approx(1.0, rel=0.15)


def test_a_jump_between_two_pieces_does_not_count():
    pieces = [white(100, seed) + 1000.0 * (seed % 2) for seed in range(200)]

    assert noise_of(*pieces)[0] == pytest.approx(1.0, rel=0.1)


def test_a_few_missing_values_are_bridged():
    rows = walk(20_000, step=0.1) + white(20_000)
    rows[np.random.default_rng(2).random(rows.shape) < 0.05] = np.nan

    assert noise_of(rows)[0] == pytest.approx(1.0, rel=0.15)


def test_too_few_segments_show_nothing():
    enough = SEGMENT + 7 * SEGMENT // 2

    assert noise_of(white(enough - 1))[0] == 0
    assert noise_of(white(enough))[0] > 0


def test_a_channel_without_values_or_without_movement_has_no_noise():
    rows = np.concatenate([white(1000), np.full((1000, 1), np.nan), np.ones((1000, 1))], axis=1)

    found = noise_of(rows)

    assert found[0] > 0
    assert (found[1:] == 0).all()


@pytest.mark.parametrize("ratio", [0.01, 0.1, 1.0])
def test_the_bound_of_a_random_walk_in_noise_is_that_of_the_steady_kalman_filter(ratio):
    """Its gain K is (-q + sqrt(q^2 + 4q)) / 2; filter: K R, smoother: q R / sqrt(q^2 + 4q)."""
    variance, step = 4.0, np.sqrt(ratio * 4.0)
    rows = [walk(30_000, step=step, seed=n) + 2.0 * white(30_000, seed=n + 9) for n in range(4)]
    together = np.concatenate(rows, axis=1)

    bound = wiener_bound([together], white_noise([together]))

    root = np.sqrt(ratio**2 + 4 * ratio)
    assert bound.causal.mean() == pytest.approx(variance * (root - ratio) / 2, rel=0.12)
    assert bound.smoother.mean() == pytest.approx(variance * ratio / root, rel=0.12)


def test_of_a_white_signal_in_white_noise_hindsight_tells_no_more():
    """S R / (S + R) for both, where the spectrum itself is looked at (the lowest bins)."""
    rows = np.sqrt(3.0) * white(20_000, seed=3)
    noise = WhiteNoise(variance=np.array([1.0]), slope=np.zeros((3, 1)))

    bound = wiener_bound([rows], noise)

    looked_at = 4 / (SEGMENT // 2)
    assert bound.smoother[0] == pytest.approx(looked_at * 2 / 3, rel=0.1)
    assert bound.causal[0] == pytest.approx(1 - 3**-looked_at, rel=0.1)


def test_without_noise_there_is_nothing_to_bound():
    rows = walk(5_000)

    bound = wiener_bound([rows], white_noise([rows]))

    assert (bound.causal[0], bound.smoother[0]) == (0, 0)

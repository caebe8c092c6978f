"""The latent space as a place to work in."""

import dataclasses

import numpy as np
import pytest

from detector.latent import (
    LatentSpace,
    arithmetic,
    average,
    decode,
    encode,
    generate_near,
    interpolate,
)
from tests.support.fleets import SHAPE_ERRORS
from tests.support.models import plant_values, quick_detector
from tests.support.views import LevelTraining

SIZE, CHANNELS, LATENTS = 8, 3, 4  # of `quick_detector`


@pytest.fixture(scope="module")
def detector():
    return quick_detector()


@pytest.fixture(scope="module")
def windows():
    """Forty windows of sensor s0 that do not overlap."""
    return plant_values(40 * SIZE, seed=0).reshape(40, SIZE, CHANNELS)


def rebuilt(detector, windows, group=1):
    return decode(detector, encode(detector, windows, group), group)


def close(found, expected):
    """Equal but for the low bits of a batch of another size."""
    scale = np.abs(expected).max()
    return np.abs(found - expected).max() < 1e-5 * scale


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_encoding_gives_the_bits_that_scoring_gives(detector, windows, missing):
    values = windows.copy()
    values[np.random.default_rng(0).random(values.shape) < missing] = np.nan
    rows, ends = values.reshape(-1, CHANNELS), np.arange(1, 41) * SIZE - 1

    latents = encode(detector, values, 2)

    scores = detector.score(rows, ends, np.full(40, 2, np.int32))
    assert np.array_equal(latents, scores.latent)


def test_encoding_needs_the_windows_of_the_signal_view_alone(windows):
    """A further view of the detector looks farther back; it does not encode."""
    detector = quick_detector((LevelTraining(receptive_field=2 * SIZE),))
    assert detector.receptive_field == 2 * SIZE

    assert encode(detector, windows, 1).shape == (40, LATENTS)


def test_each_window_is_encoded_by_its_own_group(detector, windows):
    groups = np.arange(40) % 3

    latents = encode(detector, windows, groups)

    for group in range(3):
        own = groups == group
        assert np.array_equal(latents[own], encode(detector, windows, group)[own])
    assert not np.array_equal(latents, encode(detector, windows, 1))


def test_a_decoded_window_ends_with_what_the_detector_expected(detector, windows):
    rows, ends = windows.reshape(-1, CHANNELS), np.arange(1, 41) * SIZE - 1
    scores = detector.score(rows, ends, np.ones(40, np.int32))

    assert close(rebuilt(detector, windows)[:, -1], scores.expected)


def test_no_window_has_no_latent(detector):
    latents = encode(detector, np.zeros((0, SIZE, CHANNELS)), 1)

    assert latents.shape == (0, LATENTS)
    assert decode(detector, latents, 1).shape == (0, SIZE, CHANNELS)


@pytest.mark.parametrize(
    "shape", [(3, SIZE - 1, CHANNELS), (3, SIZE, CHANNELS + 1), (SIZE, CHANNELS)]
)
def test_windows_of_another_shape_are_rejected(detector, shape):
    with pytest.raises(SHAPE_ERRORS):
        encode(detector, np.zeros(shape), 1)


@pytest.mark.parametrize("group", [-1, 3])
def test_an_unknown_group_is_rejected_with_those_that_there_are(detector, windows, group):
    with pytest.raises(ValueError, match=r"group must lie in 0\.\.2, got"):
        encode(detector, windows, group)
    with pytest.raises(ValueError, match=r"group must lie in 0\.\.2, got"):
        decode(detector, np.zeros((1, LATENTS), np.float32), group)


def test_latents_of_another_width_or_not_finite_are_rejected(detector):
    with pytest.raises(ValueError, match=r"latents must be \[n, 4\], got \[2, 7\]"):
        decode(detector, np.zeros((2, 7), np.float32), 1)
    with pytest.raises(ValueError, match="finite"):
        decode(detector, np.full((1, LATENTS), np.nan, np.float32), 1)


def drawn(*, seed=0, n=4000):
    """Latents that spread by 3, 1 and 0 along axes turned in space."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(np.random.default_rng(9).standard_normal((3, 3)))
    values = rng.standard_normal((n, 3)) * [3.0, 1.0, 0.0]
    return (values @ axes.T + 5.0).astype(np.float32), axes.T


def test_a_space_finds_the_axes_along_which_latents_spread():
    latents, axes = drawn()

    space = LatentSpace.of(latents)

    assert space.deviations == pytest.approx([3.0, 1.0, 0.0], rel=0.05, abs=1e-3)
    assert np.abs(space.axes @ axes.T)[:2, :2] == pytest.approx(np.eye(2), abs=0.05)
    assert (np.take_along_axis(space.axes, np.abs(space.axes).argmax(1)[:, None], 1) > 0).all()


def test_a_projection_keeps_the_most_spread_first_and_apart():
    latents, _ = drawn()

    points = LatentSpace.of(latents).project(latents)

    assert points.shape == (4000, 2)
    assert points.std(axis=0) == pytest.approx([3.0, 1.0], rel=0.05)
    assert np.corrcoef(points.T)[0, 1] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("dimensions", [0, 4])
def test_no_more_dimensions_than_there_are(dimensions):
    with pytest.raises(ValueError, match=r"dimensions must be in 1\.\.3"):
        LatentSpace.of(drawn()[0]).project(drawn()[0], dimensions)


def flat(*, size=5):
    """Latents of whole numbers: the last two of five never move at all."""
    latents = np.random.default_rng(1).integers(-8, 9, (500, size)).astype(np.float32)
    latents[:, 3:] = 2.0
    return latents


def test_usual_latents_are_one_standard_deviation_from_the_middle():
    """And what does not spread counts neither as an axis nor as a distance."""
    latents = flat()

    space = LatentSpace.of(latents)

    assert space.rank == 3
    squares = np.square(space.standard_deviations(latents))
    assert squares.mean() == pytest.approx(499 / 500)


@pytest.mark.parametrize("radius", [0.0, 0.25, 3.0])
def test_neighbours_lie_at_the_radius_and_leave_no_axis_without_spread(radius):
    space = LatentSpace.of(flat())
    middle = space.mean.astype(np.float32)

    near = space.neighbours(middle, radius=radius, count=50, generator=np.random.default_rng(0))

    assert space.standard_deviations(near) == pytest.approx(radius, abs=1e-5)
    assert np.array_equal(near[:, 3:], np.full((50, 2), 2.0, np.float32))
    if radius:
        assert np.abs(near - near[0])[1:].max(axis=1).min() > 0


@pytest.mark.parametrize(("radius", "count"), [(-1.0, 1), (np.nan, 1), (1.0, -1)])
def test_a_radius_or_a_count_below_zero_is_rejected(radius, count):
    space = LatentSpace.of(flat())
    with pytest.raises(ValueError, match="must be"):
        space.neighbours(flat()[0], radius=radius, count=count, generator=np.random.default_rng(0))


def test_a_space_of_one_latent_or_of_none_that_is_finite_is_rejected():
    with pytest.raises(ValueError, match="at least 2 latents"):
        LatentSpace.of(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match="finite"):
        LatentSpace.of(np.full((3, 3), np.inf, np.float32))


def near(detector, windows, *, radius, seed=0, count=30):
    return generate_near(
        detector,
        windows[0],
        1,
        space=LatentSpace.of(encode(detector, windows, 1)),
        radius=radius,
        count=count,
        generator=np.random.default_rng(seed),
    )


def test_a_window_near_one_at_no_distance_is_its_reconstruction(detector, windows):
    made = near(detector, windows, radius=0.0)

    assert made.shape == (30, SIZE, CHANNELS)
    assert all(close(one, rebuilt(detector, windows[:1])[0]) for one in made)


def test_windows_farther_away_differ_more_and_a_seed_gives_the_same(detector, windows):
    scale = detector.signal.scaler.scale[1]
    middle = rebuilt(detector, windows[:1])[0]

    sizes = [
        np.sqrt(np.square((near(detector, windows, radius=radius) - middle) / scale).mean())
        for radius in (0.1, 0.5, 2.0)
    ]

    assert 0 < sizes[0] < sizes[1] < sizes[2]
    assert np.array_equal(near(detector, windows, radius=1.0), near(detector, windows, radius=1.0))
    assert not np.array_equal(
        near(detector, windows, radius=1.0), near(detector, windows, radius=1.0, seed=1)
    )


def test_the_average_of_one_is_its_reconstruction_and_of_two_lies_between(detector, windows):
    first = rebuilt(detector, windows[:1])[0]

    assert close(average(detector, windows[:1], 1), first)
    middle = encode(detector, windows[:2], 1).mean(axis=0, keepdims=True)
    assert close(average(detector, windows[:2], 1), decode(detector, middle, 1)[0])
    assert not close(average(detector, windows[:2], 1), first)


def test_an_average_over_sensors_reads_each_in_its_own_units(detector):
    """s1 says the same as s0 in other units: the average is the window in the units of s0."""
    scaler = detector.signal.scaler
    one = plant_values(SIZE, seed=0)
    other = (one - scaler.center[1]) / scaler.scale[1] * scaler.scale[2] + scaler.center[2]
    both = np.stack([one, other])

    made = average(detector, both, 1, groups=np.array([1, 2]))

    assert close(made, rebuilt(detector, one[None])[0])


def test_no_change_leaves_a_window_and_a_change_from_itself_gives_the_changed(detector, windows):
    a, b, c = windows[:1], windows[5:6], windows[9:10]

    assert close(arithmetic(detector, a, a, c, 1), rebuilt(detector, c)[0])
    assert close(arithmetic(detector, a, c, c, 1), rebuilt(detector, a)[0])
    expected = encode(detector, a, 1) - encode(detector, b, 1) + encode(detector, c, 1)
    assert close(arithmetic(detector, a, b, c, 1), decode(detector, expected, 1)[0])


def test_a_change_of_one_sensor_is_read_in_its_units_and_applied_in_those_of_another(
    detector, windows
):
    a, b, c = windows[:2], windows[5:6], windows[9:10]
    groups = (2, 2, 1)

    made = arithmetic(detector, a, b, c, 1, groups=groups)

    latents = [
        encode(detector, one, group).mean(axis=0, keepdims=True)
        for one, group in zip((a, b, c), groups, strict=True)
    ]
    assert close(made, decode(detector, latents[0] - latents[1] + latents[2], 1)[0])
    assert not close(made, arithmetic(detector, a, b, c, 1))


def test_a_path_leads_from_one_reconstruction_to_the_other_in_equal_steps(detector, windows):
    start, end = windows[0], windows[5]

    path = interpolate(detector, start, end, 1, steps=5)

    assert path.shape == (5, SIZE, CHANNELS)
    assert close(path[0], rebuilt(detector, start[None])[0])
    assert close(path[-1], rebuilt(detector, end[None])[0])
    first, last = encode(detector, np.stack([start, end]), 1)
    middle = ((first + last) / 2)[None]
    assert close(path[2], decode(detector, middle, 1)[0])


def test_a_path_of_one_step_is_rejected(detector, windows):
    with pytest.raises(ValueError, match="steps must be at least 2"):
        interpolate(detector, windows[0], windows[1], 1, steps=1)


def test_a_mean_of_nothing_is_rejected(detector, windows):
    with pytest.raises(ValueError, match="windows: a mean needs at least one window"):
        average(detector, windows[:0], 1)
    with pytest.raises(ValueError, match="b: a mean needs at least one window"):
        arithmetic(detector, windows, windows[:0], windows, 1)


def test_a_window_with_missing_values_is_rejected_by_its_name(detector, windows):
    broken = windows.copy()
    broken[0, 3, 1] = np.nan
    message = "1 of 24 values are missing"

    with pytest.raises(ValueError, match=f"window: {message}"):
        near(detector, broken, radius=1.0)
    with pytest.raises(ValueError, match=f"end: {message}"):
        interpolate(detector, windows[1], broken[0], 1, steps=3)
    with pytest.raises(ValueError, match=f"c: {message}"):
        arithmetic(detector, windows, windows, broken[:1], 1)


def test_what_comes_in_is_not_written_to(detector, windows):
    before = windows.copy()
    space = LatentSpace.of(encode(detector, windows, 1))
    parts = {name: value.copy() for name, value in dataclasses.asdict(space).items()}

    near(detector, windows, radius=1.0)
    arithmetic(detector, windows, windows, windows, 1)

    assert np.array_equal(windows, before)
    assert all(np.array_equal(getattr(space, name), value) for name, value in parts.items())

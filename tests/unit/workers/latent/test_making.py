"""Windows that are made of those of a history."""

import numpy as np
import pytest

from detector.latent import arithmetic, average, interpolate
from tests.support.histories import history_of, rows_of
from tests.support.models import quick_detector
from workers.latent.errors import LatentError
from workers.latent.making import averaged, between, changed, near
from workers.latent.windows import Place

EARLY, LATE = "2023-11-14T22:13:30Z", "2023-11-14T22:13:55Z"


@pytest.fixture(scope="module")
def detector():
    return quick_detector()


@pytest.fixture(scope="module")
def history():
    return history_of(rows_of("s0"), rows_of("s1", seed=2))


def place(text):
    return Place.parse(text)


def window(history, sensor, end):
    one = history.sensors[("s0", "s1").index(sensor)]
    return one.values[end - 7 : end + 1]


def test_windows_near_one_lie_at_the_radius_of_the_files_own_spread(detector, history):
    made = near(history, detector, place(f"s0@{EARLY}"), radius=0.3, count=12, seed=5)
    again = near(history, detector, place(f"s0@{EARLY}"), radius=0.3, count=12, seed=5)

    assert made.windows.shape == (12, 8, 3)
    assert (made.operation, made.sensor, made.seed) == ("near", "s0", 5)
    assert made.numbers is not None
    assert made.numbers.tolist() == [0.3] * 12
    assert np.array_equal(made.windows, again.windows)
    still = near(history, detector, place(f"s0@{EARLY}"), radius=0.0, count=1, seed=5)
    assert np.abs(made.windows - still.windows).max() > 0


def test_an_average_is_that_of_all_places_in_the_units_of_one_sensor(detector, history):
    places = [place(f"s0@{EARLY}"), place(f"s1@{LATE}")]

    made = averaged(history, detector, places, sensor="s1")

    both = np.stack([window(history, "s0", 10), window(history, "s1", 35)])
    expected = average(detector, both, 2, groups=np.array([1, 2]))
    assert np.array_equal(made.windows[0], expected)
    assert [one.name for one in made.sources] == [f"of: s0@{EARLY}", f"of: s1@{LATE}"]


def test_an_average_over_sensors_needs_to_know_whose_it_is(detector, history):
    places = [place(f"s0@{EARLY}"), place(f"s1@{LATE}")]

    with pytest.raises(LatentError, match=r"of 2 sensors \(s0, s1\)"):
        averaged(history, detector, places)
    with pytest.raises(LatentError, match="no sensor 's7'; there are s0, s1"):
        averaged(history, detector, places, sensor="s7")


def test_a_change_is_read_in_the_units_of_its_sensor_and_applied_to_the_other(detector, history):
    made = changed(
        history, detector, place(f"s0@{LATE}"), place(f"s0@{EARLY}"), place(f"s1@{EARLY}")
    )

    expected = arithmetic(
        detector,
        window(history, "s0", 35)[None],
        window(history, "s0", 10)[None],
        window(history, "s1", 10)[None],
        2,
        groups=(np.array([1]), np.array([1]), np.array([2])),
    )
    assert np.array_equal(made.windows[0], expected)
    assert made.sensor == "s1"
    assert [one.name[0] for one in made.sources] == ["A", "B", "C"]


def test_a_path_knows_how_far_each_window_is(detector, history):
    made = between(history, detector, place(f"s0@{EARLY}"), place(f"s0@{LATE}"), steps=5)

    expected = interpolate(
        detector, window(history, "s0", 10), window(history, "s0", 35), 1, steps=5
    )
    assert np.array_equal(made.windows, expected)
    assert made.numbers is not None
    assert made.numbers.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_path_between_two_sensors_is_rejected_with_what_does_it(detector, history):
    with pytest.raises(LatentError, match="vigie latent arithmetic"):
        between(history, detector, place(f"s0@{EARLY}"), place(f"s1@{LATE}"), steps=5)


def test_a_file_of_one_window_cannot_say_what_usual_is(detector):
    history = history_of(rows_of("s0", rows=8))

    with pytest.raises(LatentError, match="hold a single window"):
        near(history, detector, place("s0@2023-11-14T22:13:27Z"), radius=1.0, count=1, seed=0)


def test_several_windows_are_shown_as_the_mean_of_their_readings(detector, history):
    stretch = place(f"s0@{EARLY}/2023-11-14T22:13:31Z")

    (source,) = averaged(history, detector, [stretch]).sources

    mean = (window(history, "s0", 10) + window(history, "s0", 11)) / 2
    assert source.values == pytest.approx(mean)
    assert source.name.endswith("(2 windows)")


def test_a_window_that_the_model_reconstructs_as_another_is_said(detector):
    rows = rows_of("s0")
    rows.values[15:35, 1] += 60 * detector.head.residual[1, 1]
    history = history_of(rows, rows_of("s1", seed=2))

    sound = near(history, detector, place(f"s1@{EARLY}"), radius=0.1, count=1, seed=5)
    faulty = near(history, detector, place(f"s0@{LATE}"), radius=0.1, count=1, seed=5)

    assert sound.sources[0].unlike == {}
    assert faulty.sources[0].unlike[detector.channels[1]] > 3

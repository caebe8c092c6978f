"""The ways of sensors over the map: bounded, in order, back to the beginning of an hour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.page import cleaned_frame
from workers.gateway.live import LiveFeed
from workers.gateway.live.trails import PLACES, Trails

SECOND_NS = 10**9
START_S = 1_800_000_000


def at(second):
    return (START_S + second) * SECOND_NS


def trails(sensors=3):
    made = Trails()
    made.grow(sensors)
    return made


def walked(seconds, made=None, sensor=0):
    made = made or trails()
    for second in seconds:
        made.add(sensor, at(second), (second, -second), 0.5)
    return made


def times(made, sensor=0):
    return [ms // 1000 - START_S for ms in made.of(sensor)["ts"]]


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.integers(0, 40), min_size=1, max_size=400))
def test_a_trail_is_bounded_in_order_and_ends_where_the_sensor_is(steps):
    seconds = np.cumsum(steps).tolist()
    made = walked(seconds)
    found = times(made)

    assert len(found) <= PLACES
    assert found == sorted(set(found))
    assert set(found) <= set(seconds)
    assert found[-1] == seconds[-1]
    assert made.newest(0) == [seconds[-1], -seconds[-1]]
    assert made.of(0)["way"] == [[second, -second] for second in found]


@pytest.mark.parametrize("every", [1, 10, 45])
def test_an_hour_is_kept_in_even_steps_however_often_it_measures(every):
    found = times(walked(range(0, 3600, every)))

    assert PLACES / 2 - 1 <= len(found) <= PLACES
    assert found[0] <= 2 * 64
    assert np.ptp(np.diff(found[:-1])) == 0


def test_from_then_on_the_oldest_place_goes():
    found = times(walked(range(3 * 3600)))

    assert len(found) == PLACES
    assert 3 * 3600 - found[0] == pytest.approx(64 * PLACES, rel=0.05)


def test_a_sensor_that_measures_seldom_keeps_its_last_places():
    assert times(walked(range(0, 600 * 100, 600))) == [600 * n for n in range(100 - PLACES, 100)]


def test_what_comes_late_is_left_out():
    assert times(walked([10, 20, 15, 20, 30])) == [10, 20, 30]


def test_sensors_do_not_mix_and_one_can_be_forgotten():
    made = walked(range(100), sensor=0)
    walked([7], made, sensor=2)
    made.forget(0)
    made.grow(200)

    assert (made.newest(0), times(made, 0)) == (None, [])
    assert (made.newest(2), times(made, 2)) == ([7, -7], [7])


def test_the_background_is_where_sensors_were_normal():
    made = trails(50)
    for sensor in range(40):
        for second in range(PLACES):
            score = 3.0 if sensor % 2 else 0.2
            made.add(sensor, at(second), (float(sensor), float(second)), score)

    found = np.array(made.normal(np.arange(50)))
    alone = made.normal(np.array([1, 2]))

    assert found.shape == (512, 2)
    assert set(found[:, 0]) == set(range(0, 40, 2))
    assert {x for x, _ in alone} == {2}
    assert made.normal(np.array([], dtype=np.intp)) == []


def frame(sensor, second, place, *, score=0.5, model="m@1"):
    values: dict[str, list[float | None]] = {"flow": [1.0]}
    return cleaned_frame(sensor, [at(second)], [score], values, latent=place, model=model)


def test_the_map_holds_each_sensor_where_it_was_last():
    live = LiveFeed(max_sensors=5, labels_of=lambda name: {"site": name})
    live.add_frames([frame("a", 0, (0.5, 1.0)), frame("b", 0, None)])
    live.add_frames([frame("a", 5, (2.5, -1.0), score=2.0)])

    found = live.map(lambda _: True)

    assert [(one["sensor_id"], one["latent"]) for one in found["sensors"]] == [
        ("a", [2.5, -1.0]),
        ("b", None),
    ]
    assert found["normal"] == [[0.5, 1.0]]
    assert found["model"] == "m@1"
    assert live.map(lambda labels: labels["site"] == "b")["normal"] == []
    trail = live.trail("a")
    assert trail is not None
    assert (trail["way"], trail["scores"]) == ([[0.5, 1.0], [2.5, -1.0]], [0.5, 2.0])
    assert live.trail("nobody") is None
    delta = live.fleet_since(0, step_s=60, now_ns=at(6))
    assert [one["latent"] for one in delta["sensors"]] == [[2.5, -1.0], None]


def test_places_of_two_models_are_not_on_one_map():
    live = LiveFeed(max_sensors=5)
    live.add_frames([frame("a", 0, (0.5, 1.0)), frame("b", 0, (0.0, 0.0))])
    live.add_frames([frame("a", 1, (9.0, 9.0), model="m@2")])

    found = live.map(lambda _: True)

    assert found["model"] == "m@2"
    assert [one["latent"] for one in found["sensors"]] == [[9.0, 9.0], None]
    assert found["normal"] == [[9.0, 9.0]]


def test_a_sensor_in_the_place_of_a_silent_one_does_not_go_on_with_its_way():
    live = LiveFeed(max_sensors=2)
    live.add_frames([frame("a", 0, (0.5, 1.0))])
    live.add_frames([frame("b", 90_000, (0.0, 0.0))])
    live.add_frames([frame("c", 90_001, (3.0, 3.0))])

    trail = live.trail("c")
    assert trail is not None
    assert trail["way"] == [[3.0, 3.0]]
    assert live.trail("a") is None

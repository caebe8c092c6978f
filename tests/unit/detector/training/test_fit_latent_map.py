"""A finished detector has a map, and its artifact keeps it."""

from dataclasses import replace

import numpy as np

from detector.artifact import load, save
from detector.scoring import Detector
from detector.training.train import train
from tests.support.fleets import make_config, make_fleet, make_series
from tests.support.models import plant_values, small_detector


def scored(detector, rows):
    ends = np.arange(detector.receptive_field - 1, len(rows))
    return detector.score(rows, ends, np.ones(len(ends), np.int32))


def test_normal_readings_lie_in_the_middle_of_the_map_and_a_fault_does_not():
    detector = small_detector()
    rows = plant_values(900, seed=30)
    normal = detector.head.latent_map.places(scored(detector, rows).latent)
    rows[800:] += 30 * rows.std(axis=0)
    faulty = detector.head.latent_map.places(scored(detector, rows).latent[-1:])

    assert normal.std(axis=0).min() > 0.4
    assert normal.std(axis=0).max() < 2.5
    assert np.hypot(*faulty[0]) > 2 * np.hypot(*normal.T).max()


def test_machines_of_other_levels_share_one_map():
    fleet = make_fleet(rows=1500)
    values = [fleet.noisy[0], 4 * fleet.noisy[1] + 9000]
    config = make_config(max_steps=20, check_every=10)
    detector = train([make_series(one, sensor=f"s{n}") for n, one in enumerate(values)], config)

    for group, rows in enumerate(values, start=1):
        ends = np.arange(detector.receptive_field - 1, len(rows))
        places = detector.head.latent_map.places(detector.encode(rows, ends, group))
        assert np.abs(places.mean(axis=0)).max() < 1
        assert places.std(axis=0).min() > 0.2
        assert places.std(axis=0).max() < 2.5


def test_an_artifact_keeps_the_map(tmp_path):
    detector = small_detector()

    again = load(save(detector, tmp_path / "model"), "cpu")

    found, saved = again.head.latent_map, detector.head.latent_map
    assert np.array_equal(found.axes, saved.axes)


def test_an_older_artifact_has_none(tmp_path):
    detector = small_detector()
    older = Detector(detector.identity, detector.views, replace(detector.head, latent_map=None))

    assert load(save(older, tmp_path / "model"), "cpu").head.latent_map is None

"""Where windows lie on a map, and what is known of each."""

from dataclasses import replace

import numpy as np
import pytest

from detector.latent import encode
from detector.scoring import Detector
from tests.support.histories import history_of, rows_of
from tests.support.models import SECOND_NS, START_NS, quick_detector
from workers.backtest.backtest import score_history
from workers.latent.errors import LatentError
from workers.latent.mapping import STEPS, Method, map_of
from workers.latent.windows import all_windows


@pytest.fixture(scope="module")
def detector():
    return quick_detector()


@pytest.fixture(scope="module")
def history():
    return history_of(
        rows_of("s0", rows=120, labelled=slice(60, 80)), rows_of("s1", rows=120, seed=2)
    )


@pytest.fixture(scope="module")
def scored(detector, history):
    return score_history(history, detector)[0]


def test_a_window_lies_where_the_model_s_own_map_has_it(detector, history, scored):
    """So that it is the same place on the page, tomorrow, and in another file."""
    shown = map_of(history, detector, scored)

    windows = all_windows(history, detector, limit=10_000)
    places = detector.head.latent_map.places(encode(detector, windows.values, windows.groups))
    assert np.array_equal(shown.points, places)
    assert shown.sensors == windows.sensors


def test_a_model_without_a_map_takes_the_components_of_these_windows(detector, history, scored):
    older = Detector(detector.identity, detector.views, replace(detector.head, latent_map=None))

    shown = map_of(history, older, scored)

    expected = map_of(history, detector, scored, method=Method.PCA)
    assert np.array_equal(shown.points, expected.points)
    assert shown.axes == expected.axes
    assert shown.points[:, 0].var() > shown.points[:, 1].var()
    assert (shown.points[:, 0] * shown.points[:, 1]).mean() == pytest.approx(0, abs=1e-5)


def test_a_point_has_the_score_and_the_label_of_its_last_row(detector, history, scored):
    shown = map_of(history, detector, scored)

    assert shown.kinds is not None
    rows = (shown.ts_ns - START_NS) // SECOND_NS
    for place in range(0, len(shown), 7):
        one = scored[0 if shown.sensors[place] == "s0" else 1]
        assert shown.score[place] == one.score[rows[place]]
        inside = shown.sensors[place] == "s0" and 60 <= rows[place] < 80
        assert shown.kinds[place] == ("labelled" if inside else "not labelled")


def test_types_take_the_place_of_the_label(detector, history, scored):
    kinds = {
        "drift": history_of(rows_of("s0", rows=120, labelled=slice(60, 70))),
        "leak": history_of(rows_of("s1", rows=120, labelled=slice(10, 30))),
    }

    shown = map_of(history, detector, scored, kinds=kinds)

    assert shown.kinds is not None
    rows = (shown.ts_ns - START_NS) // SECOND_NS
    found = {
        word: {
            (sensor, int(row))
            for sensor, row, kind in zip(shown.sensors, rows, shown.kinds, strict=True)
            if kind == word
        }
        for word in kinds
    }
    assert found["drift"] == {("s0", row) for row in range(60, 70)}
    assert found["leak"] == {("s1", row) for row in range(10, 30)}


def test_without_labels_there_are_no_types(detector):
    history = history_of(rows_of("s0"))

    assert map_of(history, detector, score_history(history, detector)[0]).kinds is None


def test_a_way_leads_through_the_mean_places_of_its_time(detector, history, scored):
    shown = map_of(history, detector, scored, ways=["s1"])

    (way,) = shown.ways
    own = shown.points[np.array(shown.sensors) == "s1"]
    assert len(way.points) == STEPS
    assert way.points[0] == pytest.approx(own[:2].mean(axis=0))
    assert way.points.mean(axis=0) == pytest.approx(own.mean(axis=0), abs=0.1)
    assert (np.diff(way.ts_ns) > 0).all()


def test_a_way_of_a_sensor_that_is_not_there_is_told_with_those_that_are(detector, history, scored):
    with pytest.raises(LatentError, match="'s9' has no window on the map; there are s0, s1"):
        map_of(history, detector, scored, ways=["s9"])


def test_more_windows_than_the_limit_are_thinned(detector, history, scored):
    shown = map_of(history, detector, scored, limit=40)

    assert len(shown) == 40
    assert shown.title.startswith("40 windows in the latent space of vigie@1")


def test_neighbours_stay_together_in_t_sne_and_a_seed_gives_the_same_map(detector, history, scored):
    pytest.importorskip("sklearn", reason="needs scikit-learn: uv sync --all-extras")

    one, two = (
        map_of(history, detector, scored, method=Method.TSNE, limit=40, seed=3) for _ in range(2)
    )

    assert np.array_equal(one.points, two.points)
    assert one.axes == ("t-SNE 1 (no unit)", "t-SNE 2 (no unit)")
    windows = all_windows(history, detector, limit=40)
    latents = encode(detector, windows.values, windows.groups)
    distances = [np.linalg.norm(v[:, None] - v[None], axis=2) for v in (latents, one.points)]
    for each in distances:
        np.fill_diagonal(each, np.inf)
    nearest = distances[0].argmin(axis=1)
    ranks = (distances[1] < distances[1][np.arange(40), nearest][:, None]).sum(axis=1)
    assert np.median(ranks) < 5


def test_a_map_of_two_windows_asks_for_more_rows(detector):
    older = Detector(detector.identity, detector.views, replace(detector.head, latent_map=None))
    history = history_of(rows_of("s0", rows=9))

    with pytest.raises(LatentError, match="needs at least 3 windows, there are 2"):
        map_of(history, older, score_history(history, older)[0])

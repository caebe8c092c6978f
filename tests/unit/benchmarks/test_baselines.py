"""Every baseline: causal, learned from the training rows alone, never stopped by odd channels."""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.detection.baselines import BASELINES
from benchmarks.detection.baselines.base import Scaling, filled
from benchmarks.detection.detector import NamedDetector, Scored
from benchmarks.detection.registry import DETECTORS, choose
from benchmarks.detection.series import START_NS, History
from benchmarks.detection.vigie import PLAIN
from detector.evaluation import average_precision

N_TRAIN = 400


def make_rows(*, seed=0, n=700):
    """Three channels that move together, a constant one, a few gaps; an offset from 600 on."""
    rng = np.random.default_rng(seed)
    load = rng.normal(size=(n, 1))
    rows = np.concatenate([load @ [[1.0, 2.0, -1.0]], np.full((n, 1), 5.0)], axis=1)
    rows[:, :3] += 0.1 * rng.normal(size=(n, 3))
    rows[600:650, 0] += 6.0
    rows[50, 1] = rows[0, 2] = np.nan
    return rows


def make_history(rows, *, rate=0.01):
    return History(
        name="one",
        rows=rows[:N_TRAIN],
        ts_ns=times(N_TRAIN),
        channels=("a", "b", "c", "d"),
        interval_s=1.0,
        rate=rate,
        seed=0,
    )


def times(n):
    return START_NS + np.arange(n, dtype=np.int64) * 1_000_000_000


def fit(detector: NamedDetector, rows, **changed):
    if detector.needs:
        pytest.importorskip(detector.needs, reason="the dependency group `bench` has it")
    return detector.train(make_history(rows, **changed))


@functools.cache
def fitted_once(detector: NamedDetector):
    """Fitted on the default rows; what several tests only ask for scores."""
    return fit(detector, make_rows())


every = pytest.mark.parametrize("detector", [PLAIN, *BASELINES], ids=lambda one: one.name)
learned = pytest.mark.parametrize(
    "detector", [one for one in BASELINES if one.name != "all rows"], ids=lambda one: one.name
)


@every
def test_a_score_depends_on_no_later_row(detector):
    rows = make_rows()
    fitted = fitted_once(detector)

    whole = fitted.score(rows, times(700)).score
    part = fitted.score(rows[:620], times(620)).score

    assert whole[:620] == pytest.approx(part, rel=1e-5, abs=1e-9)


@learned
def test_the_same_seed_gives_the_same_scores(detector):
    rows = make_rows()

    first = fitted_once(detector).score(rows, times(700)).score
    second = fit(detector, rows).score(rows, times(700)).score

    assert np.array_equal(first, second)


@learned
def test_scores_are_finite_and_see_the_offset_or_at_least_no_less_than_chance(detector):
    rows = make_rows()
    labels = np.zeros(300, dtype=bool)
    labels[200:250] = True

    scored = fitted_once(detector).score(rows, times(700))

    assert np.isfinite(scored.score).all()
    chance = 0.9 * labels.mean()
    assert average_precision(labels, scored.score[N_TRAIN:]) > chance


@pytest.mark.parametrize("name", ["z-score", "PCA 90 %", "k-means 100", "1-NN", "row autoencoder"])
def test_what_models_levels_finds_an_offset_and_blames_its_channel(name):
    rows = make_rows()
    labels = np.zeros(300, dtype=bool)
    labels[200:250] = True

    scored = fitted_once(DETECTORS[name]).score(rows, times(700))

    assert average_precision(labels, scored.score[N_TRAIN:]) > 0.8
    assert scored.errors is not None
    assert scored.errors.shape == rows.shape
    assert scored.errors[600:650, 0].mean() > scored.errors[450:600, 0].mean()


@learned
def test_a_smaller_budget_flags_no_more_rows(detector):
    rows = make_rows()

    many = fitted_once(detector).score(rows, times(700))
    few = fit(detector, rows, rate=0.001).score(rows, times(700))

    assert few.flags.sum() <= many.flags.sum()


def test_the_threshold_keeps_the_asked_share_of_rows_like_those_it_learned_from():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(20_000, 4))
    history = replace(make_history(rows), rows=rows[:10_000], ts_ns=times(10_000))

    scored = DETECTORS["z-score"].train(history).score(rows, times(20_000))

    assert scored.flags[10_000:].mean() == pytest.approx(0.01, rel=0.4)


def test_the_threshold_does_not_come_from_rows_the_model_has_learned():
    """1-NN is 0 on its own rows: a threshold from them would flag everything."""
    rows = make_rows()

    scored = fit(DETECTORS["1-NN"], rows).score(rows, times(700))

    assert scored.flags[N_TRAIN:600].mean() < 0.1


def test_flagging_all_rows_flags_all_rows_in_one_incident():
    rows = make_rows()

    scored = fit(DETECTORS["all rows"], rows).score(rows, times(700))

    assert scored.flags.all()
    assert scored.alarms.tolist() == [[0, 700]]


def test_a_constant_history_is_no_obstacle():
    rows = np.ones((700, 4))
    rows[650:] = 3.0

    for detector in BASELINES:
        if not detector.needs:
            assert np.isfinite(fit(detector, rows).score(rows, times(700)).score).all()


def test_missing_values_keep_the_last_one_and_begin_with_zero():
    nan = np.nan
    rows = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [4.0, 5.0]])

    assert filled(rows).tolist() == [[0.0, 1.0], [2.0, 1.0], [2.0, 1.0], [4.0, 5.0]]


def test_scaling_bounds_what_is_far_and_floors_what_is_still():
    scaling = Scaling.fit(np.array([[0.0, 7.0], [2.0, 7.0]]))

    assert scaling.apply(np.array([[1.0, 7.0], [1e9, 7.7]])).tolist() == [
        [0.0, 0.0],
        [20.0, pytest.approx(1.0)],
    ]


def test_rows_in_an_incident_are_flagged_whatever_their_score():
    scored = Scored(score=np.zeros(6), incidents=np.array([[1, 3]]))

    assert scored.flags.tolist() == [False, True, True, False, False, False]
    assert scored.alarms.tolist() == [[1, 3]]


def test_a_detector_whose_module_is_missing_is_left_out_with_the_way_to_get_it(capsys):
    here = DETECTORS["z-score"]
    known = {"z-score": here, "gone": replace(here, name="gone", needs="no_such_module_at_all")}
    assert find_spec("no_such_module_at_all") is None

    assert choose([], known=known) == [here]
    said = capsys.readouterr().out
    assert "SKIPPED gone: no module 'no_such_module_at_all'; pip install scikit-learn river" in said


def test_a_detector_that_nobody_knows_is_an_error_that_lists_those_there_are():
    with pytest.raises(
        SystemExit, match="no detector 'other'; there are: vigie, vigie plain, all rows"
    ):
        choose(["other"], known=DETECTORS)
    only = {"gone": replace(DETECTORS["z-score"], needs="no_such_module_at_all")}
    with pytest.raises(SystemExit, match="no detector is left"):
        choose([], known=only)


def test_vigie_scores_a_long_stream_block_by_block_as_in_one_call(monkeypatch):
    rows = make_rows()
    fitted = fitted_once(PLAIN)

    whole = fitted.score(rows, times(700))
    monkeypatch.setattr("benchmarks.detection.vigie._BLOCK", 100)
    blocks = fitted.score(rows, times(700))

    assert np.array_equal(whole.score, blocks.score)
    assert (whole.score[:31] == 0.0).all()  # not scored yet
    assert (whole.score[31:] > 0.0).mean() > 0.9

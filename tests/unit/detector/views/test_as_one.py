"""The signal view beside looks: the 4-norm of its features as one distance, or silence."""

import itertools

import numpy as np
import pytest
import torch

from detector.signal.norm import Units
from detector.views.reconstruction import FEATURES, ONE, ReconstructionView
from tests.support import naive
from tests.support.fleets import make_fleet, trained, units_of

FIELD = 16
ROWS = 600


def make_view(kind="dense"):
    """The view of a plain detector, and the same as one distance in the units of its fusion."""
    detector = trained(kind)
    units = units_of(detector)
    return detector.signal, detector.signal.as_one(units), units


def make_rows(missing=0.0):
    rows = np.concatenate(make_fleet(sensors=2, rows=ROWS // 2, seed=3).noisy)
    rows[450:470, 2] += 40.0
    rng = np.random.default_rng(0)
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows


ENDS = np.concatenate([np.arange(FIELD - 1, 300), np.arange(300 + FIELD - 1, 600)])
GROUPS = np.repeat([1, 2], 300)


def measured(view, rows, ends, groups):
    with torch.inference_mode():
        return view.measure(view.prepare(rows, groups), torch.from_numpy(ends))


@pytest.mark.parametrize("kind", ["dense", "pca"])
@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_its_distance_is_the_norm_of_its_features_and_that_of_the_twin(kind, missing):
    view, one, units = make_view(kind)
    rows = make_rows(missing)
    features = measured(view, rows, ENDS, GROUPS).features.numpy()

    found = measured(one, rows, ENDS, GROUPS).features.numpy()

    assert found.shape == (1, len(ENDS), 4)
    assert (found >= 0).all()
    for place in range(0, len(ENDS), 7):
        group = GROUPS[ENDS[place]]
        parts = naive.fourth_powers(
            features[:, place], units.middle[:, group], units.reach[:, group]
        )
        total = sum(parts)
        assert np.sqrt(found[0, place].sum()) == pytest.approx(total**0.25, rel=1e-3, abs=1e-4)
        if total > 1e-6:
            share = found[0, place] / found[0, place].sum()
            np.testing.assert_allclose(share, np.array(parts) / total, atol=1e-3)


@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_neither_cuts_nor_groups_in_one_call_change_a_bit(missing):
    _, one, _ = make_view()
    rows = make_rows(missing)
    whole = measured(one, rows, ENDS, GROUPS).features

    for group in (1, 2):
        own = np.flatnonzero(GROUPS[ENDS] == group)
        for start, stop in itertools.pairwise((0, 1, 2, 60, 61, 257, len(own))):
            ends = ENDS[own[start:stop]]
            began = int(ends[0]) - FIELD + 1
            piece = measured(one, rows[began : ends[-1] + 1], ends - began, np.array(group))
            assert torch.equal(piece.features, whole[:, own[start:stop]])


def test_what_it_expects_is_what_it_expected_alone():
    view, one, _ = make_view()
    rows = make_rows(0.05)
    alone = measured(view, rows, ENDS, GROUPS).expected

    for other in (one, view.silent()):
        assert torch.equal(measured(other, rows, ENDS, GROUPS).expected, alone)


def test_a_window_with_nothing_out_is_at_a_finite_distance():
    view, _, units = make_view()
    far = Units(middle=units.middle + np.float32(100), reach=units.reach)

    found = measured(view.as_one(far), make_rows(), ENDS, GROUPS).features

    assert (found == 0).all()


def test_a_silent_view_measures_nothing():
    view, _, _ = make_view()
    silent = view.silent()

    assert silent.features == ()
    assert silent.units is None
    assert measured(silent, make_rows(), ENDS, GROUPS).features.shape == (0, len(ENDS), 4)


@pytest.mark.parametrize("kept", ["plain", "one", "silent"])
def test_an_artifact_gives_it_back(kept):
    view, one, _ = make_view()
    own = {"plain": view, "one": one, "silent": view.silent()}[kept]

    back = ReconstructionView.restore(own.config(), own.tensors(), n_groups=3, n_channels=4)

    assert back.features == own.features
    rows = make_rows(0.05)
    found, expected = (measured(each, rows, ENDS, GROUPS).features for each in (back, own))
    assert torch.equal(found, expected)
    assert back.to(torch.device("cpu")) is back


@pytest.mark.parametrize("name", ["units.middle", "units.reach"])
@pytest.mark.parametrize("shape", [(5, 2, 4), (4, 3, 4), (5, 3, 3), (5, 3)])
def test_units_of_a_wrong_shape_are_rejected(name, shape):
    _, one, _ = make_view()
    tensors = one.tensors() | {name: torch.ones(shape)}

    with pytest.raises(ValueError, match=r"units must be \(5, 3, 4\) and their reach greater"):
        ReconstructionView.restore(one.config(), tensors, n_groups=3, n_channels=4)


def test_units_without_reach_are_rejected():
    _, one, _ = make_view()
    tensors = one.tensors()
    tensors["units.reach"] = torch.zeros(5, 3, 4)

    with pytest.raises(ValueError, match="reach greater than 0"):
        ReconstructionView.restore(one.config(), tensors, n_groups=3, n_channels=4)


def test_one_distance_needs_units_and_nothing_else_takes_them():
    view, _, units = make_view()

    for features, own in ((ONE, None), (FEATURES, units), ((), units), (("last",), None)):
        with pytest.raises(ValueError, match="a reconstruction measures"):
            ReconstructionView(view.model, view.scaler, features, own)

"""What the signal view says of its own history, against a slow twin."""

import numpy as np
import pytest
import torch

from detector.signal.series import Series
from detector.training.dataset import Block, Split, assemble
from detector.training.signal_history import SignalHistory
from detector.views.joined import Views
from tests.support.fleets import INTERVAL_NS, make_fleet, make_series, trained, units_of

FIELD = 16


@pytest.fixture(scope="module")
def view():
    detector = trained()
    return detector.signal.as_one(units_of(detector))


def make_data(receptive_field=FIELD):
    """Two sensors; the history of the first has a gap at row 200."""
    one, two = make_fleet(sensors=2, rows=500, seed=9).noisy
    ts_ns = np.arange(500) * INTERVAL_NS
    ts_ns[200:] += 10**12
    series = [Series(sensor="s0", ts_ns=ts_ns, values=one), make_series(two[:400], sensor="s1")]
    return assembled(series, receptive_field)


def assembled(series, receptive_field):
    return assemble(
        series,
        n_channels=4,
        receptive_field=receptive_field,
        split=Split(),
        max_gap_s=0.0,
        max_rows=10**6,
    )


def one_by_one(view, data, group=None):
    """The distance of each row from its own window alone; NaN where a run has none yet."""
    found = np.full(len(data.rows), np.nan)
    for start, end in data.runs:
        for row in range(start + FIELD - 1, end):
            window = data.rows[row - FIELD + 1 : row + 1]
            own = data.groups[row] if group is None else group
            with torch.inference_mode():
                parts = view.measure(
                    view.prepare(window, np.array(own)), torch.tensor([FIELD - 1])
                ).features
            found[row] = float(parts.sum()) ** 0.5
    return found


def levelled(distances, data, held_back):
    """Sensor by sensor: what was learned from, brought to the median of what was not."""
    found = distances.copy()
    held = np.zeros(len(found), dtype=bool)
    held[held_back] = True
    for owner in range(len(data.names)):
        own = data.owners == owner
        seen = np.nanmedian(distances[own & ~held])
        found[own & ~held] *= np.nanmedian(distances[own & held]) / seen
        found[own & np.isnan(distances)] = np.nanmedian(found[own])
    return found


@pytest.mark.parametrize("group", [None, 0, 2])
def test_distances_are_those_of_the_twin(view, group):
    data = make_data()
    history = SignalHistory(Views([view]), data)
    expected = levelled(one_by_one(view, data, group), data, history.held_back)

    found = history.distances(np.arange(len(data.rows)), group)

    assert found.shape == (1, len(data.rows))
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)


def test_rows_are_picked_by_place(view):
    data = make_data()
    history = SignalHistory(Views([view]), data)
    picked = np.array([880, 3, 3, 450])

    assert np.array_equal(
        history.distances(picked), history.distances(np.arange(len(data.rows)))[:, picked]
    )


def test_held_back_is_the_calibration_block(view):
    data = make_data()

    held_back = SignalHistory(Views([view]), data).held_back

    assert np.array_equal(held_back, data.ends(Block.CALIBRATION, FIELD))
    assert set(data.owners[held_back]) == {0, 1}


def test_what_was_learned_from_is_levelled_and_what_was_not_is_left(view):
    data = make_data()
    history = SignalHistory(Views([view]), data)
    raw = one_by_one(view, data)
    found = history.distances(np.arange(len(data.rows)))[0]

    np.testing.assert_allclose(found[history.held_back], raw[history.held_back], rtol=1e-4)
    for owner in (0, 1):
        own = np.flatnonzero((data.owners == owner) & np.isfinite(raw))
        held = np.isin(own, history.held_back)
        medians = [np.median(found[own[which]]) for which in (held, ~held)]
        assert medians[0] == pytest.approx(medians[1], rel=1e-4)


def test_the_first_rows_of_a_run_get_the_median_of_their_sensor(view):
    data = make_data()
    found = SignalHistory(Views([view]), data).distances(np.arange(len(data.rows)))[0]

    for start, _ in data.runs:
        own = data.owners == data.owners[start]
        first = found[start : start + FIELD - 1]
        assert np.unique(first).size == 1
        assert first[0] == pytest.approx(np.median(found[own]), rel=1e-3)


def test_the_pooled_numbers_scale_otherwise(view):
    data = make_data()
    history = SignalHistory(Views([view]), data)
    rows = np.arange(len(data.rows))

    assert not np.allclose(history.distances(rows), history.distances(rows, 0), rtol=1e-3)


def test_a_sensor_without_a_single_window_is_at_one(view):
    one, two = make_fleet(sensors=2, rows=500, seed=9).noisy
    data = assembled([make_series(one), make_series(two[:15], sensor="s1")], receptive_field=1)
    owner = data.names.index("s1")

    found = SignalHistory(Views([view]), data).distances(np.arange(len(data.rows)))[0]

    assert (found[data.owners == owner] == 1.0).all()

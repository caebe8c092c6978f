"""The simulated suite: faults are where the labels are, and the seed decides everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.detection.dirty import (
    SENTINEL,
    Place,
    contaminated,
    with_sentinel,
    with_short_fault,
)
from benchmarks.detection.sets import SETS, Options
from benchmarks.detection.sets.simulated import SITES
from benchmarks.detection.simulated.pump import pump
from benchmarks.detection.simulated.telemetry import FAULTS, WEEK_ROWS, Kind, Site, telemetry
from detector.signal.series import true_runs
from workers.plant.faults import FaultKind


def assert_differs_where_labelled(simulated):
    """Rows differ from the twin's in every event, and nowhere else."""
    differs = (simulated.rows != simulated.clean) & ~(
        np.isnan(simulated.rows) & np.isnan(simulated.clean)
    )
    rows = differs.any(axis=1)
    assert not rows[~simulated.labels].any()
    assert not simulated.labels[: simulated.n_train].any()
    for start, end in true_runs(simulated.labels):
        assert rows[start:end].mean() > 0.8, (start, end)


@pytest.mark.parametrize("kind", FaultKind, ids=lambda kind: kind.label)
def test_each_fault_of_a_pump_differs_from_the_clean_twin_at_labelled_rows_only(kind):
    simulated = pump(5, [kind] * 3)

    assert len(true_runs(simulated.labels)) == 3
    assert_differs_where_labelled(simulated)


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_each_fault_of_a_site_differs_from_the_clean_twin_at_labelled_rows_only(kind):
    simulated = telemetry(3, Site(rhythm=2.0, commands=4, kinds=(kind,)))

    assert len(true_runs(simulated.labels)) == FAULTS
    assert_differs_where_labelled(simulated)


@pytest.mark.parametrize("name", SITES)
def test_the_seed_reproduces_a_site_and_another_seed_does_not(name):
    site = SITES[name]

    one, again, other = telemetry(1, site), telemetry(1, site), telemetry(2, site)

    assert np.array_equal(one.rows, again.rows)
    assert np.array_equal(one.labels, again.labels)
    assert not np.array_equal(one.rows, other.rows)


def test_the_seed_reproduces_a_pump():
    one, again = pump(1, list(FaultKind)), pump(1, list(FaultKind))

    assert np.array_equal(one.rows, again.rows, equal_nan=True)
    assert not np.array_equal(one.rows, pump(2, list(FaultKind)).rows, equal_nan=True)


def test_a_rhythm_repeats_by_the_day_and_rests_on_weekends():
    clean = telemetry(0, SITES["rhythm"]).clean
    days = clean.reshape(-1, 288, clean.shape[1])
    shape = days[:5].mean(axis=0) - days[:5].mean(axis=(0, 1))

    working = (days[7:12].mean(axis=0) * shape).sum()
    weekend = (days[[5, 6, 12, 13]].mean(axis=0) * shape).sum()

    assert working > 2 * abs(weekend)


def test_a_site_without_rhythm_has_no_daily_cycle():
    clean = telemetry(0, SITES["no rhythm"]).clean
    profile = clean[: 28 * 288].reshape(28, 288, -1).mean(axis=0)

    assert profile.std() < 0.4


def test_a_drifting_site_moves_half_a_deviation_a_week_in_the_mean():
    still, moving = telemetry(0, Site()).clean, telemetry(0, Site(drift=0.5)).clean

    per_week = (moving - still)[WEEK_ROWS] / still[: 4 * WEEK_ROWS].std(axis=0)

    assert per_week == pytest.approx(0.5)


def test_commands_are_binary_and_one_is_rare():
    commands = telemetry(0, SITES["commands"]).clean[:, 8:]

    assert set(np.unique(commands)) == {0.0, 1.0}
    assert 0.0 < commands[:, -1].mean() < 0.15 < commands[:, 0].mean()


def test_contamination_copies_so_many_rows_of_an_event_and_judges_none_of_them():
    series = pump(0, list(FaultKind)).series(name="a", set_name="b", half="A")

    dirty = contaminated(series, 0.02, largest=0.10, seed=0)

    same = np.isclose(dirty.rows, series.rows, rtol=0, atol=0, equal_nan=True)
    changed = np.flatnonzero(~same.all(axis=1))
    assert len(changed) == pytest.approx(0.02 * series.n_train, abs=2)
    assert changed.max() < series.n_train
    for row in changed[:5]:
        source = np.flatnonzero((series.rows == dirty.rows[row]).all(axis=1))
        assert series.labels[source].any()
        assert not dirty.judged[source].any()


def test_every_share_of_contamination_is_judged_on_the_same_rows():
    series = pump(0, list(FaultKind)).series(name="a", set_name="b", half="A")

    shares = [contaminated(series, share, largest=0.1, seed=0) for share in (0.0, 0.02, 0.1)]

    assert np.array_equal(shares[0].rows, series.rows, equal_nan=True)
    assert np.array_equal(shares[0].judged, shares[1].judged)
    assert np.array_equal(shares[1].judged, shares[2].judged)
    assert (shares[0].labels & shares[0].judged).any()


def test_contamination_needs_an_event_and_a_share_within_reach():
    series = pump(0, list(FaultKind)).series(name="a", set_name="b", half="A")

    with pytest.raises(ValueError, match="0 <= share <= largest"):
        contaminated(series, 0.2, largest=0.1, seed=0)
    quiet = replace(series, labels=np.zeros_like(series.labels))
    with pytest.raises(ValueError, match="no event to copy from"):
        contaminated(quiet, 0.1, largest=0.1, seed=0)


@pytest.mark.parametrize("place", Place)
def test_unclean_histories_change_their_own_rows_alone(place):
    series = pump(0, list(FaultKind)).series(name="a", set_name="b", half="A")

    sentinel, fault = with_sentinel(series, place), with_short_fault(series, place)

    at = int(place.value * series.n_train)
    changed = np.argwhere(~np.isclose(sentinel.rows, series.rows, equal_nan=True))
    assert changed.tolist() == [[at, 0]]
    assert sentinel.rows[at, 0] == SENTINEL
    rows = np.flatnonzero((~np.isclose(fault.rows, series.rows, equal_nan=True)).any(axis=1))
    assert rows.tolist() == list(range(at, at + 20))
    assert rows.max() < series.n_train


@pytest.mark.parametrize("name", ["faults", "sites", "dirty", "histories"])
def test_simulated_sets_need_no_files_and_hold_both_halves_of_every_line(name):
    series = list(SETS[name].load(Options(paths=(), quick=True)))

    halves: dict[str, set[str]] = {}
    for one in series:
        halves.setdefault(one.set, set()).add(one.half)
    assert len({(one.set, one.name) for one in series}) == len(series)
    assert set(map(frozenset, halves.values())) == {frozenset("AB")}

"""A rhythm is found where there is one, and nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from detector.signal.season import Season
from detector.training.fit_season import fit_season
from tests.support.rhythm import DAY_NS, MINUTE_NS, Rhythm, left_share, rhythm

ONE = np.array(1)


def fitted(one: Rhythm) -> Season:
    return fit_season(one.rows, one.times_ns, np.ones(len(one.rows), int), n_groups=2)


def left_of(season: Season, test: Rhythm, group: int = 1) -> float:
    """Share of the true season's variance that is left, in weeks that the fit has not seen."""
    error = test.season - season.values(test.times_ns, np.array(group))
    return left_share(error, test.season)


@pytest.fixture(scope="module")
def record() -> Rhythm:
    return rhythm(weeks=6)


def test_a_rhythm_of_day_and_week_is_taken_out(record):
    season = fitted(record.between(0, 4))
    test = record.between(4, 6)
    assert season.kept.all()
    assert left_of(season, test) < 0.05
    left = season.remove(test.rows, test.times_ns, ONE)
    noise_alone = left_share(test.rows - test.season, test.rows)
    assert left_share(left, test.rows) < noise_alone + 0.05


def test_the_only_sensors_season_is_the_pooled_one(record):
    season = fitted(record.between(0, 4))
    assert (season.cosine[0] == season.cosine[1]).all()
    assert (season.sine[0] == season.sine[1]).all()


def test_what_is_no_more_than_noise_is_nothing():
    """Of a cosine of the day among noise, one harmonic is left and little else (noise: 0.04)."""
    times_ns = np.arange(4 * 2016, dtype=np.int64) * 5 * MINUTE_NS
    day = np.cos(2 * np.pi * times_ns / DAY_NS)
    rows = day[:, None] + np.random.default_rng(0).normal(size=(len(day), 4))
    season = fit_season(rows, times_ns, np.ones(len(rows), int), n_groups=2)
    power = season.cosine[1] ** 2 + season.sine[1] ** 2
    assert season.harmonics[power.argmax(axis=1)].tolist() == [7] * 4
    assert (power.sum(axis=1) - power.max(axis=1) < 0.01).all()


@pytest.mark.parametrize("hours", [0, 8, 77])
def test_a_weekend_that_begins_at_another_hour_is_found_as_well(hours):
    """Midnight elsewhere, or a week that ends on Thursday."""
    record = rhythm(weeks=6)
    moved = record._replace(times_ns=record.times_ns + hours * 60 * MINUTE_NS)
    assert left_of(fitted(moved.between(0, 4)), moved.between(4, 6)) < 0.025


def test_a_week_in_which_no_two_days_are_alike():
    """No day type fits: each day is learned by itself."""
    form = np.random.default_rng(8)
    record = rhythm(weeks=6, noise=0.3)
    day, hour = np.divmod((record.times_ns - record.times_ns[0]) / DAY_NS % 7, 1.0)
    height, at = form.uniform(0.5, 2.0, 7), form.uniform(0.3, 0.7, 7)
    season = height[day.astype(int)] * np.cos(2 * np.pi * (hour - at[day.astype(int)]))
    season = ((season - season.mean()) / season.std())[:, None]
    record = Rhythm(
        season + record.rows - record.season, season + np.zeros((1, 3)), record.times_ns
    )
    assert left_of(fitted(record.between(0, 4)), record.between(4, 6)) < 0.04


@pytest.mark.parametrize("memory", [0.0, 0.9, 0.99, 0.999])
def test_noise_has_no_season(memory):
    rng = np.random.default_rng(round(1000 * memory))
    rows = rng.normal(size=(4 * 2016, 8))
    for row in range(1, len(rows)):
        rows[row] += memory * rows[row - 1]
    rows /= rows.std(axis=0)
    times_ns = np.arange(len(rows), dtype=np.int64) * 5 * MINUTE_NS
    season = fit_season(rows, times_ns, np.ones(len(rows), int), n_groups=2)
    assert season.kept[1].sum() <= 1


def test_a_rhythm_of_another_period_is_no_season(record):
    part = record.between(0, 4)
    stretched = part._replace(times_ns=part.times_ns // 300 * 337)
    assert not fitted(stretched).kept.any()


@pytest.mark.parametrize("cycles", [3.05, 4.95, 5.06])
def test_a_cycle_that_is_nearly_in_step_with_the_week_is_no_season(cycles):
    times_ns = np.arange(3 * 672 + 200, dtype=np.int64) * 15 * MINUTE_NS
    wave = np.cos(2 * np.pi * cycles * times_ns / (7 * DAY_NS))
    rows = wave[:, None] + 0.3 * np.random.default_rng(0).normal(size=(len(wave), 2))
    assert not fit_season(rows, times_ns, np.ones(len(rows), int), n_groups=2).kept.any()


def test_less_than_three_weeks_prove_nothing(record):
    assert not fitted(record.between(0, 2.9)).kept.any()
    assert fitted(record.between(0, 3)).kept.all()


def test_a_channel_without_a_rhythm_beside_one_that_has_one(record):
    part = record.between(0, 4)
    rng = np.random.default_rng(3)
    still, noise = np.full(len(part.rows), 2.0), rng.normal(size=len(part.rows))
    rows = np.column_stack([part.rows[:, 0], still, noise, np.full(len(noise), np.nan)])
    season = fitted(part._replace(rows=rows))
    assert season.kept[1].tolist() == [True, False, False, False]
    assert (season.remove(rows, part.times_ns, ONE)[:, 1:3] == rows[:, 1:3]).all()


def spoiled(part: Rhythm) -> Rhythm:
    """Faults of hours, sentinels, missing values, a gap of two days."""
    rng, rows = np.random.default_rng(5), part.rows.copy()
    for start in rng.integers(0, len(rows) - 200, 5):
        rows[start : start + 100] += rng.choice([-1, 1]) * 6.0
    rows[rng.integers(0, len(rows), 30)] = 20.0
    rows[rng.random(rows.shape) < 0.1] = np.nan
    keep = np.ones(len(rows), bool)
    keep[3000:3576] = False
    return Rhythm(rows[keep], part.season[keep], part.times_ns[keep])


def test_faults_and_gaps_in_the_history_hardly_matter(record):
    season = fitted(spoiled(record.between(0, 4)))
    assert season.kept.all()
    assert left_of(season, record.between(4, 6)) < 0.08


def test_a_mean_that_drifts_is_no_rhythm(record):
    part = record.between(0, 4)
    drift = 0.5 * (part.times_ns - part.times_ns[0]) / (7 * DAY_NS)
    season = fitted(part._replace(rows=part.rows + drift[:, None]))
    plain = fitted(part)
    test = record.between(4, 6)
    assert left_of(season, test) < left_of(plain, test) + 0.01
    still = np.random.default_rng(0).normal(size=part.rows.shape) + 2 * drift[:, None]
    assert not fitted(part._replace(rows=still)).kept.any()


@pytest.mark.parametrize("minutes", [1, 15, 60, 180])
def test_the_sampling_interval_hardly_matters(minutes):
    record = rhythm(weeks=6, step_ns=minutes * MINUTE_NS)
    season = fitted(record.between(0, 4))
    assert season.kept.all()
    assert left_of(season, record.between(4, 6)) < 0.1


def fleet(shapes: list[int]) -> tuple[Rhythm, np.ndarray, list[Rhythm]]:
    sensors = [
        rhythm(weeks=6, shape=shape, seed=nth, step_ns=15 * MINUTE_NS)
        for nth, shape in enumerate(shapes)
    ]
    parts = [one.between(0, 4) for one in sensors]
    groups = np.repeat(np.arange(1, len(parts) + 1), [len(part.rows) for part in parts])
    joined = Rhythm(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return joined, groups, [one.between(4, 6) for one in sensors]


def test_sensors_of_one_kind_lend_their_rhythm_to_one_that_is_new():
    joined, groups, tests = fleet([0, 0, 0, 0])
    season = fit_season(joined.rows, joined.times_ns, groups, n_groups=5)
    assert season.kept.all()
    new = rhythm(weeks=2, seed=99, step_ns=15 * MINUTE_NS)
    assert left_of(season, new, group=0) < 0.05
    for group, test in enumerate(tests, start=1):
        assert left_of(season, test, group) < 0.08


def test_sensors_that_differ_have_seasons_of_their_own_and_none_in_common():
    joined, groups, tests = fleet([1, 2, 3, 4])
    season = fit_season(joined.rows, joined.times_ns, groups, n_groups=5)
    assert season.kept[1:].all()
    for group, test in enumerate(tests, start=1):
        assert left_of(season, test, group) < 0.1
        assert left_of(season, test, group % 4 + 1) > 0.5


def test_rows_without_a_group_of_their_own_are_left_out():
    joined, groups, _ = fleet([0, 0])
    alone = fit_season(joined.rows, joined.times_ns, groups, n_groups=3)
    more = fit_season(
        np.concatenate([joined.rows, np.full((50, 3), 1e6)]),
        np.concatenate([joined.times_ns, joined.times_ns[:50]]),
        np.concatenate([groups, np.zeros(50, int)]),
        n_groups=3,
    )
    assert (more.cosine == alone.cosine).all()


def test_without_a_row_there_is_no_season():
    season = fit_season(np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0, int), n_groups=2)
    assert not season.kept.any()

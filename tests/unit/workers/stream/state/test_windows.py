import numpy as np
import pytest

from detector.signal.series import Series, in_order, runs, sampling_interval_ns, thin, window_ends
from detector.training.dataset import Block, Split, assemble
from tests.support.fleets import INTERVAL_NS, SHAPE_ERRORS, make_fleet, make_series


def make_dataset(series, **changes):
    fields = {
        "n_channels": series[0].values.shape[1],
        "receptive_field": 8,
        "split": Split(),
        "max_gap_s": 0.0,
        "max_rows": 1_000_000,
    }
    return assemble(series, **{**fields, **changes})


def test_late_and_duplicate_readings_are_left_out_and_infinities_are_missing():
    ts_ns = np.array([1, 3, 2, 3, 4], dtype=np.int64)
    values = np.array([[1.0], [3.0], [2.0], [33.0], [np.inf]])

    kept = in_order(Series(sensor="a", ts_ns=ts_ns, values=values))

    assert kept.ts_ns.tolist() == [1, 3, 4]
    assert kept.values[:2, 0].tolist() == [1.0, 3.0]
    assert np.isnan(kept.values[2, 0])


def test_a_series_whose_columns_do_not_fit_its_times_is_refused():
    with pytest.raises(SHAPE_ERRORS):
        Series(sensor="a", ts_ns=np.arange(3), values=np.zeros((2, 1)))


def test_a_run_ends_at_a_gap():
    ts_ns = np.array([0, 1, 2, 9, 10], dtype=np.int64)

    assert runs(ts_ns, 3) == [(0, 3), (3, 5)]
    assert runs(ts_ns, 7) == [(0, 5)]
    assert runs(ts_ns[:0], 7) == []


def test_windows_lie_inside_their_stretch():
    assert window_ends([(0, 3), (3, 5), (5, 9)], 3).tolist() == [2, 7, 8]


def test_thinning_keeps_order_and_both_ends():
    assert thin(np.arange(100), 5).tolist() == [0, 24, 49, 74, 99]
    assert thin(np.arange(3), 5).tolist() == [0, 1, 2]


def test_the_sampling_interval_is_the_usual_step():
    one = make_series(np.zeros((50, 1)))

    assert sampling_interval_ns([one]) == INTERVAL_NS
    with pytest.raises(ValueError, match="at least two readings"):
        sampling_interval_ns([make_series(np.zeros((1, 1)))])


def test_blocks_follow_one_another_in_time_and_share_no_reading():
    data = make_dataset([make_series(np.arange(100.0)[:, None])])

    seen = {}
    for block in Block:
        windows = data.ends(block, 8)[:, None] + np.arange(-7, 1)
        seen[block] = data.rows[np.unique(windows), 0]

    assert seen[Block.TRAINING].max() < seen[Block.VALIDATION].min()
    assert seen[Block.VALIDATION].max() < seen[Block.CALIBRATION].min()
    assert seen[Block.CALIBRATION].max() == 99.0


def test_no_window_crosses_a_gap_or_a_sensor():
    fleet = make_fleet(rows=400)
    first, second = fleet.series()
    late = Series(
        sensor="s0",
        ts_ns=first.ts_ns + (first.ts_ns > 100 * INTERVAL_NS) * 3600 * INTERVAL_NS,
        values=first.values,
    )
    late.values[:, 0], second.values[:, 0] = np.arange(400), np.arange(400) + 5000

    data = make_dataset([late, second])

    for block in Block:
        windows = data.rows[data.ends(block, 8)[:, None] + np.arange(-7, 1), 0]
        steps = np.diff(windows, axis=1)
        assert (steps == 1).all()
        assert not ((windows[:, 0] <= 100) & (windows[:, -1] > 100)).any()


@pytest.mark.parametrize("block", ["training", "validation", "calibration"])
def test_a_block_without_a_window_is_refused_with_the_rows_it_takes(block):
    short = {"training": 8, "validation": 60, "calibration": 30}[block]
    split = {
        "training": Split(validation=0.45, calibration=0.45),
        "validation": Split(validation=0.05, calibration=0.3),
        "calibration": Split(validation=0.4, calibration=0.05),
    }[block]
    with pytest.raises(ValueError, match=rf"the {block} block has no window of 8"):
        make_dataset([make_series(np.zeros((short, 1)))], split=split)


def test_a_wrong_number_of_columns_names_the_sensor():
    with pytest.raises(ValueError, match="'s0' has 2 columns, expected 1"):
        make_dataset([make_series(np.zeros((100, 2)))], n_channels=1)


def test_a_long_history_is_thinned_to_a_bound_that_keeps_every_block():
    data = make_dataset([make_series(np.arange(20_000.0)[:, None])], max_rows=2_000)

    assert len(data.rows) <= 2_300
    assert all(len(data.ends(block, 8)) > 0 for block in Block)
    assert data.rows[data.ends(Block.TRAINING, 8), 0].max() > 10_000


def test_a_sensor_with_little_data_is_served_by_the_fleet():
    fleet = make_fleet(sensors=2, rows=1000)
    rich, poor = fleet.series()
    poor = Series(sensor="poor", ts_ns=poor.ts_ns[:150], values=poor.values[:150])

    assert make_dataset([rich, poor]).sensors == ("s0",)


@pytest.mark.parametrize(("validation", "calibration"), [(0.0, 0.2), (0.2, 0.6), (-1.0, 0.1)])
def test_a_split_outside_its_range_is_refused(validation, calibration):
    with pytest.raises(ValueError, match=r"must be in \(0, 0.5\]"):
        Split(validation=validation, calibration=calibration)

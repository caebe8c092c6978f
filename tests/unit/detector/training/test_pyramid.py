"""The fit of a pyramid: what it learns from, and scores of rows that it has not seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from detector.calibration.log_fusion import LogFusion
from detector.scoring import POOLED
from detector.signal.pyramid import Feature, pyramid
from detector.signal.series import Series
from detector.training.dataset import Split, assemble
from detector.training.pyramid import PyramidTraining
from detector.training.train import Progress, train
from detector.views.reconstruction import FEATURES
from tests.support.fleets import INTERVAL_NS, make_config, make_fleet, make_series, trained
from tests.support.pyramids import (
    REACH,
    look_of,
    make_commands,
    make_pyramid_config,
    pyramid_detector,
    pyramid_of,
    pyramid_training,
    score,
    small_fleet,
)

CPU = torch.device("cpu")
SHORT_FEATURES = (Feature(kind="mean", span=1), Feature(kind="mean", span=16))
TINY = PyramidTraining(max_steps=5, examples=4096)


def fit(data, training=TINY, seed=0):
    return training.fit(
        data,
        generator=torch.Generator().manual_seed(seed),
        device=CPU,
        progress=lambda _: None,
    )


def make_data(series, receptive_field=16):
    return assemble(
        series,
        n_channels=series[0].values.shape[1],
        receptive_field=receptive_field,
        split=Split(),
        max_gap_s=0.0,
        max_rows=10**6,
    )


def learned_times(detector, name="long"):
    """Event times of the rows that a look remembers, of a history shorter than its bank."""
    bank = look_of(detector, name).bank
    return [
        (bank.sensors[owner], ts_ns)
        for owner, ts_ns in zip(bank.owners.tolist(), bank.ts_ns.tolist(), strict=True)
    ]


def train_all(series, **changes):
    """A detector that remembers every row it learned from."""
    return train(series, make_pyramid_config(examples=4096, max_steps=5, **changes))


def numbers(detector):
    found = {
        f"{view.kind}.{name}": value.numpy()
        for view in detector.views
        for name, value in view.tensors().items()
    }
    head = detector.head
    found |= {"median": head.fusion.median, "weight": head.fusion.weight}
    return found | {"whole": head.calibration.threshold, "partial": head.partial.threshold}


def test_a_seed_reproduces_every_bit_and_another_gives_another_model():
    series = small_fleet().series(slice(0, 600))
    torch.manual_seed(5)
    before = torch.get_rng_state()

    one, two = (numbers(train(series, make_pyramid_config(max_steps=5))) for _ in range(2))
    other = numbers(train(series, make_pyramid_config(max_steps=5, seed=1)))

    assert one.keys() == two.keys()
    for name, value in one.items():
        assert np.array_equal(value, two[name]), name
    assert not np.array_equal(one["whole"], other["whole"])
    assert torch.equal(torch.get_rng_state(), before)


def balanced_rows(rows=1500, channels=2):
    """Whole numbers with a mean of exactly nothing: no order of additions changes their moments."""
    rng = np.random.default_rng(0)
    half = rng.integers(-9, 10, (rows // 2, channels)).astype(float)
    values = np.empty((rows, channels))
    values[::2], values[1::2] = half, -half
    return values


def test_a_block_is_scored_by_models_that_have_not_seen_it():
    """Rows of the middle block change places, far from what its models learn from.

    Its other rows keep their distances to the bit; the outer blocks, whose models learned from
    the middle one, do not.
    """
    data = make_data([make_series(balanced_rows())])
    values = data.rows.copy()
    values[560:700] = values[560:700][::-1]
    training = replace(TINY, purge=REACH)
    hit = np.zeros(1500, dtype=bool)
    hit[560 : 700 + REACH] = True

    one = fit(data, training).crossfit
    two = fit(replace(data, rows=values), training).crossfit

    assert one is not None
    assert two is not None
    middle = (one.blocks == 1) & ~hit
    assert middle.sum() > 80
    assert np.array_equal(one.distances[:, middle], two.distances[:, middle])
    assert not np.array_equal(one.distances[:, one.blocks == 0], two.distances[:, one.blocks == 0])
    assert not np.array_equal(one.distances[:, 1100:], two.distances[:, 1100:])


def test_no_row_is_its_own_nearest_example():
    """All rows are remembered, so an in-sample distance would be nothing."""
    crossfit = fit(make_data(small_fleet().series())).crossfit

    assert crossfit is not None
    assert (crossfit.distances > 1e-3).all()
    assert crossfit.rows.tolist() == list(range(3000))
    assert np.bincount(crossfit.blocks).tolist() == [1000, 1000, 1000]


def test_blocks_are_thirds_of_every_sensor_in_time():
    series = [make_series(small_fleet().noisy[0][:n], sensor=f"s{n}") for n in (900, 300)]

    crossfit = fit(make_data(series)).crossfit

    assert crossfit is not None
    assert crossfit.blocks[:900].tolist() == np.repeat([0, 1, 2], 300).tolist()
    assert crossfit.blocks[900:].tolist() == np.repeat([0, 1, 2], 100).tolist()


def test_what_is_remembered_is_the_features_of_the_row_as_they_are_scored():
    """Over the borders of the blocks, and with what lies before a gap missing, not the other side.

    The history has a gap at row 500 and begins at row 0.
    """
    values = small_fleet().noisy[0][:1000]
    ts_ns = np.arange(1000) * INTERVAL_NS
    ts_ns[500:] += 10**12
    detector = train_all([Series(sensor="s0", ts_ns=ts_ns, values=values)])
    view = pyramid_of(detector)

    for look in view.looks:
        reach = look.receptive_field
        bank = look.bank
        rows = np.searchsorted(ts_ns, bank.ts_ns.numpy())
        for place in range(0, len(rows), 37):
            row = int(rows[place])
            begin = max(0 if row < 500 else 500, row - reach + 1)
            window = np.full((reach, 4), np.nan)
            window[reach - (row - begin + 1) :] = values[begin : row + 1]
            scaled, present = view.scaler.scaled(window, np.array(1))
            found = pyramid(scaled, present, np.array([reach - 1]), look.features)
            assert torch.allclose(look.units(torch.from_numpy(found))[0], bank.examples[place])


def test_runs_are_joined_over_blocks_and_not_over_gaps_or_sensors():
    one, two = (small_fleet().noisy[number][:600] for number in range(2))
    ts_ns = np.arange(600) * INTERVAL_NS
    ts_ns[100:] += 11 * INTERVAL_NS
    ts_ns[300:] += 5 * INTERVAL_NS  # not yet a gap

    data = make_data([Series(sensor="a", ts_ns=ts_ns, values=one), make_series(two, sensor="b")])

    assert list(data.runs) == [(0, 100), (100, 600), (600, 1200)]


def test_series_of_one_sensor_with_another_between_them_are_runs_of_their_own():
    values = small_fleet().noisy[0]
    parts = [values[:300], values[300:600], values[600:900]]
    series = [
        make_series(part, sensor=name, first_row=first)
        for part, name, first in zip(parts, "aba", (0, 0, 300), strict=True)
    ]

    data = make_data(series)

    assert list(data.runs) == [(0, 300), (300, 600), (600, 900)]
    assert data.owners.tolist() == np.repeat([0, 1, 0], 300).tolist()
    assert fit(data).crossfit is not None


class TestHistories:
    """Every history that can be learned from is; what cannot says what is missing."""

    def quiet(self, detector, values, group=1):
        """Share of rows that are flagged."""
        ends = np.arange(REACH - 1, len(values))
        scores = score(detector, values, ends, group=group)
        assert np.isfinite(scores.score).all()
        return (scores.score >= 1).mean()

    @pytest.mark.parametrize("rows", [1000, 400])
    def test_a_short_one(self, rows):
        values = make_fleet(sensors=1, rows=2000).noisy[0]

        detector = train_all([make_series(values[:rows])])

        assert detector.receptive_field == REACH
        assert self.quiet(detector, values[:rows]) < 0.02

    @pytest.mark.parametrize("rows", [0, 1, 2, 100])
    def test_one_that_is_too_short_says_how_many_readings_are_needed(self, rows):
        series = [make_series(small_fleet().noisy[0][:rows])]

        with pytest.raises(ValueError, match=r"about 160 consecutive readings|two readings"):
            train(series, make_pyramid_config())

    def test_of_one_channel(self):
        detector = pyramid_detector("channel")
        values = small_fleet().noisy[0][:1000, 1:2]
        broken = values.copy()
        broken[600:] += 10 * values.std()

        assert self.quiet(detector, values) < 0.02
        assert score(detector, broken, [610]).score[0] >= 1
        assert score(detector, broken, [610]).contribution.tolist() == [[1.0]]

    def test_with_a_channel_that_never_moves(self):
        values = small_fleet().noisy[0].copy()
        values[:, 3] = 50.0

        detector = train_all([make_series(values)])
        moved = values.copy()
        moved[1400:, 3] = 80.0

        assert self.quiet(detector, values) < 0.02
        scores = score(detector, moved, np.arange(1399, 1410))
        assert (scores.score[[0, -1]] >= 1).tolist() == [False, True]
        assert scores.contribution[-1].argmax() == 3

    def test_with_a_channel_that_was_never_there(self):
        values = small_fleet().noisy[0].copy()
        values[:, 3] = np.nan

        detector = train_all([make_series(values)])

        assert self.quiet(detector, values) < 0.02

    def test_with_a_channel_that_came_late(self):
        values = small_fleet().noisy[0].copy()
        values[:900, 3] = np.nan

        detector = train_all([make_series(values)])

        assert self.quiet(detector, values[900:]) < 0.02

    def test_that_never_moves_at_all(self):
        values = np.full((1000, 4), 3.0)

        detector = train_all([make_series(values)])

        assert pyramid_training(detector)["rows_not_learned"] == 0
        assert self.quiet(detector, values) == 0

    def test_of_a_sensor_with_few_rows_beside_one_with_many(self):
        """It has no numbers of its own, but its rows are learned from."""
        one, two = small_fleet().noisy
        series = [
            make_series(one),
            make_series(two[:200], sensor="few"),
            make_series(two[:10], sensor="too few"),
        ]

        detector = train_all(series)

        assert detector.identity.sensors == ("s0",)
        assert detector.group_of("few") == POOLED
        assert {sensor for sensor, _ in learned_times(detector)} == {"s0", "few"}
        said = [one["sensor"] for one in detector.identity.training["not_learned"]]
        assert said == ["too few"]

    def test_of_sensors_on_levels_of_their_own(self):
        """A level that is healthy for one sensor is a fault of the other."""
        one, two = small_fleet().noisy
        far = two + 20 * two.std(0)
        detector = train_all([make_series(one), make_series(far, sensor="s1")])

        assert self.quiet(detector, one, 1) < 0.02
        assert self.quiet(detector, far, 2) < 0.02
        assert score(detector, far, [600], group=1).score[0] >= 1

    def test_a_sensor_that_the_training_has_not_seen_is_scored_by_the_pooled_numbers(self):
        unseen = make_fleet(seed=77, rows=1200).noisy[0]

        assert self.quiet(pyramid_detector(), unseen, POOLED) < 0.05


class TestUncleanHistories:
    """Nobody has clean data."""

    @pytest.mark.parametrize("place", [100, 400, 700, 1000, 1450])
    def test_a_sentinel_is_missing_and_said_in_whatever_fifth_it_stands(self, place):
        clean = small_fleet().noisy[0]
        values = clean.copy()
        values[place, 1] = -9999.0

        detector = train([make_series(values)], make_pyramid_config(max_steps=5))
        twin = train([make_series(clean)], make_pyramid_config(max_steps=5))

        assert detector.identity.training["gross"] == [
            {"sensor": "s0", "channel": 1, "values": 1, "largest": -9999.0}
        ]
        assert twin.identity.training["gross"] == []
        assert detector.threshold_of(1) == pytest.approx(twin.threshold_of(1), rel=0.1)

    @pytest.mark.parametrize("start", [100, 700, 1300])
    def test_a_fault_of_twenty_rows_is_not_learned_from(self, start):
        values = small_fleet().noisy[0].copy()
        values[start : start + 20, 1] += 3 * values[:, 1].std()

        detector = train_all([make_series(values)])

        learned = {ts_ns // INTERVAL_NS for _, ts_ns in learned_times(detector)}
        assert not learned & set(range(start + 8, start + 20))
        assert pyramid_training(detector)["rows_not_learned"] == 1500 - len(learned) < 300

    def test_neither_is_one_of_five_percent(self):
        values = small_fleet().noisy[0].copy()
        values[600:675, 1] += 3 * values[:, 1].std()

        detector = train_all([make_series(values)])

        learned = {ts_ns // INTERVAL_NS for _, ts_ns in learned_times(detector)}
        assert len(learned & set(range(600, 675))) < 16

    def test_of_rare_commands_nothing_is_left_out(self):
        """They are normal modes: to leave them out costs more than a fault."""
        rng = np.random.default_rng(0)
        values = make_commands(channels=11)
        values[:, 1:] = rng.random((1500, 10)) < 1 / 400
        names = tuple(f"c{channel}" for channel in range(11))

        detector = train_all([make_series(values)], channels=names)

        assert pyramid_training(detector)["rows_not_learned"] == 0
        assert len(learned_times(detector, "short")) == 1500


def test_looks_that_count_nowhere_are_left_out():
    calm, commands = pyramid_detector(), pyramid_detector("commands")

    assert "extremes" not in [look.name for look in pyramid_of(calm).looks]
    assert "extremes" in [look.name for look in pyramid_of(commands).looks]
    for detector in (calm, commands):
        names = [name for view in detector.views for name in view.features]
        fusion = detector.head.fusion
        assert isinstance(fusion, LogFusion)
        assert fusion.weight.shape[1] == len(names)
        assert (fusion.weight.max(axis=0) > 0).all()
        assert fusion.median.shape == (len(names), detector.n_groups)


def test_a_plain_training_has_no_pyramid():
    detector = trained()

    assert [view.kind for view in detector.views] == ["reconstruction", "denoising"]
    assert detector.signal.features == FEATURES
    assert detector.head.fusion.kind == "4-norm"
    assert detector.head.partial is None
    assert "further_views" not in detector.identity.training


def test_the_signal_view_beside_a_pyramid_says_what_it_says_alone():
    """It is fitted alike, only its features are not used."""
    plain = train(small_fleet().series(), make_config(max_steps=20))
    detector = pyramid_detector()
    rows, ends = small_fleet().noisy[0], np.arange(REACH - 1, 600)

    one, two = (score(which, rows, ends) for which in (plain, detector))

    assert np.array_equal(one.expected, two.expected)
    assert detector.signal.features == ()


def test_progress_names_every_fit_and_all_is_told():
    looks: list[Progress] = []
    detector = train(
        small_fleet().series(slice(0, 600)), make_pyramid_config(max_steps=5), progress=looks.append
    )

    own = [one for one in looks if one.max_steps == 2 * len(TINY.looks)]
    steps = [one.step for one in own]
    assert steps == list(range(1, len(steps) + 1))
    assert all(np.isfinite(one.loss) for one in own)
    training = pyramid_training(detector)
    assert training["kind"] == "pyramid"
    assert training["rows"] == 1200
    assert set(training["looks"]) == {name for name, _ in TINY.looks}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_steps": 0}, "max_steps must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"hidden": 0}, "hidden must be"),
        ({"examples": 15}, r"examples must be .* 16\.\.4096"),
        ({"examples": 4097}, r"examples must be .* 16\.\.4096"),
        ({"purge": -1}, "purge must be"),
        ({"looks": ()}, "looks must be at least one and distinct"),
        ({"looks": (("short", SHORT_FEATURES),) * 2}, "looks must be at least one and distinct"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"noise": -1.0}, "noise at least 0"),
    ],
)
def test_a_training_out_of_range_is_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        PyramidTraining(**changes)

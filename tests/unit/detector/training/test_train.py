import dataclasses

import numpy as np
import pytest
import torch

from detector.calibration.budget import AlarmBudget
from detector.calibration.fusion import Fusion
from detector.models import KINDS
from detector.signal.series import Series
from detector.training.corruption import Corruption
from detector.training.train import Progress, TrainingConfig, train
from tests.support.fleets import CHANNELS, make_config, make_fleet, make_series


def state(detector):
    return {name: value.clone() for name, value in detector.signal.model.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_reproduces_every_bit(kind):
    fleet = make_fleet(rows=600)
    config = make_config(kind=kind, max_steps=40)

    one, two = train(fleet.series(), config), train(fleet.series(), config)

    assert all(torch.equal(state(one)[name], value) for name, value in state(two).items())
    assert np.array_equal(one.head.calibration.threshold, two.head.calibration.threshold)
    assert one.identity == two.identity


def test_another_seed_gives_another_model_and_global_randomness_is_left_alone():
    fleet = make_fleet(rows=600)
    torch.manual_seed(5)
    before = torch.get_rng_state()

    one = train(fleet.series(), make_config(max_steps=20, seed=1))
    two = train(fleet.series(), make_config(max_steps=20, seed=2))

    assert any(not torch.equal(state(one)[name], value) for name, value in state(two).items())
    assert torch.equal(torch.get_rng_state(), before)


def test_training_stops_early_when_the_validation_block_has_no_more_to_gain():
    """The last blocks hold another signal: nothing learned from the first helps there."""
    values = make_fleet(sensors=1, rows=1000).noisy[0]
    values[700:] = np.random.default_rng(0).permutation(values[700:])
    looks: list[Progress] = []

    detector = train(
        [make_series(values)],
        make_config(max_steps=3000, check_every=10, patience=3),
        progress=looks.append,
    )

    history = detector.identity.training
    assert history["steps"] == looks[-1].step < 3000
    assert history["best_step"] == history["steps"] - 30
    assert looks[-1].best_loss == min(look.validation_loss for look in looks)
    assert looks[-1].best_loss < looks[-1].validation_loss


def test_the_weights_kept_are_the_best_not_the_last():
    values = make_fleet(sensors=1, rows=1000).noisy[0]
    values[700:] = np.random.default_rng(0).permutation(values[700:])
    config = make_config(max_steps=3000, check_every=10, patience=3, learning_rate=1e-2)

    stopped = train([make_series(values)], config)
    best = stopped.identity.training["best_step"]
    # The schedule must see the same horizon, so the second run is stopped by its patience.
    looks: list[Progress] = []
    train([make_series(values)], config, progress=looks.append)

    losses = {look.step: look.validation_loss for look in looks}
    assert losses[best] == min(losses.values()) == stopped.identity.training["validation_loss"]


def test_progress_counts_to_the_end_and_the_loss_falls():
    looks: list[Progress] = []

    train(make_fleet(rows=1000).series(), make_config(max_steps=200), progress=looks.append)

    assert [look.step for look in looks] == [50, 100, 150, 200]
    assert all(look.max_steps == 200 for look in looks)
    assert looks[-1].loss < looks[0].loss


def test_the_work_does_not_grow_with_the_data():
    """A history 20 times as long: the same number of steps, rows within the bound."""
    fleet = make_fleet(sensors=1, rows=40_000)

    detector = train(fleet.series(), make_config(max_rows=2000, max_steps=50))

    assert detector.identity.training["rows"] < 2400
    assert detector.identity.training["steps"] == 50


def test_gaps_late_readings_and_several_series_of_one_sensor_are_taken():
    one, two = make_fleet(rows=800).series()
    ts_ns = one.ts_ns.copy()
    ts_ns[400:] += 10**12
    ts_ns[100] = ts_ns[99]
    parts = [
        Series(sensor="a", ts_ns=ts_ns, values=one.values),
        Series(sensor="a", ts_ns=two.ts_ns + 10**14, values=two.values),
    ]

    detector = train(parts, make_config(max_steps=20))

    assert detector.identity.sensors == ("a",)
    assert detector.interval_s == 1.0
    assert detector.max_gap_s == 10.0
    assert detector.identity.training["rows"] == 1599


def test_missing_values_in_training_are_no_target():
    """Half of a channel is missing; the model must not learn the filled-in values."""
    fleet = make_fleet(sensors=1)
    values = fleet.noisy[0].copy()
    hole = np.random.default_rng(0).random(len(values)) < 0.5
    values[hole, 1] = np.nan

    detector = train([make_series(values)], make_config())
    ends = np.arange(2500, 3000)
    scores = detector.score(values, ends, np.ones(500, dtype=np.int32))

    error = np.abs(scores.expected[:, 1] - fleet.clean[0][ends, 1])[hole[ends]]
    assert np.median(error) < 0.5 * fleet.clean[0][:, 1].std()


def test_the_calibration_block_is_the_last_one_and_sets_the_threshold():
    """Noise that grows only in the last fifth raises the threshold, not the weights."""
    calm = make_fleet(sensors=1, rows=2000)
    wild = calm.noisy[0].copy()
    wild[1600:] += 3 * wild.std(0) * np.random.default_rng(0).standard_normal((400, 4))

    one = train(calm.series(), make_config(max_steps=50))
    two = train([make_series(wild)], make_config(max_steps=50))

    assert all(torch.equal(state(one)[name], value) for name, value in state(two).items())
    assert isinstance(one.head.fusion, Fusion)
    assert isinstance(two.head.fusion, Fusion)
    assert (two.head.fusion.middle[3, 1] > 2 * one.head.fusion.middle[3, 1]).all()


def test_a_larger_budget_gives_a_lower_threshold():
    series = make_fleet(rows=800).series()
    strict = train(series, make_config(max_steps=20))
    loose = train(
        series, make_config(max_steps=20, budget=AlarmBudget(false_alarms=100.0, per_s=3600.0))
    )

    assert loose.threshold_of(1) < strict.threshold_of(1)
    assert "promise" in strict.identity.training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ()}, "at least one and distinct"),
        ({"channels": ("a", "a")}, "at least one and distinct"),
        ({"units": ("bar",)}, "as many units"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"max_gap_s": -1.0}, "max_gap_s >= 0"),
        ({"accept_after_s": -1.0}, "accept_after_s must be >= 0"),
        ({"last_weight": 1.0}, "last_weight must be in"),
    ],
)
def test_a_config_out_of_range_is_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        make_config(**changes)


def test_the_default_model_is_the_one_of_the_benchmarks():
    model = TrainingConfig(channels=tuple("abcdefgh")).build_model(8)

    sizes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert sizes == [(256, 128), (128, 32), (32, 128), (128, 256)]


def test_a_config_is_a_plain_value():
    config = make_config()

    assert dataclasses.replace(config) == config
    assert config.channels == CHANNELS


class TestCorruption:
    windows = torch.randn(2000, 6, 3, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([[0.0, 0.5, 1.0]]).expand(2000, -1)

    def corrupt(self, **fields):
        generator = torch.Generator().manual_seed(1)
        return Corruption(**fields).apply(self.windows, self.sigma, generator)

    def test_noise_follows_the_noise_level_of_each_channel(self):
        added = (self.corrupt(noise=2.0, least_noise=0.01) - self.windows).flatten(0, 1).std(0)

        quiet, middle, loud = added.tolist()
        assert quiet == pytest.approx(0.01, rel=0.1)
        assert loud == pytest.approx(2 * middle, rel=0.1)
        assert loud == pytest.approx(2 / 3**0.5, rel=0.1)

    def test_a_swapped_window_has_one_channel_of_another(self):
        corrupted = self.corrupt(noise=0.0, least_noise=0.0, swap=0.5)

        changed = (corrupted != self.windows).all(1)
        assert changed.sum(1).max() == 1
        assert float(changed.any(1).float().mean()) == pytest.approx(0.5, abs=0.05)

    def test_no_corruption_is_a_copy(self):
        corrupted = self.corrupt(noise=0.0, least_noise=0.0)

        assert torch.equal(corrupted, self.windows)
        assert corrupted.data_ptr() != self.windows.data_ptr()

    @pytest.mark.parametrize("fields", [{"noise": -1.0}, {"least_noise": -1.0}, {"swap": 1.5}])
    def test_a_share_out_of_range_is_rejected(self, fields):
        with pytest.raises(ValueError, match=r"swap in 0\.\.1"):
            Corruption(**fields)

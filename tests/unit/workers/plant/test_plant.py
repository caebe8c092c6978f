"""The simulated plant: physics that hold, faults that show, rows that are the same for all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.plant.faults import Fault, FaultKind, FixedSchedule, RandomSchedule
from workers.plant.physics import CHANNEL_NAMES, CHANNELS, NOISE, draw_pumps, follow, operate
from workers.plant.plant import Plant, PlantConfig

FLOW, PRESSURE, CURRENT, POWER, VIBRATION, BEARING, MOTOR, SPEED = range(8)


def collect(plant, n_rows, *, first_row=0):
    chunks = list(plant.chunks(n_rows, first_row=first_row))
    fields = ("ts_ns", "clean", "noisy", "label")
    return {name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in fields}


def make_fault(kind=FaultKind.LEVEL_SHIFT, *, start=300, end=360, channel="flow", magnitude=20.0):
    shares = (FaultKind.MISSING_DATA, FaultKind.BROKEN_CORRELATION)
    return Fault(
        machine=1,
        kind=kind,
        channels=(channel,),
        start_row=start,
        end_row=end,
        magnitude=1.0 if kind in shares else magnitude,
    )


@pytest.fixture(scope="module")
def two_hours():
    """Two hours of four sound pumps."""
    return collect(Plant(PlantConfig(machines=4, seed=3)), 7_200)


# --- physics ---------------------------------------------------------------------------------


def test_the_working_point_lies_on_the_pump_curve_and_on_the_system_curve():
    pumps = draw_pumps(5, np.random.default_rng(1))
    speed = np.linspace(0.7, 1.0, 20)[:, None] * np.ones(5)
    resistance = np.linspace(1.3, 0.8, 20)[:, None] * np.ones(5)

    point = operate(pumps, speed, resistance)

    head = point.pressure_bar / 0.0981
    pump = pumps.shut_off_head_m * speed**2 - pumps.pump_curve * point.flow_m3h**2
    pipe = pumps.static_head_m + pumps.pipe_curve * resistance * point.flow_m3h**2
    assert np.allclose(head, pump)
    assert np.allclose(head, pipe)


def test_at_one_speed_a_tighter_pipe_gives_less_flow_and_more_pressure():
    pumps = draw_pumps(3, np.random.default_rng(1))
    resistance = np.linspace(0.7, 1.4, 30)[:, None] * np.ones(3)

    point = operate(pumps, np.full((30, 3), 0.9), resistance)

    assert (np.diff(point.flow_m3h, axis=0) < 0).all()
    assert (np.diff(point.pressure_bar, axis=0) > 0).all()


def test_the_motor_draws_the_hydraulic_power_and_more():
    pumps = draw_pumps(3, np.random.default_rng(1))
    speed = np.linspace(0.7, 1.0, 30)[:, None] * np.ones(3)

    point = operate(pumps, speed, np.ones((30, 3)))

    hydraulic = point.pressure_bar * 1e5 * point.flow_m3h / 3600 / 1000
    assert (point.power_kw > hydraulic).all()
    assert (np.diff(point.power_kw, axis=0) > 0).all()
    assert (np.diff(point.current_a, axis=0) > 0).all()


def test_a_lag_closes_63_percent_of_a_step_in_one_time_constant():
    step = np.ones((200, 2))
    lag_s = np.array([50.0, 80.0])

    path = follow(step, lag_s, np.zeros(2), dt_s=1.0)

    assert path[49, 0] == pytest.approx(1 - np.exp(-1))
    assert path[79, 1] == pytest.approx(1 - np.exp(-1))


def test_temperatures_trail_the_current_and_pressure_does_not(two_hours):
    clean = two_hours["clean"]

    def best_lag_s(channel):
        """Shift, in rows, at which the channel looks most like the current squared."""
        heat = clean[:, :, CURRENT] ** 2
        fits = [
            np.corrcoef(heat[: 6_000 - lag, m], clean[lag:6_000, m, channel])[0, 1]
            for lag in range(0, 900, 20)
            for m in range(4)
        ]
        return int(np.argmax(np.reshape(fits, (-1, 4)).mean(axis=1))) * 20

    assert best_lag_s(MOTOR) > best_lag_s(BEARING) > 60
    assert best_lag_s(PRESSURE) == 0


def test_channels_depend_on_each_other_through_the_load(two_hours):
    for machine in range(4):
        together = np.corrcoef(two_hours["clean"][:, machine].T)
        assert together[SPEED, POWER] > 0.9
        assert together[SPEED, PRESSURE] > 0.8
        assert together[FLOW, CURRENT] > 0.6
        assert together[CURRENT, MOTOR] > 0.3


def test_values_stay_in_the_range_of_a_real_pump(two_hours):
    clean = two_hours["clean"]
    ranges = {
        FLOW: (40, 160),
        PRESSURE: (1.2, 6.5),
        CURRENT: (9, 50),
        POWER: (3, 28),
        VIBRATION: (0.5, 4.5),
        BEARING: (30, 60),
        MOTOR: (24, 110),
        SPEED: (1_700, 3_200),
    }
    for channel, (low, high) in ranges.items():
        assert low < clean[..., channel].min()
        assert clean[..., channel].max() < high


def test_sensor_noise_is_white_and_as_large_as_stated(two_hours):
    noise = two_hours["noisy"] - two_hours["clean"]

    assert noise.std(axis=(0, 1)) == pytest.approx(NOISE, rel=0.03)
    assert abs(np.mean(noise[1:] * noise[:-1], axis=(0, 1)) / NOISE**2).max() < 0.03


def test_the_load_moves_every_quick_channel_by_more_than_its_noise(two_hours):
    spread = two_hours["clean"].std(axis=0)

    assert (spread[:, [FLOW, PRESSURE, CURRENT, POWER, SPEED]] > 3 * NOISE[[0, 1, 2, 3, 7]]).all()


# --- determinism -----------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(first_row=st.integers(0, 600), rows=st.integers(0, 400))
def test_rows_do_not_depend_on_where_one_begins(first_row, rows):
    plant = Plant(
        PlantConfig(machines=2, seed=9),
        FixedSchedule([make_fault(FaultKind.NOISE_BURST), make_fault(start=500, end=620)]),
    )
    whole = collect(plant, 1_024)

    chunks = list(plant.chunks(rows, first_row=first_row))

    assert all(len(chunk) for chunk in chunks)
    assert sum(len(chunk) for chunk in chunks) == rows
    for chunk in chunks:
        rows_of = slice(chunk.first_row, chunk.first_row + len(chunk))
        for name, values in whole.items():
            assert np.array_equal(getattr(chunk, name), values[rows_of], equal_nan=name != "label")


def test_one_seed_gives_one_plant_and_another_gives_another():
    one, same, other = (
        collect(Plant(PlantConfig(machines=2, seed=seed)), 300) for seed in (5, 5, 6)
    )

    assert np.array_equal(one["noisy"], same["noisy"])
    assert np.isclose(one["clean"], other["clean"]).mean() < 0.01


def test_faults_leave_the_truth_and_all_other_values_alone():
    fault = make_fault()
    sound = collect(Plant(PlantConfig(machines=3, seed=2)), 600)
    faulty = collect(Plant(PlantConfig(machines=3, seed=2), FixedSchedule([fault])), 600)

    touched = np.zeros_like(sound["noisy"], dtype=bool)
    touched[300:360, 1, FLOW] = True
    assert np.array_equal(sound["clean"], faulty["clean"])
    assert np.array_equal(sound["noisy"][~touched], faulty["noisy"][~touched])
    assert (sound["noisy"][touched] != faulty["noisy"][touched]).all()


def test_the_clock_ticks_by_the_interval():
    config = PlantConfig(machines=1, interval_s=0.5, start_ns=10**18)
    times = collect(Plant(config), 300, first_row=3)["ts_ns"]

    assert times[0] == 10**18 + 1_500_000_000
    assert (np.diff(times) == 500_000_000).all()


def test_an_endless_plant_goes_on():
    chunks = Plant(PlantConfig(machines=1)).chunks(None)

    assert [next(chunks).first_row for _ in range(4)] == [0, 256, 512, 768]


# --- faults ----------------------------------------------------------------------------------


def faulty_rows(kind, **options):
    """Signal, truth and labels of the faulty machine, 60 rows before to 60 after the fault."""
    fault = make_fault(kind, **options)
    rows = collect(Plant(PlantConfig(machines=2, seed=4), FixedSchedule([fault])), 700)
    return rows["noisy"][:, 1, FLOW], rows["clean"][:, 1, FLOW], rows["label"][:, 1]


@pytest.mark.parametrize("kind", FaultKind)
def test_each_fault_is_labelled_on_its_rows_only(kind):
    _, _, label = faulty_rows(kind)

    assert (label[300:360] == kind.value).all()
    assert not label[:300].any()
    assert not label[360:].any()


def deviation(kind, **options):
    noisy, clean, _ = faulty_rows(kind, **options)
    return ((noisy - clean) / NOISE[FLOW])[300 : options.get("end", 360)]


def test_a_spike_jumps_up_and_down():
    assert (abs(deviation(FaultKind.SPIKE, end=303)) > 10).all()
    assert np.sign(deviation(FaultKind.SPIKE, end=303)).tolist() == [1, -1, 1]


def test_a_drift_grows_to_its_magnitude():
    path = deviation(FaultKind.DRIFT)

    assert abs(path[:5].mean()) < 4
    assert path[-5:].mean() == pytest.approx(20, abs=3)
    assert np.corrcoef(path, np.arange(60))[0, 1] > 0.95


def test_a_stuck_sensor_repeats_its_last_value():
    noisy, _, _ = faulty_rows(FaultKind.STUCK_SENSOR)

    assert (noisy[300:360] == noisy[299]).all()
    assert (noisy[360:370] != noisy[299]).any()


def test_a_sensor_stuck_over_a_block_border_keeps_its_value():
    noisy, _, _ = faulty_rows(FaultKind.STUCK_SENSOR, start=250, end=530)

    assert (noisy[250:530] == noisy[249]).all()


def test_a_level_shift_moves_the_mean_only():
    path = deviation(FaultKind.LEVEL_SHIFT)

    assert path.mean() == pytest.approx(20, abs=1)
    assert path.std() == pytest.approx(1, abs=0.4)


def test_a_noise_burst_widens_the_noise():
    path = deviation(FaultKind.NOISE_BURST, magnitude=10.0)

    assert abs(path.mean()) < 5
    assert 7 < path.std() < 13


def test_a_broken_correlation_stays_in_range_and_contradicts_the_load():
    noisy, clean, _ = faulty_rows(FaultKind.BROKEN_CORRELATION, start=300, end=480)

    assert noisy.min() > 50
    assert noisy.max() < 150
    assert np.mean(abs(noisy - clean)[320:480] > 5 * NOISE[FLOW]) > 0.9


def test_missing_data_is_nan():
    noisy, _, _ = faulty_rows(FaultKind.MISSING_DATA)

    assert np.isnan(noisy[300:360]).all()
    assert np.isfinite(noisy[:300]).all()
    assert np.isfinite(noisy[360:]).all()


@pytest.mark.parametrize("name", ["machines", "interval_s", "noise"])
def test_an_impossible_plant_is_rejected(name):
    with pytest.raises(ValueError, match=f"{name} must be in"):
        PlantConfig(**{name: -1})


# --- random schedules ------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    machines=st.integers(2, 9),
    start=st.integers(0, 20_000),
    length=st.integers(1, 6_000),
)
def test_a_random_schedule_answers_any_range_alike(seed, machines, start, length):
    schedule = RandomSchedule(machines=machines, seed=seed, first_row=1_000, faults_per_epoch=7)
    everything = schedule.between(0, 30_000)

    part = schedule.between(start, start + length)

    assert list(part) == [
        fault for fault in everything if fault.start_row < start + length and fault.end_row > start
    ]
    FixedSchedule(everything)  # rejects overlaps
    assert min(fault.start_row for fault in everything) >= 1_000


def test_a_random_schedule_uses_every_kind_alike():
    faults = RandomSchedule(machines=5, seed=1, faults_per_epoch=14).between(0, 3_600)

    assert len(faults) == 14
    for kind in FaultKind:
        assert sum(fault.kind is kind for fault in faults) == 2


def test_every_random_fault_shows_on_its_channels():
    """Apart from a drift's beginning, no drawn fault drowns in the noise."""
    schedule = RandomSchedule(machines=6, seed=11, epoch_rows=2_400, faults_per_epoch=21)
    config = PlantConfig(machines=6, seed=11)
    faulty = collect(Plant(config, schedule), 2_400)["noisy"]
    sound = collect(Plant(config), 2_400)["noisy"]

    for fault in schedule.between(0, 2_400):
        rows = slice(fault.start_row, fault.end_row)
        change = (faulty - sound)[rows, fault.machine][:, fault.columns] / NOISE[fault.columns]
        strength = np.sqrt(np.mean(np.square(change)))
        assert np.isnan(strength) or strength > (1.0 if fault.kind.name == "STUCK_SENSOR" else 4.0)


def test_more_faults_than_fit_are_rejected():
    with pytest.raises(ValueError, match="do not fit 1 machines"):
        RandomSchedule(machines=1, seed=0, epoch_rows=720, faults_per_epoch=3)


def test_channels_are_named_as_they_are_listed():
    assert Plant(PlantConfig(machines=1)).channels == CHANNEL_NAMES
    assert [channel.name for channel in CHANNELS] == list(CHANNEL_NAMES)
    assert Plant(PlantConfig(machines=2)).machines == ("pump-001", "pump-002")

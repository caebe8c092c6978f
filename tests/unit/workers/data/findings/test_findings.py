"""Each kind of what may look wrong is found, and what is merely like it is not accused."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from workers.data.file.rows import Reason
from workers.data.finding import Kind
from workers.data.findings.checks import findings_of, warnings_of
from workers.data.history import History, SensorRows
from workers.data.layout import Layout

START_NS = 1_760_918_400_000_000_000  # 2025-10-20
SECOND = 10**9
NOW_NS = START_NS + 30 * 86_400 * SECOND
N = 1_000


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def noisy(rng, n=N, *, level=50.0):
    """A channel that keeps to a level and is never twice the same."""
    return level + np.sin(np.arange(n) / 40) * 4 + rng.normal(0, 0.5, n)


def history(*columns, times=None, left_out=None, unordered=0, sensors=1, names=None):
    """A history of sensors that all have these columns."""
    values = np.stack(columns, axis=1).astype(float)
    ts_ns = START_NS + np.arange(len(values)) * SECOND if times is None else np.asarray(times)
    made = tuple(
        SensorRows(sensor=f"s{number}", ts_ns=ts_ns, values=values) for number in range(sensors)
    )
    return History(
        channels=names or tuple("abcdefgh"[: len(columns)]),
        sensors=made,
        read=len(values) * sensors + sum((left_out or {}).values()),
        left_out=Counter(left_out or {}),
        units={},
        told_missing=Counter(),
        unordered=Counter({"s0": unordered} if unordered else {}),
    )


def found(one, layout=None, *, now_ns=NOW_NS):
    return findings_of(one, layout or Layout(), now_ns=now_ns)


def kinds(one, layout=None, **more):
    return {finding.kind for finding in found(one, layout, **more)}


def only(one, kind, layout=None, **more):
    (finding,) = [f for f in found(one, layout, **more) if f.kind is kind]
    return finding


# -- nothing ---------------------------------------------------------------------------------------


def test_ordinary_readings_are_accused_of_nothing(rng):
    valve = np.repeat(rng.integers(0, 4, 20) * 25, N // 20)
    flag = rng.random(N) < 0.01

    assert found(history(noisy(rng), noisy(rng, level=-3), valve, flag)) == ()


def test_a_history_without_rows_is_accused_of_that_alone():
    (finding,) = found(history(np.empty(0)))

    assert finding.text == "there is no row in it"


# -- counters and row numbers ----------------------------------------------------------------------


def test_a_counter_is_to_be_read_as_its_rate(rng):
    finding = only(history(120_000 + np.cumsum(rng.random(N))), Kind.COUNTER)

    assert (finding.option, finding.certain) == ("--rate a", True)


def test_a_counter_that_was_set_back_is_one_still_and_the_user_decides(rng):
    energy = np.concatenate([np.cumsum(rng.random(N // 4)) for _ in range(4)])

    finding = only(history(energy), Kind.COUNTER)

    assert "set back 3 times" in finding.text
    assert not finding.certain


def test_a_temperature_that_drifts_up_is_no_counter(rng):
    slow = np.linspace(20, 60, N) + rng.normal(0, 0.3, N)
    coarse = np.round(slow)
    warming = 60 - 40 * np.exp(-np.arange(N) / 50)  # without noise, and level in the end

    assert kinds(history(slow, coarse, np.round(warming, 1))) == set()


def test_a_counter_rises_in_every_sensor(rng):
    rising, falling = history(np.cumsum(rng.random(N))), history(-np.cumsum(rng.random(N)))
    other = dataclasses.replace(falling.sensors[0], sensor="other")

    both = dataclasses.replace(rising, sensors=(*rising.sensors, other))

    assert Kind.COUNTER not in kinds(both)


def test_a_counter_that_is_read_as_its_rate_is_found_no_more(rng):
    layout = Layout(rate=("a",))

    assert kinds(history(np.cumsum(rng.random(N))), layout) == set()


def test_a_rate_that_rises_is_no_counter_and_a_constant_one_leaves_out_its_counter(rng):
    layout = Layout(rate=("vol", "pulses"))
    rising, constant = np.cumsum(rng.random(N)), np.full(N, 2.0)
    one = history(noisy(rng), rising, constant, names=("flow", "vol_per_s", "pulses_per_s"))

    assert [f.option for f in found(one, layout)] == ["--ignore pulses"]


def test_a_row_number_is_to_be_left_out():
    finding = only(history(np.arange(N)), Kind.ROW_NUMBER)

    assert (finding.option, finding.certain) == ("--ignore a", True)


def test_a_row_number_over_all_sensors_is_one():
    one = history(np.arange(N))
    second = SensorRows(
        sensor="other", ts_ns=one.sensors[0].ts_ns, values=one.sensors[0].values + N
    )

    assert kinds(dataclasses.replace(one, sensors=(one.sensors[0], second))) == {Kind.ROW_NUMBER}


def test_seconds_since_the_start_are_a_time_and_an_even_counter_is_not():
    elapsed, pulses = np.arange(N) * 1.0 + 0.5, np.arange(N) * 1_234_567.0 + 9e15

    assert kinds(history(elapsed)) == {Kind.ROW_NUMBER}
    assert kinds(history(pulses)) == {Kind.COUNTER}


# -- sentinels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-200, -9999, 65535, 1e20, -1.7976931348623157e308])
def test_a_value_far_outside_that_repeats_is_to_be_read_as_missing(rng, value):
    flow = noisy(rng)
    flow[100:110] = flow[500:505] = value

    finding = only(history(flow), Kind.SENTINEL)

    assert finding.keys["missing"] == (f"{value:.0f}" if abs(value) < 1e15 else repr(float(value)),)
    assert "15 times (1.5%)" in finding.text
    assert finding.certain


def test_a_large_code_is_found_among_few_values_as_well(rng):
    degrees, still = rng.integers(20, 25, N).astype(float), np.full(N, 5.0)
    degrees[100:112] = still[100:112] = -9999

    assert {(f.kind, f.channel) for f in found(history(degrees, still))} == {
        (Kind.SENTINEL, "a"),
        (Kind.SENTINEL, "b"),
    }


def test_two_sentinels_of_a_channel_are_both_found(rng):
    flow = noisy(rng)
    flow[100:110], flow[500:520] = -9999, -999

    assert {f.option for f in found(history(flow))} == {"--missing -9999", "--missing -999"}


def test_a_zero_amid_readings_far_from_it_is_for_the_user_to_decide(rng):
    kelvin, other = noisy(rng, level=350), noisy(rng)
    kelvin[200:215] = 0

    finding = only(history(kelvin, other), Kind.SENTINEL)

    assert (finding.option, finding.certain) == ("--missing 0", False)


@pytest.mark.parametrize("value", [0, -1])
def test_a_zero_is_found_nearer_to_the_readings_if_the_other_channels_go_on(rng, value):
    wide, other = 50 + 13 * np.sin(np.arange(N) / 40) + rng.normal(0, 0.3, N), noisy(rng)
    wide[300:419] = value

    finding = only(history(wide, other), Kind.SENTINEL)

    assert (finding.option, finding.certain) == (f"--missing {value}", False)
    assert kinds(history(wide)) == set()  # nothing tells it from a machine at rest
    other[300:419] = rng.normal(3, 0.5, 119)
    assert kinds(history(wide, other)) == set()


def test_a_zero_near_values_that_are_scaled_to_one_is_no_sentinel(rng):
    scaled = 1 + 0.26 * np.sin(np.arange(N) / 40) + rng.normal(0, 0.01, N)
    scaled[300:419] = 0

    assert kinds(history(scaled, noisy(rng))) == set()


def test_a_pump_that_is_switched_off_is_no_sentinel(rng):
    flow, current = noisy(rng), noisy(rng, level=12)
    off = np.zeros(N, bool)
    off[300:380] = off[700:760] = True
    flow[off], current[off] = 0, rng.normal(0.02, 0.01, off.sum())

    assert kinds(history(flow, current)) == set()


def test_a_pump_that_rests_often_or_slows_down_first_is_no_sentinel(rng):
    rests, slows = noisy(rng), noisy(rng)
    rests[:400] = 0
    slows[300:310], slows[310:330] = np.linspace(45, 2, 10), 0

    assert kinds(history(rests, slows)) == set()


def test_flags_modes_and_rare_spikes_are_no_sentinels(rng):
    flags = (rng.random(N) < 0.02).astype(float)
    modes = rng.choice([1.0, 2.0, 3.0, 255.0], N)
    spikes = noisy(rng)
    spikes[[10, 200, 700]] = [900, 910, 905]
    twins = noisy(rng)
    twins[[10, 200, 201, 700]] = 900  # the end of its scale, perhaps

    assert kinds(history(flags, modes, spikes, twins)) == set()


def test_a_value_that_is_ordinary_in_another_channel_is_not_taken_without_asking(rng):
    flow, counts = noisy(rng), rng.permutation(np.arange(N) % 600).astype(float)
    flow[100:140] = 255

    finding = only(history(flow, counts), Kind.SENTINEL)

    assert "from other channels, too: 'b'" in finding.text
    assert not finding.certain


def test_values_of_huge_size_are_said_once(rng):
    flow = noisy(rng)
    flow[5] = 3e38

    finding = only(history(flow), Kind.HUGE)

    assert finding.option == "--missing 3e+38"
    assert kinds(history(flow)) == {Kind.HUGE}


def test_the_largest_floats_are_looked_at_without_a_warning(rng):
    wild = rng.choice([-1.7e308, 1.7e308, 5.0, 9e15 + 2], N)
    rising = np.linspace(-8e307, 8e307, N) * 2

    assert {Kind.SENTINEL, Kind.COUNTER} == kinds(history(wild, rising))


# -- channels that tell nothing --------------------------------------------------------------------


def test_a_constant_and_an_empty_channel_are_named(rng):
    nan = np.full(N, np.nan)

    found_ = found(history(noisy(rng), np.full(N, 7.0), nan))

    assert [(f.kind, f.option, f.certain) for f in found_] == [
        (Kind.CONSTANT, "--ignore b", False),
        (Kind.EMPTY, "--ignore c", True),
    ]


def test_a_channel_that_some_sensor_lacks_is_named_with_it(rng):
    one = history(noisy(rng), noisy(rng), sensors=2)
    values = one.sensors[1].values.copy()
    values[:, 1] = np.nan
    lacking = dataclasses.replace(one.sensors[1], values=values)

    finding = only(dataclasses.replace(one, sensors=(one.sensors[0], lacking)), Kind.EMPTY)

    assert "1 of 2 sensors: 's1'" in finding.text


def test_a_channel_that_starts_late_or_ends_early_is_named(rng):
    late, early = noisy(rng), noisy(rng)
    late[:300], early[-300:] = np.nan, np.nan

    assert {(f.kind, f.channel) for f in found(history(noisy(rng), late, early))} == {
        (Kind.STARTS_LATE, "b"),
        (Kind.ENDS_EARLY, "c"),
    }


def test_a_channel_that_is_measured_seldom_starts_late_for_that_alone(rng):
    seldom = np.full(N, np.nan)
    seldom[110::120] = noisy(rng)[110::120]

    assert kinds(history(noisy(rng), noisy(rng), noisy(rng), seldom)) == set()


# -- times -----------------------------------------------------------------------------------------


def test_rows_that_repeat_a_time_are_counted_and_made_one(rng):
    one = history(noisy(rng), left_out={(Reason.REPEATED, "s0"): 9 * N})

    finding = only(one, Kind.REPEATED_TIMES)

    assert "9,000 of 10,000 rows (90%)" in finding.text
    assert "about 10 rows to each time" in finding.text
    assert (finding.option, finding.certain) == ("--resample 1s", True)


def test_few_rows_that_repeat_a_time_change_no_layout(rng):
    one = history(noisy(rng), left_out={(Reason.REPEATED, "s0"): 3})

    assert not only(one, Kind.REPEATED_TIMES).certain


def test_rows_out_of_order_are_said_and_are_no_warning(rng):
    newest_first = found(history(noisy(rng), unordered=N - 1))
    some = found(history(noisy(rng), unordered=40))

    assert "newest row comes first" in newest_first[0].text
    assert some[0].text.startswith("40 rows come after later ones")
    assert warnings_of(newest_first) == warnings_of(some) == ()


def test_times_before_2000_and_after_now_are_named(rng):
    early = np.arange(N) * 60 * SECOND + 45_950 * SECOND
    ahead = NOW_NS + 86_400 * SECOND * 365 + np.arange(N) * SECOND

    assert only(history(noisy(rng), times=early), Kind.EARLY_TIMES).option == "--epoch excel"
    assert "2026" in only(history(noisy(rng), times=ahead), Kind.FUTURE_TIMES).text
    assert kinds(history(noisy(rng)), now_ns=START_NS + N * SECOND) == set()


def test_a_day_ahead_may_be_its_month(rng):
    ahead = NOW_NS + 86_400 * SECOND * 60 + np.arange(N) * SECOND
    layout = Layout(time_format=("%d/%m/%Y %H:%M",))

    finding = only(history(noisy(rng), times=ahead), Kind.FUTURE_TIMES, layout)

    assert finding.option == "--time-format '%m/%d/%Y %H:%M'"


def test_a_sensor_whose_steps_are_all_gaps_is_named(rng):
    fast = history(noisy(rng))
    slow = SensorRows(
        sensor="slow",
        ts_ns=START_NS + np.arange(100) * 60 * SECOND,
        values=noisy(rng, 100)[:, None],
    )

    finding = only(dataclasses.replace(fast, sensors=(*fast.sensors, slow)), Kind.RATES)

    assert finding.text.startswith("the rows of 'slow' are 1 min apart")
    assert finding.option == "--resample 1min"


def test_rates_within_the_gap_are_fine(rng):
    fast = history(noisy(rng))
    slower = SensorRows(
        sensor="slower",
        ts_ns=START_NS + np.arange(100) * 5 * SECOND,
        values=noisy(rng, 100)[:, None],
    )

    assert kinds(dataclasses.replace(fast, sensors=(*fast.sensors, slower))) == set()


def test_irregular_steps_are_to_be_resampled_and_jitter_is_not(rng):
    irregular = START_NS + np.cumsum(rng.exponential(SECOND, N)).astype(np.int64) + np.arange(N)
    jitter = START_NS + np.arange(N) * SECOND + rng.integers(0, SECOND // 5, N)

    assert only(history(noisy(rng), times=irregular), Kind.IRREGULAR).option.startswith(
        "--resample"
    )
    assert kinds(history(noisy(rng), times=jitter)) == set()


def test_tags_that_come_at_different_times_are_to_be_resampled(rng):
    columns = [np.full(N, np.nan) for _ in range(4)]
    for number, column in enumerate(columns):
        column[number::4] = noisy(rng)[number::4]

    finding = only(history(*columns), Kind.SPARSE)

    assert finding.option == "--resample 5s"
    assert "a row holds 25% of them" in finding.text

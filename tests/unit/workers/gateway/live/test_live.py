"""What the page is told of readings, against what a plain list of them says."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columns import Readings
from schemas.wire.anomaly import Anomaly
from tests.support.page import cleaned_frame, rows_of
from workers.gateway.live import STEPS, LiveFeed
from workers.gateway.live.cells import Cells
from workers.gateway.live.numbers import half_widths, short
from workers.gateway.live.rows import Rows

SECOND_NS = 10**9
START_S = 1_800_000_000
CHANNELS = ("flow", "level")

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 400), st.floats(0, 9, width=32)),
    min_size=1,
    max_size=60,
)
BATCHES = st.lists(ROWS, min_size=1, max_size=6)


def frame(sensor, times_s, scores, channels=CHANNELS, level=1.0):
    times_ns = [(START_S + at) * SECOND_NS for at in times_s]
    values = {name: [level] * len(times_ns) for name in channels}
    return cleaned_frame(sensor, times_ns, scores, values)


def readings(sensor, times_s, values):
    return Readings(
        positions=np.array([0]),
        sensors=[sensor],
        counts=np.array([len(times_s)]),
        ts_ns=(START_S + np.asarray(times_s, np.int64)) * SECOND_NS,
        values=np.asarray(values, np.float64),
    )


def now_ns(at_s):
    return (START_S + at_s) * SECOND_NS


@settings(max_examples=40, deadline=None)
@given(batches=BATCHES)
def test_a_ring_of_rows_holds_the_last_ones_of_each_sensor(batches):
    ring = Rows(rows=7, columns=1)
    plain: dict[int, list[tuple[int, float]]] = {0: [], 1: [], 2: []}
    ring.grow(3)
    places = {0: 0, 1: 0, 2: 0}
    for batch in batches:
        at, ts, values = (np.array(column) for column in zip(*batch, strict=True))
        ring.append(at.astype(np.intp), ts.astype(np.int64), values.astype(np.float64)[:, None])
        for sensor, when, value in batch:
            plain[sensor].append((when, value))
        for sensor, rows in plain.items():
            found = ring.since(sensor, places[sensor])
            expected = rows[places[sensor] :][-7:]
            assert (
                list(zip(found.ts_ns.tolist(), found.values[:, 0].tolist(), strict=True))
                == expected
            )
            places[sensor] = found.next


@settings(max_examples=40, deadline=None)
@given(batches=BATCHES)
def test_cells_are_the_highest_score_of_their_stretch_whatever_the_order(batches):
    cells, rows = Cells(width_ns=10, cells=5, columns=1, fields={"score": np.fmax}), []
    cells.grow(3)
    for revision, batch in enumerate(batches, start=1):
        at, ts, values = (np.array(column) for column in zip(*batch, strict=True))
        fields = {"score": values.astype(np.float64)[:, None]}
        cells.add(at.astype(np.intp), ts.astype(np.int64), fields, revision=revision)
        rows.append(batch)
    for sensor in range(3):
        newest = -1
        kept: dict[int, float] = {}
        for batch in rows:
            newest = max([newest, *(ts // 10 for at, ts, _ in batch if at == sensor)])
            for at, ts, value in batch:
                if at == sensor and ts // 10 > newest - 5:
                    kept[ts // 10] = max(kept.get(ts // 10, 0), value)
        found = cells.of(sensor, end=newest, cells=5)["score"][:, 0]
        expected = [kept.get(number, math.nan) for number in range(newest - 4, newest + 1)]
        assert np.array_equal(found, np.array(expected, np.float32), equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(batches=BATCHES, step_s=st.sampled_from(sorted(STEPS)))
def test_a_fleet_and_what_changed_since_is_the_fleet_of_now(batches, step_s):
    """Who was told of the changes has the same table as who asks anew."""
    live = LiveFeed(max_sensors=10)
    held: dict[str, dict[int, float]] = {}
    live.add_frames([frame("s0", [0], [0.5])])
    before = live.fleet(step_s=step_s, cells=60, now_ns=now_ns(400))
    for batch in batches:
        live.add_frames([frame(f"s{at}", [when], [score]) for at, when, score in batch])
        delta = live.fleet_since(before["revision"], step_s=step_s, now_ns=now_ns(400))
        for one in delta["sensors"]:
            held.setdefault(one["sensor_id"], {}).update(dict(one["changed"]))
        before = delta
    now = live.fleet(step_s=step_s, cells=60, now_ns=now_ns(400))
    for one in now["sensors"]:
        first = now["end"] - now["cells"] + 1
        for number, score in enumerate(one["scores"], start=first):
            if not math.isnan(score):
                told = held.get(one["sensor_id"], {}).get(number, 0.5)
                assert told == score


def test_a_coarse_ring_keeps_what_the_fine_one_has_forgotten():
    live = LiveFeed(max_sensors=10)
    live.add_frames([frame("pump", range(0, 7200, 60), [2.0] + [0.1] * 119)])

    fleet = live.fleet(step_s=60, cells=120, now_ns=now_ns(7200))["sensors"][0]["scores"]

    assert [score for score in fleet if score >= 1] == [2.0]
    assert sum(not math.isnan(score) for score in fleet) == 120


def test_measured_and_cleaned_of_one_sensor_come_with_their_band():
    live, times = LiveFeed(max_sensors=10), list(range(200))
    noise = np.random.default_rng(3).normal(size=(200, 2)) * [0.5, 2.0]
    live.add_frames([frame("pump", times, [0.2] * 190 + [3.0] * 10)])
    live.add_readings(readings("pump", times, 1.0 + noise))

    rows, day = rows_of(live, "pump"), live.day("pump", now_ns(200))
    assert day is not None

    assert rows["measured"]["ts"] == rows["cleaned"]["ts"]
    assert np.allclose(rows["band"], [1.5, 6.0], rtol=0.3)
    assert np.nanmin(day["low"][0]) == short(np.array([1 + noise[:, 0].min()], np.float32))[0]
    assert np.nanmax(day["score"]) == 3.0
    assert rows_of(live, "pump", rows["next"])["cleaned"]["ts"] == []
    assert live.rows("nobody") is None


def test_a_band_of_few_or_flagged_readings_is_not_known():
    measured, cleaned = np.ones((30, 1)), np.zeros((30, 1))

    assert math.isnan(half_widths(measured, cleaned, np.arange(30) < 19)[0])
    assert half_widths(measured, cleaned, np.arange(30) < 20)[0] == 3 * 1.4826


def test_shares_of_flagged_readings_are_kept_in_the_order_of_the_channels():
    live = LiveFeed(max_sensors=10)
    live.add_frames([frame("pump", [1], [2.0])])
    told = {
        "sensor_id": "pump",
        "ts_ns": now_ns(1),
        "labels": {"site": "Lyon"},
        "contribution": {"level": 0.75, "flow": 0.25},
    }
    live.add_anomalies([Anomaly.model_construct(**told)])

    assert rows_of(live, "pump")["flagged"]["contribution"] == [[0.25], [0.75]]
    assert live.labels("pump") == {"site": "Lyon"}


def test_a_new_sensor_takes_the_place_of_one_silent_for_a_day_and_of_no_other():
    live = LiveFeed(max_sensors=2)
    live.add_frames([frame("old", [0], [5.0]), frame("kept", [86_000], [0.1])])
    live.add_frames([frame("new", [86_001], [0.2])])
    assert {one.sensor_id for one in live.sensors(now_ns(86_001))} == {"old", "kept"}
    assert live.following.unfollowed == 1

    live.add_frames([frame("kept", [86_500], [0.1])])
    live.add_frames([frame("new", [86_501], [0.2])])

    found = {one.sensor_id: one for one in live.sensors(now_ns(86_501))}
    assert set(found) == {"kept", "new"}
    assert found["new"].worst == np.float32(0.2), "nothing of the old one is left"
    assert rows_of(live, "new")["cleaned"]["score"] == [0.2]


def test_a_sensor_that_comes_back_keeps_its_place_against_one_that_is_new():
    live = LiveFeed(max_sensors=2)
    live.add_frames([frame("old", [0], [5.0]), frame("kept", [90_000], [0.1])])
    live.add_frames([frame("old", [90_001], [4.0]), frame("new", [90_001], [0.2])])

    assert rows_of(live, "old")["cleaned"]["score"] == [5.0, 4.0]
    assert live.rows("new") is None


def test_another_model_s_channels_begin_anew():
    live = LiveFeed(max_sensors=10)
    live.add_frames([frame("pump", [0], [0.5])])
    epoch = live.epoch
    live.add_frames([frame("pump", [1], [0.6], channels=("flow", "level", "speed"))])

    assert live.epoch != epoch
    assert rows_of(live, "pump")["channels"] == ("flow", "level", "speed")
    assert rows_of(live, "pump")["cleaned"]["score"] == [0.6]


def test_a_sensor_with_its_clock_ahead_does_not_push_the_others_off():
    live = LiveFeed(max_sensors=10)
    live.add_frames([frame("right", [0], [0.5]), frame("ahead", [80_000], [0.5])])

    fleet = live.fleet(step_s=60, cells=60, now_ns=now_ns(10))

    assert fleet["end"] == START_S // 60


def test_memory_is_what_it_says_and_grows_with_the_sensors_alone():
    live = LiveFeed(max_sensors=1000)
    live.add_frames([frame("pump", range(3000), [0.5] * 3000)])
    held = sum(
        array.nbytes
        for part in live._parts
        for array in vars(part).values()
        if isinstance(array, np.ndarray)
    )
    held += sum(
        array.nbytes
        for cells in live._parts
        if isinstance(cells, Cells)
        for array in cells._values.values()
    )

    assert held == live.bytes_per_sensor * 64
    live.add_frames([frame("pump", range(3000, 9000), [0.5] * 6000)])
    assert len(live._cleaned._ts) == 64
    assert live.bytes_per_sensor < 100_000

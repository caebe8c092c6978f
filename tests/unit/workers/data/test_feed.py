"""Feeding a topic: what becomes of the rows, in which order, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Decoder
from schemas.settings import InputSettings, StreamSettings
from schemas.wire.errors import Stage
from workers.data.feed import (
    Fed,
    FeedRecord,
    Packing,
    feed,
    records_of,
)
from workers.data.preview import Preview
from workers.plant.plant import FleetColumns, Plant, PlantConfig
from workers.stream.input import Input

S = 1_000_000_000
CHANNELS = ("flow", "speed")


def make_batch(codes, *, first_s=0):
    """One row a code, a second apart; the values tell sensor and row."""
    rows = np.arange(len(codes))
    return FleetColumns(
        sensors=("a", "b", "c"),
        sensor_codes=np.array(codes, dtype=np.int32),
        ts_ns=(first_s + rows).astype(np.int64) * S,
        values=np.stack([np.array(codes, dtype=float), first_s + rows], axis=1),
        labels=np.zeros(len(codes), dtype=np.int8),
    )


def unpacked(records, packing):
    """(sensor, second, values) of every reading, as a reader of the topic decodes it."""
    records = list(records)
    decoded = Decoder(CHANNELS).decode(
        [record.value for record in records], [packing.content_type.encode()] * len(records)
    )
    assert not decoded.failures
    readings = decoded.readings
    sensors = np.repeat(readings.sensors, readings.counts)
    assert readings.counts.tolist() == [record.readings for record in records]
    assert [record.key.decode() for record in records] == list(readings.sensors)
    seconds = (readings.ts_ns // S).tolist()
    return list(zip(sensors.tolist(), seconds, readings.values.tolist(), strict=True))


@pytest.mark.parametrize("packing", Packing)
@settings(max_examples=40, deadline=None)
@given(
    codes=st.lists(st.lists(st.integers(0, 2), max_size=20), max_size=5),
    frame_rows=st.integers(1, 7),
)
def test_every_row_is_sent_once_and_in_order_of_its_sensor(packing, codes, frame_rows):
    batches, rows = [], 0
    for part in codes:
        batches.append(make_batch(part, first_s=rows))
        rows += len(part)

    sent = unpacked(records_of(batches, CHANNELS, packing=packing, frame_rows=frame_rows), packing)

    expected = [
        ("abc"[code], row, [float(code), float(row)])
        for row, code in enumerate(code for part in codes for code in part)
    ]
    for sensor in "abc":
        assert [row for row in sent if row[0] == sensor] == [
            row for row in expected if row[0] == sensor
        ]
    assert len(sent) == len(expected)


def test_single_readings_keep_the_order_of_the_rows():
    sent = unpacked(records_of([make_batch([2, 0, 1, 0])], CHANNELS), Packing.READINGS)

    assert [second for _, second, _ in sent] == [0, 1, 2, 3]


def test_frames_come_in_the_order_in_which_they_are_full():
    records = records_of(
        [make_batch([0, 1, 1, 0, 2])], CHANNELS, packing=Packing.FRAMES, frame_rows=2
    )

    assert [(record.key, record.readings) for record in records] == [
        (b"b", 2),
        (b"a", 2),
        (b"c", 1),
    ]


def test_missing_values_are_sent_as_null():
    batch = make_batch([0])
    batch.values[0, 1] = np.nan

    (record,) = records_of([batch], CHANNELS)

    assert b"null" in record.value


def test_a_plant_becomes_rows_moment_by_moment():
    plant = Plant(PlantConfig(machines=3, interval_s=1.0))

    (chunk,) = plant.chunks(2)
    batch = chunk.columns(plant.machines)

    assert [batch.sensors[code] for code in batch.sensor_codes] == list(plant.machines) * 2
    assert np.diff(batch.ts_ns).tolist() == [0, 0, S, 0, 0]


@dataclass
class FakeClock:
    """Time passes only by waiting."""

    at_s: float = 100.0

    def now(self):
        return self.at_s

    def wait(self, seconds):
        self.at_s += seconds


@dataclass
class FakePublisher:
    clock: FakeClock
    sent: list[tuple[float, str, bytes, bytes, list[tuple[str, bytes]]]] = field(
        default_factory=list
    )
    settled: int = 0

    def send(self, topic, *, key, value, headers=()):
        self.sent.append((round(self.clock.now() - 100.0, 2), topic, key, value, list(headers)))

    def settle(self):
        self.settled = len(self.sent)


def run_feed(*, seconds=(0, 1, 2, 3), stop_after_s=1e9, progress=None, **pace):
    clock = FakeClock()
    publisher: Any = FakePublisher(clock)
    fed = feed(
        [FeedRecord(b"a", b"xyz", 2, (50 + second) * S) for second in seconds],
        publisher,
        "plant",
        content_type="text/x",
        **pace,
        should_stop=lambda: clock.now() - 100.0 >= stop_after_s,
        on_progress=(lambda _: None) if progress is None else progress.append,
        now_s=clock.now,
        wait=clock.wait,
    )
    return fed, publisher


def test_a_record_carries_topic_key_and_content_type():
    _, publisher = run_feed(seconds=(0,))

    assert publisher.sent == [(0.0, "plant", b"a", b"xyz", [("content-type", b"text/x")])]


@pytest.mark.parametrize(
    ("pace", "times"),
    [
        ({}, [0, 0, 0, 0]),
        ({"speed": 1}, [0, 1, 2, 3]),
        ({"speed": 4}, [0, 0.25, 0.5, 0.75]),
        ({"readings_per_s": 4}, [0, 0.5, 1.0, 1.5]),
        # A rate goes before a speed.
        ({"readings_per_s": 4, "speed": 1}, [0, 0.5, 1.0, 1.5]),
    ],
)
def test_records_are_sent_when_they_are_due(pace, times):
    fed, publisher = run_feed(**pace)

    assert [sent[0] for sent in publisher.sent] == pytest.approx(times, abs=0.01)
    assert (fed.records, fed.readings, fed.value_bytes) == (4, 8, 12)
    assert publisher.settled == 4


def test_a_stop_ends_the_feed_in_good_order_and_soon():
    fed, publisher = run_feed(speed=0.01, stop_after_s=0.5)

    assert fed.readings == 2
    assert fed.took_s < 0.75
    assert publisher.settled == 1


def test_progress_is_told_while_waiting():
    seen: list[Fed] = []

    run_feed(speed=1, progress=seen)

    assert [fed.readings for fed in seen] == sorted(fed.readings for fed in seen)
    assert len(seen) >= 10


@pytest.mark.parametrize("records", [3, 2500])
def test_what_the_stream_will_reject_is_counted_by_the_time_of_sending(records):
    clock = FakeClock()
    preview = Preview(
        Input(CHANNELS, StreamSettings(max_ahead_s=10), InputSettings()),
        Packing.READINGS.content_type,
        wall_s=clock.now,
    )
    sent = records_of([make_batch([0] * records, first_s=111)], CHANNELS)
    for record in sent:
        preview.sent(record)
        clock.wait(2.0)
    preview.settle()

    # The first is sent 11 s early, the next 10 s, and so on.
    assert preview.rejected == {Stage.CLOCK: 1}
    assert "max_ahead_s allows 10" in preview.reasons[Stage.CLOCK]


def test_what_the_stream_will_accept_is_not_counted():
    preview = Preview(
        Input(CHANNELS, StreamSettings(), InputSettings()),
        Packing.FRAMES.content_type,
        wall_s=lambda: 0.0,
    )
    for record in records_of([make_batch([0, 1, 2])], CHANNELS, packing=Packing.FRAMES):
        preview.sent(record)
    preview.settle()
    assert not preview.rejected

"""Readings into a topic at a chosen pace, as single readings or as frames.

`records_of` turns columns into records, and `feed` publishes each when it is due. Only `feed`
waits; its clock and its way to wait are arguments.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from schemas.codec import (
    FRAME_ARROW,
    FRAME_JSON,
    HEADER,
    READING_JSON,
    FrameEncoder,
    ReadingEncoder,
)

if TYPE_CHECKING:
    from workers.data.history import TimedRows
    from workers.kafka.publisher import Publisher
    from workers.plant.plant import FleetColumns

    Columns = TimedRows | FleetColumns

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

# The longest wait before should_stop is asked again.
_SLICE_S = 0.2
# A record that is due this soon is sent at once: a shorter sleep would cost more than it gains.
_EARLY_S = 0.002


class Packing(StrEnum):
    """How readings become records."""

    READINGS = "readings"
    """One JSON record a reading."""
    FRAMES = "frames"
    """JSON frames: many readings of one sensor in columns."""
    ARROW = "arrow"
    """The same as Arrow IPC."""

    @property
    def content_type(self) -> str:
        """The `content-type` header of the records."""
        return {"readings": READING_JSON, "frames": FRAME_JSON, "arrow": FRAME_ARROW}[self]


@dataclass(frozen=True, slots=True)
class FeedRecord:
    """One record to publish: `readings` of one sensor, the last of them at `ts_ns`."""

    key: bytes
    value: bytes
    readings: int
    ts_ns: int


def records_of(
    batches: Iterable[Columns],
    channels: Sequence[str],
    *,
    packing: Packing = Packing.READINGS,
    frame_rows: int = 100,
) -> Iterator[FeedRecord]:
    """Records of all batches, each sensor's in order.

    Args:
        batches: rows in order of time; a sensor may go on in the next batch.
        channels: names of the value columns on the wire.
        packing: single readings, or frames.
        frame_rows: readings of a full frame, >= 1; what is left at the end goes into shorter ones.
    """
    if packing is Packing.READINGS:
        return _readings(batches, ReadingEncoder(channels))
    return _frames(batches, FrameEncoder(channels, packing.content_type), frame_rows)


def _readings(batches: Iterable[Columns], encoder: ReadingEncoder) -> Iterator[FeedRecord]:
    for batch in batches:
        keys = [sensor.encode() for sensor in batch.sensors]
        rows = zip(
            batch.sensor_codes.tolist(), batch.ts_ns.tolist(), batch.values.tolist(), strict=True
        )
        for code, ts_ns, values in rows:
            value = encoder.encode(batch.sensors[code], ts_ns, values)
            yield FeedRecord(keys[code], value, 1, ts_ns)


def _frames(
    batches: Iterable[Columns], encoder: FrameEncoder, frame_rows: int
) -> Iterator[FeedRecord]:
    waiting: dict[str, tuple[IntArray, FloatArray]] = {}
    for batch in batches:
        full: list[tuple[int, FeedRecord]] = []
        for code, sensor in enumerate(batch.sensors):
            rows = np.flatnonzero(batch.sensor_codes == code)
            ts_ns, values = batch.ts_ns[rows], batch.values[rows]
            before = 0
            if sensor in waiting:
                before = len(waiting[sensor][0])
                ts_ns = np.concatenate([waiting[sensor][0], ts_ns])
                values = np.concatenate([waiting[sensor][1], values])
            ends = range(frame_rows, len(ts_ns) + 1, frame_rows)
            for end in ends:
                part = slice(end - frame_rows, end)
                record = _frame(encoder, sensor, ts_ns[part], values[part])
                full.append((int(rows[end - 1 - before]), record))
            left = len(ends) * frame_rows
            waiting[sensor] = (ts_ns[left:], values[left:])
        # In the order in which their last readings come.
        yield from (record for _, record in sorted(full, key=lambda item: item[0]))
    for sensor, (ts_ns, values) in waiting.items():
        if len(ts_ns):
            yield _frame(encoder, sensor, ts_ns, values)


def _frame(encoder: FrameEncoder, sensor: str, ts_ns: IntArray, values: FloatArray) -> FeedRecord:
    value = encoder.encode(sensor, ts_ns, values)
    return FeedRecord(sensor.encode(), value, len(ts_ns), int(ts_ns[-1]))


@dataclass(frozen=True, slots=True)
class Fed:
    """What was published, and how long it took until the broker had it all."""

    records: int = 0
    readings: int = 0
    value_bytes: int = 0
    took_s: float = 0.0

    @property
    def readings_per_s(self) -> float:
        """Mean over the whole feed."""
        return self.readings / self.took_s if self.took_s else 0.0


def feed(
    records: Iterable[FeedRecord],
    publisher: Publisher,
    topic: str,
    *,
    content_type: str,
    readings_per_s: float = 0.0,
    speed: float = 0.0,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Fed], None] = lambda _: None,
    on_sent: Callable[[FeedRecord], None] = lambda _: None,
    now_s: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Fed:
    """Publish records, each not before it is due, and wait until the broker has them all.

    A feed that falls behind its pace goes on as fast as it can; nothing is skipped.

    Args:
        records: what to publish; taken one at a time.
        publisher: where to.
        topic: of all records.
        content_type: of all records.
        readings_per_s: of all sensors together, it goes before a speed; 0 for no such limit.
        speed: event time over wall time, 1 is real time; 0 for no such limit.
        should_stop: asked at least every 0.2 s; true ends the feed early, in good order.
        on_progress: told about five times a second.
        on_sent: told of each record that was given to the publisher.
        now_s: a clock that only goes forward.
        wait: sleeps for so many seconds.

    Raises:
        OutputsLostError: the broker did not take a record in time.
    """
    headers = [(HEADER, content_type.encode())]
    begun_s, count, readings, size = now_s(), 0, 0, 0
    first_ns: int | None = None
    asked_s = begun_s
    for record in records:
        first_ns = record.ts_ns if first_ns is None else first_ns
        due_s = begun_s
        if readings_per_s:
            due_s += readings / readings_per_s
        elif speed:
            due_s += (record.ts_ns - first_ns) / 1e9 / speed
        while (at_s := now_s()) < due_s - _EARLY_S or at_s - asked_s >= _SLICE_S:
            if should_stop():
                break
            asked_s = at_s
            on_progress(Fed(count, readings, size, at_s - begun_s))
            if at_s < due_s - _EARLY_S:
                wait(min(due_s - at_s, _SLICE_S))
        if should_stop():
            break
        publisher.send(topic, key=record.key, value=record.value, headers=headers)
        on_sent(record)
        count, readings, size = count + 1, readings + record.readings, size + len(record.value)
    publisher.settle()
    return Fed(count, readings, size, now_s() - begun_s)

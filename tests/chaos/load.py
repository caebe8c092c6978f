"""The readings of a run: everything that sensors do wrong, in a seeded order.

What counts is what is in the log, so this producer may fail as it likes: it tries again, and a
record that came twice is a duplicate that the stream has to deal with. It looks at what became of
its records: kafka-python's producer can reach a state in which it takes records and sends no more.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from schemas.codec import FRAME_ARROW, FRAME_JSON, FrameEncoder, ReadingEncoder
from tests.chaos.hooks.wrapping import POISON
from tests.support.models import CHANNELS, SECOND_NS, START_NS, plant_values
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import producer_options, quiet_client_logs

_ROWS: Final = 4_000
_TICK_S: Final = 0.05
_HALT_WITHIN_S: Final = 60.0
_AGAIN_AFTER_S: Final = 0.5
_STUCK_AFTER_S: Final = 40.0  # longer than a record may take
_FAR_S: Final = 10**9
_BREAKS: Final = 0.006
_FALLS_SILENT: Final = 0.01
_HEADER: Final = "content-type"
_BAD: Final = (
    b"no JSON", b"", b"{}", b"[1,2,3]", b'{"sensor_id":"s1","ts":1,"values":{}}', b"\xff\xfe\x00",
    b'{"sensor_id":"s1","ts":"yesterday","values":{"flow":1,"pressure":2,"temperature":3}}',
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One record to produce."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class _UnderWay(NamedTuple):
    """A record that nobody has acknowledged yet."""

    since_s: float
    future: Any
    value: bytes | None


@dataclass
class _Sensor:
    name: str
    values: np.ndarray[Any, np.dtype[np.float64]]
    row: int = 0
    shift_s: float = 0.0
    faulty_until: int = -1  # a row
    silent: int = 0  # of its turns

    def ts_ns(self, row: int) -> int:
        return START_NS + row * SECOND_NS + int(self.shift_s * SECOND_NS)

    def at(self, row: int) -> list[float]:
        found: list[float] = self.values[row % _ROWS].tolist()
        if row < self.faulty_until:  # its pressure stands where the flow does not want it
            found[1] += 3.0
        return found


@dataclass
class Sensors:
    """An endless, seeded stream of records; pure but for its own state.

    Attributes:
        names: of the sensors; the last one is heard of a hundred times less often, so that its
            history reaches far back.

    Faults last for some dozen readings, and in some of them the sensor falls silent for longer
    than an incident goes on without it.
    """

    seed: int
    count: int = 12
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = [f"sensor-{number}" for number in range(self.count)]
        self._rng = random.Random(f"load {self.seed}")
        self._sensors = [
            _Sensor(name, plant_values(_ROWS, seed=self.seed * 1_000 + number, phase=number))
            for number, name in enumerate(self.names)
        ]
        self._readings = ReadingEncoder(CHANNELS)
        self._frames = {kind: FrameEncoder(CHANNELS, kind) for kind in (FRAME_JSON, FRAME_ARROW)}
        self._jumps_s: list[float] = []

    def jump(self, seconds: float, pick: int) -> None:
        """Let the clock of one sensor jump: it is wrong from now on."""
        self._sensors[pick % self.count].shift_s += seconds

    def records(self) -> Iterator[Sent]:
        """The next records, for ever."""
        weights = [100] * (self.count - 1) + [1]
        while True:
            (sensor,) = self._rng.choices(self._sensors, weights)
            if sensor.silent:
                sensor.silent -= 1
                continue
            self._age(sensor)
            yield from self._next(sensor)

    def _age(self, sensor: _Sensor) -> None:
        """Now and then something breaks for a while, and now and then the sensor with it."""
        if sensor.row >= sensor.faulty_until:
            if self._rng.random() < _BREAKS:
                sensor.faulty_until = sensor.row + self._rng.randint(20, 90)
        elif self._rng.random() < _FALLS_SILENT:
            sensor.silent = self._rng.randint(40, 120)

    def _next(self, sensor: _Sensor) -> Iterator[Sent]:
        draw = self._rng.random()
        if draw < 0.02:  # out of order: two swapped
            yield self._reading(sensor, sensor.row + 1)
            yield self._reading(sensor, sensor.row)
            sensor.row += 2
        elif draw < 0.035:  # late
            yield self._reading(sensor, max(sensor.row - self._rng.randint(2, 30), 0))
        elif draw < 0.05:  # twice
            twice = self._reading(sensor, sensor.row)
            yield from (twice, twice)
            sensor.row += 1
        elif draw < 0.052:  # a gap that restarts the warm-up
            sensor.row += 60
            yield self._reading(sensor, sensor.row)
            sensor.row += 1
        elif draw < 0.062:  # a short gap that does not
            sensor.row += self._rng.randint(2, 5)
        elif draw < 0.072:
            yield self._bad(sensor)
        elif draw < 0.073:  # a reading that no scorer survives
            yield self._reading(sensor, sensor.row, poison=POISON)
            sensor.row += 1
        elif draw < 0.11:
            yield self._frame(sensor)
        else:
            yield self._reading(sensor, sensor.row)
            sensor.row += 1

    def _reading(self, sensor: _Sensor, row: int, *, poison: float | None = None) -> Sent:
        values: list[float | None] = list(sensor.at(row))
        draw = self._rng.random()
        if draw < 0.01:  # an anomaly
            values[self._rng.randrange(len(values))] = 30.0
        elif draw < 0.02:
            values[self._rng.randrange(len(values))] = None
        if poison is not None:
            values[0] = poison
        return Sent(
            key=sensor.name.encode(),
            value=self._readings.encode(sensor.name, sensor.ts_ns(row), values),
        )

    def _frame(self, sensor: _Sensor) -> Sent:
        rows = [sensor.row + nth for nth in range(self._rng.randint(2, 20))]
        sensor.row += len(rows)
        if self._rng.random() < 0.2:  # disorder within the frame
            self._rng.shuffle(rows)
        kind = self._rng.choice((FRAME_JSON, FRAME_ARROW))
        return Sent(
            key=sensor.name.encode(),
            value=self._frames[kind].encode(
                sensor.name,
                np.array([sensor.ts_ns(row) for row in rows], np.int64),
                np.array([sensor.at(row) for row in rows]),
            ),
            headers=((_HEADER, kind.encode()),),
        )

    def _bad(self, sensor: _Sensor) -> Sent:
        key = sensor.name.encode()
        draw = self._rng.random()
        if draw < 0.15:
            return Sent(key=key, value=None)
        if draw < 0.3:
            return Sent(key=key, value=b"{}", headers=((_HEADER, b"application/x-unknown"),))
        if draw < 0.45:  # a clock that is centuries ahead
            ahead = START_NS + _FAR_S * 5 * SECOND_NS
            return Sent(key=key, value=self._readings.encode(sensor.name, ahead, sensor.at(0)))
        return Sent(key=key, value=self._rng.choice(_BAD))


@dataclass(frozen=True, kw_only=True)
class LoadJob:
    """What to send where, how fast.

    Attributes:
        acknowledged: a file for what the brokers said that they have, for `read_acknowledged`.
        acks: how many of them have to: "all", or 1 to see what that loses.
    """

    connection: Connection
    topic: str
    seed: int
    per_s: float
    acknowledged: Path | None = None
    acks: str | int = "all"


class Load:
    """Sends the records of `Sensors` at a rate, from a process of its own, until `halt`."""

    def __init__(self, job: LoadJob) -> None:
        """Begin with `start`."""
        context = get_context("spawn")
        self._orders, its = context.Pipe()
        self._process = context.Process(target=_send_all, args=(job, its), daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._process.start()

    def jump(self, seconds: float, pick: int) -> None:
        """See `Sensors.jump`; takes effect with one of the next records."""
        self._orders.send((seconds, pick))

    def halt(self) -> None:
        """Send no more, and wait for what is under way. Safe to call again."""
        if self._process.is_alive():
            self._orders.send(None)
            self._process.join(_HALT_WITHIN_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()


def _send_all(job: LoadJob, orders: Any) -> None:
    quiet_client_logs()
    sensors = Sensors(job.seed)
    records = sensors.records()
    while True:
        options = {**producer_options(job.connection), "metadata_max_age_ms": 3_000}
        if job.acks != "all":
            options |= {"acks": job.acks, "enable_idempotence": False}
        try:
            producer = KafkaProducer(**options)
        except KafkaError:
            time.sleep(_AGAIN_AFTER_S)
            continue
        try:
            send_until_halt(producer, job, sensors, records, orders)
        except KafkaError:  # the broker was away for too long: another producer
            time.sleep(_AGAIN_AFTER_S)
        else:
            return
        finally:
            with contextlib.suppress(KafkaError):
                producer.close(timeout=5)


def send_until_halt(
    producer: Any, job: LoadJob, sensors: Sensors, records: Iterator[Sent], orders: Any
) -> None:
    """Send at the job's rate until told to halt.

    Raises:
        KafkaError: a record did not reach the broker, or nobody knows for too long.
    """
    under_way: deque[_UnderWay] = deque()
    began_s, sent = time.monotonic(), 0
    while True:
        if orders.poll(_TICK_S):
            order = orders.recv()
            if order is None:
                break
            sensors.jump(*order)
        now_s = time.monotonic()
        due = int((now_s - began_s) * job.per_s)
        # After an outage no flood: the rate goes on from here.
        if due - sent > job.per_s:
            began_s, sent, due = now_s, 0, 0
        for _ in range(sent, due):
            one = next(records)
            future = producer.send(job.topic, one.value, one.key, list(one.headers))
            under_way.append(_UnderWay(now_s, future, one.value))
        sent = max(sent, due)
        _note(job.acknowledged, _look_at(under_way, now_s))
    with contextlib.suppress(KafkaError):  # what is in the log counts
        producer.flush(timeout=30)
        _note(job.acknowledged, _look_at(under_way, time.monotonic()))


def _look_at(under_way: deque[_UnderWay], now_s: float) -> list[str]:
    """Forget the records that arrived; a line about each of them.

    Raises:
        KafkaError: one did not, or is under way for too long.
    """
    arrived = []
    while under_way:
        since_s, future, value = under_way[0]
        if not future.is_done:
            if now_s - since_s > _STUCK_AFTER_S:
                raise KafkaTimeoutError("the producer sends no more")
            break
        under_way.popleft()
        if future.exception is not None:
            raise future.exception
        at = future.value
        if at.offset >= 0:  # it does not know of one that it had to repeat
            arrived.append(f"{at.partition} {at.offset} {sum_of(value)}\n")
    return arrived


def _note(acknowledged: Path | None, lines: Sequence[str]) -> None:
    if acknowledged is not None and lines:
        with acknowledged.open("a", encoding="utf-8") as file:
            file.writelines(lines)


def sum_of(value: bytes | None) -> int:
    """A number by which to know a value again."""
    return crc32(value or b"")


def read_acknowledged(path: Path) -> dict[tuple[int, int], int]:
    """What the brokers said that they have: `sum_of` the value by (partition, offset)."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    numbers = (map(int, line.split()) for line in lines)
    return {(partition, offset): summed for partition, offset, summed in numbers}

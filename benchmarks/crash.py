"""Kill a worker, or the driver, of a `vigie run` under load: how long is nothing new to be read?

A topic holds R readings of each sensor, behind a committed position: the history. A paced load goes
on from there, so that every partition has something new to say at any time. After the kill a
worker has to read the history of its partitions again before it says any of it.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.replaying import commit_ends, ends_of
from benchmarks.runner import Runner, running
from benchmarks.workload import (
    CHANNELS,
    PARTITIONS,
    Content,
    Shape,
    Topics,
    fill,
    make_topics,
    name_of,
    stamps_ns,
    train_model,
    values_of,
)
from schemas.codec import ReadingEncoder
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import consumer_options, producer_options

WORKERS = 2
_RATE = 500
_TICK_S = 0.005
_LOOK_S = 0.02
_FRESH_S = 5.0
_WITHIN_S = 240.0
_ALLOWED_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A history, and how often to kill.

    Attributes:
        sensors: how many.
        window: R, readings of each.
        kills: of a worker; one more is of the driver.
    """

    sensors: int
    window: int
    kills: int = 3


@dataclass(kw_only=True)
class Follower:
    """A `read_committed` reader of the denoised topic, from the end of it.

    Attributes:
        seen: of each partition, (time of the broker, arrival) of its records, seconds.
    """

    seen: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    def first_after(self, moment_s: float, partition: int) -> float | None:
        """Arrival of the first record that the broker took after a moment."""
        records = self.seen.get(partition, [])
        place = bisect_right(records, (moment_s, float("inf")))
        return records[place][1] if place < len(records) else None

    def is_fresh(self) -> bool:
        """Whether every partition had something new a moment ago."""
        since_s = time.time() - _FRESH_S
        return all(
            self.first_after(since_s, partition) is not None for partition in range(PARTITIONS)
        )

    def follow(self, consumer: KafkaConsumer, over: threading.Event) -> None:
        """Read until the end."""
        while not over.is_set():
            polled = consumer.poll(timeout_ms=100)
            now_s = time.time()
            for tp, records in polled.items():
                seen = self.seen.setdefault(tp.partition, [])
                seen += [(record.timestamp / 1e3, now_s) for record in records]


@contextmanager
def following(connection: Connection, topic: str) -> Iterator[Follower]:
    """Follow a topic while the block lasts."""
    consumer = KafkaConsumer(**consumer_options(connection))
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    follower, over = Follower(), threading.Event()
    thread = threading.Thread(target=follower.follow, args=(consumer, over), daemon=True)
    thread.start()
    try:
        yield follower
    finally:
        over.set()
        thread.join()
        consumer.close()


def run_load(connection: Connection, topic: str, case: Case, stop: Any) -> None:
    """Send readings of all sensors in turn at a steady rate, where the history ends."""
    producer = KafkaProducer(**{**producer_options(connection), "linger_ms": 0})
    encoder = ReadingEncoder(CHANNELS)
    values = values_of(0, 0, 1_000).tolist()
    try:
        began_s, sent = time.monotonic(), 0
        while not stop.is_set():
            for number in range(sent, int((time.monotonic() - began_s) * _RATE)):
                turn, sensor = divmod(number, case.sensors)
                row = case.window + turn
                key, ts_ns = name_of(sensor), int(stamps_ns(row, row + 1)[0])
                producer.send(topic, encoder.encode(key.decode(), ts_ns, values[row % 1_000]), key)
                sent = number + 1
            time.sleep(_TICK_S)
    finally:
        producer.close(timeout=10)


@contextmanager
def _loading(connection: Connection, topic: str, case: Case) -> Iterator[None]:
    context = get_context("spawn")
    stop = context.Event()
    process = context.Process(target=run_load, args=(connection, topic, case, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join()


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What happened after a kill; seconds from it, to the last partition where there are several.

    Attributes:
        records: read again.
        noticed: until the supervisor knew; None for the driver, which nobody watches.
        started: until it started another worker; the driver, until it was there.
        joined: until that one had loaded the model and had its partitions.
        first: until there was something new to read from the first partition...
        last: ...and from the last one.
    """

    records: int
    noticed: float | None
    started: float
    joined: float
    first: float
    last: float


def measure_case(connection: Connection, case: Case, folder: Path) -> dict[str, list[Recovery]]:
    """Kill workers, then the driver, and see each come back."""
    name = f"crash-{case.sensors}-{case.window}"
    topics = make_topics(connection, name)
    shape = Shape(window=case.window, hidden=(16,), latent=4, sensors=20)
    model = train_model(folder / name, shape)
    fill(
        connection,
        topics.readings,
        rows=case.window,
        content=Content(sensors=case.sensors),
    )
    commit_ends(
        connection,
        topic=topics.readings,
        group=name,
        ends=ends_of(connection, topics.readings),
        receptive_field=case.window,
    )
    with ExitStack() as stack:
        follower = stack.enter_context(following(connection, topics.denoised))
        stack.enter_context(_loading(connection, topics.readings, case))
        settings = _settings(connection, topics, group=name, model=model)
        runner = stack.enter_context(running(settings, folder))
        found: dict[str, list[Recovery]] = {"worker": [], "driver": []}
        for number in range(case.kills):
            _wait(runner, follower.is_fresh, "the stream flows")
            found["worker"].append(_kill_worker(runner, follower, number % WORKERS))
        _wait(runner, follower.is_fresh, "the stream flows")
        found["driver"].append(_kill_driver(runner, follower))
    return found


def _settings(
    connection: Connection, topics: Topics, *, group: str, model: Path
) -> dict[str, object]:
    return {
        "kafka.bootstrap": connection.bootstrap,
        "kafka.group": group,
        "topics.readings": topics.readings,
        "topics.denoised": topics.denoised,
        "topics.anomalies": topics.anomalies,
        "topics.dead_letters": topics.dead_letters,
        "topics.sensor_state": topics.sensor_state,
        "topics.incidents": topics.incidents,
        "topics.verdicts": topics.verdicts,
        "model.path": model,
        "model.device": "cpu",
        "workers.ingest": WORKERS,
        "workers.max_restarts": 100,
    }


def _kill_worker(runner: Runner, follower: Follower, slot: int) -> Recovery:
    _wait(runner, lambda: runner.last("rebalanced", slot=slot) is not None, "the log came")
    last = runner.last("rebalanced", slot=slot)
    assert last is not None
    held = list(last.values["held"])
    killed_s = time.time()
    runner.kill_worker(slot)
    arrivals = _recovered(runner, follower, killed_s, held)
    noticed = runner.last("worker_died", since_s=killed_s, slot=slot)
    return _told(runner, killed_s, arrivals, noticed_s=noticed.at_s if noticed else None)


def _kill_driver(runner: Runner, follower: Follower) -> Recovery:
    killed_s = time.time()
    runner.kill_driver()
    runner.start()
    arrivals = _recovered(runner, follower, killed_s, list(range(PARTITIONS)))
    return _told(runner, killed_s, arrivals, noticed_s=None)


def _recovered(
    runner: Runner, follower: Follower, killed_s: float, partitions: list[int]
) -> list[float]:
    def arrivals() -> list[float | None]:
        return [follower.first_after(killed_s, partition) for partition in partitions]

    _wait(runner, lambda: None not in arrivals(), "something new came of every partition")
    _wait(runner, lambda: bool(runner.all("partition_started", since_s=killed_s)), "the log came")
    return [arrival for arrival in arrivals() if arrival is not None]


def _told(
    runner: Runner, killed_s: float, arrivals: list[float], *, noticed_s: float | None
) -> Recovery:
    taken = runner.all("partition_started", since_s=killed_s)
    started = runner.last("worker_started", since_s=killed_s)
    return Recovery(
        records=sum(event.values["restore_records"] for event in taken),
        noticed=None if noticed_s is None else noticed_s - killed_s,
        started=(started.at_s if started else killed_s) - killed_s,
        joined=taken[-1].at_s - killed_s,
        first=min(arrivals) - killed_s,
        last=max(arrivals) - killed_s,
    )


def _wait(runner: Runner, condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + _WITHIN_S
    while not condition():
        runner.check()
        if time.monotonic() > until_s:
            told = "\n".join(runner.tail[-20:])
            raise RuntimeError(f"not within {_WITHIN_S:g} s: {what}\n{told}")
        time.sleep(_LOOK_S)


def summed_up(case: Case, found: Mapping[str, list[Recovery]], *, rate: float) -> list[Any]:
    """Rows of the table: medians, the longest, and what is allowed.

    Args:
        case: the history.
        found: by what was killed.
        rate: readings replayed a second, of the aim.
    """
    rows = []
    for what, recoveries in found.items():
        allowed_s = min(_ALLOWED_S + one.records / rate for one in recoveries)
        longest_s = max(one.last for one in recoveries)
        parts = {
            f"{part} s": median(known)
            for part in ("noticed", "started", "joined", "first", "last")
            if (known := [x for one in recoveries if (x := getattr(one, part)) is not None])
        }
        rows.append(
            {
                "sensors": case.sensors,
                "R": case.window,
                "killed": f"{what}, {len(recoveries)} x",
                "replayed": int(median(one.records for one in recoveries)),
                **parts,
                "longest s": longest_s,
                "at most s": allowed_s,
                "met": longest_s <= allowed_s,
            }
        )
    return rows

"""Contestant: one plain process, kafka-python and torch, the same work by the batch, no framework.

Written as one would who knows both: the same client options as Vigie, a consumer group, at least
once (flush, look at every future, commit, every 0.2 s), a partition cache instead of a hash for
each record, windows as array operations, one torch call a poll on one thread, whole batches parsed
at once. No dead letters, no replay, no gaps, no calibration, one threshold for all: less than Vigie
does.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from benchmarks.processes import Gate
from benchmarks.workload import CHANNELS, WINDOW, Topics, values_of
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import consumer_options, producer_options

parse: Any = from_json
encode: Any = to_json
JSON_LIBRARY = "pydantic_core"
with contextlib.suppress(ImportError):  # saves this loop 0.8 us a reading, about 3 %
    import orjson

    parse, encode = orjson.loads, orjson.dumps
    JSON_LIBRARY = "orjson"

_COMMIT_EVERY_S = 0.2


class Output(StrEnum):
    """How scores are published."""

    PACKED = "packed"
    """One record a sensor and batch."""
    SINGLE = "single"
    """One record a reading."""


@dataclass(frozen=True, kw_only=True)
class PlainJob:
    """What the loop has to do.

    Attributes:
        connection: the broker.
        topics: where to read and write.
        ends: where to stop, by partition; and without any
        stop: set from outside to stop.
        ready: set when the loop has its partitions, if it is there.
        output: how scores are published.
        transaction_s: length of a transaction, for `benchmarks.transactional`; 0 is one a poll.
    """

    connection: Connection
    topics: Topics
    ends: dict[int, int] = field(default_factory=dict)
    stop: Any = None
    ready: Any = None
    output: Output = Output.PACKED
    transaction_s: float = 0.1


class Model:
    """256-128-32-128-256 and the mean squared error, on rows scaled by fixed numbers."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        size = WINDOW * len(CHANNELS)
        sizes = [size, 128, 32, 128, size]
        layers: list[torch.nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU(inplace=True)]
        self._net = torch.nn.Sequential(*layers[:-1]).eval()
        sample = values_of(0, 0, 2_000)
        self.center, self.scale = sample.mean(0), sample.std(0)
        self.threshold = float(
            np.quantile(self.score(sample, np.arange(WINDOW - 1, 2_000))[0], 0.995)
        )

    @torch.inference_mode()
    def score(
        self, rows: NDArray[np.float64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Error of the window that ends at each of `ends`, and its last row rebuilt."""
        scaled = torch.from_numpy(((rows - self.center) / self.scale).astype(np.float32))
        width = len(CHANNELS)
        flat = scaled.as_strided((len(rows) - WINDOW + 1, WINDOW * width), (width, 1))
        windows = flat.index_select(0, torch.from_numpy(ends - (WINDOW - 1)))
        rebuilt = self._net(windows)
        error = (rebuilt - windows).square_().mean(1)
        last = rebuilt[:, -width:].numpy() * self.scale + self.center
        return error.numpy(), np.round(last, 4)


class Histories:
    """The last 31 rows of each sensor."""

    def __init__(self) -> None:
        self._rows: dict[str, NDArray[np.float64]] = {}
        self._none = np.empty((0, len(CHANNELS)))

    def extend(
        self, sensors: list[str], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], list[tuple[str, NDArray[np.int64]]]]:
        """Rows with their history, the rows to score, and for each sensor its readings."""
        names, codes = np.unique(np.array(sensors), return_inverse=True)
        order = np.argsort(codes, kind="stable")
        pieces, ends, runs, base = [], [], [], 0
        for name, own in zip(
            names.tolist(), np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True
        ):
            before = self._rows.get(name, self._none)
            rows = np.concatenate((before, values[own]))
            full = max(WINDOW - 1 - len(before), 0)
            pieces.append(rows)
            ends.append(np.arange(base + len(before) + full, base + len(rows)))
            if full < len(own):
                runs.append((name, own[full:]))
            self._rows[name] = rows[-(WINDOW - 1) :]
            base += len(rows)
        return np.concatenate(pieces), np.concatenate(ends), runs


class Publisher:
    """Sends, and keeps every future."""

    def __init__(self, connection: Connection, **options: Any) -> None:
        self.producer = KafkaProducer(**producer_options(connection, **options))
        self._partitions: dict[tuple[str, str], int] = {}
        self._futures: list[Any] = []

    def send(self, topic: str, sensor: str, value: bytes) -> None:
        """Send one record."""
        partition = self._partitions.get((topic, sensor))
        future = self.producer.send(topic, value, sensor.encode(), partition=partition)
        if partition is None:
            self._partitions[topic, sensor] = future.get(timeout=30).partition
        self._futures.append(future)

    def settle(self) -> None:
        """Return when all is with the broker."""
        self.producer.flush(timeout=60)
        if not all(future.succeeded() for future in self._futures):
            raise RuntimeError("outputs were lost")
        self._futures.clear()

    def close(self) -> None:
        """Close the client."""
        self.producer.close(timeout=10)


def run_plain(job: PlainJob, gate: Gate) -> dict[str, int]:
    """Consume up to the ends, score, publish, commit; return what was seen."""
    torch.set_num_threads(1)
    model, histories = Model(), Histories()
    publisher = Publisher(job.connection)
    consumer = KafkaConsumer(
        job.topics.readings,
        group_id=job.topics.denoised,
        max_poll_records=5_000,
        **consumer_options(job.connection),
    )
    gate.wait()
    done: dict[int, int] = {}
    flagged = 0
    positions: dict[Any, OffsetAndMetadata] = {}
    commit_at_s = time.monotonic() + _COMMIT_EVERY_S
    try:
        while not finished(consumer, job.ends, done):
            polled = consumer.poll(timeout_ms=100)
            records = []
            for tp, batch in polled.items():
                kept = [record for record in batch if record.offset < job.ends[tp.partition]]
                records += kept
                done[tp.partition] = batch[-1].offset + 1
                positions[tp] = OffsetAndMetadata(batch[-1].offset + 1, "", -1)
            if records:
                flagged += handle(records, job, model, histories, publisher)
            if positions and time.monotonic() >= commit_at_s:
                publisher.settle()
                consumer.commit(positions)
                positions = {}
                commit_at_s = time.monotonic() + _COMMIT_EVERY_S
        publisher.settle()
        if positions:
            consumer.commit(positions)
    finally:
        consumer.close()
        publisher.close()
    return {"flagged": flagged}


def finished(consumer: Any, ends: dict[int, int], done: dict[int, int]) -> bool:
    """Whether every partition that the consumer holds was read up to its end."""
    own = {tp.partition for tp in consumer.assignment()}
    return bool(own) and all(done.get(partition, 0) >= ends[partition] for partition in own)


def handle(
    records: Sequence[Any], job: PlainJob, model: Model, histories: Histories, publisher: Publisher
) -> int:
    """Score records and send what comes of it; how many are flagged."""
    items = parse(b"[" + b",".join([record.value for record in records]) + b"]")
    sensors = [item["sensor_id"] for item in items]
    values = np.array([list(item["values"].values()) for item in items])
    rows, ends, runs = histories.extend(sensors, values)
    if not len(ends):
        return 0
    errors, last = model.score(rows, ends)
    scores = np.round(errors / model.threshold, 6)
    outputs = _packed if job.output is Output.PACKED else _single
    for sensor, value in outputs(records, items, runs, scores, last):
        publisher.send(job.topics.denoised, sensor, value)
    owners = [(sensor, at) for sensor, own in runs for at in own.tolist()]
    flagged = np.flatnonzero(scores >= 1.0).tolist()
    for place in flagged:
        sensor, at = owners[place]
        anomaly = {
            "sensor_id": sensor,
            "ts": items[at]["ts"],
            "score": float(scores[place]),
            "observed": items[at]["values"],
            "expected": dict(zip(CHANNELS, last[place].tolist(), strict=True)),
            "offset": records[at].offset,
        }
        publisher.send(job.topics.anomalies, sensor, encode(anomaly))
    return len(flagged)


Runs = list[tuple[str, NDArray[np.int64]]]


def _packed(
    records: Sequence[Any],
    items: list[Any],
    runs: Runs,
    scores: NDArray[np.float64],
    last: NDArray[np.float64],
) -> Iterator[tuple[str, bytes]]:
    start = 0
    for sensor, own in runs:
        part = slice(start, start + len(own))
        start = part.stop
        at = own.tolist()
        document = {
            "sensor_id": sensor,
            "ts": [items[i]["ts"] for i in at],
            "values": dict(zip(CHANNELS, last[part].T.tolist(), strict=True)),
            "score": scores[part].tolist(),
            "offset": [records[i].offset for i in at],
        }
        yield sensor, encode(document)


def _single(
    records: Sequence[Any],
    items: list[Any],
    runs: Runs,
    scores: NDArray[np.float64],
    last: NDArray[np.float64],
) -> Iterator[tuple[str, bytes]]:
    rows = iter(zip(scores.tolist(), last.tolist(), strict=True))
    for sensor, own in runs:
        for i in own.tolist():
            score, row = next(rows)
            document = {
                "sensor_id": sensor,
                "ts": items[i]["ts"],
                "values": dict(zip(CHANNELS, row, strict=True)),
                "score": score,
                "offset": records[i].offset,
            }
            yield sensor, encode(document)

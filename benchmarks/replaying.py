"""How fast a restarted worker reads its history again: ingest loops on a log they must replay."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from benchmarks.ceilings import Stretch
from benchmarks.processes import Gate
from benchmarks.workload import PARTITIONS
from detector.artifact import load
from schemas.settings import Settings
from workers.kafka.client import Connection, PollResult, Source
from workers.kafka.factory import sink_of, source_of, table_of
from workers.kafka.kafka_python.options import consumer_options
from workers.process import configure_logging
from workers.stream.build import build_loop
from workers.stream.scoring.backend import LocalScoring
from workers.stream.state.restore import RestorePoint
from workers.stream.state.state_ttl import TtlWindows
from workers.supervision.ray import actors

_JOIN_S = 60.0
_QUIET_S = 2.0


@dataclass(frozen=True, kw_only=True)
class ReplayJob:
    """Replay partitions up to their ends.

    Attributes:
        settings: of the run; nothing may lie behind the group's committed offsets.
        slot: of this worker.
        ends: end offset of every partition of the topic.
        held: how many of them this worker gets.
        readings: in a record.
    """

    settings: Settings
    slot: int
    ends: Mapping[int, int]
    held: int
    readings: int


def commit_ends(
    connection: Connection, *, topic: str, group: str, ends: Mapping[int, int], receptive_field: int
) -> None:
    """Commit the end of each partition, to be reached by a replay of all of it."""
    consumer = KafkaConsumer(**consumer_options(connection), group_id=group)
    try:
        consumer.assign([TopicPartition(topic, partition) for partition in ends])
        ttl = TtlWindows.beginning_at(0)
        metadata = RestorePoint(restore_from=0, receptive_field=receptive_field, ttl=ttl).encode()
        consumer.commit(
            {
                TopicPartition(topic, partition): OffsetAndMetadata(end, metadata, -1)
                for partition, end in ends.items()
            }
        )
    finally:
        consumer.close()


def ends_of(connection: Connection, topic: str) -> dict[int, int]:
    """End offset of each partition of a topic."""
    consumer = KafkaConsumer(**consumer_options(connection))
    try:
        ends = consumer.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)])
        return {tp.partition: end for tp, end in ends.items()}
    finally:
        consumer.close()


def run_replay(job: ReplayJob, gate: Gate) -> Stretch:
    """Begin when every worker has its partitions; end with the last record of the last one."""
    settings, path = job.settings, job.settings.model.path
    configure_logging(settings.log)
    torch.set_num_threads(1)
    assert path is not None
    detector = load(path, device="cpu")
    actors._spare_the_collector()  # noqa: SLF001 - as the worker does
    with (
        source_of(settings, job.slot).open() as source,
        sink_of(settings, job.slot).open(source) as sink,
        table_of(settings).open() as table,
    ):
        watched = _Watched(source, held=job.held)
        loop = build_loop(
            slot=job.slot,
            source=watched,
            sink=sink,
            table=table,
            scoring=LocalScoring(detector),
            detector=detector,
            settings=settings,
        )
        gate.wait()
        from_s = time.time()
        while not all(watched.read.get(p, 0) >= job.ends[p] for p in watched.partitions):
            loop.step()
        to_s = time.time()
        health = loop.health
        if health.rewinds or health.total.scored:
            raise RuntimeError(f"this was no replay: {health}")
    records = sum(job.ends[partition] for partition in watched.partitions)
    return Stretch(readings=records * job.readings, from_s=from_s, to_s=to_s)


class _Watched:
    """A source that has its partitions before it is asked, and notes how far it has read."""

    def __init__(self, source: Source, *, held: int) -> None:
        self._source = source
        self.partitions: set[int] = set()
        self.read: dict[int, int] = {}
        until_s = time.monotonic() + _JOIN_S
        settled_s = time.monotonic() + _QUIET_S
        while len(self.partitions) != held or time.monotonic() < settled_s:
            if time.monotonic() > until_s:
                raise RuntimeError(f"the group gave us {self.partitions}, not {held} partitions")
            polled = source.poll(timeout_s=0.1, max_records=1)
            if polled.revoked or polled.assigned:
                settled_s = time.monotonic() + _QUIET_S
            self.partitions = (self.partitions - polled.revoked) | polled.assigned
        self._first: PollResult | None = replace(
            polled, assigned=frozenset(self.partitions), revoked=frozenset()
        )

    def poll(self, *, timeout_s: float, max_records: int) -> PollResult:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        polled = self._source.poll(timeout_s=timeout_s, max_records=max_records)
        if polled.revoked or polled.assigned:
            raise RuntimeError("the group has changed while it replayed")
        for partition, records in polled.records.items():
            self.read[partition] = records[-1].offset + 1
        return polled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

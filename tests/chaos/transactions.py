"""What the broker knows of transactions when a run is over."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from tests.chaos.checkers import Published, Writer
from tests.chaos.commits import OFFSETS, Reader
from tests.chaos.outcome import At, Outcome
from tests.chaos.segments import transactions
from tests.support.broker import read_settled
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import admin_options, consumer_options

STATES: Final = "__transaction_state"
OF_THE_BROKER: Final = (OFFSETS, STATES)
_COMMITS: Final = 2
"""The state of a transaction whose commit is decided."""
_OVER: Final = frozenset({"Empty", "CompleteCommit", "CompleteAbort"})
_LOOK_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Remainder:
    """The arguments of `tests.chaos.checkers.closed`."""

    unfinished: dict[str, str]
    stable: dict[tuple[str, int], int]
    ends: dict[tuple[str, int], int]
    held: dict[tuple[str, int], int]

    @property
    def is_nothing(self) -> bool:
        """Whether no transaction has left anything behind."""
        return not self.unfinished and not self.held and self.stable == self.ends


def remainder(connection: Connection, topics: Sequence[str], *, within_s: float) -> Remainder:
    """What is left of transactions, once nothing is, or when the time is up."""
    until_s = time.monotonic() + within_s
    while True:
        left = _remainder(connection, (*topics, *OF_THE_BROKER))
        if left.is_nothing or time.monotonic() > until_s:
            return left
        time.sleep(_LOOK_S)


def _remainder(connection: Connection, topics: Sequence[str]) -> Remainder:
    options = consumer_options(connection)
    committed = KafkaConsumer(**options | {"isolation_level": "read_committed"})
    every = KafkaConsumer(**options | {"isolation_level": "read_uncommitted"})
    admin = KafkaAdminClient(**admin_options(connection))
    try:
        partitions = [TopicPartition(t, p) for t in topics for p in every.partitions_for_topic(t)]
        listed = admin.list_transactions().values()
        producers = admin.describe_producers(partitions)
        return Remainder(
            unfinished={
                one.transactional_id: str(one.state.value)
                for of_broker in listed
                for one in of_broker
                if one.state.value not in _OVER
            },
            # In this order: what is written in between would be a partition that is not stable.
            ends=_by_name(every.end_offsets(partitions)),
            stable=_by_name(committed.end_offsets(partitions)),
            held={
                (at.topic, at.partition): one.current_transaction_start_offset
                for at, state in producers.items()
                for one in state.active_producers
                if one.current_transaction_start_offset >= 0
            },
        )
    finally:
        for client in (committed, every, admin):
            client.close()


def _by_name(offsets: dict[TopicPartition, int]) -> dict[tuple[str, int], int]:
    return {(at.topic, at.partition): offset for at, offset in offsets.items()}


Decided = Mapping[tuple[int, int], Sequence[frozenset[tuple[str, int]]]]
"""By producer and epoch, the partitions of each transaction that was committed, in order."""


def decided(connection: Connection) -> Decided:
    """What the coordinator committed, as its own topic has it."""
    found: dict[tuple[int, int], list[frozenset[tuple[str, int]]]] = {}
    before: dict[bytes, int] = {}
    for record in read_settled(connection, STATES, within=60.0):
        if record.value is None:
            continue
        producer, state, partitions = decode_state(record.value)
        if state == _COMMITS != before.get(record.key):
            found.setdefault(producer, []).append(partitions)
        before[record.key] = state
    return found


def decode_state(value: bytes) -> tuple[tuple[int, int], int, frozenset[tuple[str, int]]]:
    """((producer, epoch), state, partitions) of a record of the topic of transactions.

    Raises:
        ValueError: a version that was not there when this was written.
    """
    reader = Reader(value)
    version = reader.int16()
    if version != 1:
        raise ValueError(f"a state of version {version}")
    producer, epoch = reader.int64(), reader.int16()
    reader.int32()  # timeout
    state = reader.int8()
    partitions = set()
    for _ in range(reader.varint() - 1):
        topic = reader.compact_string()
        partitions |= {(topic, reader.int32()) for _ in range(reader.varint() - 1)}
        reader.varint()  # no tagged fields
    return (producer, epoch), state, frozenset(partitions)


def writers_of_commits(log: Path, known: Decided) -> dict[int, Writer]:
    """Which transaction each commit belongs to, by its number; the topic has one partition."""
    return {
        offset: writer
        for _, writer, offsets in _numbered(log, OFFSETS, known)
        for offset in offsets
    }


def published(
    log: Path, known: Decided, outcome: Outcome, names: Any, causes: Mapping[str, tuple[int, int]]
) -> list[Published]:
    """What each transaction wrote to each partition of the outputs.

    Args:
        log: the broker's folder.
        known: see `decided`.
        outcome: what is in the outputs.
        names: of the topics, as `schemas.settings.TopicSettings`.
        causes: the record that each event of an incident comes from, by the event's id.
    """
    sources: dict[tuple[str, At], set[tuple[int, int]]] = {}
    for topic, at, source in _sources(outcome, names, causes):
        sources.setdefault((topic, at), set()).add(source)
    return [
        Published(
            writer,
            (topic, partition),
            frozenset().union(*(sources.get((topic, At(partition, n)), ()) for n in offsets)),
        )
        for topic in (names.denoised, names.anomalies, names.incidents, names.dead_letters)
        for partition, writer, offsets in _numbered(log, topic, known)
    ]


def _numbered(
    log: Path, topic: str, known: Decided
) -> Iterator[tuple[int, Writer, tuple[int, ...]]]:
    """(partition, transaction, offsets) of what was committed to a topic.

    A partition sees those of a producer's transactions that it is a part of, in their order.
    """
    for partition, written in transactions(log, topic).items():
        own = {
            producer: iter([nth for nth, those in enumerate(sets) if (topic, partition) in those])
            for producer, sets in known.items()
        }
        for one in written:
            producer = (one.producer, one.epoch)
            yield partition, Writer(*producer, next(own.get(producer, iter(())), -1)), one.offsets


def _sources(
    outcome: Outcome, names: Any, causes: Mapping[str, tuple[int, int]]
) -> Iterable[tuple[str, At, tuple[int, int]]]:
    """Topic and place of each output, and the record of the source that it was made from."""
    for at, reading in outcome.denoised:
        yield names.denoised, at, reading.place[:2]
    for at, flag in outcome.flagged:
        yield names.anomalies, at, flag.place[:2]
    for at, letter in outcome.letters:
        yield names.dead_letters, at, (letter.partition, letter.offset)
    for at, event in outcome.incidents:
        if event.id in causes:  # another judge finds those that nothing should have brought about
            yield names.incidents, at, causes[event.id]

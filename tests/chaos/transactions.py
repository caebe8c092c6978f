"""What the broker knows of transactions when a run is over."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from tests.chaos.checkers import Published, Writer
from tests.chaos.commits import OFFSETS
from tests.chaos.outcome import At, Outcome
from tests.chaos.segments import transactions
from workers.kafka.kafka_python import Connection

OF_THE_BROKER: Final = (OFFSETS, "__transaction_state")
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
    options = connection.consumer_options()
    committed = KafkaConsumer(**options | {"isolation_level": "read_committed"})
    every = KafkaConsumer(**options | {"isolation_level": "read_uncommitted"})
    admin = KafkaAdminClient(**connection.admin_options())
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


def writers_of_commits(log: Path) -> dict[int, Writer]:
    """Who wrote each committed record of the topic of offsets, which has one partition."""
    return {
        offset: Writer(one.producer, one.epoch)
        for written in transactions(log, OFFSETS).values()
        for one in written
        for offset in one.offsets
    }


def published(log: Path, outcome: Outcome, names: Any) -> list[Published]:
    """What each transaction wrote to each partition of the outputs.

    Args:
        log: the broker's folder.
        outcome: what is in the outputs.
        names: of the topics, as `schemas.settings.TopicSettings`.
    """
    sources: dict[tuple[str, At], set[tuple[int, int]]] = {}
    for topic, at, source in _sources(outcome, names):
        sources.setdefault((topic, at), set()).add(source)
    return [
        Published(
            Writer(one.producer, one.epoch),
            (topic, partition),
            frozenset().union(*(sources.get((topic, At(partition, n)), ()) for n in one.offsets)),
        )
        for topic in (names.denoised, names.anomalies, names.dead_letters)
        for partition, written in transactions(log, topic).items()
        for one in written
    ]


def _sources(outcome: Outcome, names: Any) -> Iterable[tuple[str, At, tuple[int, int]]]:
    """Topic and place of each output, and the record of the source that it was made from."""
    for at, reading in outcome.denoised:
        yield names.denoised, at, reading.place[:2]
    for at, flag in outcome.flagged:
        yield names.anomalies, at, flag.place[:2]
    for at, letter in outcome.letters:
        yield names.dead_letters, at, (letter.partition, letter.offset)

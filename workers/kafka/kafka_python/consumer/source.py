"""A `Source` on kafka-python; what the group does to it is in `membership`."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import IllegalStateError, KafkaError
from kafka.structs import OffsetAndMetadata

from workers.errors import TopicError
from workers.kafka.client import (
    CommittedOffset,
    Connection,
    Generation,
    GroupMember,
    PollResult,
    Record,
    ShouldStop,
    never,
)
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.admin.admin import KafkaPythonAdmin
from workers.kafka.kafka_python.admin.probe import broker_answers, wait_for_broker
from workers.kafka.kafka_python.clients import make_consumer
from workers.kafka.kafka_python.consumer.assignor import CooperativeAssignor
from workers.kafka.kafka_python.consumer.membership import Membership
from workers.kafka.kafka_python.consumer.outage import Outage
from workers.kafka.kafka_python.consumer.record_batch import unpack_fast
from workers.kafka.kafka_python.consumer.retention import Retention
from workers.kafka.kafka_python.consumer.unassigned import Unassigned
from workers.kafka.kafka_python.errors import asking, committing, rejection
from workers.kafka.kafka_python.workarounds import forget_asked_offsets, free_parked_records

log = logging.getLogger(__name__)

_PROBE_TIMEOUT_S: Final = 2.0
_GREET_TIMEOUT_S: Final = 1.0
_CLOSE_TIMEOUT_S: Final = 5.0


_ASSIGNORS: Final[Mapping[str, Any]] = {
    # Everybody gives up everything and starts anew: simple, and every history is rebuilt.
    "range": RangePartitionAssignor,
    # Only what moves is given up; the rest is read on meanwhile.
    "cooperative": CooperativeAssignor,
}


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """How to read one topic as one member of a group.

    Attributes:
        assignment: how the group shares partitions, "cooperative" or "range"; the same for all.
        member: a name of its own within the group, stable over restarts: who comes back under it
            gets its partitions back at once, and no other member notices. It does not leave the
            group when it closes; removing it for good takes `Admin.remove_members`. A second member
            under the same name fences the first. Empty: a member that comes and goes.
        max_poll_records: the client's own buffer hand-over; `Source.poll` may ask for less.
    """

    connection: Connection
    topic: str
    group: str
    assignment: str = "cooperative"
    member: str = ""
    client_id: str = "vigie-source"
    max_poll_records: int = 5000

    @contextmanager
    def open(self, *, should_stop: ShouldStop = never) -> Iterator[GroupMember]:
        """See `OpensSource.open`. It joins the group at the first poll."""
        wait_for_broker(self.connection, should_stop=should_stop)
        assignor = _ASSIGNORS[self.assignment]()
        consumer = make_consumer(
            self.connection,
            group_id=self.group,
            client_id=self.client_id,
            max_poll_records=self.max_poll_records,
            partition_assignment_strategy=(assignor,),
            group_instance_id=self.member or None,
        )
        try:
            unpack_fast(consumer)
            source = _Source(consumer, self, assignor)
            with asking(f"looking up {self.topic}", source.access):
                # After `subscribe`, so that the group knows the partitions before it joins;
                # otherwise it joins, learns of them, and joins once more.
                if self.topic not in consumer.topics():
                    raise TopicError(
                        f"The topic {self.topic} does not exist on {self.connection.bootstrap}: "
                        "create it with vigie topics create, or correct topics.readings."
                    )
            yield source
        finally:
            _close(consumer)


class _Source:
    """See `workers.kafka.client`: `Source` and `OffsetCommitter`."""

    def __init__(self, consumer: Any, config: SourceConfig, assignor: Any) -> None:
        self._consumer = consumer
        self._config = config
        self._topic = config.topic
        self.access = Access.reading(config.connection)
        self._call_timeout_ms = int(config.connection.call_timeout_s * 1000)
        self._membership = Membership(consumer, config.topic, assignor)
        self._started: set[int] = set()
        self._retention = Retention(lambda partition: self.bounds(partition)[0])
        self._outage = Outage(config.connection.bootstrap)
        admin = KafkaPythonAdmin(config.connection)
        self._unassigned = Unassigned(lambda: admin.describe_group(config.group, config.topic))
        consumer.subscribe([config.topic], listener=self._membership)

    def poll(self, *, timeout_s: float, max_records: int) -> PollResult:
        fetched = self._fetch(timeout_s, max_records)
        membership = self._membership
        if membership.apply():
            self._unassigned.joined()
        if self._unassigned.are_there(membership.partitions()):
            membership.join_again()
        assigned, revoked = membership.changes()
        if assigned or revoked:
            self._started -= assigned | revoked
            self._retention.forget(assigned | revoked)
        # A partition that is assigned but not started can still give records that were on their
        # way when it was paused. They are not lost: `start` seeks.
        records = {
            tp.partition: batch
            for tp, batch in fetched.items()
            if tp.partition in self._started and tp.topic == self._topic
        }
        return PollResult(
            records=records,
            generation=membership.generation,
            assigned=assigned,
            revoked=revoked,
            lost=self._retention.follow(records),
        )

    @property
    def topic(self) -> str:
        return self._topic

    def topic_id(self) -> str:
        # What the client knows may be a minute old, and the topic that it was of may be gone. At
        # once, not by `request_update`, which naps between two questions: a partition asks each.
        cluster, manager = self._consumer._cluster, self._consumer._manager  # noqa: SLF001
        with asking(f"looking up {self._topic}", self.access):
            asked = manager.call_soon(cluster.refresh_metadata)
            manager.run(manager.wait_for, asked, self._call_timeout_ms)
        found = cluster.topic_id(self._topic)
        return str(found) if found is not None else ""

    def committed(self, partition: int) -> CommittedOffset | None:
        with asking(f"committed offset of {self._topic}[{partition}]", self.access):
            forget_asked_offsets(self._consumer, [self._tp(partition)])
            found = self._consumer.committed(
                self._tp(partition), metadata=True, timeout_ms=self._call_timeout_ms
            )
        return (
            CommittedOffset(next_offset=found.offset, metadata=found.metadata or "")
            if found
            else None
        )

    def start(self, partition: int, offset: int) -> None:
        if partition in self._membership.held and self._local("seek", self._tp(partition), offset):
            self._started.add(partition)
            self._retention.expect(partition, offset)
            self._local("resume", self._tp(partition))

    def pause(self, partitions: Iterable[int]) -> None:
        for partition in self._membership.held.intersection(partitions):
            self._local("pause", self._tp(partition))

    def resume(self, partitions: Iterable[int]) -> None:
        for partition in self._started.intersection(partitions):
            self._local("resume", self._tp(partition))

    def bounds(self, partition: int) -> tuple[int, int]:
        tp = self._tp(partition)
        with asking(f"bounds of {self._topic}[{partition}]", self.access):
            begin = self._consumer.beginning_offsets([tp], timeout_ms=self._call_timeout_ms)
            end = self._consumer.end_offsets([tp], timeout_ms=self._call_timeout_ms)
        return int(begin[tp]), int(end[tp])

    def at_end(self, partitions: Collection[int]) -> Collection[int]:
        started = [self._tp(partition) for partition in self._started.intersection(partitions)]
        if not started:
            return ()
        with asking(f"ends of {self._topic}", self.access):
            ends = self._consumer.end_offsets(started, timeout_ms=self._call_timeout_ms)
        found = set()
        for tp in started:
            try:
                position = self._consumer.position(tp, timeout_ms=0)
            except (KafkaError, KeyError):  # taken away a moment ago, or no position yet
                continue
            if position is not None and position >= ends[tp]:
                found.add(tp.partition)
        return found

    def lag(self) -> Mapping[int, int]:
        found = {}
        for partition in self._started:
            tp = self._tp(partition)
            try:
                high = self._consumer.highwater(tp)
                position = self._consumer.position(tp, timeout_ms=0)
            except (KafkaError, KeyError):  # taken away a moment ago, or no position yet
                continue
            if high is not None and position is not None:
                found[partition] = max(0, high - position)
        return found

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        if not offsets:
            return
        self.check_held(offsets, generation)
        wanted = {
            self._tp(partition): OffsetAndMetadata(item.next_offset, item.metadata, -1)
            for partition, item in offsets.items()
        }
        with committing(self.access):
            self._consumer.commit(wanted, timeout_ms=max(1, int(deadline.left_s() * 1000)))

    def check_held(self, offsets: Iterable[int], generation: Generation) -> None:
        self._membership.check_held(offsets, generation.epochs)

    def _fetch(self, timeout_s: float, max_records: int) -> Mapping[Any, Sequence[Record]]:
        """Poll the client; a broker that is away gives nothing."""
        free_parked_records(self._consumer)
        try:
            self._membership.check()
            fetched: Mapping[Any, Sequence[Record]] = self._consumer.poll(
                timeout_ms=int(timeout_s * 1000), max_records=max_records
            )
        except (KafkaError, OSError) as error:
            if (rejected := rejection(error, self.access)) is not None:
                raise rejected from error
            self._outage.began(error)
            time.sleep(min(timeout_s, 0.1))  # the client failed at once: do not spin
            return {}
        if fetched:
            self._outage.ended()
        elif self._outage.is_doubtful():
            self._outage.probe(self._ask)
        return fetched

    def _ask(self) -> None:
        """One cheap question; raises what kafka-python raises when no broker answers.

        Raises:
            SettingsError: one would, but does not let us in any more.
        """
        partition, timeout_ms = min(self._membership.held, default=0), int(_PROBE_TIMEOUT_S * 1000)
        try:
            self._consumer.end_offsets([self._tp(partition)], timeout_ms=timeout_ms)
        except (KafkaError, OSError):
            broker_answers(self._config.connection, timeout_s=_GREET_TIMEOUT_S)
            raise

    def _local(self, name: str, tp: Any, *arguments: int) -> bool:
        """Call a method that only changes local state; False if the partition is not held."""
        try:
            getattr(self._consumer, name)(tp, *arguments)
        except (KeyError, ValueError, IllegalStateError):
            return False  # revoked under us; the note about it comes with the next poll
        return True

    def _tp(self, partition: int) -> Any:
        return TopicPartition(self._topic, partition)


def _close(consumer: Any) -> None:
    """Leave the group; the broker being away is no reason to fail."""
    try:
        consumer.close(autocommit=False, timeout_ms=int(_CLOSE_TIMEOUT_S * 1000))
    except (KafkaError, OSError) as error:
        log.warning("the consumer did not close cleanly (%s)", type(error).__name__)

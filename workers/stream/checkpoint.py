"""A checkpoint: the outputs that are published together with the offsets they were made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import structlog

from detector.scoring import Scores
from schemas.settings import ProcessingSettings
from schemas.wire.dead_letter import TRUNCATED
from workers.errors import PoisonRecordError, StaleGenerationError
from workers.kafka.client import CommittedOffset, Generation, Sink
from workers.kafka.deadline import Deadline
from workers.stream.outputs import Output, Outputs, shortened
from workers.stream.owned_partition import OwnedPartition, PartitionRequest, PartitionStage
from workers.stream.state.counts import Counts
from workers.stream.state.stream_state import StreamState

_LONGEST_MARK = (TRUNCATED, b"9" * 10)


class Publisher:
    """Sends outputs to a sink, for one checkpoint after another.

    Attributes:
        sink: where they go.
        rejected: how many were too large for it, since the start.
    """

    def __init__(self, sink: Sink, builder: Outputs, *, sensor_state: str) -> None:
        """Send what `builder` makes to `sink`, and what is recorded of sensors to a topic."""
        self.sink, self._builder, self._sensor_state = sink, builder, sensor_state
        self.rejected = 0
        self._log = structlog.get_logger("vigie.checkpoint")

    def publish(self, asked: PartitionRequest, scores: Scores) -> Iterator[int]:
        """Send the outputs of a scored request; yields the bytes of each as it is sent."""
        for output in self._builder.outputs(asked, scores):
            yield from self._send(output)
        for output in self._builder.dead_letters(asked):
            yield from self._send(self._cut(output))

    def record(self, partition: OwnedPartition) -> None:
        """Send what has to be recorded of the partition's sensors, to the partition of its number.

        Not by the key: readings lie where their producer puts them, and their owner finds it there.
        """
        for key, value in partition.recorded.changes():
            self.sink.send(self._sensor_state, key=key, value=value, partition=partition.number)

    def _send(self, output: Output) -> Iterator[int]:
        try:
            self.sink.send(
                output.topic,
                key=output.key,
                value=output.value,
                headers=output.headers,
                partition=output.partition,
                timestamp_ms=output.timestamp_ms,
            )
        except PoisonRecordError as error:
            self.rejected += 1
            self._log.error(
                "output_rejected", topic=output.topic, bytes=len(output.value), reason=str(error)
            )
            return
        yield len(output.value) + len(output.key or b"")

    def _cut(self, output: Output) -> Output:
        """The output, shortened if the sink would reject it."""
        if len(output.value) <= self.sink.room(key=output.key, headers=output.headers):
            return output
        room = self.sink.room(key=output.key, headers=(*output.headers, _LONGEST_MARK))
        return shortened(output, max(room, 0))


class Checkpoint:
    """Begins with its first work, ends with `commit` or `abort`; the next one is a new object.

    When the group moves on under it, it *awaits a generation*: what was sent is aborted, and the
    work stays with its partitions until `on_rebalance` sends it again.
    """

    def __init__(
        self,
        publisher: Publisher,
        processing: ProcessingSettings,
        monotonic_s: Callable[[], float],
    ) -> None:
        """Nothing is begun yet.

        Args:
            publisher: sends the outputs.
            processing: when it is due (`commit_interval_s`), and when it is full
                (`max_transaction_outputs`, `max_transaction_bytes`).
            monotonic_s: a clock.
        """
        self._publisher, self._sink = publisher, publisher.sink
        self._processing, self._monotonic_s = processing, monotonic_s
        self._partitions: dict[int, OwnedPartition] = {}
        self._outputs = self._bytes = 0
        self._due_s: float | None = None
        self._rejected_by: Generation | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is something to commit."""
        return self._due_s is not None

    @property
    def awaits_generation(self) -> bool:
        """Whether the group has moved on: nothing may be published or committed now."""
        return self._rejected_by is not None

    @property
    def is_due(self) -> bool:
        """Whether its time has come, or it has grown to its limit."""
        return self._due_s is not None and (
            self._monotonic_s() >= self._due_s
            or self._outputs >= self._processing.max_transaction_outputs
            or self._bytes >= self._processing.max_transaction_bytes
        )

    @property
    def rejected_outputs(self) -> int:
        """How many outputs were too large for the sink, since the start of the worker."""
        return self._publisher.rejected

    def begin_at(self, partition: OwnedPartition, initial: StreamState) -> None:
        """Have the place where a partition begins committed; the first one named counts.

        Raises:
            TransactionAbortedError, BrokerUnavailableError: see `Sink.begin`.
        """
        self._take_in(partition)
        partition.initial = partition.initial or initial

    def publish(self, asked: PartitionRequest, scores: Scores) -> None:
        """Send the outputs of a scored request.

        Raises:
            TransactionAbortedError, BrokerUnavailableError: see `Sink.begin` and `Sink.send`.
        """
        self._take_in(asked.partition)
        for sent_bytes in self._publisher.publish(asked, scores):
            self._outputs += 1
            self._bytes += sent_bytes
        asked.partition.work.append((asked, scores))

    def _take_in(self, partition: OwnedPartition) -> None:
        if self._due_s is None:
            self._sink.begin()
            self._due_s = self._monotonic_s() + self._processing.commit_interval_s
        self._partitions[partition.number] = partition

    def commit(
        self, generation: Generation, *, deadline: Deadline
    ) -> Mapping[int, tuple[CommittedOffset, Counts]]:
        """Commit outputs and positions; the checkpoint is over then.

        1. Send what is recorded of the sensors touched, once each; never ahead of the outputs.
        2. Collect the positions: from here on each partition is in doubt.
        3. Commit.
        4. If the group has moved on, it did not happen: no doubt. Abort, and await a generation.
        5. It happened: each partition settles its doubt.

        After any other error the doubt stays, until the partition is opened again.

        Returns:
            What was committed and counted, by partition.

        Raises:
            StaleGenerationError: it did not happen; it awaits a generation.
            TransactionAbortedError: it did not happen, as far as we know.
            RunEndedError: what has to be remembered does not fit into a commit.
        """
        held = self._partitions.items()
        self._sink.settle(deadline)
        for partition in self._partitions.values():  # 1
            self._publisher.record(partition)
        positions = {number: partition.committing() for number, partition in held}  # 2
        try:
            self._sink.commit(positions, generation, deadline=deadline)  # 3
        except StaleGenerationError:  # 4
            for partition in self._partitions.values():
                partition.not_committed()
            self._sink.abort()
            self._rejected_by = generation
            raise
        return {n: (positions[n], partition.settled(positions[n])) for n, partition in held}  # 5

    def abort(self) -> None:
        """End it; its partitions go back. Never raises."""
        self._sink.abort()

    def on_rebalance(self, generation: Generation) -> Checkpoint:
        """The checkpoint to go on with, without the partitions that belong to another member now.

        A transaction cannot take back single outputs, so the others are sent once more, in a new
        one. If this one awaits a generation, as soon as there is another than rejected it.

        Raises:
            TransactionAbortedError, BrokerUnavailableError: see `publish`.
        """
        kept = {
            number: partition
            for number, partition in self._partitions.items()
            if partition.stage is not PartitionStage.REVOKED
        }
        is_whole = len(kept) == len(self._partitions)
        if self._rejected_by == generation or (is_whole and self._rejected_by is None):
            self._partitions = kept
            return self
        self.abort()
        successor = Checkpoint(self._publisher, self._processing, self._monotonic_s)
        for partition in kept.values():
            work, partition.work = partition.work, []
            if partition.initial is not None:
                successor.begin_at(partition, partition.initial)
            for asked, scores in work:
                successor.publish(asked, scores)
        return successor

"""A unit of work: the outputs that are published together with the offsets they were made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import structlog

from detector.scoring import Scores
from schemas.wire.dead_letter import TRUNCATED
from workers.errors import PoisonRecordError, StaleGenerationError
from workers.kafka.client import Generation, Sink
from workers.kafka.deadline import Deadline
from workers.stream.assignment import Beginning, position
from workers.stream.outputs import Output, OutputBuilder, shortened
from workers.stream.scoring.call import Part
from workers.stream.state.counts import Counts
from workers.stream.state.partition import Pending

_LONGEST_MARK = (TRUNCATED, b"9" * 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One partition's share of a scored call, ready to be published."""

    part: Part
    pending: Pending
    scores: Scores


class Unit:
    """Begins with its first work, ends with `commit` or `abort`; then the next one begins.

    When the group moves on under it, it is *held back*: what was sent is aborted, the works wait
    for the next generation (`regroup`) and are sent again then.
    """

    def __init__(
        self,
        sink: Sink,
        builder: OutputBuilder,
        *,
        interval_s: float,
        max_outputs: int,
        max_bytes: int,
        monotonic_s: Callable[[], float],
    ) -> None:
        """Nothing is begun yet.

        Args:
            sink: where outputs go.
            builder: makes them.
            interval_s: a unit is due so long after its beginning.
            max_outputs: it is full with so many outputs...
            max_bytes: ...or so many bytes of keys and values.
            monotonic_s: a clock.
        """
        self._sink, self._builder = sink, builder
        self._interval_s, self._monotonic_s = interval_s, monotonic_s
        self._max_outputs, self._max_bytes = max_outputs, max_bytes
        self._log = structlog.get_logger("vigie.unit")
        self.refused_outputs = 0
        self._clear()

    def _clear(self) -> None:
        self._works: list[Work] = []
        self._beginnings: dict[int, Beginning] = {}
        self._stale: Generation | None = None
        self._outputs = self._bytes = 0
        self._is_open = False
        self.due_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is something to commit."""
        return self._is_open

    @property
    def is_held_back(self) -> bool:
        """Whether it waits for the next generation: nothing may be published or committed now."""
        return self._stale is not None

    @property
    def is_full(self) -> bool:
        """Whether it has grown to its limit."""
        return self._outputs >= self._max_outputs or self._bytes >= self._max_bytes

    @property
    def is_due(self) -> bool:
        """Whether its time has come."""
        return self._is_open and self._monotonic_s() >= self.due_s

    def next_offsets(self) -> dict[int, int]:
        """What a commit would commit, by partition."""
        return {partition: at.next_offset for partition, at in self._positions().items()}

    def _positions(self) -> dict[int, Beginning | Pending]:
        return self._beginnings | {work.part.partition: work.pending for work in self._works}

    def counts(self) -> Mapping[int, Counts]:
        """What the works count, by partition."""
        counts: dict[int, Counts] = {}
        for work in self._works:
            partition = work.part.partition
            counts[partition] = counts.get(partition, Counts()) + work.pending.counts
        return counts

    def begin_at(self, partition: int, beginning: Beginning) -> None:
        """Have the place where a partition begins committed; the first one named counts.

        Raises:
            TransactionAbortedError, BrokerUnavailableError: see `Sink.begin`.
        """
        self._open()
        self._beginnings.setdefault(partition, beginning)

    def publish(self, work: Work) -> None:
        """Send the outputs of a work.

        Raises:
            TransactionAbortedError, BrokerUnavailableError: see `Sink.begin` and `Sink.send`.
        """
        self._open()
        part, pending = work.part, work.pending
        for output in self._builder.outputs(part.partition, pending, work.scores):
            self._send(output)
        for letter in pending.dead_letters:
            record = part.records[letter.position]
            self._send(self._cut(self._builder.dead_letter(part.partition, letter, record)))
        self._works.append(work)

    def commit(self, generation: Generation, *, deadline: Deadline) -> None:
        """Commit outputs and positions; the unit is over then.

        Raises:
            StaleGenerationError: it did not happen, and is held back.
            TransactionAbortedError: it did not happen, as far as we know.
            RunEndedError: what has to be remembered does not fit into a commit.
        """
        positions = {
            p: position(at.next_offset, at.metadata) for p, at in self._positions().items()
        }
        try:
            self._sink.commit(positions, generation, deadline=deadline)
        except StaleGenerationError:
            self._sink.abort()
            self._stale = generation
            raise
        self._clear()

    def abort(self) -> None:
        """Forget it. Never raises."""
        self._sink.abort()
        self._clear()

    def regroup(self, revoked: Collection[int], generation: Generation) -> None:
        """Go on without the partitions that belong to another member now.

        A transaction cannot take back single outputs, so the others are sent once more; if the unit
        is held back, as soon as there is another generation than the one that was refused.

        Raises:
            TransactionAbortedError, BrokerUnavailableError: see `publish`.
        """
        if self._stale is None and not revoked:  # nearly each turn
            return
        beginnings = {p: at for p, at in self._beginnings.items() if p not in revoked}
        works = [work for work in self._works if work.part.partition not in revoked]
        is_whole = len(works) == len(self._works) and len(beginnings) == len(self._beginnings)
        if self._stale == generation:
            self._works, self._beginnings = works, beginnings
            return
        if is_whole and self._stale is None:
            return
        self.abort()
        for partition, beginning in beginnings.items():
            self.begin_at(partition, beginning)
        for work in works:
            self.publish(work)

    def _open(self) -> None:
        if not self._is_open:
            self._sink.begin()
            self._is_open = True
            self.due_s = self._monotonic_s() + self._interval_s

    def _send(self, output: Output) -> None:
        try:
            self._sink.send(
                output.topic, key=output.key, value=output.value, headers=output.headers
            )
        except PoisonRecordError as error:
            self.refused_outputs += 1
            self._log.error(
                "output_refused",
                topic=output.topic,
                bytes=len(output.value),
                reason=str(error),
            )
            return
        self._outputs += 1
        self._bytes += len(output.value) + len(output.key or b"")

    def _cut(self, output: Output) -> Output:
        """The output, shortened if the sink would refuse it."""
        if self._sink.fits(key=output.key, value=output.value, headers=output.headers):
            return output
        room = self._sink.room(key=output.key, headers=(*output.headers, _LONGEST_MARK))
        return shortened(output, max(room, 0))

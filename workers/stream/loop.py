"""From poll to commit for the partitions of one member of the group. Needs no Ray.

`IngestLoop.step` is one turn:

1. publish what scorers have answered, in order;
2. when `max_in_flight` calls are open, pause every partition and wait for the oldest;
3. poll, noting the group generation; take up and give up partitions;
4. decode, let the partition states turn records into sequences, send them to the scorers;
5. commit when it is due: outputs and offsets with the replay metadata, one unit of work.

Any failure of 1 or 5 goes back to the committed offsets and rebuilds the histories by replay; but
a commit refused because the group has moved on is sent again when the new generation is known.
A record that no scorer survives becomes a dead letter, after going back as well.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import psutil
import structlog

from detector.scoring import Detector
from schemas.settings import Settings
from workers.errors import (
    BrokerUnavailableError,
    StaleGenerationError,
    TransactionAbortedError,
)
from workers.kafka.client import CommittedOffset, Generation, PollResult, Sink, Source
from workers.kafka.deadline import Deadline
from workers.stream.assignment import Opener
from workers.stream.checkpoint import Unit, Work
from workers.stream.dead_letter_limit import DeadLetterLimit
from workers.stream.health import Health, LatencyHistogram, Phase
from workers.stream.input import Input
from workers.stream.outputs import OutputBuilder, slice_scores
from workers.stream.scoring.backend import Scoring
from workers.stream.scoring.bisect import PoisonFoundError, Rescue, ScoringFailedError
from workers.stream.scoring.call import Asked, Flight, take_off
from workers.stream.sensor_labels import LabelsOf, no_labels
from workers.stream.state.counts import Counts
from workers.stream.state.partition import PartitionState

MAX_REWINDS = 20
_IDLE_POLL_S = 0.1
_BUSY_POLL_S = 0.002
_HEALTH_EVERY_S = 0.25


class IngestLoop:
    """Moves records from a source through scorers to a sink."""

    def __init__(
        self,
        *,
        slot: int,
        source: Source,
        sink: Sink,
        scoring: Scoring,
        detector: Detector,
        settings: Settings,
        labels_of: LabelsOf = no_labels,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Wire the parts; nothing is read before the first `step`."""
        self._source, self._scoring = source, scoring
        self._detector = detector
        self._settings = settings
        self._monotonic_s, self._wall_s, self._pause_s = monotonic_s, wall_s, pause
        stream = settings.stream
        self._input = Input(detector.channels, stream)
        self._limit = DeadLetterLimit(stream)
        processing = settings.processing
        self._unit = Unit(
            sink,
            OutputBuilder(
                detector,
                settings.topics,
                denoised_content_type=stream.denoised_content_type
                if stream.denoised == "on"
                else None,
                labels_of=labels_of,
            ),
            interval_s=processing.commit_interval_s,
            max_outputs=processing.max_transaction_outputs,
            max_bytes=processing.max_transaction_bytes,
            monotonic_s=monotonic_s,
        )
        self._rescue = Rescue(
            scoring=scoring,
            receptive_field=detector.receptive_field,
            channels=len(detector.channels),
            beat=self._beat,
        )
        self._states: dict[int, PartitionState] = {}
        self._to_start: set[int] = set()
        self._flights: deque[Flight] = deque()
        self._paused = False
        self._waiting = False
        self._generation: Generation | None = None
        self._rewinds_in_a_row = 0
        self._counts: dict[int, Counts] = {}
        # Of a commit whose outcome nobody knows: the committed offset tells, at the next start.
        self._doubtful: dict[int, tuple[int, Counts]] = {}
        self._poison: dict[int, set[int]] = {}
        self._busy_s = 0.0
        self._latency = LatencyHistogram()
        self._process = psutil.Process(os.getpid())
        self._health_at_s = 0.0
        self._log = structlog.get_logger("vigie.ingest").bind(slot=slot)
        self._opener = Opener(source, detector, settings, self._log)
        self.health = Health(slot=slot)
        self.beats = 0

    @property
    def has_work(self) -> bool:
        """Whether work lies before this loop, as far as it knows without asking."""
        if self._waiting:  # for the broker
            return False
        return bool(
            self._flights or self._unit.is_open or self._to_start or any(self.health.lag.values())
        )

    def step(self) -> None:
        """One turn; see the module's text."""
        started_s = self._monotonic_s()
        waited_s = 0.0
        try:
            self._publish_ready()
            if len(self._flights) >= self._settings.processing.max_in_flight:
                self._hold()
                began_s = self._monotonic_s()
                self._flights[0].ticket.wait(_IDLE_POLL_S)
                waited_s = self._monotonic_s() - began_s
            else:
                self._release()
            polled, polled_s, has_backlog = self._poll()
            waited_s += polled_s
            self._rebalance(polled)
            self._start_partitions()
            self._submit(polled)
            self._publish_ready()
            self._commit_if_due(has_backlog=has_backlog)
        except (TransactionAbortedError, BrokerUnavailableError) as error:
            self._rewind(error)
        except PoisonFoundError as poison:
            self._dead_letter_poison(poison)
        self._busy_s += self._monotonic_s() - started_s - waited_s
        self._note_health(Phase.RUNNING)

    def drain(self, deadline: Deadline) -> None:
        """Publish and commit what is in flight; whatever the deadline cuts off is replayed."""
        self._note_health(Phase.DRAINING, at_once=True)
        try:
            while self._flights and not self._unit.is_held_back and not deadline.is_over():
                self._flights[0].ticket.wait(min(deadline.left_s(), _IDLE_POLL_S))
                self._publish_ready()
                if self._unit.is_due or self._unit.is_full:  # scorers may take their time
                    self._commit(deadline)
            self._commit(deadline)
            if self._unit.is_held_back:
                raise StaleGenerationError("The group moved on, and nobody waits to hear how.")
        except (TransactionAbortedError, BrokerUnavailableError, PoisonFoundError) as error:
            self._log.error("drain_incomplete", reason=str(error))
            self._unit.abort()
            self._note_health(Phase.INCOMPLETE, at_once=True)
            return
        self._note_health(Phase.INCOMPLETE if self._flights else Phase.STOPPED, at_once=True)

    # -- poll ------------------------------------------------------------------------------------

    def _poll(self) -> tuple[PollResult, float, bool]:
        """What came, how long we waited for it, and whether more was waiting than we took.

        The client does not tell; a batch that is half full or more was there already.
        """
        before_s, most = self._monotonic_s(), self._input.poll_records
        polled = self._source.poll(timeout_s=self._poll_timeout_s(), max_records=most)
        self._generation = polled.generation
        has_backlog = 2 * sum(map(len, polled.records.values())) >= most
        return polled, 0.0 if has_backlog else self._monotonic_s() - before_s, has_backlog

    def _poll_timeout_s(self) -> float:
        is_busy = self._flights or self._to_start or self._unit.is_open
        return _BUSY_POLL_S if is_busy else _IDLE_POLL_S

    def _hold(self) -> None:
        if not self._paused:
            self._source.pause(self._states)
            self._paused = True

    def _release(self) -> None:
        if self._paused:
            self._source.resume(self._states)
            self._paused = False

    def _rebalance(self, polled: PollResult) -> None:
        for partition in polled.revoked:
            # Its flights find their state gone and publish nothing; the new owner replays.
            self._states.pop(partition, None)
            self._to_start.discard(partition)
            self._poison.pop(partition, None)
            self._limit.forget(partition)
            self._doubtful.pop(partition, None)
        self._to_start |= polled.assigned
        if polled.assigned or polled.revoked:
            self._log.info(
                "rebalanced",
                assigned=sorted(polled.assigned),
                revoked=sorted(polled.revoked),
                held=sorted(self._states.keys() | self._to_start),
            )
        # Last: it may fail, and all else is noted by then.
        self._unit.regroup(polled.revoked, polled.generation)

    def _start_partitions(self) -> None:
        for partition in sorted(self._to_start):
            if self._unit.is_held_back:
                return
            try:
                self._start(partition)
            except BrokerUnavailableError as error:
                if not self._waiting:  # once an outage
                    self._log.warning("partition_waits", partition=partition, reason=str(error))
                self._waiting = True
                return
            self._waiting = False

    def _start(self, partition: int) -> None:
        opened = self._opener.open(partition)
        self._settle_doubt(partition, opened.committed)
        if opened.committed is None:
            self._unit.begin_at(partition, opened.beginning)
            self._commit_or_hold_back()
            return  # the next turn begins where that says
        self._log.info(
            "partition_started",
            partition=partition,
            next_offset=opened.state.next_offset,
            replay_records=opened.state.next_offset - opened.read_from,
        )
        self._to_start.discard(partition)
        self._states[partition] = opened.state
        self._source.start(partition, opened.read_from)
        if self._paused:
            self._source.pause([partition])

    def _settle_doubt(self, partition: int, committed: CommittedOffset | None) -> None:
        """Count what a commit of unknown outcome did, if it did."""
        next_offset, counts = self._doubtful.pop(partition, (-1, Counts()))
        if committed is not None and committed.next_offset == next_offset:
            self._counts[partition] = self._counts.get(partition, Counts()) + counts

    # -- decode and score ------------------------------------------------------------------------

    def _submit(self, polled: PollResult) -> None:
        asked: list[Asked] = []
        for partition, offsets in polled.lost.items():
            if (overtaken := self._states.get(partition)) is not None:
                overtaken.deleted(offsets)
                self._log.warning("retention_was_faster", partition=partition, offsets=offsets)
        for partition, records in polled.records.items():
            state = self._states.get(partition)
            if state is None or not records:
                continue
            self.beats += 1
            batch = self._input.accept(records, poison=self._poison.get(partition, ()))
            # Before anything of the batch goes further: what is refused must not be committed.
            self._limit.check(partition, batch.offsets, batch.failures, live_from=state.next_offset)
            request = state.polled(batch)
            if request is not None:
                asked.append((partition, state, request, records, batch.stamps_ms))
        if asked:
            self._flights.append(take_off(self._scoring, asked))

    # -- publish and commit ----------------------------------------------------------------------

    def _publish_ready(self) -> None:
        while self._flights and not self._unit.is_held_back and self._flights[0].ticket.wait(0.0):
            self._publish(self._flights.popleft())

    def _publish(self, flight: Flight) -> None:
        try:
            scores = self._rescue.answer(flight.ticket, len(flight.ends))
        except ScoringFailedError as error:
            scores = self._rescue.scores(flight, error)
        for part in flight.parts:
            if self._states.get(part.partition) is not part.state:
                continue
            own = slice_scores(scores, part.start, part.stop)
            pending = part.state.scored(part.number, anomalies=len(own.flagged))
            self._unit.publish(Work(part=part, pending=pending, scores=own))
            stamps_ms = part.stamps_ms[part.stamps_ms >= 0]
            self._latency.observe(np.float64(self._wall_s() * 1e3) - stamps_ms)

    def _commit_if_due(self, *, has_backlog: bool) -> None:
        """With a backlog, commit by the clock; without one a reader would only wait for it."""
        caught_up = not has_backlog and not self._flights
        if self._unit.is_due or self._unit.is_full or caught_up:
            self._commit_or_hold_back()

    def _commit_or_hold_back(self) -> None:
        try:
            self._commit(Deadline.after(self._settings.processing.flush_timeout_s))
        except StaleGenerationError as error:
            self._log.info("commit_waits_for_group", reason=str(error))

    def _commit(self, deadline: Deadline) -> None:
        if not self._unit.is_open or self._unit.is_held_back or self._generation is None:
            return
        started_s = self._monotonic_s()
        offsets, counts = self._unit.next_offsets(), self._unit.counts()
        # Others may be in doubt still: partitions that could not be started again yet.
        self._doubtful |= {p: (offsets[p], some) for p, some in counts.items()}
        try:
            self._unit.commit(self._generation, deadline=deadline)
        except StaleGenerationError:  # no doubt
            for partition in counts:
                del self._doubtful[partition]
            raise
        for partition, some in counts.items():
            del self._doubtful[partition]
            self._counts[partition] = self._counts.get(partition, Counts()) + some
        total = sum(counts.values(), Counts())
        self._log.debug(
            "committed",
            offsets=offsets,
            readings=total.readings,
            anomalies=total.anomalies,
            dead_lettered=total.dead_lettered,
            took_s=round(self._monotonic_s() - started_s, 4),
        )
        self.health = replace(
            self.health,
            commits=self.health.commits + 1,
            next_offsets={**self.health.next_offsets, **offsets},
        )
        self._rewinds_in_a_row = 0
        self._beat()

    def _beat(self) -> None:
        self.beats += 1

    def _rewind(self, error: TransactionAbortedError | BrokerUnavailableError) -> None:
        """Drop everything since the last commit; the partitions begin again from it."""
        self._rewinds_in_a_row += 1
        if self._rewinds_in_a_row > MAX_REWINDS:
            raise error
        self._log.warning(
            "rewinding", reason=str(error), attempt=self._rewinds_in_a_row, of=MAX_REWINDS
        )
        self.health = replace(self.health, rewinds=self.health.rewinds + 1)
        self._note_health(Phase.REWINDING, at_once=True)
        self._go_back()
        self._pause_s(min(0.05 * 2**self._rewinds_in_a_row, 5.0))

    def _dead_letter_poison(self, poison: PoisonFoundError) -> None:
        """Begin again from the last commit; this record will be a dead letter."""
        self._log.error(
            "poison_found", partition=poison.partition, offset=poison.offset, cause=str(poison)
        )
        if poison.partition in self._states:  # else another member meets it
            self._poison.setdefault(poison.partition, set()).add(poison.offset)
            # What was counted as good comes again, and one of it is bad.
            self._limit.forget(poison.partition)
        self._go_back()

    def _go_back(self) -> None:
        self._unit.abort()
        self._beat()
        for flight in self._flights:
            flight.ticket.cancel()
        self._flights.clear()
        self._to_start |= self._states.keys()
        self._source.pause(self._states)
        self._states.clear()

    def _note_health(self, phase: Phase, *, at_once: bool = False) -> None:
        now_s = self._monotonic_s()
        if not at_once and now_s < self._health_at_s:
            return
        self._health_at_s = now_s + _HEALTH_EVERY_S
        times = self._process.cpu_times()
        self.health = replace(
            self.health,
            phase=phase,
            counts=dict(self._counts),
            lag=self._lag(),
            sensors=sum(state.sensors for state in self._states.values()),
            in_flight=len(self._flights),
            latency=LatencyHistogram(self._latency.buckets),
            resident_bytes=self._process.memory_info().rss,
            cpu_s=times.user + times.system,
            busy_s=self._busy_s,
            refused_outputs=self._unit.refused_outputs,
        )

    def _lag(self) -> Mapping[int, int]:
        return {p: n for p, n in self._source.lag().items() if p in self._states}

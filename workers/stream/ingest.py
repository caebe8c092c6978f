"""From poll to commit for the partitions of one member of the group. Needs no Ray.

`IngestLoop.step` is one turn:

1. publish what scorers have answered, in order;
2. when `max_in_flight` calls are open, pause every partition and wait for the oldest;
3. poll, noting the group generation; take up and give up partitions;
4. decode, let the partition states turn records into sequences, send them to the scorers;
5. commit when it is due: outputs first, offsets with the replay metadata after them.

Any failure of 1 or 5 goes back to the committed offsets and rebuilds the histories by replay.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import psutil
import structlog
from numpy.typing import NDArray

from detector.scoring import Detector
from schemas.codec import Decoder
from schemas.settings import Settings
from workers.errors import BrokerUnavailableError, PoisonRecordError, TransactionAbortedError
from workers.kafka.client import Committed, Generation, Polled, Record, Sink, Source
from workers.kafka.deadline import Deadline
from workers.stream.clock import refuse_ahead
from workers.stream.flight import Asked, Flight, ScoringFailedError, take_off
from workers.stream.outputs import TRUNCATED, Output, OutputBuilder, shortened, slice_scores
from workers.stream.partition import Batch, Counts, PartitionConfig, PartitionState
from workers.stream.progress import Health, LatencyHistogram, Phase
from workers.stream.replay import ReplayMetadata, starting_point
from workers.stream.scorer import Scoring

MAX_REWINDS = 20
_LONGEST_MARK = (TRUNCATED, b"9" * 10)
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
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Wire the parts; nothing is read before the first `step`."""
        self._source, self._sink, self._scoring = source, sink, scoring
        self._detector = detector
        self._settings = settings
        self._monotonic_s, self._wall_s, self._pause_s = monotonic_s, wall_s, pause
        stream = settings.stream
        self._decoder = Decoder(
            detector.channels,
            wire_names=stream.channels,
            max_bytes=stream.max_record_bytes,
            default_content_type=stream.content_type,
        )
        self._builder = OutputBuilder(
            detector,
            settings.topics,
            denoised_content_type=stream.denoised_content_type if stream.denoised == "on" else None,
        )
        max_gap_s = stream.max_gap_s or detector.max_gap_s
        self._max_gap_ns = max(round(max_gap_s * 1e9), 1)
        self._states: dict[int, PartitionState] = {}
        self._to_start: set[int] = set()
        self._flights: deque[Flight] = deque()
        self._paused = False
        self._waiting = False
        # Readings a record, in the last batch. The first poll is small: they may be large frames.
        self._frame_readings = 100.0
        self._begun = False
        self._done: dict[int, Committed] = {}
        self._uncommitted: dict[int, Counts] = {}
        self._generation: Generation | None = None
        self._commit_at_s = 0.0
        self._rewinds_in_a_row = 0
        self._counts: dict[int, Counts] = {}
        self._latency = LatencyHistogram()
        self._process = psutil.Process(os.getpid())
        self._health_at_s = 0.0
        self._log = structlog.get_logger("vigie.ingest").bind(slot=slot)
        self.health = Health(slot=slot)
        self.beats = 0

    @property
    def has_work(self) -> bool:
        """Whether work lies before this loop, as far as it knows without asking."""
        if self._waiting:  # for the broker
            return False
        return bool(self._flights or self._done or self._to_start or any(self.health.lag.values()))

    def step(self) -> None:
        """One turn; see the module's text."""
        try:
            self._publish_ready()
            if len(self._flights) >= self._settings.processing.max_in_flight:
                self._hold()
                self._flights[0].ticket.wait(_IDLE_POLL_S)
            else:
                self._release()
            polled = self._source.poll(
                timeout_s=self._poll_timeout_s(), max_records=self._poll_records()
            )
            self._generation = polled.generation
            self._rebalance(polled)
            self._start_partitions()
            self._submit(polled)
            self._publish_ready()
            self._commit_if_due()
        except (TransactionAbortedError, BrokerUnavailableError) as error:
            self._rewind(error)
        self._note_health(Phase.RUNNING)

    def drain(self, deadline: Deadline) -> None:
        """Publish and commit what is in flight; whatever the deadline cuts off is replayed."""
        self._note_health(Phase.DRAINING, at_once=True)
        try:
            while self._flights and not deadline.is_over():
                self._flights[0].ticket.wait(min(deadline.left_s(), _IDLE_POLL_S))
                self._publish_ready()
            self._commit(deadline)
        except (TransactionAbortedError, BrokerUnavailableError, ScoringFailedError) as error:
            self._log.error("drain_incomplete", reason=str(error))
            self._sink.abort()
            self._note_health(Phase.INCOMPLETE, at_once=True)
            return
        self._note_health(Phase.INCOMPLETE if self._flights else Phase.STOPPED, at_once=True)

    # -- poll ------------------------------------------------------------------------------------

    def _poll_timeout_s(self) -> float:
        if self._flights or self._to_start:
            return _BUSY_POLL_S
        if self._done:
            return min(max(self._commit_at_s - self._monotonic_s(), _BUSY_POLL_S), _IDLE_POLL_S)
        return _IDLE_POLL_S

    def _poll_records(self) -> int:
        """How many records make a batch of about `stream.max_poll_records` readings.

        A batch of frames would otherwise hold a hundred times as many: more memory, no more speed.
        """
        return max(round(self._settings.stream.max_poll_records / self._frame_readings), 1)

    def _hold(self) -> None:
        if not self._paused:
            self._source.pause(self._states)
            self._paused = True

    def _release(self) -> None:
        if self._paused:
            self._source.resume(self._states)
            self._paused = False

    def _rebalance(self, polled: Polled) -> None:
        for partition in polled.revoked:
            # Its flights find their state gone and publish nothing; the new owner replays.
            self._states.pop(partition, None)
            self._to_start.discard(partition)
            self._done.pop(partition, None)
            self._uncommitted.pop(partition, None)
        self._to_start |= polled.assigned
        if polled.assigned or polled.revoked:
            self._log.info(
                "rebalanced",
                assigned=sorted(polled.assigned),
                revoked=sorted(polled.revoked),
                held=sorted(self._states.keys() | self._to_start),
            )

    def _start_partitions(self) -> None:
        for partition in sorted(self._to_start):
            try:
                self._start(partition)
            except BrokerUnavailableError as error:
                if not self._waiting:  # once an outage
                    self._log.warning("partition_waits", partition=partition, reason=str(error))
                self._waiting = True
                return
            self._waiting = False
            self._to_start.discard(partition)

    def _start(self, partition: int) -> None:
        beginning, end = self._source.bounds(partition)
        committed = self._source.committed(partition)
        point = starting_point(
            None if committed is None else (committed.next_offset, committed.metadata),
            beginning=beginning,
            end=end,
            fresh=self._settings.stream.start,
            receptive_field=self._detector.receptive_field,
        )
        if point.cold:
            self._log.warning("cold_start", partition=partition, reason=point.cold)
        if committed is None and self._generation is not None:
            # A crash before the first commit must not move a start at "latest".
            self._source.commit(
                {partition: self._position(point.next_offset, point.next_offset)},
                self._generation,
                deadline=Deadline.after(self._settings.processing.flush_timeout_s),
            )
        self._states[partition] = PartitionState(
            PartitionConfig(
                topic=self._settings.topics.readings,
                partition=partition,
                channels=len(self._detector.channels),
                receptive_field=self._detector.receptive_field,
                max_gap_ns=self._max_gap_ns,
            ),
            next_offset=point.next_offset,
            group_of=self._detector.group_of,
        )
        self._source.start(partition, point.read_from)
        if self._paused:
            self._source.pause([partition])
        self._log.info(
            "partition_started",
            partition=partition,
            next_offset=point.next_offset,
            replay_records=point.next_offset - point.read_from,
        )

    def _position(self, next_offset: int, replay_from: int) -> Committed:
        metadata = ReplayMetadata(
            replay_from=replay_from, receptive_field=self._detector.receptive_field
        )
        return Committed(next_offset=next_offset, metadata=metadata.encode())

    # -- decode and score ------------------------------------------------------------------------

    def _submit(self, polled: Polled) -> None:
        asked: list[Asked] = []
        for partition, records in polled.records.items():
            state = self._states.get(partition)
            if state is None or not records:
                continue
            self.beats += 1
            request = state.polled(self._decode(records))
            if request is not None:
                asked.append((partition, state, request, records))
        if asked:
            self._flights.append(take_off(self._scoring, asked))

    def _decode(self, records: Sequence[Record]) -> Batch:
        decoded = self._decoder.decode(
            [record.value for record in records],
            [_content_type(record.headers) if record.headers else None for record in records],
        )
        self._frame_readings = max(len(decoded.readings) / len(records), 1.0)
        if self._settings.stream.max_ahead_s:
            decoded = refuse_ahead(
                decoded, _stamps_ms(records), max_ahead_s=self._settings.stream.max_ahead_s
            )
        offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
        return Batch(offsets=offsets, readings=decoded.readings, failures=decoded.failures)

    # -- publish and commit ----------------------------------------------------------------------

    def _publish_ready(self) -> None:
        while self._flights and self._flights[0].ticket.wait(0.0):
            self._publish(self._flights.popleft())

    def _publish(self, flight: Flight) -> None:
        scores = flight.scores()
        self.beats += 1
        for part in flight.parts:
            if self._states.get(part.partition) is not part.state:
                continue
            own = slice_scores(scores, part.start, part.stop)
            pending = part.state.scored(part.number, anomalies=len(own.flagged))
            self._open_unit()
            for output in self._builder.outputs(part.partition, pending, own):
                self._send(output)
            for letter in pending.dead_letters:
                record = part.records[letter.position]
                self._send_whole_or_cut(self._builder.dead_letter(part.partition, letter, record))
            self._done[part.partition] = self._position(pending.next_offset, pending.replay_from)
            self._uncommitted[part.partition] = (
                self._uncommitted.get(part.partition, Counts()) + pending.counts
            )
            self._observe_latency(part.records)

    def _send(self, output: Output) -> None:
        try:
            self._sink.send(
                output.topic, key=output.key, value=output.value, headers=output.headers
            )
        except PoisonRecordError as error:
            self.health = replace(self.health, refused_outputs=self.health.refused_outputs + 1)
            self._log.error(
                "output_refused",
                topic=output.topic,
                bytes=len(output.value),
                reason=str(error),
            )

    def _send_whole_or_cut(self, output: Output) -> None:
        if not self._sink.fits(key=output.key, value=output.value, headers=output.headers):
            room = self._sink.room(key=output.key, headers=(*output.headers, _LONGEST_MARK))
            output = shortened(output, max(room, 0))
        self._send(output)

    def _open_unit(self) -> None:
        if not self._begun:
            self._sink.begin()
            self._begun = True
            self._commit_at_s = self._monotonic_s() + self._settings.processing.commit_interval_s

    def _observe_latency(self, records: Sequence[Record]) -> None:
        stamps = _stamps_ms(records)
        self._latency.observe(self._wall_s() * 1e3 - stamps[stamps >= 0])

    def _commit_if_due(self) -> None:
        if self._begun and self._monotonic_s() >= self._commit_at_s:
            self._commit(Deadline.after(self._settings.processing.flush_timeout_s))

    def _commit(self, deadline: Deadline) -> None:
        if not self._begun or self._generation is None:
            return
        started_s = self._monotonic_s()
        self._sink.commit(self._done, self._generation, deadline=deadline)
        total = sum(self._uncommitted.values(), Counts())
        for partition, counts in self._uncommitted.items():
            self._counts[partition] = self._counts.get(partition, Counts()) + counts
        self._log.debug(
            "committed",
            offsets={p: c.next_offset for p, c in self._done.items()},
            readings=total.readings,
            anomalies=total.anomalies,
            dead_lettered=total.dead_lettered,
            took_s=round(self._monotonic_s() - started_s, 4),
        )
        next_offsets = dict(self.health.next_offsets)
        next_offsets.update((p, c.next_offset) for p, c in self._done.items())
        self.health = replace(
            self.health, commits=self.health.commits + 1, next_offsets=next_offsets
        )
        self._done, self._uncommitted, self._begun = {}, {}, False
        self._rewinds_in_a_row = 0
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
        self._sink.abort()
        self._begun = False
        self._done, self._uncommitted = {}, {}
        for flight in self._flights:
            flight.ticket.cancel()
        self._flights.clear()
        self._to_start |= self._states.keys()
        self._source.pause(self._states)
        self._states.clear()
        self._pause_s(min(0.05 * 2**self._rewinds_in_a_row, 5.0))

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
        )

    def _lag(self) -> Mapping[int, int]:
        return {p: n for p, n in self._source.lag().items() if p in self._states}


def _stamps_ms(records: Sequence[Record]) -> NDArray[np.float64]:
    return np.fromiter((record.timestamp for record in records), np.float64, len(records))


def _content_type(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    for name, value in headers:
        if name == "content-type":
            return value
    return None

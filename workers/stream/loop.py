"""From poll to commit for the partitions of one member of the group. Needs no Ray.

`IngestLoop.step` is one turn:

1. publish what scorers have answered, in order;
2. when `max_in_flight` calls are open, pause every partition and wait for the oldest;
3. poll, noting the group generation; take up and give up partitions;
4. decode, let the partition states say what to score, send it to the scorers;
5. commit when it is due: outputs and offsets with their restore points, one checkpoint.

Any failure of 1 or 5 goes back to the committed offsets and restores the windows from the log; but
a commit rejected because the group has moved on is sent again when the new generation is known.
A record that no scorer survives becomes a dead letter, after going back as well. So does the loop
while a schema registry is away that has to explain a record: it goes back and tries again, for as
long as that takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np
import structlog

from schemas.settings import ProcessingSettings
from workers.errors import (
    BrokerUnavailableError,
    RegistryUnavailableError,
    StaleGenerationError,
    TransactionAbortedError,
)
from workers.kafka.client import Generation, PollResult, Source
from workers.kafka.deadline import Deadline
from workers.stream.assignment import Opener
from workers.stream.checkpoint import Checkpoint
from workers.stream.health import Health, Phase, ProgressTicks
from workers.stream.input import RecordsIn
from workers.stream.owned_partition import OwnedPartition, PartitionRequest, PartitionStage
from workers.stream.registry_wait import RegistryWait, pause_of
from workers.stream.scoring.backend import Scoring
from workers.stream.scoring.bisect import BatchBisector, PoisonFoundError
from workers.stream.scoring.call import ScoringCall, submit
from workers.stream.state.counts import Counts
from workers.stream.state.recorded import RecordedState
from workers.stream.state.restore import RestorePlan
from workers.stream.telemetry import Telemetry

MAX_REWINDS = 20
_IDLE_POLL_S = 0.1
_BUSY_POLL_S = 0.002
_HEALTH_EVERY_S = 0.25
_SENSORS_EVERY_S = 5.0
"""What has to look at each sensor is noted more seldom."""
_SPANS_AT_MOST = 4096
"""Sensors of all partitions that are told to the driver: some 150 kB."""


class IngestLoop:
    """Moves records from a source through scorers to a sink; `build_loop` puts one together.

    Attributes:
        health: how it was a moment ago.
        progress: its signs of life.
    """

    def __init__(
        self,
        *,
        slot: int,
        source: Source,
        records_in: RecordsIn,
        opener: Opener,
        own: Callable[[int], OwnedPartition],
        scoring: Scoring,
        bisector: BatchBisector,
        new_checkpoint: Callable[[], Checkpoint],
        progress: ProgressTicks,
        processing: ProcessingSettings,
        monotonic_s: Callable[[], float],
        wall_s: Callable[[], float],
        pause: Callable[[float], None],
        telemetry: Telemetry | None = None,
        on_turn: Callable[[Collection[OwnedPartition]], list[PartitionRequest]] = lambda _: [],
    ) -> None:
        """Take the parts; nothing is read before the first `step`.

        `on_turn` may ask for more, of the open partitions, behind what a poll brought.
        """
        self._source, self._input, self._opener, self._own = source, records_in, opener, own
        self._scoring, self._bisector = scoring, bisector
        self._new_checkpoint, self._processing = new_checkpoint, processing
        self._monotonic_s, self._wall_s, self._pause_s = monotonic_s, wall_s, pause
        self._on_turn = on_turn
        self._partitions: dict[int, OwnedPartition] = {}
        self._calls: deque[ScoringCall] = deque()
        self._checkpoint = new_checkpoint()
        self._generation: Generation | None = None
        self._paused = self._waiting = False
        self._rewinds_in_a_row = 0
        # Of what was committed here, also for partitions that were given away since.
        self._counts: dict[int, Counts] = {}
        self._busy_s = 0.0
        self._telemetry = telemetry or Telemetry()
        self._health_at_s = self._sensors_at_s = 0.0
        self._log = structlog.get_logger("vigie.ingest").bind(slot=slot)
        self._registry_wait = RegistryWait(self._log, monotonic_s)
        self.health = Health(slot=slot)
        self.progress = progress

    @property
    def has_work(self) -> bool:
        """Whether work lies before this loop, as far as it knows without asking."""
        if self._waiting:  # for the broker
            return False
        return self._is_busy or any(self.health.lag.values())

    @property
    def _is_busy(self) -> bool:
        return bool(self._calls or self._checkpoint.is_open or self._at(PartitionStage.ASSIGNED))

    def _at(self, stage: PartitionStage) -> list[OwnedPartition]:
        # A copy: the watchdog asks `has_work` from its own thread.
        return [owned for owned in list(self._partitions.values()) if owned.stage is stage]

    @property
    def _open(self) -> dict[int, OwnedPartition]:
        return {number: owned for number, owned in self._partitions.items() if owned.is_open}

    def step(self) -> None:
        """One turn; see the module's text."""
        started_s = self._monotonic_s()
        waited_s = 0.0
        try:
            self._publish_ready()  # 1
            if len(self._calls) >= self._processing.max_in_flight:  # 2
                self._hold()
                began_s = self._monotonic_s()
                self._calls[0].future.wait(_IDLE_POLL_S)
                waited_s = self._monotonic_s() - began_s
            else:
                self._release()
            polled, polled_s, has_backlog = self._poll()  # 3
            waited_s += polled_s
            self._rebalance(polled)
            self._open_partitions()
            self._submit(polled)  # 4
            self._publish_ready()
            self._commit_if_due(has_backlog=has_backlog)  # 5
        except (TransactionAbortedError, BrokerUnavailableError) as error:
            self._rewind(error)
        except PoisonFoundError as poison:
            self._dead_letter_poison(poison)
        except RegistryUnavailableError:  # `RegistryWait` has logged it, once an outage
            self._await_registry()
            waited_s = self._monotonic_s() - started_s
        self._busy_s += self._monotonic_s() - started_s - waited_s
        self._note_health(Phase.WAITING if self._registry_wait else Phase.RUNNING)

    def drain(self, deadline: Deadline) -> None:
        """Publish and commit what is in flight; what the deadline cuts off is read again."""
        self._note_health(Phase.DRAINING, at_once=True)
        try:
            while self._calls and not self._checkpoint.awaits_generation and not deadline.is_over():
                self._calls[0].future.wait(min(deadline.left_s(), _IDLE_POLL_S))
                self._publish_ready()
                if self._checkpoint.is_due:  # scorers may take their time
                    self._commit(deadline)
            self._commit(deadline)
            if self._checkpoint.awaits_generation:
                raise StaleGenerationError("The group moved on, and nobody waits to hear how.")
        except (TransactionAbortedError, BrokerUnavailableError, PoisonFoundError) as error:
            self._log.error("drain_incomplete", reason=str(error))
            self._checkpoint.abort()
            self._note_health(Phase.INCOMPLETE, at_once=True)
            return
        self._note_health(Phase.INCOMPLETE if self._calls else Phase.STOPPED, at_once=True)

    # -- poll ------------------------------------------------------------------------------------

    def _poll(self) -> tuple[PollResult, float, bool]:
        """What came, how long we waited for it, and whether more was waiting than we took.

        The client does not tell; a batch that is half full or more was there already.
        """
        before_s, most = self._monotonic_s(), self._input.poll_records
        polled = self._source.poll(
            timeout_s=_BUSY_POLL_S if self._is_busy else _IDLE_POLL_S, max_records=most
        )
        self._generation = polled.generation
        has_backlog = 2 * sum(map(len, polled.records.values())) >= most
        took_s = self._monotonic_s() - before_s
        self._telemetry.polled(polled, took_s)
        return polled, 0.0 if has_backlog else took_s, has_backlog

    def _hold(self) -> None:
        if not self._paused:
            self._source.pause(self._open)
            self._paused = True

    def _release(self) -> None:
        if self._paused:
            self._source.resume(self._open)
            self._paused = False

    def _rebalance(self, polled: PollResult) -> None:
        for number in polled.revoked & self._partitions.keys():
            self._partitions.pop(number).revoked()
            self._registry_wait.left(number)
        for number in polled.assigned:
            self._partitions[number] = self._own(number)
        if polled.assigned or polled.revoked:
            self._log.info(
                "rebalanced",
                assigned=sorted(polled.assigned),
                revoked=sorted(polled.revoked),
                held=sorted(self._partitions),
            )
        if polled.revoked or self._checkpoint.awaits_generation:
            # Last: it may fail, and all else is noted by then.
            self._checkpoint = self._checkpoint.on_rebalance(polled.generation)

    def _open_partitions(self) -> None:
        for owned in sorted(self._at(PartitionStage.ASSIGNED), key=lambda owned: owned.number):
            if self._checkpoint.awaits_generation or self._checkpoint.is_due:
                return  # the next turn goes on
            try:
                self._open_partition(owned)
            except BrokerUnavailableError as error:
                if not self._waiting:  # once an outage
                    self._log.warning("partition_waits", partition=owned.number, reason=str(error))
                self._waiting = True
                return
            self._waiting = False
            self.progress.tick()

    def _open_partition(self, owned: OwnedPartition) -> None:
        opened = self._opener.open(owned.number)
        plan, is_news = opened.plan, not self._registry_wait.is_reopening(owned.number)
        if plan.cold and is_news:
            self._log.warning("cold_start", partition=owned.number, reason=plan.cold)
        self._note_cold_sensors(owned, opened.state.recorded)
        self._count(owned.number, owned.settled(opened.committed))
        if opened.committed is None:
            self._checkpoint.begin_at(owned, opened.state)
            self._commit_or_await()
            return  # the next turn begins where that says
        if is_news:
            self._log.info(
                "partition_started",
                partition=owned.number,
                next_offset=plan.next_offset,
                restore_records=plan.next_offset - plan.read_from,
            )
        if plan.model not in {None, self._opener.model, owned.succeeds}:
            self._note_model_change(owned, plan)
        owned.opened(opened.state)
        self._source.start(owned.number, plan.read_from)
        if self._paused:
            self._source.pause([owned.number])

    def _note_cold_sensors(self, owned: OwnedPartition, recorded: RecordedState) -> None:
        if recorded.cold and recorded.cold != owned.cold:  # once, however often it is opened
            owned.cold = recorded.cold
            self._log.warning(
                "recorded_state_cold",
                partition=owned.number,
                sensors=recorded.cold_sensors,
                reason=recorded.cold,
            )
            starts = self.health.recorded_cold_starts + 1
            self.health = replace(self.health, recorded_cold_starts=starts)

    def _note_model_change(self, owned: OwnedPartition, plan: RestorePlan) -> None:
        owned.succeeds = plan.model
        self._log.warning(
            "model_changed",
            **{"from": str(plan.model)},
            to=str(self._opener.model),
            partition=owned.number,
            next_offset=plan.next_offset,
        )
        self.health = replace(self.health, model_changes=self.health.model_changes + 1)

    # -- decode and score ------------------------------------------------------------------------

    def _submit(self, polled: PollResult) -> None:
        for number, offsets in polled.lost.items():
            if (overtaken := self._open.get(number)) is not None:
                overtaken.state.deleted(offsets)
                self._log.warning("retention_was_faster", partition=number, offsets=offsets)
        requests: list[PartitionRequest] = []
        began_s = self._monotonic_s()
        for number, records in polled.records.items():
            owned = self._partitions.get(number)
            if owned is None or not owned.is_open or not records:
                continue
            self.progress.tick()
            with self._registry_wait.asking(number, records[-1].offset):
                batch = self._input.accept(records, poison=owned.poison)
            if (asked := owned.polled(batch, records)) is not None:
                requests.append(asked)
        requests += self._on_turn(self._open.values())
        if requests:
            took_s = self._monotonic_s() - began_s
            self._calls.append(submit(self._scoring, requests))
            self._telemetry.submitted(self._calls[-1], took_s)

    # -- publish and commit ----------------------------------------------------------------------

    def _publish_ready(self) -> None:
        while (
            self._calls
            and not self._checkpoint.awaits_generation
            and self._calls[0].future.wait(0.0)
        ):
            self._publish(self._calls.popleft())

    def _publish(self, call: ScoringCall) -> None:
        answer = self._bisector.scores(call)
        self._telemetry.answered(call)
        for asked, scores in call.shares(answer):
            if asked.partition.stage is PartitionStage.REVOKED:
                continue
            self._checkpoint.publish(asked.scored(scores), scores)
            stamps_ms = asked.stamps_ms[asked.stamps_ms >= 0]
            self._telemetry.published(np.float64(self._wall_s() * 1e3) - stamps_ms)

    def _commit_if_due(self, *, has_backlog: bool) -> None:
        """With a backlog, commit by the clock; without one a reader would only wait for it."""
        caught_up = not has_backlog and not self._calls
        if self._checkpoint.is_due or caught_up:
            self._commit_or_await()

    def _commit_or_await(self) -> None:
        try:
            self._commit(Deadline.after(self._processing.flush_timeout_s))
        except StaleGenerationError as error:
            self._log.info("commit_awaits_generation", reason=str(error))

    def _commit(self, deadline: Deadline) -> None:
        checkpoint = self._checkpoint
        if not checkpoint.is_open or checkpoint.awaits_generation or self._generation is None:
            return
        started_s = self._monotonic_s()
        committed = checkpoint.commit(self._generation, deadline=deadline)
        self._checkpoint = self._new_checkpoint()
        took_s = self._monotonic_s() - started_s
        self._telemetry.committed(took_s)
        for number, (_, counts) in committed.items():
            self._count(number, counts)
        offsets = {number: at.next_offset for number, (at, _) in committed.items()}
        total = sum((counts for _, counts in committed.values()), Counts())
        self._log.debug(
            "committed",
            offsets=offsets,
            readings=total.readings,
            anomalies=total.anomalies,
            dead_lettered=total.dead_lettered,
            took_s=round(took_s, 4),
        )
        self.health = replace(
            self.health,
            commits=self.health.commits + 1,
            next_offsets={**self.health.next_offsets, **offsets},
        )
        self._rewinds_in_a_row = 0
        self.progress.tick()

    def _count(self, partition: int, counts: Counts) -> None:
        if counts.records or counts.written:  # what was held is written later
            self._counts[partition] = self._counts.get(partition, Counts()) + counts

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
        self._pause_s(pause_of(self._rewinds_in_a_row))

    def _await_registry(self) -> None:
        """Begin again from the last commit, without a limit of tries: no attempt has failed.

        The pause is short enough for the group and the watchdog, which hear from us all the time.
        """
        pause_s = self._registry_wait.again(self._open)
        self._go_back()
        self._note_health(Phase.WAITING, at_once=True)
        self._pause_s(pause_s)

    def _dead_letter_poison(self, poison: PoisonFoundError) -> None:
        """Begin again from the last commit; this record will be a dead letter."""
        self._log.error(
            "poison_found", partition=poison.partition, offset=poison.offset, cause=str(poison)
        )
        if poison.partition in self._partitions:  # else another member meets it
            self._partitions[poison.partition].poisoned(poison.offset)
        self._go_back()

    def _go_back(self) -> None:
        self._telemetry.went_back()
        self._checkpoint.abort()
        self._checkpoint = self._new_checkpoint()
        self.progress.tick()
        for call in self._calls:
            call.future.cancel()
        self._calls.clear()
        self._source.pause(self._open)
        for owned in self._partitions.values():
            owned.rewound()

    def _note_health(self, phase: Phase, *, at_once: bool = False) -> None:
        now_s, opened = self._monotonic_s(), self._open
        if not at_once and now_s < self._health_at_s:
            return
        self._health_at_s = now_s + _HEALTH_EVERY_S
        self._note_sensors(opened, now_s)
        self.health = replace(
            self.health,
            phase=phase,
            counts=dict(self._counts),
            lag={p: n for p, n in self._source.lag().items() if p in opened},
            sensors=sum(owned.state.sensors for owned in opened.values()),
            never_scored=sum(owned.recorded.never_scored for owned in opened.values()),
            held={number: owned.state.held for number, owned in opened.items()},
            in_flight=len(self._calls),
            measures=self._telemetry.measures.copy(),
            model=self._opener.model,
            resident_bytes=self._telemetry.resident_bytes,
            cpu_s=self._telemetry.cpu_s,
            busy_s=self._busy_s,
            rejected_outputs=self._checkpoint.rejected_outputs,
        )

    def _note_sensors(self, opened: Mapping[int, OwnedPartition], now_s: float) -> None:
        if now_s < self._sensors_at_s:
            return
        self._sensors_at_s = now_s + _SENSORS_EVERY_S
        most = max(_SPANS_AT_MOST // max(len(opened), 1), 1)
        spans = {number: owned.state.spans(most) for number, owned in opened.items()}
        uses = {number: owned.recorded.budget_use for number, owned in opened.items()}
        self.health = replace(self.health, spans=spans, budget_use=uses)

"""Taking up a partition: where it stands, and what has to be read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from detector.scoring import Detector
from schemas.settings import Guarantee, StreamSettings
from workers.errors import BrokerUnavailableError
from workers.kafka.client import CommittedOffset, Source, Table
from workers.stream.state.alarm_model import AlarmModel, AlarmPolicy
from workers.stream.state.partition import PartitionConfig, PartitionState
from workers.stream.state.recorded import Judge, RecordedState
from workers.stream.state.restore import ModelVersion, RestorePlan, plan_restore
from workers.stream.state.state_ttl import StateTtl
from workers.stream.state.stream_state import StreamState
from workers.stream.wish_listener import WishListener


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedPartition:
    """A partition that can be read.

    Args:
        state: before its first record.
        plan: where to read from and to score from, and what is known of the log before.
        committed: the group's position in it, None if there is none: then that of the state has to
            be committed before anything is read, as a crash before the first commit must not move a
            start at "latest".
    """

    state: StreamState
    plan: RestorePlan
    committed: CommittedOffset | None


class Opener(Protocol):
    """Opens partitions."""

    @property
    def model(self) -> ModelVersion | None:
        """What scores them; None if nothing does."""

    def open(self, partition: int) -> OpenedPartition:
        """Find out where a partition begins, which is assigned and not started yet.

        Raises:
            BrokerUnavailableError: no answer in time.
        """


class PartitionOpener:
    """Opens partitions of one stream.

    Attributes:
        model: what scores them.
    """

    def __init__(
        self,
        source: Source,
        table: Table,
        detector: Detector,
        stream: StreamSettings,
        guarantee: Guarantee,
        *,
        policy: AlarmPolicy,
        wishes: WishListener,
    ) -> None:
        """Open partitions of `source` for `detector`.

        Args:
            source: the readings.
            table: what is recorded of sensors.
            detector: the model.
            stream: policies.
            guarantee: of the outputs.
            policy: what the operator set of alarms.
            wishes: what people wish.
        """
        self._wishes = wishes
        self._source, self._table, self._guarantee = source, table, guarantee
        self._detector, self._start = detector, stream.start
        self.model = ModelVersion(detector.name, detector.version)
        self._max_gap_ns = max(round((stream.max_gap_s or detector.max_gap_s) * 1e9), 1)
        self._alarms = AlarmModel.of(detector, policy)
        self._state_ttl = StateTtl(
            max_restore_records=stream.max_restore_records,
            max_restore_age_ms=max(round(stream.max_restore_age_s * 1e3), 2),
        )

    def open(self, partition: int) -> OpenedPartition:
        """Find out where a partition begins, which is assigned and not started yet.

        Raises:
            BrokerUnavailableError: no answer in time.
        """
        self._wishes.listen()
        if not self._wishes.is_ready:
            raise BrokerUnavailableError("the topic of the verdicts is not read to its end yet")
        source, receptive_field = self._source, self._detector.receptive_field
        topic_id = source.topic_id()
        beginning, end = source.bounds(partition)
        committed = source.committed(partition)
        # After that: what goes with a commit that is seen is in the table by then.
        found = self._table.latest(partition)
        plan = plan_restore(
            None if committed is None else (committed.next_offset, committed.metadata),
            beginning=beginning,
            end=end,
            fresh=self._start,
            receptive_field=receptive_field,
            topic=topic_id,
        )
        config = PartitionConfig(
            partition=partition,
            channels=len(self._detector.channels),
            receptive_field=receptive_field,
            max_gap_ns=self._max_gap_ns,
            warm_up=self._detector.warm_up,
            state_ttl=self._state_ttl,
            topic_id=topic_id,
            model=self.model,
        )
        cold = "" if plan.clamped else plan.cold
        recorded = RecordedState.restored(
            found,
            next_offset=plan.next_offset,
            recorded=plan.recorded,
            cold=cold if committed else "nothing is committed",
            guarantee=self._guarantee,
            judge=Judge(
                model=self._alarms,
                group_of=self._detector.group_of,
                partition=partition,
                board=self._wishes.board,
            ),
            same_model=plan.model in {None, self.model},
        )
        state = PartitionState(config, plan, group_of=self._detector.group_of, recorded=recorded)
        return OpenedPartition(state=state, plan=plan, committed=committed)

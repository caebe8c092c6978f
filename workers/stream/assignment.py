"""Taking up a partition: where it stands, and what has to be read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from detector.scoring import Detector
from schemas.settings import StreamSettings
from workers.kafka.client import CommittedOffset, Source
from workers.stream.state.partition import PartitionConfig, PartitionState
from workers.stream.state.restore import (
    ModelVersion,
    RestorePlan,
    RestorePoint,
    plan_restore,
)


class InitialPosition(NamedTuple):
    """Where a partition begins.

    Attributes:
        next_offset: first offset to score.
        restore_point: what is known of the log before it.
    """

    next_offset: int
    restore_point: RestorePoint


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedPartition:
    """A partition that can be read.

    Args:
        state: before its first record.
        plan: where to read from and to score from, and whose work goes on.
        committed: the group's position in it, if there was one...
        initial: ...else what to commit before anything is read: a crash before the first commit
            must not move a start at "latest".
    """

    state: PartitionState
    plan: RestorePlan
    committed: CommittedOffset | None
    initial: InitialPosition


class PartitionOpener:
    """Opens partitions of one stream.

    Attributes:
        model: what scores them.
    """

    def __init__(self, source: Source, detector: Detector, stream: StreamSettings) -> None:
        """Open partitions of `source` for `detector`."""
        self._source, self._detector, self._stream = source, detector, stream
        max_gap_s = stream.max_gap_s or detector.max_gap_s
        self.model = ModelVersion(detector.name, detector.version)
        self._max_gap_ns = max(round(max_gap_s * 1e9), 1)

    def open(self, partition: int) -> OpenedPartition:
        """Find out where a partition begins, which is assigned and not started yet.

        Raises:
            BrokerUnavailableError: no answer in time.
        """
        source, stream = self._source, self._stream
        receptive_field = self._detector.receptive_field
        topic_id = source.topic_id()
        beginning, end = source.bounds(partition)
        committed = source.committed(partition)
        plan = plan_restore(
            None if committed is None else (committed.next_offset, committed.metadata),
            beginning=beginning,
            end=end,
            fresh=stream.start,
            receptive_field=receptive_field,
            topic=topic_id,
        )
        config = PartitionConfig(
            partition=partition,
            channels=len(self._detector.channels),
            receptive_field=receptive_field,
            max_gap_ns=self._max_gap_ns,
            max_restore_records=stream.max_restore_records,
            max_restore_age_ms=max(round(stream.max_restore_age_s * 1e3), 2),
            topic_id=topic_id,
            model=self.model,
        )
        state = PartitionState(config, plan, group_of=self._detector.group_of)
        restore_point = plan.restore_point(
            receptive_field=receptive_field, topic=topic_id, model=self.model
        )
        return OpenedPartition(
            state=state,
            plan=plan,
            committed=committed,
            initial=InitialPosition(plan.next_offset, restore_point),
        )

"""Taking up a partition: where it stands, and what has to be read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from detector.scoring import Detector
from schemas.settings import Settings
from workers.errors import RunEndedError
from workers.kafka.client import CommittedOffset, Source
from workers.stream.state.partition import PartitionConfig, PartitionState
from workers.stream.state.restore import MetadataTooLargeError, RestorePoint, starting_point


class Beginning(NamedTuple):
    """Where a partition begins.

    Attributes:
        next_offset: first offset to score.
        metadata: what is known of the log before it.
    """

    next_offset: int
    metadata: RestorePoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A partition that can be read.

    Args:
        state: before its first record.
        read_from: where to read from; what lies before `state.next_offset` is replay.
        committed: the group's position in it, if there was one...
        beginning: ...else what to commit before anything is read: a crash before the first commit
            must not move a start at "latest".
    """

    state: PartitionState
    read_from: int
    committed: CommittedOffset | None
    beginning: Beginning


class Opener:
    """Opens partitions of one stream."""

    def __init__(self, source: Source, detector: Detector, settings: Settings, log: Any) -> None:
        """Open partitions of `source` for `detector`."""
        self._source, self._detector, self._settings = source, detector, settings
        self._log = log
        max_gap_s = settings.stream.max_gap_s or detector.max_gap_s
        self._max_gap_ns = max(round(max_gap_s * 1e9), 1)

    def open(self, partition: int) -> Opened:
        """Find out where a partition begins, which is assigned and not started yet.

        Raises:
            BrokerUnavailableError: no answer in time.
        """
        source, stream = self._source, self._settings.stream
        receptive_field = self._detector.receptive_field
        topic_id = source.topic_id()
        beginning, end = source.bounds(partition)
        committed = source.committed(partition)
        point = starting_point(
            None if committed is None else (committed.next_offset, committed.metadata),
            beginning=beginning,
            end=end,
            fresh=stream.start,
            receptive_field=receptive_field,
            topic=topic_id,
        )
        if point.cold:
            self._log.warning("cold_start", partition=partition, reason=point.cold)
        config = PartitionConfig(
            topic=self._settings.topics.readings,
            partition=partition,
            channels=len(self._detector.channels),
            receptive_field=receptive_field,
            max_gap_ns=self._max_gap_ns,
            max_restore_records=stream.max_restore_records,
            max_restore_age_ms=max(round(stream.max_restore_age_s * 1e3), 2),
            topic_id=topic_id,
        )
        state = PartitionState(config, point, group_of=self._detector.group_of)
        metadata = point.metadata(receptive_field=receptive_field, topic=topic_id)
        return Opened(
            state=state,
            read_from=point.read_from,
            committed=committed,
            beginning=Beginning(point.next_offset, metadata),
        )


def position(next_offset: int, metadata: RestorePoint) -> CommittedOffset:
    """What to commit: an offset, and what it takes to score on from there.

    Raises:
        RunEndedError: there is more than fits into a commit; see `RestorePoint.encode`.
    """
    try:
        return CommittedOffset(next_offset=next_offset, metadata=metadata.encode())
    except MetadataTooLargeError as error:
        raise RunEndedError(str(error)) from error

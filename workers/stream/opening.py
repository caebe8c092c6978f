"""Taking up a partition: where it stands, and what has to be read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from detector.scoring import Detector
from schemas.settings import Settings
from workers.errors import RunEndedError
from workers.kafka.client import Committed, Generation, Source
from workers.kafka.deadline import Deadline
from workers.stream.partition import PartitionConfig, PartitionState
from workers.stream.replay import MetadataTooLargeError, ReplayMetadata, starting_point


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A partition that can be read.

    Args:
        state: before its first record.
        read_from: where to read from; what lies before `state.next_offset` is replay.
        committed: the group's position in it, if there was one.
    """

    state: PartitionState
    read_from: int
    committed: Committed | None


class Opener:
    """Opens partitions of one stream."""

    def __init__(self, source: Source, detector: Detector, settings: Settings, log: Any) -> None:
        """Open partitions of `source` for `detector`."""
        self._source, self._detector, self._settings = source, detector, settings
        self._log = log
        max_gap_s = settings.stream.max_gap_s or detector.max_gap_s
        self._max_gap_ns = max(round(max_gap_s * 1e9), 1)

    def open(self, partition: int, generation: Generation | None) -> Opened:
        """Find out where a partition begins; with nothing committed, commit that first.

        Args:
            partition: assigned, and not started yet.
            generation: of the last poll, if there was one.

        Raises:
            BrokerUnavailableError: no answer in time.
            TransactionAbortedError: the beginning could not be committed.
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
        if committed is None and generation is not None:
            # A crash before the first commit must not move a start at "latest".
            metadata = point.metadata(receptive_field=receptive_field, topic=topic_id)
            source.commit(
                {partition: position(point.next_offset, metadata)},
                generation,
                deadline=Deadline.after(self._settings.processing.flush_timeout_s),
            )
        config = PartitionConfig(
            topic=self._settings.topics.readings,
            partition=partition,
            channels=len(self._detector.channels),
            receptive_field=receptive_field,
            max_gap_ns=self._max_gap_ns,
            max_replay_records=stream.max_replay_records,
            max_replay_age_ms=max(round(stream.max_replay_age_s * 1e3), 2),
            topic_id=topic_id,
        )
        self._log.info(
            "partition_started",
            partition=partition,
            next_offset=point.next_offset,
            replay_records=point.next_offset - point.read_from,
        )
        state = PartitionState(config, point, group_of=self._detector.group_of)
        return Opened(state=state, read_from=point.read_from, committed=committed)


def position(next_offset: int, metadata: ReplayMetadata) -> Committed:
    """What to commit: an offset, and what it takes to score on from there.

    Raises:
        RunEndedError: there is more than fits into a commit; see `ReplayMetadata.encode`.
    """
    try:
        return Committed(next_offset=next_offset, metadata=metadata.encode())
    except MetadataTooLargeError as error:
        raise RunEndedError(str(error)) from error

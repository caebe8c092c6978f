"""All that a worker holds of one partition, from its assignment to its revocation: one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.scoring import Scores
from workers.errors import RunEndedError
from workers.kafka.client import CommittedOffset, Record
from workers.stream.dead_letter_limit import DeadLetterLimit
from workers.stream.state.counts import Counts
from workers.stream.state.partition import Batch, IllegalEventError, Request
from workers.stream.state.piece import Judged
from workers.stream.state.recorded import RecordedState
from workers.stream.state.restore import MetadataTooLargeError, ModelVersion
from workers.stream.state.stream_state import StreamState


class PartitionStage(StrEnum):
    """How far this worker is with a partition."""

    ASSIGNED = "assigned"
    """To be opened: it is new here, or has gone back to its committed offset."""
    RESTORING = "restoring"
    """Reading the log again up to the committed offset, to rebuild the windows."""
    LIVE = "live"
    """Reading records to score."""
    REVOKED = "revoked"
    """Another member's. What is still under way for it is dropped: its new owner reads it again."""


_NEXT: Final[Mapping[PartitionStage, frozenset[PartitionStage]]] = {
    PartitionStage.ASSIGNED: frozenset(
        {PartitionStage.ASSIGNED, PartitionStage.RESTORING, PartitionStage.REVOKED}
    ),
    PartitionStage.RESTORING: frozenset(
        {PartitionStage.LIVE, PartitionStage.ASSIGNED, PartitionStage.REVOKED}
    ),
    PartitionStage.LIVE: frozenset({PartitionStage.ASSIGNED, PartitionStage.REVOKED}),
    PartitionStage.REVOKED: frozenset(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionRequest:
    """What a partition wants scored, with what its outputs are made of.

    Attributes:
        partition: whose.
        request: its samples.
        records: as polled; the positions of the request's failures index into them.
        stamps_ms: int64 [r], timestamps of these records; below 0 is none.
        judged: what its scores are judged to be; None as long as they are not there.
    """

    partition: OwnedPartition
    request: Request
    records: Sequence[Record]
    stamps_ms: NDArray[np.int64]
    judged: Judged | None = None

    def scored(self, scores: Scores) -> PartitionRequest:
        """The same when its scores are there, as the state closes it; it has to be the oldest."""
        answered = self.partition.state.scored(self.request.number, scores)
        return replace(self, request=answered.request, judged=answered.judged)


class OwnedPartition:
    """One partition of this worker. An event that its stage does not know raises.

    Attributes:
        number: of the partition.
        stage: how far it is.
        limit: of its bad records; goes on over a rewind, as records are counted once.
        poison: offsets of records that no scorer survives, found here and not committed yet.
        succeeds: the other model that scored what is committed; noted once.
        cold: why what was recorded of its sensors begins anew; noted once.
        initial: a state where it begins, to be committed before anything is read...
        work: ...and what was published for it, in order: both of the current checkpoint.
    """

    def __init__(self, number: int, limit: DeadLetterLimit) -> None:
        """Newly assigned."""
        self.number, self.limit = number, limit
        self.stage = PartitionStage.ASSIGNED
        self.poison: set[int] = set()
        self.succeeds: ModelVersion | None = None
        self.cold = ""
        self.initial: StreamState | None = None
        self.work: list[tuple[PartitionRequest, Scores]] = []
        self._state: StreamState | None = None
        # Of a commit whose outcome nobody knows: the committed offset tells, at the next opening.
        self._in_doubt: tuple[int, Counts] | None = None

    @property
    def state(self) -> StreamState:
        """The open partition's state."""
        if self._state is None:
            raise IllegalEventError(f"partition {self.number} is {self.stage}, not open")
        return self._state

    @property
    def recorded(self) -> RecordedState:
        """What is recorded of its sensors; the changes go with its next commit."""
        state = self._state or self.initial
        return state.recorded if state is not None else RecordedState()

    @property
    def is_open(self) -> bool:
        """Whether its records are read."""
        return self._state is not None

    @property
    def is_in_doubt(self) -> bool:
        """Whether nobody knows if its last commit happened."""
        return self._in_doubt is not None

    def opened(self, state: StreamState) -> None:
        """Its records come from now on."""
        self._move(PartitionStage.RESTORING)
        self._state = state

    def polled(self, batch: Batch, records: Sequence[Record]) -> PartitionRequest | None:
        """Take one poll's records; what has to be scored, None if all were read before.

        Raises:
            DeadLetterLimitError: too many are bad. Nothing of the batch may be committed.
        """
        # Before anything of the batch goes further.
        self.limit.check(batch.offsets, batch.failures, live_from=self.state.next_offset)
        request = self.state.polled(batch)
        if request is None:
            return None
        if self.stage is PartitionStage.RESTORING:
            self._move(PartitionStage.LIVE)
        return PartitionRequest(
            partition=self, request=request, records=records, stamps_ms=batch.stamps_ms
        )

    def poisoned(self, offset: int) -> None:
        """Note a record that no scorer survives: it was counted as a good one, and comes again."""
        self.poison.add(offset)
        self.limit.forget()

    def rewound(self) -> None:
        """Drop everything since the last commit; it has to be opened again."""
        self._move(PartitionStage.ASSIGNED)
        self._state, self.initial, self.work = None, None, []

    def revoked(self) -> None:
        """It belongs to another member now."""
        self._move(PartitionStage.REVOKED)

    def _move(self, stage: PartitionStage) -> None:
        if stage not in _NEXT[self.stage]:
            raise IllegalEventError(f"partition {self.number}: from {self.stage} to {stage}")
        self.stage = stage

    # -- its part of a commit --------------------------------------------------------------------

    def committing(self) -> CommittedOffset:
        """What to commit: an offset, and what it takes to score on from there. In doubt from now.

        Raises:
            RunEndedError: there is more than fits into a commit; see `RestorePoint.encode`.
        """
        at = self.work[-1][0].request if self.work else self.initial
        assert at is not None
        try:
            metadata = at.restore_point.encode()
        except MetadataTooLargeError as error:
            raise RunEndedError(str(error)) from error
        counts = sum((asked.request.counts for asked, _ in self.work), Counts())
        self._in_doubt = (at.next_offset, counts)
        return CommittedOffset(next_offset=at.next_offset, metadata=metadata)

    def not_committed(self) -> None:
        """The commit did not happen, for certain."""
        self._in_doubt = None

    def settled(self, committed: CommittedOffset | None) -> Counts:
        """What a commit did: counts if it is the one that was in doubt, else nothing.

        Args:
            committed: the group's position now.
        """
        next_offset, counts = self._in_doubt or (-1, Counts())
        self._in_doubt = None
        if committed is None or committed.next_offset != next_offset:
            return Counts()
        self.recorded.committed()
        self.initial, self.work = None, []
        return counts

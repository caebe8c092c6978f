"""What the loop asks of the state of a partition, and the state of work that needs no scores. Pure.

`workers.stream.state.partition` scores; `rekey` and `reorder` pass records on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final, Protocol, TypeVar

import numpy as np

from detector.scoring import Scores
from workers.stream.state.counts import Counts
from workers.stream.state.history import Samples
from workers.stream.state.partition import (
    Answered,
    Batch,
    CommitMetadata,
    IllegalEventError,
    Request,
)
from workers.stream.state.piece import Judged
from workers.stream.state.recorded import RecordedState
from workers.stream.state.sensor_spans import SensorSpans

NO_SAMPLES: Final = Samples(
    rows=np.empty((0, 1)),
    times=np.empty(0, np.int64),
    ends=np.empty(0, np.int64),
    lengths=np.empty(0, np.int64),
    groups=np.empty(0, np.int32),
    ts_ns=np.empty(0, np.int64),
    offsets=np.empty(0, np.int64),
    indices=np.empty(0, np.int64),
    runs=(),
    unscored=np.empty((0, 1)),
    unscored_offsets=np.empty(0, np.int64),
    counts=Counts(),
    met=(),
)
"""Of a request that has nothing to score."""


R = TypeVar("R", bound=Request)


class StreamState(Protocol):
    """One partition between poll and commit; see `workers.stream.state.partition`."""

    recorded: RecordedState

    @property
    def next_offset(self) -> int:
        """First offset not yet taken in."""

    @property
    def restore_point(self) -> CommitMetadata:
        """What it takes to go on from `next_offset`."""

    @property
    def sensors(self) -> int:
        """Number of sensors remembered."""

    @property
    def held(self) -> int:
        """Records that were taken in and wait to be written on."""

    def spans(self, most: int) -> SensorSpans:
        """When at most `most` of its sensors came."""

    def deleted(self, offsets: int) -> None:
        """Note that retention deleted so many offsets behind the last one read."""

    def polled(self, batch: Batch) -> Request | None:
        """Take one poll's records; None when all lay below `next_offset`."""

    def scored(self, number: int, scores: Scores) -> Answered:
        """Close the oldest open request."""


class PassingState:
    """What states without scores have in common: requests are closed in order, and counted once."""

    def __init__(self, partition: int, *, next_offset: int, lost: int, clamped: int) -> None:
        """Begin at `next_offset`; so many offsets before it are gone."""
        self.recorded = RecordedState()
        self._partition, self._next_offset = partition, next_offset
        self._read_to = -1
        self._numbers = 0
        self._before = Counts(lost=lost, clamped=clamped)
        self._open: deque[Request] = deque()

    @property
    def next_offset(self) -> int:
        """First offset not yet taken in."""
        return self._next_offset

    @property
    def held(self) -> int:
        """See `StreamState`; none."""
        return 0

    def spans(self, most: int) -> SensorSpans:  # noqa: ARG002
        """None: what comes in several partitions is what these states are for."""
        return SensorSpans()

    def deleted(self, offsets: int) -> None:
        """See `StreamState`."""
        clamped = min(offsets, max(self._next_offset - self._read_to - 1, 0))
        self._before += Counts(clamped=clamped, lost=offsets - clamped)

    def scored(self, number: int, scores: Scores) -> Answered:
        """See `StreamState`; nothing is ever judged.

        Raises:
            IllegalEventError: `number` is not the oldest open request's.
        """
        if not self._open or self._open[0].number != number:
            raise IllegalEventError(f"partition {self._partition}: request {number} is not oldest")
        return Answered(request=self._open.popleft(), judged=Judged.of(scores))

    def _take(self, batch: Batch) -> None:
        """Note that a batch was read.

        Raises:
            IllegalEventError: it begins at or before an offset already read.
        """
        first = int(batch.offsets[0])
        if first <= self._read_to:
            raise IllegalEventError(
                f"partition {self._partition}: offset {first} was polled after {self._read_to}"
            )
        self._read_to = int(batch.offsets[-1])

    def _give(self, request: R) -> R:
        """The request, with what was counted since the last one."""
        request = replace(request, number=self._numbers, counts=self._before + request.counts)
        self._before = Counts()
        self._numbers += 1
        self._open.append(request)
        return request

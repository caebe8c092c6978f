"""First hop of `vigie repartition`: a source partition, record by record to its sensor. Pure.

Nothing is remembered but the partition's *clock*: the latest of its records' timestamps, and of the
moments at which it was seen read to its end. It never goes back, and it travels with each record
and in clock marks: whoever puts readings in order (`workers.stream.state.reorder`) knows by it how
far each source partition has come, whoever reads it, and however late.

A restart goes on at the committed offset; the clock is in the commit's metadata.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Int64

from workers.stream.state.counts import Counts
from workers.stream.state.partition import Batch, Request
from workers.stream.state.restore import MAX_BYTES, RestorePlan, plan_elsewhere
from workers.stream.state.shuffled import Arrival, ClockMark
from workers.stream.state.stream_state import NO_SAMPLES, PassingState

VERSION: Final = 1
NEVER: Final = -1
"""The clock of a partition of which nothing is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RekeyPoint:
    """What has to be known to go on: the partition's clock, and of which topic it is."""

    clock_ms: int
    topic: str

    def encode(self) -> str:
        """The string to commit."""
        fields = {"v": VERSION, "clock": self.clock_ms, "topic": self.topic}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> RekeyPoint | None:
        """Read a commit's metadata; None when it is not ours."""
        try:
            fields = json.loads(text[:MAX_BYTES])
            if fields["v"] != VERSION:
                return None
            return cls(clock_ms=int(fields["clock"]), topic=str(fields["topic"]))
        except (ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceBatch(Batch):
    """One poll's records of the source; of a record of several sensors each part is a row.

    Attributes:
        clocks_ms: timestamps of the records that do not lie ahead of the clock on the wall.
        parts: content of the readings' rows that are parts of a record.
    """

    clocks_ms: Int64[np.ndarray, " r"]
    parts: Mapping[int, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class RekeyRequest(Request):
    """Records to write on.

    Attributes:
        positions: of the records in the batch that was polled.
        sensors: of each.
        arrivals: of each.
        parts: content of those, by their place in `positions`, that are parts of a record.
        mark: to be written to every partition, behind the records; None when there is none.
    """

    positions: Sequence[int]
    sensors: Sequence[str]
    restore_point: RekeyPoint
    arrivals: Sequence[Arrival]
    parts: Mapping[int, bytes]
    mark: ClockMark | None


def plan_rekey(
    committed: tuple[int, str] | None, *, beginning: int, end: int, fresh: str, topic: str = ""
) -> tuple[RestorePlan, int]:
    """Where a partition begins, and its clock then; arguments as for `plan_restore`."""
    if committed is None:
        return RestorePlan.cold_at(beginning if fresh == "earliest" else end), NEVER
    next_offset, text = committed
    point = RekeyPoint.decode(text)
    elsewhere = plan_elsewhere(
        next_offset,
        beginning=beginning,
        end=end,
        topic=topic,
        topic_then="" if point is None else point.topic,
    )
    clock_ms = NEVER if point is None else point.clock_ms
    return elsewhere or RestorePlan.cold_at(next_offset), clock_ms


class RekeyState(PassingState):
    """The clock of one partition, and the requests under way."""

    def __init__(
        self,
        partition: int,
        plan: RestorePlan,
        clock_ms: int,
        *,
        mark_every_ms: int,
        topic_id: str = "",
    ) -> None:
        """Begin as `plan_rekey` says; a mark is due when the clock has moved on by so much."""
        super().__init__(partition, next_offset=plan.next_offset, lost=plan.lost, clamped=0)
        self._clock_ms, self._topic_id = clock_ms, topic_id
        self._mark_every_ms = mark_every_ms
        self._marked_ms = NEVER - mark_every_ms  # the first mark is due at once

    @property
    def restore_point(self) -> RekeyPoint:
        """See `StreamState`."""
        return RekeyPoint(clock_ms=self._clock_ms, topic=self._topic_id)

    @property
    def sensors(self) -> int:
        """None is remembered."""
        return 0

    def polled(self, batch: Batch) -> RekeyRequest | None:
        """Take one poll's records."""
        assert isinstance(batch, SourceBatch)
        if not len(batch.offsets):
            return None
        self._take(batch)
        self._next_offset = int(batch.offsets[-1]) + 1
        clocks = np.maximum.accumulate(np.maximum(batch.clocks_ms, self._clock_ms))
        self._clock_ms = int(clocks[-1])
        return self._request(
            counts=Counts(
                records=len(batch.offsets),
                written=len(batch.readings.sensors),
                dead_lettered=len(batch.failures),
                bad=dict(Counter(failure.stage for failure in batch.failures)),
            ),
            failures=batch.failures,
            positions=batch.readings.positions.tolist(),
            sensors=batch.readings.sensors,
            arrivals=_arrivals(self._partition, batch, clocks),
            parts=batch.parts,
        )

    def idle(self, now_ms: int) -> RekeyRequest:
        """Note that the partition was read to its end at this moment."""
        self._clock_ms = max(self._clock_ms, now_ms)
        return self._request(
            counts=Counts(), failures=(), positions=(), sensors=(), arrivals=(), parts={}
        )

    def _request(self, **fields: Any) -> RekeyRequest:
        return self._give(
            RekeyRequest(
                number=0,
                samples=NO_SAMPLES,
                next_offset=self._next_offset,
                restore_point=self.restore_point,
                mark=self._mark(),
                **fields,
            )
        )

    def _mark(self) -> ClockMark | None:
        if self._clock_ms - self._marked_ms < self._mark_every_ms:
            return None
        self._marked_ms = self._clock_ms
        return ClockMark(self._partition, self._clock_ms)


def _arrivals(
    partition: int, batch: Batch, clocks_ms: Int64[np.ndarray, " r"]
) -> Sequence[Arrival]:
    """How each good record of a batch arrived."""
    readings = batch.readings
    if not len(readings):
        return ()
    columns = (
        batch.offsets[readings.positions],
        clocks_ms[readings.positions],
        np.minimum.reduceat(readings.ts_ns, np.cumsum(readings.counts) - readings.counts),
        batch.stamps_ms[readings.positions],
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Arrival(partition, *row) for row in rows]

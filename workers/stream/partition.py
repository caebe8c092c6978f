"""What happens to one partition between poll and commit, as a pure state machine.

No clock, no network, no log, no randomness: events go in, work and outputs come out, and the
same events give the same results. The actor around it only moves data.

**The rule that carries it.** A score depends on the last R readings of one sensor (R: the model's
receptive field), so the state is the last R-1 readings of each sensor and can be rebuilt by reading
the log again from the oldest of them. That offset travels in the commit's metadata.

**Life of a partition.** Each event names the states in which it is legal; an illegal one raises
`IllegalEventError` and changes nothing.

| event | from | to | gives |
| --- | --- | --- | --- |
| ``polled`` with offsets below `next_offset` | replaying | replaying | nothing: history only |
| ``polled`` with offsets from `next_offset` on | replaying, live | live | a `ScoreRequest` |
| ``scored`` for the oldest open request | live | live | a `Publication` |

**Policies**, per sensor and in arrival order; "last" is the last *accepted* reading:

* event time later than last: accepted;
* the same event time as last: a *duplicate*, dropped and counted;
* earlier than last: *late* (or out of order), dropped and counted;
* later than last by more than `max_gap_ns`: accepted, and the warm-up starts again;
* fewer than R accepted readings since the warm-up began: *warming up*, not scored.

"Last" never moves back. That is what makes replay exact: a replay that begins at or before the
oldest reading of a sensor's history ends with the same history, whatever it meets on the way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Failure, Readings
from workers.stream.history import Histories

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]


class IllegalEventError(RuntimeError):
    """An event came in a state in which it cannot happen: a bug of the caller's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionConfig:
    """What a partition's state depends on.

    Args:
        topic: source topic, for ids and headers.
        partition: its number.
        channels: number of channels C of the model.
        receptive_field: R, readings that one score depends on; at least 1.
        max_gap_ns: a longer silence of a sensor restarts its warm-up; event time in nanoseconds.
    """

    topic: str
    partition: int
    channels: int
    receptive_field: int
    max_gap_ns: int

    def __post_init__(self) -> None:
        if self.receptive_field < 1:
            raise ValueError(f"receptive_field must be at least 1, got {self.receptive_field}")
        if self.max_gap_ns < 1:
            raise ValueError(f"max_gap_ns must be at least 1, got {self.max_gap_ns}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Where the readings of a stretch of the log went: promise 2 in numbers.

    ``records`` read = records decoded + ``dead_lettered``; ``readings`` in the decoded ones =
    ``scored`` + ``warming_up`` + ``late`` + ``duplicate``. ``replayed`` records were read again
    after a restart and are in none of the others.
    """

    records: int = 0
    readings: int = 0
    scored: int = 0
    warming_up: int = 0
    late: int = 0
    duplicate: int = 0
    dead_lettered: int = 0
    anomalies: int = 0
    replayed: int = 0
    gaps: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Sum field by field."""
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)}
        )

    @property
    def reconciled(self) -> bool:
        """Whether every reading is accounted for."""
        return self.readings == self.scored + self.warming_up + self.late + self.duplicate


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One poll's records of one partition, decoded.

    Args:
        offsets: int64 [r], of all records polled, good and bad, ascending.
        readings: of the good records; ``readings.positions`` index into `offsets`.
        failures: the bad records; ``position`` indexes into `offsets`.
    """

    offsets: Int64s
    readings: Readings
    failures: Sequence[Failure]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRequest:
    """Work for a scorer: sequences of readings and the samples among them to score.

    Args:
        number: consecutive number of the request within the partition.
        rows: float64 [T, C], each sensor's history followed by its new readings, sensor by sensor.
        ends: int64 [n], rows to score; the window of row e is rows[e-R+1 .. e].
        groups: int32 [n], the calibration group of each.
        offsets: int64 [n], the record of each: the newest reading of its window.
    """

    number: int
    rows: Float64s
    ends: Int64s
    groups: NDArray[np.int32]
    offsets: Int64s


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A record that could not be read, by its offset."""

    offset: int
    position: int
    failure: Failure


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """The scored samples of one sensor within a request: columns ``start`` to ``stop``."""

    sensor: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """What a request leaves behind until its scores are there.

    Arrays have one entry a sample to be scored, sensor by sensor, each in arrival order.
    """

    number: int
    runs: tuple[Run, ...]
    groups: NDArray[np.int32]
    ts_ns: Int64s
    offsets: Int64s
    indices: Int64s
    observed: Float64s
    dead_letters: tuple[DeadLetter, ...]
    counts: Counts
    next_offset: int
    replay_from: int


class PartitionState:
    """The last R-1 readings of each sensor of one partition, and the requests under way."""

    def __init__(
        self,
        config: PartitionConfig,
        *,
        next_offset: int,
        group_of: Callable[[str], int],
    ) -> None:
        """Begin before the first record.

        Args:
            config: what the state depends on.
            next_offset: first offset to score; what lies below it is replay.
            group_of: the calibration group of a sensor, a pure function of the model.
        """
        self.config = config
        self._next_offset = next_offset
        self._read_to = -1
        self._numbers = 0
        self._replayed = 0
        self._open: deque[Pending] = deque()
        self._histories = Histories(
            channels=config.channels,
            receptive_field=config.receptive_field,
            max_gap_ns=config.max_gap_ns,
            group_of=group_of,
        )

    @property
    def next_offset(self) -> int:
        """First offset not yet taken in for scoring."""
        return self._next_offset

    @property
    def sensors(self) -> int:
        """Number of sensors seen."""
        return self._histories.sensors

    @property
    def open_requests(self) -> int:
        """Requests given out and not yet scored."""
        return len(self._open)

    def polled(self, batch: Batch) -> ScoreRequest | None:
        """Take one poll's records; give back what has to be scored.

        A record below `next_offset` is a replay: it refills the histories and gives nothing.
        The request may hold no sample at all (everything warming up, or bad): it still has to be
        answered, as its dead letters and its offsets hang on it. None when all was replay.

        Raises:
            IllegalEventError: the batch begins at or before an offset already read.
        """
        if not len(batch.offsets):
            return None
        if int(batch.offsets[0]) <= self._read_to:
            raise IllegalEventError(
                f"partition {self.config.partition}: offset {int(batch.offsets[0])} was polled "
                f"after {self._read_to}"
            )
        live_from = int(np.searchsorted(batch.offsets, self._next_offset))
        replayed, live = _split(batch, live_from)
        if live_from:
            columns = replayed.readings
            self._histories.advance(columns, replayed.offsets[columns.positions])
        self._read_to = int(batch.offsets[-1])
        self._replayed += live_from
        if live_from == len(batch.offsets):
            return None
        return self._request(live, shift=live_from)

    def scored(self, number: int, anomalies: int) -> Pending:
        """Close the oldest open request.

        Args:
            number: the request's number.
            anomalies: how many of its samples are flagged.

        Returns:
            What was kept for it, with the offset that may be committed once it is published.

        Raises:
            IllegalEventError: `number` is not the oldest open request's.
        """
        if not self._open or self._open[0].number != number:
            expected = self._open[0].number if self._open else "none"
            raise IllegalEventError(
                f"partition {self.config.partition}: scores for request {number}, "
                f"the oldest open one is {expected}"
            )
        pending = self._open.popleft()
        return replace(pending, counts=replace(pending.counts, anomalies=anomalies))

    def _request(self, live: Batch, *, shift: int) -> ScoreRequest:
        columns = live.readings
        step = self._histories.advance(columns, live.offsets[columns.positions])
        self._next_offset = int(live.offsets[-1]) + 1
        counts = Counts(
            records=len(live.offsets),
            readings=len(columns.ts_ns),
            scored=len(step.ends),
            warming_up=step.accepted - len(step.ends),
            late=step.late,
            duplicate=step.duplicate,
            gaps=step.gaps,
            dead_lettered=len(live.failures),
            replayed=self._replayed,
        )
        self._replayed = 0
        self._open.append(
            Pending(
                number=self._numbers,
                runs=tuple(
                    Run(sensor=sensor, start=start, stop=stop) for sensor, start, stop in step.runs
                ),
                groups=step.groups,
                ts_ns=step.ts_ns,
                offsets=step.offsets,
                indices=step.indices,
                observed=step.rows[step.ends],
                dead_letters=tuple(
                    DeadLetter(
                        offset=int(live.offsets[f.position]), position=f.position + shift, failure=f
                    )
                    for f in live.failures
                ),
                counts=counts,
                next_offset=self._next_offset,
                replay_from=self._histories.oldest_offset(self._next_offset),
            )
        )
        self._numbers += 1
        return ScoreRequest(
            number=self._open[-1].number,
            rows=step.rows,
            ends=step.ends,
            groups=step.groups,
            offsets=step.offsets,
        )


def _split(batch: Batch, at: int) -> tuple[Batch, Batch]:
    """The records before position `at`, and those from it on, with positions of their own."""
    if at == 0:
        return _NOTHING, batch
    columns = batch.readings
    records = int(np.searchsorted(columns.positions, at))
    rows = int(columns.counts[:records].sum())
    before = Readings(
        positions=columns.positions[:records],
        sensors=columns.sensors[:records],
        counts=columns.counts[:records],
        ts_ns=columns.ts_ns[:rows],
        values=columns.values[:rows],
    )
    after = Readings(
        positions=columns.positions[records:] - at,
        sensors=columns.sensors[records:],
        counts=columns.counts[records:],
        ts_ns=columns.ts_ns[rows:],
        values=columns.values[rows:],
    )
    return (
        Batch(offsets=batch.offsets[:at], readings=before, failures=()),
        Batch(
            offsets=batch.offsets[at:],
            readings=after,
            failures=[
                replace(failure, position=failure.position - at)
                for failure in batch.failures
                if failure.position >= at
            ],
        ),
    )


_NOTHING = Batch(
    offsets=np.empty(0, np.int64),
    readings=Readings(
        positions=np.empty(0, np.int64),
        sensors=[],
        counts=np.empty(0, np.int64),
        ts_ns=np.empty(0, np.int64),
        values=np.empty((0, 0), np.float64),
    ),
    failures=(),
)

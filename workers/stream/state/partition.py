"""What happens to one partition between poll and commit, as a pure state machine.

No clock, no network, no log, no randomness: events go in, work and outputs come out, and the
same events give the same results. The actor around it only moves data.

**The rule that carries it.** A score depends on the last R readings of one sensor (R: the model's
receptive field), so the state is the last R-1 readings of each sensor and can be rebuilt by reading
the log again from the oldest of them. That offset travels in the commit's metadata.

**What is forgotten** is a function of the log (`workers.stream.state.state_ttl`): within a TTL
window, the state is what reading from the beginning of the previous one, cold, would have given.

**Life of a partition.** Each event names the states in which it is legal; an illegal one raises
`IllegalEventError` and changes nothing.

| event | from | to | gives |
| --- | --- | --- | --- |
| ``polled`` with offsets below `next_offset` | restoring | restoring | nothing: windows only |
| ``polled`` with offsets from `next_offset` on | restoring, live | live | a `ScoreRequest` |
| ``scored`` for the oldest open request | live | live | the request and its alarms, to publish |

**Policies**, per sensor and in arrival order; "last" is the last *accepted* reading:

* event time later than last: accepted;
* the same event time as last: a *duplicate*, dropped and counted;
* earlier than last: *late* (or out of order), dropped and counted;
* later than last by more than `max_gap_ns`: accepted, and the warm-up starts again;
* fewer accepted readings since the warm-up began than a score takes at least: *warming up*, not
  scored. From there to R readings, if that is less than R, a score is *partial*: its window is what
  there is.

"Last" never moves back within what is remembered. That is what makes a restore exact: one that
begins at or before the oldest reading of a sensor's window (and not before the previous TTL window)
ends with the same window, whatever it meets on the way.

A record that no scorer survives (a failure of stage "scoring") is a dead letter like one that could
not be decoded, but only a scorer can tell: its offset travels in the metadata, for restores.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from jaxtyping import Int64

from detector.scoring import Scores
from schemas.columns import Failure, Readings
from schemas.wire.errors import Stage
from workers.stream.state.counts import Counts
from workers.stream.state.history import Samples, SensorWindows
from workers.stream.state.piece import Judged
from workers.stream.state.recorded import RecordedState
from workers.stream.state.restore import ModelVersion, RestorePlan, RestorePoint
from workers.stream.state.sensor_spans import SensorSpans
from workers.stream.state.slicing import between, without
from workers.stream.state.state_ttl import StateTtl, log_time


class IllegalEventError(RuntimeError):
    """An event came in a state in which it cannot happen: a bug of the caller's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionConfig:
    """What a partition's state depends on.

    Args:
        partition: its number, for errors.
        channels: number of channels C of the model.
        receptive_field: R, readings that one score depends on; at least 1.
        max_gap_ns: a longer silence of a sensor restarts its warm-up; event time in nanoseconds.
        warm_up: readings that a score takes at least, 1..R; None is R.
        state_ttl: when a silent sensor is forgotten, and how much is ever read again.
        topic_id: of the topic, if the broker says it; for the restore point.
        model: that scores; for the restore point.
    """

    partition: int
    channels: int
    receptive_field: int
    max_gap_ns: int
    warm_up: int | None = None
    state_ttl: StateTtl = field(default_factory=StateTtl)
    topic_id: str = ""
    model: ModelVersion | None = None

    def __post_init__(self) -> None:
        if self.receptive_field < 1:
            raise ValueError(f"receptive_field must be at least 1, got {self.receptive_field}")
        if self.max_gap_ns < 1:
            raise ValueError(f"max_gap_ns must be at least 1, got {self.max_gap_ns}")
        if not 1 <= self.least_readings <= self.receptive_field:
            raise ValueError(f"warm_up must be in 1..{self.receptive_field}, got {self.warm_up}")

    @property
    def least_readings(self) -> int:
        """Readings that a score takes at least."""
        return self.receptive_field if self.warm_up is None else self.warm_up


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One poll's records of one partition, decoded.

    Args:
        offsets: of all records polled, good and bad, ascending.
        stamps_ms: timestamps of these records, epoch milliseconds; below 0 is none.
        readings: of the good records; ``readings.positions`` index into `offsets`.
        failures: the bad records; ``position`` indexes into `offsets`.
    """

    offsets: Int64[np.ndarray, " r"]
    stamps_ms: Int64[np.ndarray, " r"]
    readings: Readings
    failures: Sequence[Failure]


class CommitMetadata(Protocol):
    """What goes with a committed offset."""

    def encode(self) -> str:
        """The string to commit.

        Raises:
            MetadataTooLargeError: it would have more than 4,096 bytes.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Work, and what may be committed once its outputs are published.

    Attributes:
        number: consecutive number of the request within the partition.
        samples: what to score.
        failures: the bad records, by their position in the batch that was polled.
        counts: what became of the batch.
        next_offset: where to go on...
        restore_point: ...and what it takes to.
    """

    number: int
    samples: Samples
    failures: Sequence[Failure]
    counts: Counts
    next_offset: int
    restore_point: CommitMetadata


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRequest(Request):
    """Work for a scorer."""

    restore_point: RestorePoint
    clock_ms: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A request that was scored, without its windows, and what its scores were judged to be."""

    request: Request
    judged: Judged


class PartitionState:
    """The last R-1 readings of each sensor of one partition, and the requests under way."""

    def __init__(
        self,
        config: PartitionConfig,
        start: RestorePlan,
        *,
        group_of: Callable[[str], int],
        recorded: RecordedState | None = None,
    ) -> None:
        """Begin before the first record.

        Args:
            config: what the state depends on.
            start: the first offset to score (what lies below it restores the windows), and what is
                known of the log before it.
            group_of: the calibration group of a sensor, a pure function of the model.
            recorded: of its sensors, up to `start.next_offset`; None when nothing was.
        """
        self.config, self.recorded = config, recorded or RecordedState()
        self._next_offset = start.next_offset
        self._ttl = start.ttl
        self._poison = start.poison
        self._read_to = start.read_from - 1
        self._numbers = 0
        # What happened before the first request is counted with it, so that it counts once.
        self._before = Counts(lost=start.lost, clamped=start.clamped)
        self._open: deque[ScoreRequest] = deque()
        self._windows = SensorWindows(
            channels=config.channels,
            receptive_field=config.receptive_field,
            warm_up=config.least_readings,
            max_gap_ns=config.max_gap_ns,
            group_of=group_of,
            begins_at=start.ttl.previous,
        )

    @property
    def next_offset(self) -> int:
        """First offset not yet taken in for scoring."""
        return self._next_offset

    @property
    def restore_point(self) -> RestorePoint:
        """What it takes to go on from `next_offset`."""
        return RestorePoint(
            restore_from=self._windows.oldest_offset(self._next_offset),
            receptive_field=self.config.receptive_field,
            ttl=self._ttl,
            poison=tuple(sorted(self._poison)),
            topic=self.config.topic_id,
            model=self.config.model,
            recorded=self.recorded.sensors,
        )

    @property
    def held(self) -> int:
        """See `StreamState`; none, whatever was taken in is scored."""
        return 0

    @property
    def sensors(self) -> int:
        """Number of sensors remembered."""
        return self._windows.sensors

    def spans(self, most: int) -> SensorSpans:
        """When at most `most` of its sensors came; see `workers.stream.state.sensor_spans`."""
        return self._windows.spans(most)

    @property
    def windows(self) -> SensorWindows:
        """What is known of the sensors; to look at."""
        return self._windows

    @property
    def open_requests(self) -> int:
        """Requests given out and not yet scored."""
        return len(self._open)

    def deleted(self, offsets: int) -> None:
        """Note that retention was faster: so many offsets behind the last one read are gone."""
        clamped = min(offsets, max(self._next_offset - self._read_to - 1, 0))
        self._before += Counts(clamped=clamped, lost=offsets - clamped)

    def polled(self, batch: Batch) -> ScoreRequest | None:
        """Take one poll's records; give back what has to be scored.

        A record below `next_offset` refills the windows and gives nothing. The request may hold no
        sample at all (everything warming up, or bad): it still has to be answered, as its dead
        letters and its offsets hang on it. None when all lay below `next_offset`.

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
        if live_from:
            self._restore(_part(batch, 0, live_from))
        self._read_to = int(batch.offsets[-1])
        if live_from == len(batch.offsets):
            return None
        return self._request(_part(batch, live_from, len(batch.offsets)), shift=live_from)

    def scored(self, number: int, scores: Scores) -> Answered:
        """Close the oldest open request: judge its scores, and count it for its sensors.

        Args:
            number: the request's number.
            scores: of its samples.

        Raises:
            IllegalEventError: `number` is not the oldest open request's.
        """
        if not self._open or self._open[0].number != number:
            expected = self._open[0].number if self._open else "none"
            raise IllegalEventError(
                f"partition {self.config.partition}: scores for request {number}, "
                f"the oldest open one is {expected}"
            )
        request = self._open.popleft()
        judged = self.recorded.judge(request.samples.met, scores, clock_ms=request.clock_ms)
        return Answered(
            request=replace(
                request,
                samples=request.samples.without_windows(),
                counts=judged.counted(request.counts),
                restore_point=replace(request.restore_point, recorded=self.recorded.sensors),
            ),
            judged=judged,
        )

    def _restore(self, batch: Batch) -> None:
        """Refill the windows; the cut between the two TTL windows is known."""
        self._before += Counts(restored=len(batch.offsets))
        cut = int(np.searchsorted(batch.offsets, self._ttl.current))
        for start, stop in ((0, cut), (cut, len(batch.offsets))):
            if start == stop:
                continue
            if start == cut:
                self._catch_up()
            part = _part(batch, start, stop)
            columns = without(part.readings, part.offsets, self._poison)
            self._windows.refill(columns, part.offsets[columns.positions])

    def _catch_up(self) -> None:
        """Bring the windows into the current TTL window, after a restore or part of it."""
        if self._windows.begins_at < self._ttl.current:
            self._windows.roll(self._ttl.current)

    def _advance(self, live: Batch) -> tuple[Samples, int]:
        """Take new readings; what they add, and how many sensors were forgotten."""
        self._catch_up()
        clock_ms = log_time(live.stamps_ms, self._ttl.latest_ms)
        parts, forgotten = [], 0
        for piece in self.config.state_ttl.pieces(self._ttl, live.offsets, live.stamps_ms):
            if piece.ttl.current != self._windows.begins_at:
                forgotten += self._windows.roll(piece.ttl.current)
            before_ms, self._ttl = self._ttl.latest_ms, piece.ttl
            columns = between(live.readings, piece.start, piece.stop)
            offsets = live.offsets[piece.start : piece.stop]
            parts.append(
                self._windows.advance(
                    columns,
                    offsets[columns.positions],
                    clock_ms[piece.start : piece.stop][columns.positions],
                    kept_from=piece.ttl.previous,
                    before_ms=before_ms,
                )
            )
        return Samples.joined(parts), forgotten

    def _note_poison(self, live: Batch) -> None:
        fatal = {int(live.offsets[f.position]) for f in live.failures if f.stage == Stage.SCORING}
        if fatal or self._poison:
            first = self._ttl.previous
            self._poison = frozenset(at for at in self._poison | fatal if at >= first)

    def _request(self, live: Batch, *, shift: int) -> ScoreRequest:
        samples, forgotten = self._advance(live)
        self._next_offset = int(live.offsets[-1]) + 1
        self._note_poison(live)
        of_records = Counts(
            records=len(live.offsets),
            dead_lettered=len(live.failures),
            forgotten=forgotten,
            missing=int(np.isnan(live.readings.values).sum()),
            bad=dict(Counter(failure.stage for failure in live.failures)),
        )
        request = ScoreRequest(
            number=self._numbers,
            samples=samples,
            failures=[replace(f, position=f.position + shift) for f in live.failures],
            counts=self._before + samples.counts + of_records,
            next_offset=self._next_offset,
            restore_point=self.restore_point,
            clock_ms=self._ttl.latest_ms,
        )
        self._before = Counts()
        self._numbers += 1
        self._open.append(request)
        return request


def _part(batch: Batch, start: int, stop: int) -> Batch:
    """The records from position `start` to `stop`, with positions of their own."""
    if start == 0 and stop == len(batch.offsets):
        return batch
    return Batch(
        offsets=batch.offsets[start:stop],
        stamps_ms=batch.stamps_ms[start:stop],
        readings=between(batch.readings, start, stop),
        failures=[
            replace(failure, position=failure.position - start)
            for failure in batch.failures
            if start <= failure.position < stop
        ],
    )

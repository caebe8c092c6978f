"""A log, a source and a sink in memory, with the failures that a broker can have on demand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detector.scoring import Detector, Scores
from schemas.settings import Settings
from tests.support.clock import FakeClock
from tests.support.models import small_detector
from workers.errors import (
    BrokerUnavailableError,
    StaleGenerationError,
    TransactionAbortedError,
)
from workers.kafka.client import CommittedOffset, Generation, PollResult, Record, TableTail
from workers.kafka.deadline import Deadline
from workers.stream.build import build_loop, cleaning
from workers.stream.loop import IngestLoop
from workers.stream.scoring.backend import LocalScoring, Scoring, ScoringFuture, Work
from workers.stream.sensor_labels import LabelsOf, no_labels
from workers.stream.telemetry import Tracer

NO_TIME = Deadline(0.0)


@dataclass
class FakeSource:
    """One partition of records; `take_away` and `unavailable` are the failures."""

    values: list[bytes]
    committed_position: CommittedOffset | None = None
    position: int | None = None
    paused: bool = False
    assigned: bool = True
    revoked: bool = False
    unavailable: bool = False
    epoch: int = 1
    round: int = 1
    topic: str = "r"
    headers: dict[int, tuple[tuple[str, bytes], ...]] = field(default_factory=dict)
    """Of the records at these offsets."""

    def topic_id(self) -> str:
        return ""

    def check_held(self, offsets: Iterable[int], generation: Generation) -> None:
        if list(offsets) and generation.epochs[0] != self.epoch:
            raise TransactionAbortedError("taken away since")

    def take_away(self) -> None:
        """Revoke the partition and give it back at once."""
        self.assigned = self.revoked = True
        self.position, self.epoch = None, self.epoch + 1

    def poll(self, *, timeout_s: float, max_records: int) -> PollResult:
        assigned = frozenset({0} if self.assigned else ())
        revoked = frozenset({0} if self.revoked else ())
        self.assigned = self.revoked = False
        generation = Generation(token=self.round, epochs={0: self.epoch})
        records: dict[int, Sequence[Any]] = {}
        if self.position is not None and not self.paused:
            stop = min(self.position + max_records, len(self.values))
            if stop > self.position:
                records[0] = [
                    Record("r", 0, at, -1, b"k", self.values[at], self.headers.get(at, ()))
                    for at in range(self.position, stop)
                ]
                self.position = stop
        return PollResult(
            records=records, generation=generation, assigned=assigned, revoked=revoked
        )

    def committed(self, partition: int) -> CommittedOffset | None:
        return self.committed_position

    def start(self, partition: int, offset: int) -> None:
        self.position, self.paused = offset, False

    def pause(self, partitions: Iterable[int]) -> None:
        self.paused = self.paused or bool(list(partitions))

    def resume(self, partitions: Iterable[int]) -> None:
        self.paused = self.paused and not list(partitions)

    def bounds(self, partition: int) -> tuple[int, int]:
        if self.unavailable:
            raise BrokerUnavailableError("away")
        return 0, len(self.values)

    def at_end(self, partitions: Collection[int]) -> Collection[int]:
        return partitions if self.position == len(self.values) else ()

    def lag(self) -> Mapping[int, int]:
        return {} if self.position is None else {0: len(self.values) - self.position}

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        if generation.epochs[0] != self.epoch:
            raise TransactionAbortedError("taken away since")
        self.committed_position = offsets.get(0, self.committed_position)


@dataclass
class FakeSink:
    """Keeps what was sent; `refusals` and `stale` name the commits that fail, counted from 1.

    A stale one fails because the group has moved on.
    """

    source: FakeSource
    refusals: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    largest: int = 10**9
    sent: list[tuple[str, bytes, Sequence[tuple[str, bytes]]]] = field(default_factory=list)
    recording: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    recorded: dict[bytes, bytes] = field(default_factory=dict)
    commits: int = 0
    aborts: int = 0
    away: bool = False

    def begin(self) -> None:
        if self.away:
            raise BrokerUnavailableError("away")

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, Any]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        if partition is not None:
            assert key is not None
            self.recording.append((key, value))
            return
        assert value is not None
        assert len(value) <= self.room(key=key, headers=headers)
        self.sent.append((topic, value, headers))

    def room(self, *, key: bytes | None, headers: Sequence[tuple[str, Any]] = ()) -> int:
        return self.largest

    def settle(self, deadline: Deadline) -> None:
        pass

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        self.commits += 1
        if self.commits in self.refusals:
            raise TransactionAbortedError("refused")
        if self.commits in self.stale:
            raise StaleGenerationError("illegal generation")
        self.source.commit(offsets, generation, deadline=deadline)
        for key, value in self.recording:
            self.recorded.pop(key, None)
            if value is not None:
                self.recorded[key] = value
        self.recording.clear()

    def abort(self) -> None:
        self.aborts += 1
        self.recording.clear()

    def latest(self, partition: int) -> Mapping[bytes, bytes]:
        """What a `Table` tells."""
        return dict(self.recorded)


class HeldScoring:
    """Gives scores when `release` is called, in order."""

    def __init__(self) -> None:
        self._inner = LocalScoring(small_detector())
        self.clock: FakeClock | None = None
        """Moves on while somebody waits."""
        self.open: list[HeldFuture] = []
        self.cancelled = 0

    def submit(self, work: Work) -> ScoringFuture:
        ticket = HeldFuture(self, self._inner.submit(work))
        self.open.append(ticket)
        return ticket

    def release(self, count: int = 1) -> None:
        for ticket in [ticket for ticket in self.open if not ticket.ready][:count]:
            ticket.ready = True


class HeldFuture:
    def __init__(self, scoring: HeldScoring, inner: ScoringFuture) -> None:
        self._scoring, self._inner, self.ready = scoring, inner, False
        self.timing = inner.timing

    def wait(self, timeout_s: float) -> bool:
        if self._scoring.clock is not None and not self.ready:
            self._scoring.clock.advance(timeout_s)
        return self.ready

    def scores(self) -> Scores:
        assert self.ready
        self._scoring.open.remove(self)
        return self._inner.scores()

    def cancel(self) -> None:
        self._scoring.open.remove(self)
        self._scoring.cancelled += 1


@dataclass
class FakeStream:
    """A loop on fakes."""

    source: FakeSource
    sink: FakeSink
    clock: FakeClock
    loop: IngestLoop

    def run_to_the_end(self, *, turns: int = 400) -> None:
        """Turn until everything is committed; fails when it does not come to that."""
        for _ in range(turns):
            position = self.source.committed_position
            if position is not None and position.next_offset == len(self.source.values):
                return
            self.turn()
        raise AssertionError(f"stuck: {self.loop.health}, {self.source}")

    def turn(self) -> None:
        self.clock.advance(1.0)  # every turn is due for a commit
        self.loop.step()


def make_stream(
    values: list[bytes],
    *,
    scoring: Scoring | None = None,
    stream: dict[str, Any] | None = None,
    processing: dict[str, Any] | None = None,
    labels_of: LabelsOf = no_labels,
    detector: Detector | None = None,
    wishes: TableTail | None = None,
    tracer: Tracer | None = None,
) -> FakeStream:
    """A loop with a detector, `small_detector` if none is given, on the given records."""
    detector = detector or small_detector()
    source = FakeSource(values)
    sink = FakeSink(source)
    clock = FakeClock()
    settings = Settings.model_validate({"stream": stream or {}, "processing": processing or {}})
    loop = build_loop(
        slot=0,
        source=source,
        sink=sink,
        table=sink,
        scoring=scoring or LocalScoring(cleaning(detector, settings.stream.denoised)),
        detector=detector,
        settings=settings,
        labels_of=labels_of,
        wishes=wishes,
        monotonic_s=clock,
        pause=clock.advance,
        tracer=tracer,
    )
    return FakeStream(source, sink, clock, loop)


def places(sink: FakeSink, topic: str) -> dict[int, tuple[float | None, ...]]:
    """Denoised readings by source offset; a repeat must be equal."""
    from schemas.codec import DENOISED_JSON, decode_denoised

    found: dict[int, tuple[float | None, ...]] = {}
    for sent_to, value, _ in sink.sent:
        if sent_to != topic:
            continue
        frame = decode_denoised(value, DENOISED_JSON)
        columns = zip(frame.score, *frame.values.values(), strict=True)
        for offset, row in zip(frame.offset, columns, strict=True):
            assert found.setdefault(offset, row) == row
            assert not np.isnan(row[0] or 0.0)
    return found

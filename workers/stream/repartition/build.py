"""Puts the loops of `vigie repartition` together: the stream's, with parts that pass records on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, Protocol

import numpy as np

from detector.calibration.fusion import LEVELS
from detector.scoring import Scores
from schemas.settings import RepartitionSettings, Settings
from workers.kafka.client import Sink, Source
from workers.stream.assignment import OpenedPartition
from workers.stream.checkpoint import Checkpoint, Publisher
from workers.stream.dead_letter_limit import DeadLetterLimit
from workers.stream.health import ProgressTicks
from workers.stream.input import RecordsIn
from workers.stream.loop import IngestLoop
from workers.stream.outputs import Outputs
from workers.stream.owned_partition import OwnedPartition
from workers.stream.repartition.idle import IdleMarks
from workers.stream.repartition.inputs import ShuffledInput, SourceInput
from workers.stream.repartition.outputs import OrderedOutputs, RekeyedOutputs, ShuffledOutputs
from workers.stream.scoring.backend import Done, ScoringFuture, Work
from workers.stream.scoring.bisect import BatchBisector
from workers.stream.state.rekey import RekeyState, plan_rekey
from workers.stream.state.reorder import Bound, ReorderState, plan_reorder
from workers.stream.state.restore import RestorePlan
from workers.stream.state.stream_state import StreamState

_MARKS_A_BOUND: Final = 4
_MARK_EVERY_S: Final = 0.25  # at least


class Hop(StrEnum):
    """The steps from the source to the readings; each has a group of its own."""

    REKEY = "rekey"
    """From the source to its sensors' partitions."""
    REORDER = "reorder"
    """From there to the readings, in order; left out without a bound."""


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """What the time is; another one in tests."""

    monotonic_s: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep


def settings_of(settings: Settings, hop: Hop) -> Settings:
    """The settings of a hop as if it were a stream: `topics.readings` is what it reads."""
    source = {
        Hop.REKEY: settings.repartition.source,
        Hop.REORDER: settings.repartition.shuffled,
    }[hop]
    stream = settings.stream
    if hop is Hop.REORDER:  # nothing of what the first hop wrote is left out
        stream = stream.model_copy(update={"start": "earliest"})
    return settings.model_copy(
        update={
            "topics": settings.topics.model_copy(update={"readings": source}),
            "kafka": settings.kafka.model_copy(
                update={"group": f"{settings.kafka.group}.{hop.value}"}
            ),
            "stream": stream,
        }
    )


def hops_of(repartition: RepartitionSettings) -> tuple[Hop, ...]:
    """The hops that these settings need."""
    return (Hop.REKEY, Hop.REORDER) if repartition.max_disorder_s else (Hop.REKEY,)


def build_rekey_loop(
    *,
    slot: int,
    source: Source,
    sink: Sink,
    settings: Settings,
    partitions: int,
    clocks: Clocks = Clocks(),
) -> IngestLoop:
    """The loop of the first hop; nothing is read yet.

    Args:
        slot: of the worker.
        source: of the topic to repartition.
        sink: for the next topic.
        settings: of the whole.
        partitions: of the topic between the hops.
        clocks: what the time is.
    """
    own = settings_of(settings, Hop.REKEY)
    has_next = Hop.REORDER in hops_of(settings.repartition)
    mark_every_s = max(settings.repartition.max_disorder_s / _MARKS_A_BOUND, _MARK_EVERY_S)

    def opened(
        partition: int, committed: tuple[int, str] | None, beginning: int, end: int, topic: str
    ) -> tuple[RestorePlan, StreamState]:
        plan, clock_ms = plan_rekey(
            committed, beginning=beginning, end=end, fresh=own.stream.start, topic=topic
        )
        mark_every_ms = round(mark_every_s * 1e3)
        return plan, RekeyState(
            partition, plan, clock_ms, mark_every_ms=mark_every_ms, topic_id=topic
        )

    outputs: Outputs
    if has_next:
        outputs = ShuffledOutputs(own.topics, settings.repartition.shuffled, partitions)
    else:
        outputs = RekeyedOutputs(own.topics, settings.topics.readings)
    return _loop(
        slot=slot,
        source=source,
        sink=sink,
        settings=own,
        records_in=SourceInput(own, clocks.wall_s),
        outputs=outputs,
        plan=opened,
        clocks=clocks,
        idle=IdleMarks(
            source,
            every_s=mark_every_s,
            monotonic_s=clocks.monotonic_s,
            wall_s=clocks.wall_s,
        )
        if has_next
        else None,
    )


def build_reorder_loop(
    *,
    slot: int,
    source: Source,
    sink: Sink,
    settings: Settings,
    sources: Callable[[], int],
    clocks: Clocks = Clocks(),
) -> IngestLoop:
    """The loop of the second hop; nothing is read yet.

    Args:
        slot: of the worker.
        source: of the topic between the hops.
        sink: for the readings.
        settings: of the whole.
        sources: asks how many partitions the topic to repartition has.
        clocks: what the time is.
    """
    own, repartition = settings_of(settings, Hop.REORDER), settings.repartition
    bound = Bound(
        max_disorder_ms=max(round(repartition.max_disorder_s * 1e3), 1),
        max_held=repartition.max_held_records,
    )

    def opened(
        partition: int, committed: tuple[int, str] | None, beginning: int, end: int, topic: str
    ) -> tuple[RestorePlan, StreamState]:
        plan, point = plan_reorder(committed, beginning=beginning, end=end, topic=topic)
        return plan, ReorderState(
            partition, plan, point, bound=bound, sources=sources(), topic_id=topic
        )

    return _loop(
        slot=slot,
        source=source,
        sink=sink,
        settings=own,
        records_in=ShuffledInput(own.stream),
        outputs=OrderedOutputs(own.topics, settings.topics.readings),
        plan=opened,
        clocks=clocks,
        idle=None,
    )


class _Plan(Protocol):
    """Decides where a partition begins, and makes its state."""

    def __call__(
        self,
        partition: int,
        committed: tuple[int, str] | None,
        beginning: int,
        end: int,
        topic: str,
    ) -> tuple[RestorePlan, StreamState]: ...


def _loop(
    *,
    slot: int,
    source: Source,
    sink: Sink,
    settings: Settings,
    records_in: RecordsIn,
    outputs: Outputs,
    plan: _Plan,
    clocks: Clocks,
    idle: IdleMarks | None,
) -> IngestLoop:
    processing, progress, scoring = settings.processing, ProgressTicks(), NothingToScore()
    publisher = Publisher(sink, outputs, sensor_state=settings.topics.sensor_state)
    return IngestLoop(
        slot=slot,
        source=source,
        records_in=records_in,
        opener=_Opener(source, plan),
        own=lambda number: OwnedPartition(number, DeadLetterLimit(number, settings.stream)),
        scoring=scoring,
        bisector=BatchBisector(scoring=scoring, receptive_field=1, channels=1, progress=progress),
        new_checkpoint=partial(Checkpoint, publisher, processing, clocks.monotonic_s),
        progress=progress,
        processing=processing,
        monotonic_s=clocks.monotonic_s,
        wall_s=clocks.wall_s,
        pause=clocks.pause,
        on_turn=idle or (lambda _: []),
    )


class _Opener:
    """Opens partitions of a hop. See `Opener`."""

    model = None

    def __init__(self, source: Source, plan: _Plan) -> None:
        self._source, self._plan = source, plan

    def open(self, partition: int) -> OpenedPartition:
        topic_id = self._source.topic_id()
        beginning, end = self._source.bounds(partition)
        committed = self._source.committed(partition)
        at = None if committed is None else (committed.next_offset, committed.metadata)
        plan, state = self._plan(partition, at, beginning, end, topic_id)
        return OpenedPartition(state=state, plan=plan, committed=committed)


class NothingToScore:
    """Answers at once, with the scores of no sample."""

    _SCORES: Final = Scores(
        score=np.empty(0),
        raw=np.empty(0, np.float32),
        p_value=np.empty(0, np.float32),
        expected=np.empty((0, 1)),
        denoised=np.empty((0, 1)),
        partial=np.empty(0, np.bool_),
        flagged=np.empty(0, np.int64),
        contribution=np.empty((0, 1), np.float32),
        levels=np.empty((0, LEVELS)),
        latent=np.empty((0, 1), np.float32),
    )

    def submit(self, work: Work) -> ScoringFuture:  # noqa: ARG002
        """See `Scoring`."""
        return Done(self._SCORES)

"""The product's own state machine over the final log: the backtest, restores from any commit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.scoring import Detector
from schemas.settings import Settings
from schemas.wire.errors import Stage
from schemas.wire.event import IncidentEvent
from tests.chaos.checkers import Violations, found
from tests.chaos.commits import Commit
from tests.chaos.oracle import Verdict
from tests.chaos.outcome import Denoised, Place
from tests.support.partitions import close
from workers.stream.build import policy_of
from workers.stream.incident_events import IncidentEvents
from workers.stream.input import Input
from workers.stream.scoring.backend import Work
from workers.stream.sensor_labels import no_labels
from workers.stream.state.alarm_model import AlarmModel
from workers.stream.state.history import Samples
from workers.stream.state.partition import (
    Batch,
    PartitionConfig,
    PartitionState,
)
from workers.stream.state.recorded import Judge, RecordedState
from workers.stream.state.restore import RestorePlan, decode_metadata, plan_restore
from workers.stream.state.state_ttl import StateTtl

_CHUNK: Final = 997
_HOLE: Final = Verdict()
TRIED: Final = 40
"""Commits of a partition that are tried, evenly over the run."""
AHEAD: Final = 250
"""Records after a commit that are compared."""


class PartitionLog:
    """The whole log of one partition, ready for the state machine."""

    def __init__(
        self,
        records: Sequence[Any],
        *,
        partition: int,
        detector: Detector,
        settings: Settings,
        poison: Collection[int] = (),
    ) -> None:
        """Take the records of one partition in order, and the offsets no scorer survives."""
        self.partition, self.detector, self.settings = partition, detector, settings
        self._records, self._poison = records, poison
        self._offsets = np.array([record.offset for record in records], np.int64)
        self._input = Input(detector.channels, settings.stream, settings.input)

    @property
    def end(self) -> int:
        """First offset behind the log."""
        return int(self._offsets[-1]) + 1 if len(self._offsets) else 0

    def judge(self) -> Judge:
        """What judges its scores."""
        policy = policy_of(self.settings, self.detector.channels, {})
        return Judge(
            model=AlarmModel.of(self.detector, policy),
            group_of=self.detector.group_of,
            partition=self.partition,
        )

    def state(self, start: RestorePlan, judge: Judge | None = None) -> PartitionState:
        """The state machine, before `start`; without a judge nothing becomes an alarm."""
        stream = self.settings.stream
        gap_s = stream.max_gap_s or self.detector.max_gap_s
        config = PartitionConfig(
            partition=self.partition,
            channels=len(self.detector.channels),
            receptive_field=self.detector.receptive_field,
            max_gap_ns=max(round(gap_s * 1e9), 1),
            warm_up=self.detector.warm_up,
            state_ttl=StateTtl(
                max_restore_records=stream.max_restore_records,
                max_restore_age_ms=max(round(stream.max_restore_age_s * 1e3), 2),
            ),
        )
        recorded = RecordedState(judge)
        return PartitionState(config, start, group_of=self.detector.group_of, recorded=recorded)

    def batches(
        self, start: int, stop: int, *, size: int = _CHUNK, live_from: int = 0
    ) -> Iterator[Batch]:
        """The records from offset `start` to `stop`, some at a time.

        Poison is marked from `live_from` on only: what a replay leaves out the commit has to say.
        """
        first, last = np.searchsorted(self._offsets, (start, stop))
        for at in range(int(first), int(last), size):
            yield self._batch(slice(at, min(at + size, int(last))), live_from)

    def _batch(self, part: slice, live_from: int) -> Batch:
        poison = {offset for offset in self._poison if offset >= live_from}
        return self._input.accept(self._records[part], poison=poison)


def logs_of(
    records: Sequence[Any],
    ends: Mapping[int, int],
    detector: Detector,
    settings: Settings,
    verdicts: Mapping[tuple[int, int], Verdict],
) -> list[PartitionLog]:
    """The logs of all partitions of the source."""
    return [
        PartitionLog(
            [record for record in records if record.partition == partition],
            partition=partition,
            detector=detector,
            settings=settings,
            poison={
                offset
                for (of, offset), verdict in verdicts.items()
                if of == partition and verdict.stage == Stage.SCORING
            },
        )
        for partition in sorted(ends)
    ]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a backtest gives: readings by place, and what happened to incidents, by id."""

    denoised: dict[Place, Denoised] = field(default_factory=dict)
    events: dict[str, IncidentEvent] = field(default_factory=dict)


def backtested(logs: Sequence[PartitionLog]) -> Replayed:
    """What a backtest of these logs gives: the state machine from its beginning, large batches."""
    found = Replayed()
    for log in logs:
        events = IncidentEvents(
            log.detector,
            topic=log.settings.topics.readings,
            group=log.settings.kafka.group,
            labels_of=no_labels,
        )
        state = log.state(RestorePlan.cold_at(0), log.judge())
        for batch in log.batches(0, log.end):
            request = state.polled(batch)
            if request is None:
                continue
            samples = request.samples
            scores = Work.of(samples).scores(log.detector)
            judged = state.scored(request.number, scores).judged
            for change in judged.changes:
                event = events.event(change, log.partition)
                found.events[event.id] = event
            for run in samples.runs:
                for nth in range(run.start, run.stop):
                    reading = Denoised(
                        _place(log.partition, samples, nth),
                        run.sensor,
                        int(samples.ts_ns[nth]),
                        float(judged.score[nth]),
                        tuple(None if isnan(v) else v for v in scores.denoised[nth].tolist()),
                    )
                    found.denoised[reading.place] = reading
    return found


def restorable(
    log: PartitionLog, commits: Sequence[Commit], verdicts: Mapping[tuple[int, int], Verdict]
) -> Violations:
    """Each commit's metadata lets a worker that knows nothing else go on as if nothing had been.

    Args:
        log: of the partition.
        commits: of the group, of all partitions.
        verdicts: the oracle's.
    """
    own = [commit for commit in commits if commit.partition == log.partition]
    unreadable = [commit for commit in own if decode_metadata(commit.metadata) is None]
    step = max(len(own) // TRIED, 1)
    wrong = [
        f"partition {log.partition} from {commit.next_offset}: {why}"
        for commit in own[::step]
        for why in _restored(log, commit, verdicts)
    ]
    return [
        *found("commits whose metadata cannot be read", unreadable),
        *found("commits that do not allow the restore", wrong),
    ]


def _restored(
    log: PartitionLog, commit: Commit, verdicts: Mapping[tuple[int, int], Verdict]
) -> Iterator[str]:
    """What a restart from this commit would get wrong in the records behind it."""
    point = plan_restore(
        (commit.next_offset, commit.metadata),
        beginning=0,
        end=log.end,
        fresh="earliest",
        receptive_field=log.detector.receptive_field,
    )
    if point.cold:
        yield f"a cold start, as {point.cold}"
        return
    state = log.state(point)
    stop = min(commit.next_offset + AHEAD, log.end)
    wanted = {
        Place(log.partition, offset, nth): window
        for offset in range(commit.next_offset, stop)
        for nth, window in verdicts.get((log.partition, offset), _HOLE).windows.items()
    }
    for batch in log.batches(point.read_from, stop, size=113, live_from=commit.next_offset):
        request = state.polled(batch)
        if request is None:
            continue
        close(state, request.number)
        samples = request.samples
        for nth, window in enumerate(_windows(samples)):
            place = _place(log.partition, samples, nth)
            right = wanted.pop(place, None)
            if right is None:
                yield f"{place} is scored and must not be"
            elif not np.array_equal(window, np.array(right), equal_nan=True):
                yield f"{place} has another window"
    yield from (f"{place} is not scored" for place in sorted(wanted))


def _windows(samples: Samples) -> Iterator[NDArray[np.float64]]:
    for end, length in zip(samples.ends.tolist(), samples.lengths.tolist(), strict=True):
        yield samples.rows[end - length + 1 : end + 1]


def _place(partition: int, samples: Samples, nth: int) -> Place:
    return Place(partition, int(samples.offsets[nth]), int(samples.indices[nth]))

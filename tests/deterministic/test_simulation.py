"""Promise 1 over random schedules of crash, replay, rebalance, reordering, lost answers and late
requests.

A long run: ``VIGIE_SIMULATIONS=20000 pytest tests/deterministic -k schedule --timeout 0``.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from detector.scoring import Scores
from tests.deterministic.clients import PlainSimSink, TransactionalSimSink
from tests.deterministic.schedule import SCHEDULES, Schedule
from workers.kafka.client import CommittedOffset
from workers.kafka.deadline import Deadline
from workers.stream.checkpoint import Checkpoint
from workers.stream.owned_partition import OwnedPartition
from workers.stream.state.alarms import SensorAlarms
from workers.stream.state.arrivals import Arrivals
from workers.stream.state.history import SensorWindows
from workers.stream.state.incident import OpenIncident
from workers.stream.state.piece import Judged
from workers.stream.state.recorded import Met, RecordedState
from workers.stream.state.windows import Sequences, Windows

HOW_MANY = int(os.environ.get("VIGIE_SIMULATIONS", "150"))
PATIENCE = 1000


@given(schedule=SCHEDULES)
@settings(deadline=None, max_examples=HOW_MANY)
def test_no_schedule_changes_a_score(schedule: Schedule) -> None:
    schedule.run_exactly_once()


@given(schedule=SCHEDULES)
@settings(deadline=None, max_examples=HOW_MANY // 3)
def test_no_schedule_loses_a_score_at_least_once(schedule: Schedule) -> None:
    schedule.run_at_least_once()


def test_schedules_are_full_of_trouble() -> None:
    """Else they prove nothing."""
    worlds = [Schedule.of_seed(seed).run_exactly_once() for seed in range(40)]
    assert sum(len(world.zombies) for world in worlds) > 10
    assert sum(world.broker.group.generation for world in worlds) > 100
    assert sum(world.broker.aborted for world in worlds) > 20
    assert sum(len(world.broker.steps) for world in worlds) > 150
    assert sum(world.broker.came_late for world in worlds) > 20


def test_schedules_are_full_of_incidents() -> None:
    events = [
        event.data.end_reason or event.type.removeprefix("incident.")
        for seed in range(200)
        for event in Schedule.of_seed(seed).expected.events.values()
    ]
    kinds = Counter(map(str, events))
    assert kinds.keys() >= {"opened", "updated", "recovered", "new_normal", "stale", "forgotten"}
    assert all(number > 5 for number in kinds.values()), kinds


def test_an_incident_may_open_with_the_reading_that_ends_the_one_before() -> None:
    schedule = Schedule.of_seed(115)  # rare
    events = schedule.expected.events.values()
    ends = {(one.subject, one.data.end_ns) for one in events if one.data.end_reason == "recovered"}
    assert any((one.subject, one.data.opened_ns) in ends for one in events)
    schedule.run_exactly_once()


# -- see it fail -----------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def commit_past_an_output(patch: pytest.MonkeyPatch) -> None:
    """What was polled is committed, not what was published."""

    committing = OwnedPartition.committing

    def too_far(self: OwnedPartition) -> CommittedOffset:
        committed = committing(self)
        if not self.work or self._in_doubt is None:
            return committed
        self._in_doubt = (self.state.next_offset, self._in_doubt[1])
        return replace(committed, next_offset=self.state.next_offset)

    patch.setattr(OwnedPartition, "committing", too_far)


def newest_generation_for_a_revoked_partition(patch: pytest.MonkeyPatch) -> None:
    """What was published for a partition stays in the checkpoint after the group took it away."""
    patch.setattr(Checkpoint, "on_rebalance", lambda self, generation: self)


def restore_one_record_late(patch: pytest.MonkeyPatch) -> None:
    oldest = SensorWindows.oldest_offset
    patch.setattr(SensorWindows, "oldest_offset", lambda self, default: oldest(self, default) + 1)


def forget_the_shadow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SensorWindows, "_feed_shadow", lambda self, arrived, accepted: None)


def never_forget(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SensorWindows, "roll", lambda self, begins_at: 0)


def keep_a_producer_that_repeated(patch: pytest.MonkeyPatch) -> None:
    """A late copy of its request then meets a transaction that it does not belong to."""
    patch.setattr(TransactionalSimSink, "_is_settled", lambda self: True)


def never_remove_a_document(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RecordedState, "_forget_before", lambda self, offset, clock_ms: ())


def look_behind_a_restart(patch: pytest.MonkeyPatch) -> None:
    extend = Windows.extend

    def too_long(self: Windows, new: Arrivals) -> Sequences:
        return extend(self, replace(new, restarts=np.zeros_like(new.restarts)))

    patch.setattr(Windows, "extend", too_long)


def forget_the_times_before(patch: pytest.MonkeyPatch) -> None:
    extend = Windows.extend

    def untimed(self: Windows, new: Arrivals) -> Sequences:
        self._times[:] = 0
        return extend(self, new)

    patch.setattr(Windows, "extend", untimed)


def record_what_was_known_before_the_last_request(patch: pytest.MonkeyPatch) -> None:
    """The state of the alarms lags behind the counts."""
    judge = RecordedState.judge

    def late(self: RecordedState, *arguments: Any, **named: Any) -> Judged:
        assert self._alarms is not None
        before = self._alarms.table.rows.copy()
        judged = judge(self, *arguments, **named)
        self._late = before  # type: ignore[attr-defined]
        return judged

    def states(self: RecordedState, rows: Any) -> list[bytes]:
        assert self._alarms is not None
        known = self._alarms.table.rows.copy()
        late = getattr(self, "_late", known)
        known[: len(late)] = late[: len(known)]
        return [b64encode(row.tobytes()) for row in known[rows]]

    patch.setattr(RecordedState, "judge", late)
    patch.setattr(RecordedState, "_states", states)


def never_restore_an_incident(patch: pytest.MonkeyPatch) -> None:
    take = RecordedState._take_alarms

    def closed(self: RecordedState, alarms: SensorAlarms, *rest: Any, **named: Any) -> None:
        take(self, alarms, *rest, **named)
        alarms.book.open.clear()

    patch.setattr(RecordedState, "_take_alarms", closed)


def record_no_sequence(patch: pytest.MonkeyPatch) -> None:
    document = OpenIncident.document
    patch.setattr(OpenIncident, "document", lambda self: document(replace(self, sequence=1)))


def record_no_latest_event(patch: pytest.MonkeyPatch) -> None:
    """An update that is due a minute later comes too soon after a restart."""
    document = OpenIncident.document
    patch.setattr(OpenIncident, "document", lambda self: document(replace(self, told_ns=0)))


def stale_by_the_clock_of_the_request(patch: pytest.MonkeyPatch) -> None:
    """Not by that of the reading: what is silent hangs on how polls cut the log."""
    judge = RecordedState.judge

    def by_the_end(
        self: RecordedState, pieces: Iterable[Met], scores: Scores, *, clock_ms: int
    ) -> Judged:
        late = [replace(met, clock_ms=np.full_like(met.clock_ms, clock_ms)) for met in pieces]
        return judge(self, late, scores, clock_ms=clock_ms)

    patch.setattr(RecordedState, "judge", by_the_end)


def forgotten_before_a_look_at_the_clock(patch: pytest.MonkeyPatch) -> None:
    forget = RecordedState._forget_before
    patch.setattr(RecordedState, "_forget_before", lambda self, offset, _: forget(self, offset, -1))


def _restore_all_but(column: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        take = RecordedState._take_alarms

        def forgetful(self: RecordedState, alarms: SensorAlarms, *rest: Any, **named: Any) -> None:
            take(self, alarms, *rest, **named)
            alarms.table.rows[column] = 0

        patch.setattr(RecordedState, "_take_alarms", forgetful)

    return plant


FOUND = r"differ|came twice|without its offset|stuck|counts otherwise|out of order"


@pytest.mark.parametrize(
    ("plant", "first_seed"),  # one is rare: begin to look where it is found soon
    [
        (commit_past_an_output, 0),
        (newest_generation_for_a_revoked_partition, 160),
        (restore_one_record_late, 0),
        (forget_the_shadow, 0),
        (never_forget, 0),
        (keep_a_producer_that_repeated, 0),
        (never_remove_a_document, 0),
        (look_behind_a_restart, 0),
        (forget_the_times_before, 0),
        (record_what_was_known_before_the_last_request, 0),
        (never_restore_an_incident, 0),
        (record_no_sequence, 0),
        (record_no_latest_event, 0),
        (stale_by_the_clock_of_the_request, 0),
        (forgotten_before_a_look_at_the_clock, 90),
        *((_restore_all_but(column), 0) for column in ("openings", "drift", "last_ms", "flagged")),
    ],
)
def test_the_simulation_finds_a_planted_bug(
    plant: Plant, first_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=FOUND):
        run_many(first_seed)


def flush_documents_with_their_outputs(patch: pytest.MonkeyPatch) -> None:
    """What is recorded may be there when the outputs that it counts are not."""
    settle = PlainSimSink.settle

    def commit(self: PlainSimSink, offsets: Any, generation: Any, *, deadline: Deadline) -> None:
        settle(self, deadline)
        self._source.commit(offsets, generation, deadline=deadline)

    patch.setattr(PlainSimSink, "settle", lambda self, deadline: None)
    patch.setattr(PlainSimSink, "commit", commit)


def publish_again_what_is_recorded(patch: pytest.MonkeyPatch) -> None:
    """Readings that a document has counted are judged by what it learnt of later ones."""
    fold = RecordedState._fold

    def everything(self: RecordedState, *arguments: Any) -> None:
        alarms, met, is_counted, *rest = arguments
        fold(self, alarms, met, np.zeros_like(is_counted), *rest)

    patch.setattr(RecordedState, "_fold", everything)


@pytest.mark.parametrize(
    ("plant", "first_seed"),
    [(flush_documents_with_their_outputs, 90), (publish_again_what_is_recorded, 160)],
)
def test_the_simulation_finds_a_planted_bug_at_least_once(
    plant: Plant, first_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=FOUND):
        run_many_at_least_once(first_seed)


def run_many_at_least_once(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + PATIENCE):
        Schedule.of_seed(seed).run_at_least_once()


def run_many(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + PATIENCE):
        Schedule.of_seed(seed).run_exactly_once()

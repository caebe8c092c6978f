"""The life of a managed actor: its whole table, and what an illegal event leaves as it was."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import product
from random import Random
from typing import Any

import pytest

from tests.support.supervision import KILLED, FakeScorer, FakeWorker
from workers.stream.health import Phase
from workers.stream.state.counts import Counts
from workers.supervision.launcher import ActorAwayError, ActorEndedError, Heartbeat
from workers.supervision.managed_actor import (
    TRANSITIONS,
    ActorStage,
    Event,
    IllegalTransitionError,
    ManagedActor,
    Reason,
)
from workers.supervision.restarts import CrashLoopError, RestartPolicy
from workers.supervision.status import Kind
from workers.version import own_version

WAYS: dict[ActorStage, list[Event]] = {
    ActorStage.IDLE: [],
    ActorStage.STARTING: [Event.START],
    ActorStage.READY: [Event.START, Event.ANSWER],
    ActorStage.RESTARTING: [Event.START, Event.ANSWER, Event.RESTART],
    ActorStage.WAITING: [Event.START, Event.LOSE],
    ActorStage.DRAINING: [Event.START, Event.DRAIN],
    ActorStage.LEAVING: [Event.START, Event.DRAIN, Event.LEAVE],
}
"""How each stage is reached."""

LEGAL = [
    (ActorStage.IDLE, Event.START, ActorStage.STARTING),
    (ActorStage.STARTING, Event.ANSWER, ActorStage.READY),
    (ActorStage.STARTING, Event.LOSE, ActorStage.WAITING),
    (ActorStage.STARTING, Event.DRAIN, ActorStage.DRAINING),
    (ActorStage.STARTING, Event.STOP, ActorStage.IDLE),
    (ActorStage.READY, Event.RESTART, ActorStage.RESTARTING),
    (ActorStage.READY, Event.LOSE, ActorStage.WAITING),
    (ActorStage.READY, Event.DRAIN, ActorStage.DRAINING),
    (ActorStage.RESTARTING, Event.ANSWER, ActorStage.READY),
    (ActorStage.RESTARTING, Event.LOSE, ActorStage.WAITING),
    (ActorStage.RESTARTING, Event.DRAIN, ActorStage.DRAINING),
    (ActorStage.RESTARTING, Event.STOP, ActorStage.IDLE),
    (ActorStage.WAITING, Event.START, ActorStage.STARTING),
    (ActorStage.WAITING, Event.DRAIN, ActorStage.LEAVING),
    (ActorStage.DRAINING, Event.LEAVE, ActorStage.LEAVING),
    (ActorStage.LEAVING, Event.STOP, ActorStage.IDLE),
]
ILLEGAL = sorted(set(product(ActorStage, Event)) - {(stage, event) for stage, event, _ in LEGAL})
ASKED_FOR = set(Event) - {Event.ANSWER, Event.RESTART}
"""The other two are found by `watch`, which asks the table whether they can be."""


class Life:
    """A scorer's slot, and everything that ever stood in it."""

    def __init__(self, *, max_restarts: int = 5) -> None:
        policy = RestartPolicy(limit=max_restarts, window_s=60.0, rng=Random(0), jitter=0.0)
        self.actor = ManagedActor(
            3, kind=Kind.SCORERS, policy=policy, stall_after_s=5.0, start_timeout_s=60.0
        )
        self.started: list[FakeScorer] = []

    def launch(self) -> FakeScorer:
        self.started.append(FakeScorer())
        return self.started[-1]

    def happens(self, event: Event) -> None:
        actor = self.actor
        calls: dict[Event, Callable[[], object]] = {
            Event.START: lambda: actor.start(self.launch),
            Event.ANSWER: self._answer,
            Event.RESTART: self._restart,
            Event.LOSE: lambda: actor.lose(KILLED, 100.0),
            Event.DRAIN: lambda: actor.drain(200.0),
            Event.LEAVE: actor.leave,
            Event.STOP: lambda: actor.stop(Phase.STOPPED),
        }
        calls[event]()

    def reach(self, stage: ActorStage) -> Life:
        for event in WAYS[stage]:
            self.happens(event)
        assert self.actor.stage is stage
        return self

    @property
    def state(self) -> dict[str, Any]:
        """All that an event could change."""
        return {
            **vars(self.actor),
            "failures": list(self.actor._policy._failures),
            "scorers": [dict(vars(scorer)) for scorer in self.started],
        }

    def _answer(self) -> None:
        self.started[-1].gone = None
        assert self.actor.watch(0.25) is None

    def _restart(self) -> None:
        self.started[-1].gone = ActorAwayError("its process ended")
        assert self.actor.watch(0.25) is None


def test_the_table_is_what_the_text_says() -> None:
    assert {(stage, event): after for stage, event, after in LEGAL} == TRANSITIONS


@pytest.mark.parametrize(("stage", "event", "after"), LEGAL)
def test_a_legal_event_leads_where_the_table_says(
    stage: ActorStage, event: Event, after: ActorStage
) -> None:
    life = Life().reach(stage)
    assert life.actor.can(event)
    life.happens(event)
    assert life.actor.stage is after


@pytest.mark.parametrize(
    ("stage", "event"), [(stage, event) for stage, event in ILLEGAL if event in ASKED_FOR]
)
def test_an_illegal_event_raises_and_changes_nothing(stage: ActorStage, event: Event) -> None:
    life = Life().reach(stage)
    before = life.state
    with pytest.raises(IllegalTransitionError, match=f"scorers 3 is {stage}: it cannot {event}"):
        life.happens(event)
    assert life.state == before


@pytest.mark.parametrize("event", [Event.ANSWER, Event.RESTART])
@pytest.mark.parametrize("stage", [ActorStage.IDLE, ActorStage.WAITING, ActorStage.LEAVING])
def test_where_no_actor_is_nothing_is_heard(stage: ActorStage, event: Event) -> None:
    life = Life().reach(stage)
    life.launch()  # whoever answers, it is not asked
    before = life.state
    life.happens(event)
    assert life.actor.stage is stage
    assert {**life.state, "scorers": before["scorers"]} == before


@pytest.mark.parametrize("event", [Event.ANSWER, Event.RESTART])
def test_an_actor_that_drains_goes_on_draining_whatever_is_heard(event: Event) -> None:
    life = Life().reach(ActorStage.DRAINING)
    life.happens(event)
    assert life.actor.stage is ActorStage.DRAINING


@pytest.mark.parametrize("stage", ActorStage)
def test_one_process_at_most_is_alive_in_a_slot(stage: ActorStage) -> None:
    life = Life().reach(stage)
    for event in Event:
        if life.actor.can(event):
            life.happens(event)
        alive = [scorer for scorer in life.started if not scorer.killed]
        assert alive == [handle for handle in [life.actor.handle] if handle is not None]


def test_a_start_that_fails_leaves_the_slot_as_it_was() -> None:
    life = Life().reach(ActorStage.WAITING)
    before = life.state

    def launch() -> FakeScorer:
        raise RuntimeError("no cluster")

    with pytest.raises(RuntimeError, match="no cluster"):
        life.actor.start(launch)
    assert life.state == before


def test_a_crash_loop_names_the_slot_and_the_last_cause() -> None:
    life = Life(max_restarts=1).reach(ActorStage.WAITING)
    assert life.actor.restart_at_s == pytest.approx(100.2)
    life.happens(Event.START)
    with pytest.raises(CrashLoopError, match=r"scorer 3 was lost more than 1 times .* was killed"):
        life.happens(Event.LOSE)
    assert life.actor.restarts == 1


def test_a_scorer_that_hangs_is_restarted_behind_the_same_handle_unless_it_drains() -> None:
    for stage, restarted in ((ActorStage.READY, True), (ActorStage.DRAINING, False)):
        life = Life().reach(ActorStage.READY)
        (scorer,) = life.started
        if stage is ActorStage.DRAINING:
            life.happens(Event.DRAIN)
        scorer.answers = False
        assert life.actor.watch(4.75) is None
        found = life.actor.watch(0.25)
        assert found is not None
        assert (found.reason, found.restarted) == (Reason.SILENT, restarted)
        assert scorer.restarts == restarted
        assert life.actor.is_ready is restarted


def test_an_ingest_worker_is_not_restarted_in_its_place_and_its_counts_go_on() -> None:
    policy = RestartPolicy(limit=5, window_s=60.0, rng=Random(0))
    actor = ManagedActor(
        1, kind=Kind.INGEST, policy=policy, stall_after_s=5.0, start_timeout_s=60.0
    )
    first, second = FakeWorker(1, ()), FakeWorker(1, ())
    actor.start(lambda: first)
    first.says(counts={0: Counts(records=5)}, stalls=1)
    found = actor.watch(0.25)
    assert found is not None
    assert (found.reason, found.restarted) == (Reason.STALLED, False)
    actor.lose(found.cause, 100.0)
    assert first.killed
    assert actor.health.phase is Phase.STARTING
    actor.start(lambda: second)
    second.says(counts={0: Counts(records=2)})
    actor.drain(200.0)
    assert actor.watch(0.25) is not None
    assert actor.finished
    actor.leave()
    actor.stop(Phase.STOPPED)
    assert (actor.health.total.records, actor.health.phase) == (7, Phase.STOPPED)


def test_an_actor_that_is_gone_for_good_is_reported_until_somebody_acts() -> None:
    life = Life().reach(ActorStage.READY)
    life.started[-1].gone = ActorEndedError(KILLED)
    for _ in range(2):
        found = life.actor.watch(0.25)
        assert found is not None
        assert (found.reason, found.cause, found.restarted) == (Reason.DIED, KILLED, False)
        assert life.actor.stage is ActorStage.READY


@pytest.mark.parametrize("version", ["0.0.9", None], ids=["says so", "is too old to say so"])
@pytest.mark.parametrize("stage", [ActorStage.STARTING, ActorStage.RESTARTING])
def test_an_actor_of_another_version_is_lost_before_it_is_ready(
    stage: ActorStage, version: str | None
) -> None:
    life = Life().reach(stage)
    told = Heartbeat(node="b1f2", pid=1, version=version or "")
    if version is None:
        vars(told).pop("version")
    life.started[-1].state = pickle.loads(pickle.dumps(told))
    life.started[-1].gone = None
    found = life.actor.watch(0.25)
    assert found is not None
    assert (found.reason, found.restarted) == (Reason.OTHER_VERSION, False)
    for named in ("b1f2", version or "an older version", own_version()):
        assert named in str(found.cause)
    assert life.actor.stage is stage
    life.happens(Event.LOSE)
    assert life.started[-1].killed

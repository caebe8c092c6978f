"""The supervisor and its scorers: those that hang are replaced, and exchanged in peace."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.supervision import KILLED, Scenario, SupervisorHarness
from workers.errors import ClusterError
from workers.stream.state.counts import Counts
from workers.supervision.launcher import ActorAwayError, ActorEndedError, Heartbeat
from workers.supervision.restarts import CrashLoopError


def with_scorers(**workers: Any) -> SupervisorHarness:
    return SupervisorHarness(
        **{"ingest": 1, "placement": "actors", "stall_timeout_s": 10.0, **workers}
    )


def test_no_ingest_worker_starts_before_there_is_a_scorer() -> None:
    harness = with_scorers(scorers=2)
    harness.has_room = False

    def scenario() -> Scenario:
        yield from harness.ticks(5.0)
        assert harness.workers == []
        for scorer in harness.scorers:
            scorer.answers = True
        harness.has_room = True
        yield from harness.until(lambda: len(harness.workers) == 1)
        assert list(harness.workers[0].scorers) == harness.scorers

    harness.run(scenario())
    assert all(scorer.killed for scorer in harness.scorers)


def test_a_scorer_that_gives_no_answer_is_restarted_before_its_ingest_workers_stall() -> None:
    harness = with_scorers(scorers=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        harness.scorers[0].answers = False
        silent_s = harness.clock()
        yield from harness.until(lambda: harness.scorers[0].restarts == 1)
        assert 5.0 <= harness.clock() - silent_s <= 5.5
        yield from harness.ticks(60.0)
        assert harness.scorers[0].restarts == 1, "it is given time to come back"
        harness.scorers[0].answers, harness.scorers[0].state = True, Heartbeat(node="here", pid=2)
        yield from harness.ticks(1.0)
        assert len(harness.scorers) == 1, "behind the same handle"
        assert harness.supervisor.scaling.replaced == {("scorers", "silent"): 1}

    harness.run(scenario())


def test_a_scorer_that_is_stuck_in_a_call_is_restarted() -> None:
    harness = with_scorers(scorers=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        for call in range(100):  # busy, and getting on
            harness.scorers[0].state = Heartbeat(node="here", pid=1, begun=call + 1, ended=call)
            yield
        assert harness.scorers[0].restarts == 0
        yield from harness.until(lambda: harness.scorers[0].restarts == 1, within=5.5)
        assert harness.supervisor.scaling.replaced == {("scorers", "stalled"): 1}

    harness.run(scenario())


def test_a_scorer_that_died_has_the_time_of_a_start_to_come_back() -> None:
    harness = with_scorers(scorers=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        scorer = harness.scorers[0]
        scorer.gone = ActorAwayError("its process ended")
        yield from harness.ticks(2.0)
        scorer.gone, scorer.answers = None, False  # it loads its model
        yield from harness.ticks(60.0)
        assert scorer.restarts == 0, "a start is no silence"
        scorer.answers, scorer.state = True, Heartbeat(node="here", pid=2)
        yield from harness.ticks(1.0)
        assert harness.supervisor.scaling.replaced == {("scorers", "died"): 1}

    harness.run(scenario())


def test_a_scorer_that_died_and_came_back_is_counted() -> None:
    harness = with_scorers(scorers=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        harness.scorers[0].state = Heartbeat(node="here", pid=2)
        yield
        yield
        assert harness.supervisor.scaling.replaced == {("scorers", "died"): 1}

    harness.run(scenario())


def test_a_scorer_that_is_gone_for_good_gets_a_successor_that_all_are_told_of() -> None:
    harness = with_scorers(scorers=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        harness.scorers[0].gone = ActorEndedError(KILLED)
        yield from harness.until(lambda: len(harness.scorers) == 3)
        yield
        yield
        assert list(harness.workers[0].scorers) == [harness.scorers[2], harness.scorers[1]]

    harness.run(scenario())


def test_scorers_that_cannot_begin_end_the_run_with_the_cause() -> None:
    harness = with_scorers(scorers=1, max_restarts=2)

    def scenario() -> Scenario:
        while True:
            for scorer in harness.scorers:
                scorer.gone = ActorEndedError(KILLED)
            yield

    with pytest.raises(CrashLoopError, match="the actor's process was killed"):
        harness.run(scenario())


def test_a_cluster_without_room_for_any_scorer_ends_the_run() -> None:
    harness = with_scorers(scorers=1)
    harness.has_room = False
    with pytest.raises(ClusterError, match="num_gpus_per_scorer"):
        harness.run(harness.ticks(1000.0))


def test_a_scorer_that_finds_no_room_is_given_up_and_the_others_stay() -> None:
    harness = with_scorers(scorers=2)
    harness.has_room = False

    def scenario() -> Scenario:
        yield
        harness.has_room = harness.scorers[1].answers = True
        yield from harness.until(lambda: harness.scorers[0].killed, within=130.0)
        yield from harness.ticks(30.0)
        assert harness.supervisor.scaling.scorers.target == 1
        assert len(harness.scorers) == 2
        assert not harness.scorers[1].killed
        assert list(harness.workers[0].scorers) == harness.scorers[1:]

    harness.run(scenario())


def test_scorers_are_scaled_by_hand_and_a_retired_one_still_answers_what_it_has() -> None:
    harness = with_scorers(scorers=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        harness.scale(scorers=3)
        yield from harness.until(lambda: len(harness.workers[0].scorers) == 3)
        harness.scale(scorers=1)
        yield from harness.until(lambda: list(harness.workers[0].scorers) == harness.scorers[:1])
        told_s = harness.clock()
        assert not any(scorer.killed for scorer in harness.scorers)
        yield from harness.until(lambda: harness.scorers[1].killed and harness.scorers[2].killed)
        assert 9.0 <= harness.clock() - told_s <= 11.0  # drain_timeout_s
        assert not harness.scorers[0].killed

    harness.run(scenario())


def test_full_scorers_get_help() -> None:
    harness = with_scorers(
        cores=3, scale_out_after_s=5, scale_in_after_s=30, scaling_pause_s=5, placement="actors"
    )

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        for turn in range(200):
            harness.workers[0].says(
                lag=dict.fromkeys(range(4), 10**6), in_flight=4, busy_s=0.0,
                counts={0: Counts(records=10 * turn)},
            )  # fmt: skip
            yield
        assert harness.supervisor.scaling.scorers.target == 3
        assert harness.supervisor.scaling.ingest.target == 1, "it only waits"

    harness.run(scenario())

"""Scorers that hang are replaced, and exchanged in peace."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.staff import KILLED, Story, Theatre
from workers.errors import ClusterError
from workers.stream.state.counts import Counts
from workers.supervision.actors import WorkerAwayError
from workers.supervision.status import ScorerPulse
from workers.supervision.supervisor import CrashLoopError


def theatre(**workers: Any) -> Theatre:
    return Theatre(**{"ingest": 1, "placement": "actors", "stall_timeout_s": 10.0, **workers})


def test_no_ingest_worker_starts_before_there_is_a_scorer() -> None:
    play = theatre(scorers=2)
    play.has_room = False

    def story() -> Story:
        yield from play.ticks(5.0)
        assert play.workers == []
        for scorer in play.scorers:
            scorer.answers = True
        play.has_room = True
        yield from play.until(lambda: len(play.workers) == 1)
        assert list(play.workers[0].scorers) == play.scorers

    play.play(story())
    assert all(scorer.killed for scorer in play.scorers)


def test_a_scorer_that_gives_no_answer_is_restarted_before_its_ingest_workers_stall() -> None:
    play = theatre(scorers=1)

    def story() -> Story:
        yield from play.until(lambda: bool(play.workers))
        play.scorers[0].answers = False
        silent_s = play.clock()
        yield from play.until(lambda: play.scorers[0].restarts == 1)
        assert 5.0 <= play.clock() - silent_s <= 5.5
        yield from play.ticks(60.0)
        assert play.scorers[0].restarts == 1, "it is given time to come back"
        assert play.supervisor.staffing.replaced == {("scorers", "silent"): 1}

    play.play(story())


def test_a_scorer_that_is_stuck_in_a_call_is_restarted() -> None:
    play = theatre(scorers=1)

    def story() -> Story:
        yield from play.until(lambda: bool(play.workers))
        for call in range(100):  # busy, and getting on
            play.scorers[0].state = ScorerPulse(node="here", pid=1, begun=call + 1, ended=call)
            yield
        assert play.scorers[0].restarts == 0
        yield from play.until(lambda: play.scorers[0].restarts == 1, within=5.5)
        assert play.supervisor.staffing.replaced == {("scorers", "stalled"): 1}

    play.play(story())


def test_a_scorer_that_died_has_the_time_of_a_start_to_come_back() -> None:
    play = theatre(scorers=1)

    def story() -> Story:
        yield from play.until(lambda: bool(play.workers))
        scorer = play.scorers[0]
        scorer.gone = WorkerAwayError("its process ended")
        yield from play.ticks(2.0)
        scorer.gone, scorer.answers = None, False  # it loads its model
        yield from play.ticks(60.0)
        assert scorer.restarts == 0, "a start is no silence"
        scorer.answers, scorer.state = True, ScorerPulse(node="here", pid=2, begun=0, ended=0)
        yield from play.ticks(1.0)
        assert play.supervisor.staffing.replaced == {("scorers", "died"): 1}

    play.play(story())


def test_a_scorer_that_died_and_came_back_is_counted() -> None:
    play = theatre(scorers=1)

    def story() -> Story:
        yield from play.until(lambda: bool(play.workers))
        play.scorers[0].state = ScorerPulse(node="here", pid=2, begun=0, ended=0)
        yield
        yield
        assert play.supervisor.staffing.replaced == {("scorers", "died"): 1}

    play.play(story())


def test_a_scorer_that_is_gone_for_good_gets_a_successor_that_all_are_told_of() -> None:
    play = theatre(scorers=2)

    def story() -> Story:
        yield from play.until(lambda: bool(play.workers))
        play.scorers[0].gone = KILLED
        yield from play.until(lambda: len(play.scorers) == 3)
        yield
        yield
        assert list(play.workers[0].scorers) == [play.scorers[1], play.scorers[2]]

    play.play(story())


def test_scorers_that_cannot_begin_end_the_run_with_the_cause() -> None:
    play = theatre(scorers=1, max_restarts=2)

    def story() -> Story:
        while True:
            for scorer in play.scorers:
                scorer.gone = KILLED
            yield

    with pytest.raises(CrashLoopError, match="the actor's process was killed"):
        play.play(story())


def test_a_cluster_without_room_for_any_scorer_ends_the_run() -> None:
    play = theatre(scorers=1)
    play.has_room = False
    with pytest.raises(ClusterError, match="num_gpus_per_scorer"):
        play.play(play.ticks(1000.0))


def test_scorers_are_scaled_by_hand_and_a_retired_one_still_answers_what_it_has() -> None:
    play = theatre(scorers=1)

    def story() -> Story:
        yield from play.until(lambda: bool(play.workers))
        play.supervisor.scale(scorers=3)
        yield from play.until(lambda: len(play.workers[0].scorers) == 3)
        play.supervisor.scale(scorers=1)
        yield from play.until(lambda: list(play.workers[0].scorers) == play.scorers[:1])
        told_s = play.clock()
        assert not any(scorer.killed for scorer in play.scorers)
        yield from play.until(lambda: play.scorers[1].killed and play.scorers[2].killed)
        assert 9.0 <= play.clock() - told_s <= 11.0  # drain_timeout_s
        assert not play.scorers[0].killed

    play.play(story())


def test_full_scorers_get_help() -> None:
    play = theatre(
        cores=3, scale_out_after_s=5, scale_in_after_s=30, scaling_pause_s=5, placement="actors"
    )

    def story() -> Story:
        yield from play.until(lambda: bool(play.workers))
        for turn in range(200):
            play.workers[0].says(
                lag=dict.fromkeys(range(4), 10**6), in_flight=4, busy_s=0.0,
                counts={0: Counts(records=10 * turn)},
            )  # fmt: skip
            yield
        assert play.supervisor.staffing.scorers.target == 3
        assert play.supervisor.staffing.ingest.target == 1, "it only waits"

    play.play(story())

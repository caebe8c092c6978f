"""The supervisor when nodes are about to go or have another image, and the cluster is lost."""

from __future__ import annotations

import re

import pytest

from tests.support.supervision import Scenario, SupervisorHarness
from workers.errors import ClusterError, ClusterLostError
from workers.stream.health import Phase
from workers.supervision.launcher import Heartbeat, OtherVersionError
from workers.supervision.restarts import CrashLoopError
from workers.version import own_version

LOST = ClusterLostError("the head has not answered for 30 s")


def test_an_ingest_worker_drains_off_a_node_that_is_about_to_go_and_starts_elsewhere() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: len(harness.workers) == 2)
        yield from harness.ticks(1.0)
        goes, stays = harness.workers
        goes.node = "spot"
        yield from harness.ticks(1.0)
        harness.leaving.add("spot")
        yield from harness.until(lambda: len(harness.workers) == 3)
        assert goes.stopped, "asked to finish, not killed"
        assert not stays.stopped
        assert harness.removed == [[goes.slot]], "its partitions move at once"
        assert harness.workers[2].slot == goes.slot
        yield from harness.ticks(30.0)
        assert len(harness.workers) == 3
        assert harness.supervisor.scaling.restarts == {0: 0, 1: 0}, "no death, no restart"

    harness.run(scenario())


def test_a_scorer_leaves_its_node_when_another_is_ready_in_its_stead() -> None:
    harness = SupervisorHarness(ingest=1, placement="actors", scorers=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        (first,) = harness.scorers
        (worker,) = harness.workers
        first.state = Heartbeat(node="spot", pid=1)
        yield from harness.ticks(1.0)
        harness.has_room = False
        harness.leaving.add("spot")
        yield from harness.until(lambda: len(harness.scorers) == 2)
        second = harness.scorers[1]
        yield from harness.ticks(20.0)
        assert list(worker.scorers) == [first], "no call without a scorer to send it to"
        assert not first.killed
        second.answers = True
        yield from harness.until(lambda: list(worker.scorers) == [second])
        yield from harness.until(lambda: first.killed, within=15.0)
        yield from harness.ticks(30.0)
        assert len(harness.scorers) == 2
        assert not second.killed
        assert harness.supervisor.scaling.scorers.actual == 1

    harness.run(scenario())


def test_nothing_moves_while_no_node_is_about_to_go() -> None:
    harness = SupervisorHarness(ingest=2, placement="actors", scorers=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: len(harness.workers) == 2)
        harness.leaving.add("a node of somebody else")
        yield from harness.ticks(60.0)
        assert (len(harness.workers), len(harness.scorers)) == (2, 2)
        assert not any(worker.stopped for worker in harness.workers)

    harness.run(scenario())


def test_a_lost_cluster_ends_the_run_with_its_own_words_after_a_drain() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: len(harness.workers) == 2)
        harness.lost = LOST
        yield from harness.ticks(60.0)
        raise AssertionError("it goes on without a cluster")

    with pytest.raises(ClusterLostError, match="has not answered"):
        harness.run(scenario())
    assert all(worker.stopped for worker in harness.workers), "what answers finishes its work"
    assert {health.phase for health in harness.supervisor.healths} == {Phase.STOPPED}


def test_a_lost_cluster_whose_workers_do_not_answer_ends_the_run_in_time() -> None:
    harness = SupervisorHarness(ingest=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: len(harness.workers) == 1)
        harness.workers[0].drains = harness.workers[0].answers = False
        harness.lost = LOST
        yield

    began_s = harness.clock()
    with pytest.raises(ClusterLostError):
        harness.run(scenario())
    assert harness.clock() - began_s < 30.0, "the drain's 10 s, and some grace"


def test_what_starts_on_a_node_with_another_image_gets_no_work_and_starts_again() -> None:
    harness = SupervisorHarness(ingest=1, placement="actors", scorers=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.scorers))
        harness.scorers[0].state = Heartbeat(node="old", pid=1, version="0.0.9")
        yield from harness.until(lambda: bool(harness.workers))
        wrong, right = harness.scorers
        assert wrong.killed
        assert list(harness.workers[0].scorers) == [right]
        assert harness.supervisor.scaling.replaced == {("scorers", "other_version"): 1}

    harness.run(scenario())


def test_an_ingest_worker_whose_run_refuses_its_drivers_version_starts_again() -> None:
    harness = SupervisorHarness(ingest=1)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        harness.workers[0].end = OtherVersionError("Ray node old has Vigie 0.0.9")
        yield from harness.until(lambda: len(harness.workers) == 2)
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 1)
        assert harness.workers[0].killed
        assert harness.supervisor.scaling.replaced == {("ingest", "other_version"): 1}

    harness.run(scenario())


def test_a_cluster_with_another_image_ends_the_run_and_node_and_versions_are_named() -> None:
    harness = SupervisorHarness(ingest=1, placement="actors", scorers=1, max_restarts=2)

    def scenario() -> Scenario:
        while True:
            for scorer in harness.scorers:
                scorer.state = Heartbeat(node="old", pid=1, version="0.0.9")
            yield

    said = rf"node old has Vigie 0\.0\.9, its driver has {re.escape(own_version())}: .* image"
    with pytest.raises(CrashLoopError, match=said) as ended:
        harness.run(scenario())
    assert isinstance(ended.value.__cause__, ClusterError)
    assert harness.workers == []

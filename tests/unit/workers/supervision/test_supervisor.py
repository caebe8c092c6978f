"""Who is replaced, started, drained and left: the supervisor among fakes."""

from __future__ import annotations

import pytest

from tests.support.supervision import KILLED, Scenario, SupervisorHarness
from workers.errors import (
    ClusterError,
    DeadLetterLimitError,
    FencedError,
    SettingsError,
    TransactionAbortedError,
    VigieError,
)
from workers.stream.health import Health, Phase
from workers.stream.state.counts import Counts
from workers.supervision.restarts import CrashLoopError


def test_a_run_starts_its_workers_and_drains_them_and_removes_them_from_the_group_at_once() -> None:
    harness = SupervisorHarness(ingest=3)

    def scenario() -> Scenario:
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 3)

    healths = harness.run(scenario())
    assert [health.phase for health in healths] == [Phase.STOPPED] * 3
    assert harness.removed == [[0, 1, 2]]
    assert all(worker.stopped and worker.killed for worker in harness.workers)


def test_nobody_leaves_the_group_at_the_end_before_the_slowest_has_finished() -> None:
    harness = SupervisorHarness(ingest=3)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[1].drains = False

    ticks = 0

    def finish_late(_: list[Health]) -> None:
        nonlocal ticks
        slowest = harness.workers[1]
        if slowest.stopped and slowest.end is None:
            assert harness.removed == []
            ticks += 1
            if ticks == 8:
                slowest.end = Health(slot=1, phase=Phase.STOPPED)

    healths = harness.run(scenario(), finish_late)
    assert harness.removed == [[0, 1, 2]]
    assert [health.phase for health in healths] == [Phase.STOPPED] * 3


def test_a_killed_worker_has_a_successor_within_a_second() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[0].end = KILLED
        killed_s = harness.clock()
        yield from harness.until(lambda: len(harness.workers) == 3)
        assert harness.workers[2].slot == 0
        assert harness.clock() - killed_s <= 0.5
        yield from harness.ticks(1.0)
        assert harness.supervisor.scaling.replaced == {("ingest", "died"): 1}
        assert harness.supervisor.scaling.restarts == {0: 1, 1: 0}

    harness.run(scenario())
    assert harness.removed == [[0, 1]]


def test_a_worker_that_gives_no_answer_is_killed_and_replaced() -> None:
    harness = SupervisorHarness(ingest=2, stall_timeout_s=5.0)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[1].answers = False
        silent_s = harness.clock()
        yield from harness.until(lambda: harness.workers[1].killed)
        assert 5.0 <= harness.clock() - silent_s <= 5.5
        yield from harness.until(lambda: len(harness.workers) == 3)
        assert harness.workers[2].slot == 1
        yield
        assert harness.supervisor.scaling.replaced == {("ingest", "silent"): 1}

    harness.run(scenario())


def test_a_worker_that_still_loads_its_model_has_more_time_to_answer() -> None:
    harness = SupervisorHarness(ingest=1, stall_timeout_s=5.0)

    def scenario() -> Scenario:
        yield
        harness.workers[0].says(phase=Phase.STARTING)
        yield
        harness.workers[0].answers = False
        yield from harness.ticks(100.0)
        assert not harness.workers[0].killed
        yield from harness.until(lambda: harness.workers[0].killed, within=30.0)

    harness.run(scenario())


def test_a_driver_that_stood_still_itself_blames_nobody() -> None:
    harness = SupervisorHarness(ingest=1, stall_timeout_s=5.0)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[0].answers = False
        yield
        harness.clock.advance(3600.0)  # stopped, or the laptop was shut
        yield
        harness.workers[0].answers = True
        yield from harness.ticks(5.0)
        assert len(harness.workers) == 1

    harness.run(scenario())


def test_a_worker_that_reports_a_stall_is_replaced_once() -> None:
    harness = SupervisorHarness(ingest=1)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[0].says(stalls=1)
        yield from harness.until(lambda: len(harness.workers) == 2)
        yield from harness.ticks(30.0)
        assert len(harness.workers) == 2
        assert harness.supervisor.scaling.replaced == {("ingest", "stalled"): 1}
        assert harness.supervisor.healths[0].stalls == 1

    harness.run(scenario())


def test_a_crash_loop_ends_with_the_last_cause() -> None:
    harness = SupervisorHarness(ingest=2, max_restarts=3)

    def scenario() -> Scenario:
        while True:
            for worker in harness.workers:
                if worker.slot == 1 and not worker.killed:
                    worker.end = TransactionAbortedError("the disk is full")
            yield

    with pytest.raises(CrashLoopError, match=r"worker 1 .* 3 times .*: the disk is full"):
        harness.run(scenario())
    assert [worker.slot for worker in harness.workers].count(1) == 4
    assert all(worker.killed for worker in harness.workers)


def test_hanging_again_and_again_is_a_crash_loop_too() -> None:
    harness = SupervisorHarness(ingest=1, max_restarts=1)

    def scenario() -> Scenario:
        while True:
            for worker in harness.workers[-1:]:
                worker.says(stalls=1)
            yield

    with pytest.raises(CrashLoopError, match="stood still"):
        harness.run(scenario())


@pytest.mark.parametrize("error", [SettingsError, DeadLetterLimitError])
def test_what_no_restart_helps_ends_the_run_with_its_own_words(error: type[VigieError]) -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[0].end = error("look at this first")
        yield from harness.ticks(5.0)
        raise AssertionError("it went on")

    with pytest.raises(error, match="look at this first"):
        harness.run(scenario())
    assert len(harness.workers) == 2
    assert all(worker.killed for worker in harness.workers)
    # The name may be a rival's by now: taking it off the group would stop the rival.
    assert harness.removed == []


def test_a_worker_that_is_fenced_once_is_replaced() -> None:
    """A broker that went down may remember the worker before: that is no rival."""
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        for workers in (3, 4, 5):
            harness.workers[-1].end = FencedError("another client runs under our identity")
            yield from harness.ticks(61.0)
            assert len(harness.workers) == workers

    harness.run(scenario())


def test_a_worker_that_is_fenced_again_has_a_rival_and_the_run_ends() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[0].end = FencedError("once")
        harness.workers[1].end = FencedError("another slot, once")
        yield from harness.until(lambda: len(harness.workers) == 4)
        yield from harness.ticks(30.0)
        harness.workers[2].end = FencedError("twice")
        yield from harness.ticks(5.0)
        raise AssertionError("it went on")

    with pytest.raises(FencedError, match="twice"):
        harness.run(scenario())
    assert all(worker.killed for worker in harness.workers)
    # The name may be a rival's by now: taking it off the group would stop the rival.
    assert harness.removed == []


def test_counts_never_go_back_when_a_worker_is_replaced_or_leaves() -> None:
    harness = SupervisorHarness(ingest=2)

    def total() -> int:
        return sum(health.total.records for health in harness.supervisor.healths)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[1].says(counts={1: Counts(records=10)}, commits=3, busy_s=1.5)
        yield
        assert total() == 10
        harness.workers[1].last_words = Health(slot=1, counts={1: Counts(records=12)}, commits=4)
        harness.workers[1].end = TransactionAbortedError("again")
        yield
        assert total() == 12  # what it committed since, it told with its last words
        yield from harness.until(lambda: len(harness.workers) == 3)
        yield
        assert total() == 12
        harness.workers[2].says(counts={1: Counts(records=5), 0: Counts(records=1)}, commits=1)
        yield
        assert total() == 18
        assert harness.supervisor.healths[1].counts[1].records == 17
        assert harness.supervisor.healths[1].commits == 5
        harness.scale(ingest=1)
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 1)
        assert total() == 18
        harness.scale(ingest=2)
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 2)
        assert total() == 18

    harness.run(scenario())
    assert total() == 18


def test_scaling_by_hand_starts_new_slots_and_drains_the_highest() -> None:
    harness = SupervisorHarness(ingest=1)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.scale(ingest=3)
        yield from harness.until(lambda: harness.at_work() == [0, 1, 2])
        yield
        harness.scale(ingest=1)
        yield from harness.until(lambda: harness.at_work() == [0])
        assert [worker.stopped for worker in harness.workers] == [False, True, True]
        yield
        yield
        assert sorted(harness.removed) == [[1], [2]]
        assert harness.supervisor.scaling.last.text == "by hand: 3 -> 1 ingest"

    healths = harness.run(scenario())
    assert harness.removed[2:] == [[0]]
    assert [health.phase for health in healths] == [Phase.STOPPED] * 3


def test_a_slot_is_filled_again_only_when_the_one_before_has_left_the_group() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[1].drains = False
        harness.scale(ingest=1)
        yield from harness.until(lambda: harness.workers[1].stopped)
        harness.scale(ingest=2)
        yield from harness.ticks(5.0)
        assert len(harness.workers) == 2, "two workers of one name"
        harness.workers[1].end = Health(slot=1, phase=Phase.STOPPED)
        yield from harness.until(lambda: len(harness.workers) == 3)
        assert harness.removed == [[1]]
        assert harness.workers[2].slot == 1

    harness.run(scenario())


def test_a_worker_that_does_not_finish_draining_is_killed_and_the_rest_goes_on() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[1].drains = False
        harness.scale(ingest=1)
        asked_s = harness.clock()
        yield from harness.until(lambda: harness.workers[1].killed)
        assert 20.0 <= harness.clock() - asked_s <= 21.0  # drain_timeout_s and a grace of 10 s
        yield from harness.ticks(1.0)
        assert harness.removed == [[1]]
        assert harness.supervisor.scaling.replaced == {}

    healths = harness.run(scenario())
    assert [health.phase for health in healths] == [Phase.STOPPED] * 2


def test_a_worker_that_dies_while_it_drains_is_not_restarted() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[1].drains = False
        harness.scale(ingest=1)
        yield from harness.until(lambda: harness.workers[1].stopped)
        harness.workers[1].end = KILLED
        yield from harness.ticks(30.0)
        assert len(harness.workers) == 2

    harness.run(scenario())


def test_a_worker_that_does_not_finish_at_the_end_of_the_run_is_reported() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.workers[1].drains = False

    healths = harness.run(scenario())
    assert [health.phase for health in healths] == [Phase.STOPPED, Phase.RUNNING]
    assert all(worker.killed for worker in harness.workers)


def test_a_broker_that_is_away_holds_up_neither_a_drain_nor_the_end() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.broker_answers = False
        harness.scale(ingest=1)
        yield from harness.until(lambda: harness.at_work() == [0])
        yield from harness.ticks(60.0)

    healths = harness.run(scenario())
    assert [health.phase for health in healths] == [Phase.STOPPED] * 2
    assert harness.removed == []


def test_a_worker_by_scaling_that_finds_no_room_is_given_up() -> None:
    harness = SupervisorHarness(ingest=1)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.has_room = False
        harness.scale(ingest=3)
        yield from harness.until(lambda: len(harness.workers) == 3)
        yield from harness.until(
            lambda: harness.supervisor.scaling.ingest.target == 1, within=130.0
        )
        yield from harness.ticks(2.0)
        assert harness.at_work() == [0]
        assert "no room" in harness.supervisor.scaling.last.text

    harness.run(scenario())


def test_only_the_last_worker_is_given_up_for_want_of_room() -> None:
    harness = SupervisorHarness(ingest=1)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.has_room = False
        harness.scale(ingest=3)
        yield from harness.until(lambda: len(harness.workers) == 3)
        harness.workers[2].answers = True
        yield from harness.ticks(150.0)
        assert harness.at_work() == [0, 1, 2]
        assert harness.supervisor.scaling.ingest.target == 3
        harness.workers[1].answers = True

    harness.run(scenario())


def test_a_cluster_without_room_for_the_first_workers_ends_the_run() -> None:
    harness = SupervisorHarness(ingest=2)
    harness.has_room = False
    with pytest.raises(ClusterError, match=r"lower workers\.ingest"):
        harness.run(harness.ticks(1000.0))

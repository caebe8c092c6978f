"""What the cluster has room for: limits follow it, starts wait for it, metrics say how much."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from tests.support.supervision import KILLED, Scenario, SupervisorHarness
from tests.support.watched import exposition
from workers.errors import ClusterError
from workers.stream.health import Phase
from workers.stream.state.counts import Counts
from workers.supervision.launcher import ActorAwayError
from workers.supervision.managed_actor import LOADS_WITHIN_S, PLACED_WITHIN_S
from workers.supervision.plan import Resources
from workers.supervision.status import Kind

QUICK: dict[str, Any] = {"scale_out_after_s": 5, "scale_in_after_s": 1000, "scaling_pause_s": 10}


def behind(harness: SupervisorHarness, seconds: float) -> Scenario:
    """Workers that are all busy, and fall behind."""
    until_s = harness.clock() + seconds
    while harness.clock() < until_s:
        for worker in harness.workers:
            if worker.answers and not worker.killed:
                counts = {worker.slot: Counts(records=int(100 * harness.clock()))}
                held = dict.fromkeys(range(harness.partitions), 10**6)
                worker.says(lag=held, counts=counts, busy_s=harness.clock())
        yield


def max_workers(harness: SupervisorHarness, kind: Kind = Kind.INGEST) -> float:
    """What /metrics says."""
    supervisor = harness.supervisor
    (family,) = (
        one
        for one in text_string_to_metric_families(
            exposition(supervisor.healths, supervisor.scaling)
        )
        if one.name == "vigie_max_workers"
    )
    return {sample.labels["kind"]: sample.value for sample in family.samples}[kind]


# -- limits that follow ----------------------------------------------------------------------------


def test_a_driver_that_came_first_uses_the_nodes_that_come_later() -> None:
    harness = SupervisorHarness(cores=1, **QUICK)

    def scenario() -> Scenario:
        yield from behind(harness, 60.0)
        assert harness.at_work() == [0], "there is one core"
        harness.resources = Resources(cpus=3)
        yield from behind(harness, 60.0)
        assert harness.at_work() == [0, 1, 2]

    with capture_logs() as logs:
        harness.run(scenario())
    (line,) = (line for line in logs if line["event"] == "cluster_changed")
    assert (line["cpus_before"], line["cpus"], line["max_ingest"]) == (1, 3, 3)


def test_a_limit_that_was_set_does_not_follow() -> None:
    harness = SupervisorHarness(cores=1, max_ingest=2, **QUICK)

    def scenario() -> Scenario:
        yield from harness.ticks(2.0)
        harness.resources = Resources(cpus=4)
        yield from behind(harness, 100.0)
        assert harness.at_work() == [0, 1]

    harness.run(scenario())


@pytest.mark.parametrize("mode", [{}, {"ingest": 4}])
def test_no_worker_that_runs_leaves_because_the_cluster_has_shrunk(mode: dict[str, Any]) -> None:
    harness = SupervisorHarness(cores=4, **{**QUICK, **mode})

    def scenario() -> Scenario:
        yield from harness.until(lambda: harness.at_work() == [0, 1, 2, 3])
        harness.resources = Resources(cpus=1)
        yield from behind(harness, 120.0)
        assert harness.at_work() == [0, 1, 2, 3]
        assert not any(worker.stopped for worker in harness.workers)

    harness.run(scenario())


def test_a_worker_that_left_by_the_load_does_not_come_back_to_a_cluster_that_has_shrunk() -> None:
    harness = SupervisorHarness(cores=3, **{**QUICK, "scale_in_after_s": 10})

    def scenario() -> Scenario:
        yield from harness.until(lambda: harness.at_work() == [0, 1, 2])
        harness.resources = Resources(cpus=1)
        for _ in range(400):
            for worker in harness.workers:
                worker.says(lag=dict.fromkeys(range(4), 0))
            yield
        assert harness.at_work() == [0]
        yield from behind(harness, 60.0)
        assert harness.at_work() == [0]

    harness.run(scenario())


# -- GPUs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "warned"), [("auto", True), ("cpu", False)])
def test_gpus_that_come_when_auto_has_taken_the_cpu_are_reported_with_the_fix(
    device: str, *, warned: bool
) -> None:
    harness = SupervisorHarness(device=device)

    def scenario() -> Scenario:
        yield from harness.ticks(2.0)
        harness.resources = Resources(cpus=8, gpus=2.0)
        yield from harness.ticks(10.0)
        assert harness.supervisor.scaling.scorers.most == 0, "the device stays"

    with capture_logs() as logs:
        harness.run(scenario())
    found = [line for line in logs if line["event"] == "gpus_unused"]
    assert len(found) == warned
    assert all(line["fix"].startswith('set model.device = "cuda"') for line in found)


def test_scorers_wait_for_the_first_gpu_node_and_their_limit_follows() -> None:
    harness = SupervisorHarness(device="cuda", ingest=1, start_timeout_s=600.0)
    harness.has_room = False

    def scenario() -> Scenario:
        yield from harness.ticks(590.0)
        assert harness.supervisor.scaling.scorers.target == 1
        assert harness.workers == []
        harness.resources = Resources(cpus=8, gpus=4.0)
        harness.has_room = harness.scorers[0].answers = True
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 1)
        assert harness.supervisor.scaling.scorers.most == 4

    with capture_logs() as logs:
        harness.run(scenario())
    assert "gpus_unused" not in [line["event"] for line in logs]


# -- the time of a start ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "workers", [{"ingest": 2}, {"ingest": 1, "scorers": 1, "placement": "actors"}]
)
def test_a_start_may_take_as_long_as_the_settings_say_and_no_longer(
    workers: dict[str, Any],
) -> None:
    harness = SupervisorHarness(start_timeout_s=600.0, **workers)
    harness.has_room, began_s = False, harness.clock()

    def scenario() -> Scenario:
        yield from harness.ticks(590.0)
        yield from harness.ticks(20.0)
        raise AssertionError("it waits for ever")

    with pytest.raises(ClusterError, match=r"within 600 s \(ray\.start_timeout_s\)"):
        harness.run(scenario())
    assert 600.0 <= harness.clock() - began_s <= 602.0


def test_a_worker_of_scaling_waits_as_long_for_the_node_that_is_brought_for_it() -> None:
    harness = SupervisorHarness(ingest=1, start_timeout_s=600.0)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.has_room = False
        harness.scale(ingest=2)
        yield from harness.ticks(590.0)
        assert harness.supervisor.scaling.ingest.target == 2
        harness.workers[1].answers = True
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 2)

    harness.run(scenario())


def test_an_ingest_worker_that_hangs_while_it_loads_has_its_node_already() -> None:
    harness = SupervisorHarness(ingest=1, start_timeout_s=900.0)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        (worker,) = harness.workers
        worker.says(phase=Phase.STARTING)
        yield from harness.ticks(1.0)
        worker.answers = False
        yield from harness.ticks(LOADS_WITHIN_S - 5.0)
        assert not worker.killed
        yield from harness.until(lambda: worker.killed, within=6.0)
        assert harness.supervisor.scaling.replaced == {("ingest", "silent"): 1}

    harness.run(scenario())


def test_a_scorer_that_hangs_when_it_restarts_is_replaced_and_still_wanted() -> None:
    harness = SupervisorHarness(ingest=1, scorers=1, placement="actors", start_timeout_s=900.0)

    def scenario() -> Scenario:
        yield from harness.until(lambda: bool(harness.workers))
        (scorer,) = harness.scorers
        scorer.gone = ActorAwayError("its process ended")
        yield from harness.ticks(1.0)
        scorer.gone, scorer.answers = None, False
        harness.has_room = False
        yield from harness.ticks(LOADS_WITHIN_S - 5.0)
        assert not scorer.killed
        yield from harness.until(lambda: len(harness.scorers) == 2, within=10.0)
        assert harness.scorers[0].killed
        assert harness.supervisor.scaling.replaced == {("scorers", "silent"): 1}
        yield from harness.ticks(890.0)  # its node may be gone: the next one waits for another
        assert len(harness.scorers) == 2
        harness.scorers[1].answers = True
        yield from harness.until(lambda: harness.supervisor.scaling.scorers.actual == 1)

    harness.run(scenario())


def test_an_error_names_the_cpus_that_are_needed_by_now() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: harness.at_work() == [0, 1])
        harness.scale(ingest=4)
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 4)
        harness.has_room = False
        harness.workers[1].end = KILLED
        yield from harness.ticks(200.0)

    with pytest.raises(ClusterError, match="The workers need 4 CPUs together"):
        harness.run(scenario())


# -- the others meanwhile --------------------------------------------------------------------------


def test_a_worker_that_waits_for_its_node_does_not_hold_up_a_step_in_of_the_others() -> None:
    harness = SupervisorHarness(cores=3, start_timeout_s=900.0, scale_in_after_s=10)

    harness.has_room = False

    def scenario() -> Scenario:
        yield from harness.until(lambda: len(harness.workers) == 3)
        for worker in harness.workers[:2]:  # the third has not got a node
            worker.answers = True
        began_s = harness.clock()
        while harness.supervisor.scaling.ingest.target > 1:
            assert harness.clock() - began_s < 120.0, "the load wants fewer, and nobody leaves"
            for worker in harness.workers[:2]:
                worker.says(lag=dict.fromkeys(range(4), 0))
            yield
        assert harness.clock() - began_s >= PLACED_WITHIN_S, "a start disturbs the others"
        yield from harness.until(lambda: harness.at_work() == [0])

    harness.run(scenario())


def test_an_ingest_worker_that_waits_for_its_node_does_not_hold_up_the_scorers() -> None:
    harness = SupervisorHarness(
        cores=3, placement="actors", ingest=2, start_timeout_s=900.0, **QUICK
    )

    def scenario() -> Scenario:
        yield from harness.until(lambda: len(harness.workers) == 2)
        harness.workers[1].answers = False
        for turn in range(400):
            harness.workers[0].says(
                lag=dict.fromkeys(range(4), 10**6), in_flight=4,
                counts={0: Counts(records=10 * turn)},
            )  # fmt: skip
            yield
        scaling = harness.supervisor.scaling
        assert (scaling.scorers.target, scaling.scorers.actual) == (3, 3)
        assert (scaling.ingest.target, scaling.ingest.actual) == (2, 1)

    harness.run(scenario())


def test_while_a_worker_waits_for_its_node_the_load_asks_for_no_other() -> None:
    harness = SupervisorHarness(cores=1, max_ingest=4, start_timeout_s=900.0, **QUICK)

    def scenario() -> Scenario:
        yield from harness.ticks(2.0)
        harness.has_room = False
        yield from behind(harness, 300.0)
        scaling = harness.supervisor.scaling
        assert (scaling.ingest.target, scaling.ingest.actual) == (2, 1)
        assert scaling.decisions == {("ingest", "out"): 1}

    harness.run(scenario())


# -- the most that there can be --------------------------------------------------------------------


def test_the_most_is_the_number_that_is_set_where_nothing_scales() -> None:
    harness = SupervisorHarness(ingest=2)
    assert max_workers(harness) == 2
    harness.scale(ingest=3)
    assert max_workers(harness) == 3
    harness.scale(ingest="auto")
    assert max_workers(harness) == 4
    assert max_workers(harness, Kind.SCORERS) == 0
    assert max_workers(SupervisorHarness(scaling="off", cores=2)) == 2


def test_the_most_is_what_there_was_room_for_until_there_is_more() -> None:
    harness = SupervisorHarness(cores=1, max_ingest=4, **QUICK)

    def scenario() -> Scenario:
        yield from harness.ticks(2.0)
        assert max_workers(harness) == 4
        harness.has_room = False
        while harness.supervisor.scaling.last is None or (
            "no room" not in harness.supervisor.scaling.last.text
        ):
            yield from behind(harness, 1.0)
        seen = set[tuple[int, int, float]]()
        until_s = harness.clock() + 400.0
        while harness.clock() < until_s:  # it is tried again and again
            yield from behind(harness, 1.0)
            count = harness.supervisor.scaling.ingest
            seen.add((count.target, count.actual, max_workers(harness)))
        assert seen == {(1, 1, 1.0), (2, 1, 1.0)}
        harness.has_room = True
        for worker in harness.workers:
            worker.answers = not worker.killed
        yield from behind(harness, 60.0)
        assert harness.supervisor.scaling.ingest.actual > 1
        assert max_workers(harness) == 4

    harness.run(scenario())


@pytest.mark.parametrize("cpus", [1, 3])
def test_room_that_the_cluster_lacked_is_forgotten_when_it_changes(cpus: int) -> None:
    harness = SupervisorHarness(cores=2, max_ingest=4, min_ingest=1, **QUICK)

    def scenario() -> Scenario:
        yield from harness.ticks(2.0)
        harness.has_room = False
        yield from behind(harness, 170.0)
        assert max_workers(harness) == 2
        harness.resources = Resources(cpus=cpus)
        yield from harness.ticks(2.0)
        assert max_workers(harness) == 4

    harness.run(scenario())


def test_room_that_the_cluster_lacked_is_forgotten_when_more_are_ready() -> None:
    harness = SupervisorHarness(ingest=1)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        harness.has_room = False
        harness.scale(ingest=2)
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.room == 1, within=130)
        harness.has_room = True
        harness.scale(ingest=2)
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 2)
        yield from harness.ticks(2.0)  # disturbed: not every partition is held
        assert harness.supervisor.scaling.ingest.room is None

    harness.run(scenario())


def test_the_limits_of_the_settings_stay_what_status_shows() -> None:
    harness = SupervisorHarness(ingest=2, min_ingest=1, max_ingest=3)
    count = harness.supervisor.scaling.ingest
    assert (count.least, count.most, count.possible) == (1, 3, 2)

"""Ingest workers are exchanged one after the other, and never is more than one of them away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.supervision import KILLED, Scenario, SupervisorHarness
from workers.errors import SettingsError
from workers.stream.health import Health, Phase
from workers.supervision.group_admin import GroupAdmin
from workers.supervision.launcher import ActorHandle


class NewLauncher:
    """Notes what it starts; all else is the harness's."""

    def __init__(self, harness: SupervisorHarness) -> None:
        self._harness, self.started = harness, list[int]()
        self.wait, self.leaving_nodes = harness.wait, harness.leaving_nodes
        self.connect, self.scorer = harness.connect, harness.scorer

    def ingest(self, slot: int, scorers: Sequence[ActorHandle]) -> ActorHandle:
        self.started.append(slot)
        return self._harness.ingest(slot, scorers)


def renewing(harness: SupervisorHarness) -> NewLauncher:
    launcher = NewLauncher(harness)
    group = GroupAdmin(partitions=lambda: 4, remove=lambda slots: harness.removed.append([*slots]))
    harness.supervisor.renew(launcher, group)
    return launcher


def all_at_work(harness: SupervisorHarness, number: int) -> bool:
    return harness.supervisor.scaling.ingest.actual == number


def test_each_drains_before_its_successor_starts_and_the_others_work_on() -> None:
    harness = SupervisorHarness(ingest=3)
    fewest = [3]

    def count(_: list[Health]) -> None:
        if len(harness.workers) >= 3:
            fewest.append(len(harness.at_work()))

    def scenario() -> Scenario:
        yield from harness.until(lambda: all_at_work(harness, 3))
        launcher = renewing(harness)
        yield from harness.until(lambda: launcher.started == [0, 1, 2])
        yield from harness.until(lambda: all_at_work(harness, 3))
        assert all(worker.stopped for worker in harness.workers[:3])
        assert harness.removed == [[0], [1], [2]]
        assert min(fewest) == 2
        yield from harness.ticks(20.0)
        assert launcher.started == [0, 1, 2]

    harness.run(scenario(), count)
    assert sum(harness.supervisor.scaling.restarts.values()) == 0


def test_the_next_one_waits_until_the_one_before_is_at_work() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: all_at_work(harness, 2))
        launcher = renewing(harness)
        yield from harness.until(lambda: launcher.started == [0])
        harness.workers[-1].says(phase=Phase.STARTING)  # it loads its model
        yield from harness.ticks(10.0)
        assert launcher.started == [0]
        harness.workers[-1].says(phase=Phase.RUNNING)
        yield from harness.until(lambda: launcher.started == [0, 1])

    harness.run(scenario())


REFUSED = SettingsError("The broker does not let User:vigie in.")


@pytest.mark.parametrize("end", [KILLED, REFUSED], ids=["killed", "the old password"])
def test_one_that_dies_meanwhile_comes_back_with_what_is_new_and_is_not_exchanged_again(
    end: Exception,
) -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: all_at_work(harness, 2))
        harness.workers[0].drains = False  # it takes its time
        launcher = renewing(harness)
        yield from harness.ticks(1.0)
        harness.workers[1].end = end
        yield from harness.until(lambda: launcher.started == [1])
        harness.workers[0].end = Health(slot=0, phase=Phase.STOPPED)
        yield from harness.until(lambda: sorted(launcher.started) == [0, 1])
        yield from harness.until(lambda: all_at_work(harness, 2))
        yield from harness.ticks(20.0)
        assert launcher.started == [1, 0]

    harness.run(scenario())


def test_a_second_change_under_way_reaches_those_that_have_changed_already() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: all_at_work(harness, 2))
        first = renewing(harness)
        yield from harness.until(lambda: first.started == [0])
        second = renewing(harness)
        yield from harness.until(lambda: sorted(second.started) == [0, 1])
        assert first.started == [0]

    harness.run(scenario())


def test_a_new_password_that_is_refused_ends_the_run() -> None:
    harness = SupervisorHarness(ingest=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: all_at_work(harness, 2))
        launcher = renewing(harness)
        yield from harness.until(lambda: launcher.started == [0, 1])
        harness.workers[-1].end = REFUSED
        yield from harness.ticks(20.0)

    with pytest.raises(SettingsError, match="does not let"):
        harness.run(scenario())


def test_an_outage_of_the_registry_does_not_hold_it_up() -> None:
    harness = SupervisorHarness(ingest=3)

    def scenario() -> Scenario:
        yield from harness.until(lambda: all_at_work(harness, 3))
        for worker in harness.workers:
            worker.says(phase=Phase.WAITING)
        launcher = renewing(harness)
        yield from harness.until(lambda: launcher.started == [0, 1, 2])

    harness.run(scenario())

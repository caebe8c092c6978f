"""How many workers there should be: by hand, by the load, by the partitions; among fakes."""

from __future__ import annotations

import pytest

from tests.support.supervision import Scenario, SupervisorHarness
from workers.stream.state.counts import Counts
from workers.supervision.targets import ScaleRejectedError


def test_more_workers_than_partitions_are_rejected_until_the_topic_has_grown() -> None:
    harness = SupervisorHarness(ingest=1, partitions=2)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        with pytest.raises(ScaleRejectedError, match=r"at most 2, got 3: vigie.readings has 2"):
            harness.scale(ingest=3)
        harness.broker_answers = False
        with pytest.raises(ScaleRejectedError, match="the broker is away"):
            harness.scale(ingest=3)
        harness.broker_answers = True
        harness.partitions = 3
        harness.scale(ingest=3)
        yield from harness.until(lambda: harness.at_work() == [0, 1, 2])

    harness.run(scenario())


def test_partitions_that_are_added_are_noticed_and_a_fixed_number_gets_its_workers() -> None:
    harness = SupervisorHarness(ingest=3, partitions=1)

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        assert harness.at_work() == [0]
        harness.partitions = 8
        yield from harness.until(lambda: harness.at_work() == [0, 1, 2])

    harness.run(scenario())


@pytest.mark.parametrize("wanted", [0, -1])
def test_fewer_than_one_worker_is_rejected(wanted: int) -> None:
    harness = SupervisorHarness(ingest=1)
    with pytest.raises(ScaleRejectedError, match="at least 1"):
        harness.scale(ingest=wanted)
    with pytest.raises(ScaleRejectedError, match="there are no scorers"):
        harness.scale(scorers=2)


def test_the_load_brings_help_which_leaves_again() -> None:
    harness = SupervisorHarness(
        cores=3, max_ingest=3, min_ingest=1, scale_out_after_s=5, scale_in_after_s=20,
        scaling_pause_s=10,
    )  # fmt: skip

    def load(*, busy: float, lag: int) -> None:
        for worker in harness.workers:
            if not worker.killed:
                counts = {worker.slot: Counts(records=int(100 * harness.clock()))}
                held = dict.fromkeys(range(4), lag)
                worker.says(lag=held, counts=counts, busy_s=busy * harness.clock())

    def scenario() -> Scenario:
        yield from harness.ticks(1.0)
        for seconds, busy, lag, expected in ((60, 0.1, 0, 1), (60, 1.0, 10**6, 3)):
            until_s = harness.clock() + seconds
            while harness.clock() < until_s:
                load(busy=busy, lag=lag)
                yield
            assert len(harness.at_work()) == expected
        assert harness.supervisor.scaling.decisions[("ingest", "out")] == 2
        assert "busy: 2 -> 3 ingest" in harness.supervisor.scaling.last.text

    harness.run(scenario())


def test_a_number_in_the_settings_is_kept_whatever_the_load_until_somebody_says_auto() -> None:
    harness = SupervisorHarness(
        ingest=3, scale_out_after_s=5, scale_in_after_s=10, scaling_pause_s=5
    )

    def scenario() -> Scenario:
        for _ in range(400):
            for worker in harness.workers:
                worker.says(lag=dict.fromkeys(range(4), 0))
            yield
        assert harness.at_work() == [0, 1, 2]
        harness.scale(ingest="auto")
        for _ in range(200):
            yield
        assert harness.at_work() == [0]

    harness.run(scenario())

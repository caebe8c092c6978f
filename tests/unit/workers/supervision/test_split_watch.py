"""The warning about sensors in several partitions: when it matters, and not over and over."""

from __future__ import annotations

from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.supervision import Scenario, SupervisorHarness
from workers.stream.health import Health
from workers.stream.state.sensor_spans import SensorSpans, Span
from workers.supervision.split_watch import LOOK_EVERY_S, SplitWatch


def healths(split: int, whole: int = 3) -> list[Health]:
    """Two workers with these sensors."""
    both = {f"pump-{n}": Span(0, 100) for n in range(split)}
    mine = {f"fan-{n}": Span(0, 100) for n in range(whole)}
    return [
        Health(slot=0, spans={0: SensorSpans.of(both | mine)}),
        Health(slot=1, spans={1: SensorSpans.of(both)}),
    ]


def warnings_of(looks: list[int]) -> list[int]:
    """How many sensors each warning names, for a look at so many split ones each."""
    watch, clock = SplitWatch("unk"), FakeClock()
    with capture_logs() as logs:
        for split in looks:
            watch.look(healths(split), clock())
            watch.look(healths(split), clock())  # too early
            clock.advance(LOOK_EVERY_S)
    assert {entry["event"] for entry in logs} <= {"sensors_in_several_partitions"}
    return [entry["sensors"] for entry in logs]


def test_nothing_is_said_of_whole_sensors():
    assert warnings_of([0, 0, 0]) == []


def test_it_is_said_once_and_again_when_there_are_twice_as_many():
    assert warnings_of([2, 2, 2, 3, 3, 4, 4, 4, 90, 90, 90]) == [2, 4, 90]


def test_what_one_look_alone_has_found_is_not_said():
    """A sensor moves, and its last records still come by the old way."""
    assert warnings_of([1, 0, 1, 0, 0]) == []


def test_a_run_warns_with_examples_and_the_way_out():
    harness = SupervisorHarness(ingest=2, partitions=2)

    def scenario() -> Scenario:
        yield from harness.until(lambda: harness.supervisor.scaling.ingest.actual == 2)
        for worker, health in zip(harness.workers, healths(2), strict=True):
            worker.says(spans=health.spans)
        yield from harness.ticks(4 * LOOK_EVERY_S)

    with capture_logs() as logs:
        harness.run(scenario())
    (said,) = [one for one in logs if one["event"] == "sensors_in_several_partitions"]
    assert said["log_level"] == "warning"
    assert said["examples"] == {"pump-0": [0, 1], "pump-1": [0, 1]}
    assert "vigie repartition" in said["fix"]
    assert '[repartition]\nsource = "' in said["fix"]

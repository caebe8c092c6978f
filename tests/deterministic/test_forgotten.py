"""At least once, a worker dies at each of its calls while it forgets a sensor that it has read.

The sensor's last reading and its end come in one commit: whoever repeats it must not begin the
sensor anew, or what it publishes again differs.
"""

from __future__ import annotations

import pytest

from tests.deterministic.checker import check_at_least_once
from tests.deterministic.clients import Fault
from tests.deterministic.readings import simulated, undisturbed
from tests.deterministic.world import Process, World
from tests.support.logs import Entry, Rules
from tests.support.partitions import Sample

SENSORS = "aaaaababbbbb"
HALF = len(SENSORS) // 2
RULES = Rules(receptive_field=1, warm_up=1, max_records=4, max_age_ms=10**9)
ENTRIES = simulated(
    [Entry(n, n, "good", (Sample(name, 2 * n, n),)) for n, name in enumerate(SENSORS)], 0
)
TURNS = 60


def work(world: World, process: Process, end: int) -> None:
    """Let it work until it has committed, or is no more."""
    for _ in range(TURNS):
        process.step()
        world.clock.advance(0.1)
        while process.scoring.open:
            process.scoring.answer(0)
        committed = world.broker.committed.get(0)
        if process.is_over or (committed is not None and committed.next_offset == end):
            return
    raise AssertionError("stuck")


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_a_sensor_that_is_forgotten_is_not_begun_anew_by_a_repeat(fault: Fault) -> None:
    expected, died = undisturbed({0: ENTRIES}, RULES), 0
    for call in range(1, TURNS):
        world = World({0: ENTRIES}, RULES, workers=1, poll=40, in_flight=4, exactly_once=False)
        process = world.start(world.names[0])
        work(world, process, HALF)
        world.broker.logs[0].visible = len(ENTRIES)
        process.line.arm(call, fault)
        work(world, process, len(ENTRIES))
        died += process.is_over
        world.finish()
        check_at_least_once(world.broker, expected)
        if not process.is_over:
            break
    assert died > 10
    (only,) = expected.recorded[0]
    assert only == "b0"

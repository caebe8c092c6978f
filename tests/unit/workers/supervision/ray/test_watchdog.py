"""A worker that stands still with work before it shows where it stands, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clock import FakeClock
from workers.supervision.ray.watchdog import Watchdog


class Progress:
    def __init__(self) -> None:
        self.ticks, self.has_work = 0, True

    def __call__(self) -> tuple[int, bool]:
        return self.ticks, self.has_work


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_stall_dumps_the_stacks_once(tmp_path: Path, clock: FakeClock) -> None:
    with (tmp_path / "stacks").open("w+") as sink:
        watchdog = Watchdog(Progress(), stall_timeout_s=30.0, sink=sink, monotonic_s=clock)
        for _ in range(4):
            clock.advance(20.0)
            watchdog.look()
        sink.seek(0)
        assert "test_watchdog.py" in sink.read()
    assert watchdog.stalls == 1


def test_progress_and_idleness_are_no_stall(tmp_path: Path, clock: FakeClock) -> None:
    progress = Progress()
    with (tmp_path / "stacks").open("w+") as sink:
        watchdog = Watchdog(progress, stall_timeout_s=30.0, sink=sink, monotonic_s=clock)
        for _ in range(4):
            clock.advance(20.0)
            progress.ticks += 1
            watchdog.look()
        progress.has_work = False
        for _ in range(4):
            clock.advance(20.0)
            watchdog.look()
    assert watchdog.stalls == 0


def test_a_second_stall_is_dumped_too(tmp_path: Path, clock: FakeClock) -> None:
    progress = Progress()
    with (tmp_path / "stacks").open("w+") as sink:
        watchdog = Watchdog(progress, stall_timeout_s=30.0, sink=sink, monotonic_s=clock)
        for _ in range(2):
            clock.advance(31.0)
            watchdog.look()
            progress.ticks += 1
            watchdog.look()
    assert watchdog.stalls == 2

"""Two releases in one group: taking over and going back lose, double and change nothing."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from detector.artifact import save
from schemas.settings import Settings
from tests.chaos import checkers
from tests.chaos.incidents import anomalies_belong, equal_incidents, ordered_incidents
from tests.chaos.outcome import outcome_of
from tests.chaos.recorded import recorded_of
from tests.chaos.reference import expected_of
from tests.support.broker import MakeTopic, read_settled
from tests.support.models import small_detector
from tests.support.runs import metrics_address, status, vigie_run
from tests.support.streams import make_settings
from tests.support.wait import wait_until
from tests.upgrade.flow import readings_flowing
from tests.upgrade.previous import Environment
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

pytestmark = [pytest.mark.kafka, pytest.mark.ray, pytest.mark.timeout(900)]

PARTITIONS = 4
ENOUGH = 150
"""Records that a release has to do before the next step."""
SLOW_START, MOST_STARTS = "timed out during startup", 8
STREAM = {"max_restore_records": 2000, "max_stale_s": 4}
"""Small, so that a state forgets and restores while the releases change."""


@dataclass(kw_only=True)
class Group:
    """Runs of both releases in one consumer group, each under an instance name of its own."""

    settings: Settings
    model: Path
    folder: Path
    stack: ExitStack
    starts: int = 0

    def start(self, instance: str, *program: str) -> Run:
        """Start a `vigie run` of this release, or of another one's program.

        Ray gives a node of its half a minute to start, however busy the machine is: then again.
        """
        words = {"kafka.instance": instance, "workers.ingest": "1"}
        words |= {f"stream.{name}": str(value) for name, value in STREAM.items()}
        extra = [word for name, value in words.items() for word in ("--set", f"{name}={value}")]
        while True:
            self.starts += 1
            home = self.folder / f"run-{self.starts}"
            home.mkdir()
            process, log = self.stack.enter_context(
                vigie_run(self.settings, self.model, home, *extra, program=program)
            )
            run = Run(process=process, log=log)
            wait_until(run.has_begun, within=150, what=str(log))
            if process.poll() is None:
                return run
            assert SLOW_START in log.read_text(), log.read_text()
            assert self.starts < MOST_STARTS, "no node of Ray starts on this machine"


@dataclass(kw_only=True)
class Run:
    """One `vigie run`."""

    process: subprocess.Popen[str]
    log: Path

    def has_begun(self) -> bool:
        """Whether it serves its metrics, or has ended."""
        return self.process.poll() is not None or "metrics_served" in self.log.read_text()

    def records(self) -> int:
        """How many it has committed."""
        return int(status(metrics_address(self.log))["counts"]["records"])

    def works(self, *, within: float = 240) -> None:
        """Wait until it has committed enough more."""
        before = self.records()
        wait_until(lambda: self.records() >= before + ENOUGH, within=within, what=str(self.log))

    def stop(self) -> None:
        """End it as Kubernetes does: SIGTERM, and it drains."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=120)
        assert self.process.returncode == 0, self.log.read_text()


def committed_to_the_end(connection: Connection, settings: Settings) -> Callable[[], bool]:
    """A condition: the group has committed all that lies in the readings when this is called."""
    admin, topic = admin_of(connection), settings.topics.readings
    ends = {p: end for (_, p), (_, end) in admin.topic_bounds({topic: PARTITIONS}).items()}

    def reached() -> bool:
        committed = admin.describe_group(settings.kafka.group, topic).committed
        return all(p in committed and committed[p].next_offset >= end for p, end in ends.items())

    return reached


def test_an_upgrade_and_the_way_back_lose_double_and_change_nothing(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    tmp_path: Path,
    previous: Environment,
) -> None:
    """Old; old and new; new; new and old; old: while readings flow and incidents are open."""
    settings = make_settings(connection, make_topic, group, partitions=PARTITIONS, stream=STREAM)
    model = save(small_detector(16), tmp_path / "model")
    with ExitStack() as stack:
        runs = Group(settings=settings, model=model, folder=tmp_path, stack=stack)
        with readings_flowing(connection, settings.topics.readings):
            first = runs.start("main", previous.vigie)
            first.works()
            upgraded = runs.start("next")
            upgraded.works()
            first.works()
            first.stop()
            upgraded.works()
            rolled_back = runs.start("main", previous.vigie)
            rolled_back.works()
            upgraded.works()
            upgraded.stop()
            rolled_back.works()
        wait_until(committed_to_the_end(connection, settings), within=120, what="the old release")
        rolled_back.stop()
    assert_exact(connection, settings)


def assert_exact(connection: Connection, settings: Settings) -> None:
    """Every output is the definition's, number by number, and so is what is recorded."""
    topics = settings.topics
    source = read_settled(connection, topics.readings)
    bounds = admin_of(connection).topic_bounds({topics.readings: PARTITIONS})
    ends = {partition: end for (_, partition), (_, end) in bounds.items()}
    outputs = (topics.denoised, topics.anomalies, topics.incidents, topics.dead_letters)
    seen = outcome_of(
        topics, (record for topic in outputs for record in read_settled(connection, topic))
    )
    expected = expected_of(source, ends, small_detector(16), settings)
    recorded = recorded_of(read_settled(connection, topics.sensor_state))
    assert expected.counts["scored"] > 10 * ENOUGH, "too little was read to show anything"
    assert expected.events, "without an incident what is recorded is counts alone"
    assert [
        *checkers.accounted(expected.verdicts, seen),
        *checkers.unique(seen, topics.readings),
        *checkers.ordered(seen),
        *checkers.equal(expected, seen),
        *anomalies_belong(seen),
        *ordered_incidents(seen),
        *equal_incidents(expected.events, seen),
        *checkers.differing("recorded sensors", expected.recorded, recorded),
    ] == []

"""A real `vigie run` is scaled, loses workers to SIGSTOP, and gives up when it must."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from detector.artifact import save
from schemas.settings import Settings
from tests.support.broker import MakeTopic, produce
from tests.support.models import encoded, reading_records, small_detector
from tests.support.runs import actors, metrics_address, status, vigie_run
from tests.support.streams import make_settings, scored_readings
from tests.support.wait import wait_until
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

pytestmark = [pytest.mark.kafka, pytest.mark.ray, pytest.mark.timeout(400)]

SENSORS = [f"pump-{n}" for n in range(6)]
WARM_UP = 7
START_S = 120.0
"""Longest start of a run on a machine that does much else."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(small_detector(), tmp_path_factory.mktemp("model") / "small")


class Feed:
    """Readings that are sent a few at a time."""

    def __init__(self, connection: Connection, settings: Settings, rows: int) -> None:
        self._connection, self._settings = connection, settings
        self._records: Iterator[dict[str, Any]] = iter(encoded(reading_records(SENSORS, rows)))
        self.sent = 0

    def send(self, rows: int = 1) -> None:
        chunk = list(islice(self._records, rows * len(SENSORS)))
        produce(self._connection, self._settings.topics.readings, chunk)
        self.sent += len(chunk)

    def while_flowing(self, condition: Callable[[], Any]) -> Callable[[], Any]:
        """The condition; each look at it sends a row more."""

        def look() -> Any:
            self.send()
            return condition()

        return look

    def all_scored(self) -> Callable[[], bool]:
        return lambda: (
            len(scored_readings(self._connection, self._settings))
            == self.sent - WARM_UP * len(SENSORS)
        )


def held(found: dict[str, Any]) -> dict[int, list[int]]:
    """Partitions by worker, of those that have any."""
    return {w["slot"]: w["partitions"] for w in found["workers"] if w["partitions"]}


def test_scaled_out_and_in_by_hand_while_readings_flow_nothing_is_lost(  # noqa: PLR0917 - fixtures
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = make_settings(connection, make_topic, group, partitions=3)
    feed = Feed(connection, settings, rows=4_000)
    with vigie_run(settings, model, tmp_path, "--ingest", "1") as (process, log):
        address = metrics_address(log)
        wait_until(
            feed.while_flowing(lambda: held(status(address)) == {0: [0, 1, 2]}),
            within=START_S,
            what="one worker with everything",
        )
        assert cli.main(["scale", "--ingest", "3", "--address", address]) == ExitCode.OK
        wait_until(
            feed.while_flowing(
                lambda: sorted(map(len, held(status(address)).values())) == [1, 1, 1]
            ),
            within=START_S,
            what="three workers with one partition each",
        )
        assert cli.main(["scale", "--ingest", "4", "--address", address]) == ExitCode.USAGE
        assert "at most 3, got 4" in capsys.readouterr().err
        assert cli.main(["scale", "--ingest", "1", "--address", address]) == ExitCode.OK
        wait_until(
            feed.while_flowing(lambda: held(status(address)) == {0: [0, 1, 2]}),
            within=START_S,
            what="one worker with everything again",
        )
        feed.send(20)
        wait_until(feed.all_scored(), within=START_S, what="everything scored")
        scaling = status(address)["scaling"]
        assert scaling["last_decision"]["text"] == "by hand: 3 -> 1 ingest"
        assert scaling["replaced"] == []
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=START_S)
        assert process.returncode == 0, log.read_text()
    counts = json.loads(out)["counts"]
    assert counts["records"] == feed.sent
    assert counts["scored"] + counts["warming_up"] == feed.sent
    assert log.read_text().count('"event": "scaled"') == 2
    # Nobody is left in the group: the next run has its partitions at once.
    assert admin_of(connection).describe_group(group, settings.topics.readings).members == ()


@pytest.mark.slow  # the short chaos run of every CI stops one, too
def test_a_stopped_ingest_worker_is_replaced_and_everything_is_scored(
    connection: Connection, make_topic: MakeTopic, group: str, model: Path, tmp_path: Path
) -> None:
    settings = make_settings(connection, make_topic, group)
    feed = Feed(connection, settings, rows=200)
    extra = ("--ingest", "1", "--set", "workers.stall_timeout_s=6")
    with vigie_run(settings, model, tmp_path, *extra) as (process, log):
        address = metrics_address(log)
        feed.send(50)
        wait_until(
            lambda: status(address)["counts"]["records"] == feed.sent,
            within=START_S,
            what="the first readings",
        )
        (worker,) = actors(process, "IngestActor").values()
        worker.suspend()
        feed.send(50)
        wait_until(feed.all_scored(), within=START_S, what="everything scored")
        wait_until(lambda: not worker.is_running(), within=20, what="the stopped one ended")
        # With the counts of the dead one.
        wait_until(
            lambda: status(address)["counts"]["records"] == feed.sent,
            within=START_S,
            what="all counts",
        )
        assert status(address)["scaling"]["replaced"] == [
            {"kind": "ingest", "reason": "silent", "count": 1}
        ]
    assert process.returncode == 0, log.read_text()
    (line,) = (line for line in log.read_text().splitlines() if "worker_replaced" in line)
    assert "it gave no answer for 6 s" in json.loads(line)["cause"]


def test_a_stopped_scorer_is_replaced_and_everything_is_scored(
    connection: Connection, make_topic: MakeTopic, group: str, model: Path, tmp_path: Path
) -> None:
    settings = make_settings(connection, make_topic, group)
    feed = Feed(connection, settings, rows=200)
    extra = ("--ingest", "1", "--set", "workers.placement=actors")
    patience = ("--set", "workers.stall_timeout_s=12")
    with vigie_run(settings, model, tmp_path, *extra, *patience) as (process, log):
        address = metrics_address(log)
        feed.send(50)
        wait_until(
            lambda: status(address)["counts"]["records"] == feed.sent,
            within=START_S,
            what="the first readings",
        )
        (scorer,) = actors(process, "ScorerActor").values()
        scorer.suspend()
        feed.send(50)
        wait_until(feed.all_scored(), within=START_S, what="everything scored")
        assert not scorer.is_running()
        assert status(address)["scaling"]["replaced"] == [
            {"kind": "scorers", "reason": "silent", "count": 1}
        ]
        assert status(address)["counts"]["dead_lettered"] == 0
    assert process.returncode == 0, log.read_text()


def test_a_crash_loop_ends_with_the_cause(
    connection: Connection, make_topic: MakeTopic, group: str, model: Path, tmp_path: Path
) -> None:
    settings = make_settings(connection, make_topic, group)
    extra = ("--ingest", "1", "--set", "workers.max_restarts=1")
    with vigie_run(settings, model, tmp_path, *extra) as (process, log):
        wait_until(lambda: actors(process, "IngestActor"), within=START_S, what="a worker")

        def killed() -> int | None:
            for worker in actors(process, "IngestActor").values():
                worker.kill()
            return process.poll()

        wait_until(killed, within=START_S, what="the end of the run")
        assert process.returncode == ExitCode.FAILURE
    words = log.read_text()
    assert "lost more than 1 times" in words
    assert "The last cause: ActorLostError" in words

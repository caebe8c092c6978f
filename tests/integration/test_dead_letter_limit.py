"""A bad deploy before `vigie run`: it ends and says why, and goes on when it is told to."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from detector.artifact import save
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.models import encoded, reading_records, small_detector
from tests.support.runs import metrics_address, status, vigie_run
from tests.support.streams import make_settings, scored_readings
from tests.support.wait import wait_until
from workers.cli.exits import ExitCode
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

pytestmark = [pytest.mark.kafka, pytest.mark.ray]

GOOD = encoded(reading_records(["pump-1"], 40))
BAD = [{**record, "value": record["value"].replace(b"pressure", b"p")} for record in GOOD]


@pytest.mark.timeout(400)
def test_a_bad_deploy_ends_the_run_and_loses_nothing(
    connection: Connection, make_topic: MakeTopic, group: str, tmp_path: Path
) -> None:
    settings = make_settings(connection, make_topic, group, partitions=1)
    readings = settings.topics.readings
    model = save(small_detector(), tmp_path / "model")
    produce(connection, readings, [*GOOD, *BAD])
    limit = ("--set", "stream.max_dead_letters_in_row=20")
    with vigie_run(settings, model, tmp_path, *limit) as (process, log):
        process.communicate(timeout=200)
        assert process.returncode == ExitCode.LOOK_FIRST, log.read_text()
    told = log.read_text()
    for words in ("partition 0", "offsets 40 to 60", "missing channel pressure", "stream.channels"):
        assert words in told
    assert "worker_restarts" not in told
    committed = admin_of(connection).describe_group(group, readings).committed
    assert 0 not in committed or committed[0].next_offset <= 60
    assert len(read_all(connection, settings.topics.dead_letters)) <= 20

    raised = ("--set", "stream.max_dead_letters_in_row=0")
    with vigie_run(settings, model, tmp_path, *raised) as (process, log):
        address = metrics_address(log)
        wait_until(
            lambda: status(address)["counts"]["bad"].get("channels") == len(BAD),
            within=200,
            what="the bad records are given up",
        )
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
    assert json.loads(out)["counts"]["dead_lettered"] == len(BAD)
    assert len(read_all(connection, settings.topics.dead_letters)) == len(BAD)
    assert len(scored_readings(connection, settings)) == len(GOOD) - 7

"""`vigie run` and a registry that is away, comes back, and rejects: real workers, an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")

from detector.artifact import save
from tests.integration.test_registry_stream import HALF, NEW, OLD, RECORDS, avro_records
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.models import small_detector
from tests.support.registry import document, registry_running
from tests.support.runs import actors, metrics_address, status, vigie_run
from tests.support.streams import make_settings
from tests.support.wait import wait_until
from workers.kafka.client import Connection

pytestmark = [pytest.mark.kafka, pytest.mark.ray, pytest.mark.slow]

STALL_TIMEOUT_S = 8
TRIES = 10
"""Take 16 s with the pauses between them: twice as long as a worker may stand still."""


@pytest.mark.timeout(400)
def test_an_outage_replaces_no_worker_and_a_rejection_ends_the_run(
    connection: Connection, make_topic: MakeTopic, group: str, tmp_path: Path
) -> None:
    settings = make_settings(connection, make_topic, group, partitions=1)
    readings, dead_letters = settings.topics.readings, settings.topics.dead_letters
    model = save(small_detector(), tmp_path / "model")
    produce(connection, readings, avro_records(RECORDS[:HALF], 1, OLD))
    with registry_running() as registry:
        registry.add(1, OLD)
        registry.add(2, NEW)
        registry.instead = lambda _path: (503, {}, b"")
        wanted = {
            "input.format": "avro",
            "registry.url": registry.url,
            "workers.stall_timeout_s": STALL_TIMEOUT_S,
        }
        extra = [part for key, value in wanted.items() for part in ("--set", f"{key}={value}")]
        with vigie_run(settings, model, tmp_path, *extra) as (process, log):
            address = metrics_address(log)
            wait_until(lambda: len(registry.asked) >= TRIES, within=120, what="tries")
            (worker,) = status(address)["workers"]
            assert (worker["phase"], worker["stalls"], worker["rewinds"]) == ("waiting", 0, 0)
            members = actors(process, "IngestActor")
            registry.instead = None
            wait_until(
                lambda: status(address)["counts"]["records"] == HALF, within=60, what="readings"
            )
            assert actors(process, "IngestActor").keys() == members.keys()
            outage = "the schema registry does not answer"
            assert log.read_text().count(outage) == 1

            registry.instead = lambda _path: document({"error_code": 40301}, 403)
            produce(connection, readings, avro_records(RECORDS[HALF:], 2, NEW))
            process.communicate(timeout=120)
            assert process.returncode == 2, log.read_text()
            assert "rejects us (HTTP 403)" in log.read_text()
    assert read_all(connection, dead_letters) == []

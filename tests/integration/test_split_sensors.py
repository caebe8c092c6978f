"""Records without a key, over two partitions and two workers: a run says so everywhere."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from detector.artifact import save
from tests.support.broker import MakeTopic, produce
from tests.support.models import encoded, reading_records, small_detector
from tests.support.runs import metrics_address, status, vigie_run
from tests.support.streams import make_settings
from tests.support.wait import wait_until
from workers.cli import main as cli
from workers.kafka.client import Connection

pytestmark = pytest.mark.kafka

ROUND_ROBIN = ["pump-1", "pump-2", "pump-3"]


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_sensors_in_the_partitions_of_two_workers_are_named(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = make_settings(connection, make_topic, group)
    split = encoded(reading_records(ROUND_ROBIN, 60))
    keyed = encoded(reading_records(["fan-1"], 60))
    moved = encoded(reading_records(["fan-2"], 60))
    records = [
        *({**record, "key": None, "partition": n % 2} for n, record in enumerate(split)),
        *({**record, "partition": 0} for record in keyed),
        *({**record, "partition": int(n >= 30)} for n, record in enumerate(moved)),
    ]
    produce(connection, settings.topics.readings, records)
    model = save(small_detector(), tmp_path / "model")
    with vigie_run(settings, model, tmp_path, "--ingest", "2") as (_, log):
        address = metrics_address(log)
        wait_until(
            lambda: status(address)["split_sensors"]["sensors"],
            within=120,
            what="a status that tells of split sensors",
        )
        wait_until(
            lambda: status(address)["counts"]["records"] == len(records),
            within=60,
            what="all records committed",
        )
        wait_until(
            lambda: "sensors_in_several_partitions" in log.read_text(),
            within=60,
            what="a warning",
        )
        found = status(address)
        assert {tuple(worker["partitions"]) for worker in found["workers"]} == {(0,), (1,)}
        assert found["split_sensors"] == {
            "sensors": 3,
            "share": 1,
            "examples": {sensor: [0, 1] for sensor in ROUND_ROBIN},
        }
        with urllib.request.urlopen(address, timeout=5) as answer:
            assert "vigie_split_sensors 3.0" in answer.read().decode()
        asked = ["--bootstrap", connection.bootstrap, "--url", address.removesuffix("/metrics")]
        assert cli.main(["status", *asked]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "3 come in several partitions (pump-1 in 0, 1; pump-2 in 0, 1" in shown
        assert "vigie repartition" in shown
        said = [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]
    (warning,) = [one for one in said if one.get("event") == "sensors_in_several_partitions"]
    assert warning["sensors"] == 3
    assert "fan-1" not in str(warning["examples"])


def test_a_status_without_a_pipeline_finds_them_by_some_records(
    connection: Connection,
    make_topic: MakeTopic,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["status", "--bootstrap", connection.bootstrap, "--json"]

    def found(topic: str) -> Any:
        assert cli.main([*asked, "--set", f"topics.readings={topic}"]) == 0
        return json.loads(capsys.readouterr().out)["split_sensors"]

    records = encoded(reading_records(ROUND_ROBIN, 60))
    whole, split = make_topic(partitions=2), make_topic(partitions=2)
    produce(connection, whole, records)
    produce(connection, split, [{**one, "partition": n % 2} for n, one in enumerate(records)])

    assert found(whole)["sensors"] == 0
    assert found(split)["examples"] == {sensor: [0, 1] for sensor in ROUND_ROBIN}
    assert found("never-made") is None

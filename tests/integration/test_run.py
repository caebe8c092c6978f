"""`vigie run` as an operator meets it: a process, signals, an exit code, real Ray workers."""

from __future__ import annotations

import json
import signal
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from detector.artifact import save
from tests.support.broker import QUICK_START, MakeTopic, produce
from tests.support.models import encoded, reading_records, small_detector
from tests.support.runs import actors, metrics_address, status, vigie_run
from tests.support.streams import anomalies, make_settings, scored_readings
from tests.support.wait import wait_until
from workers.broker.embedded import BrokerConfig
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

pytestmark = [pytest.mark.kafka, pytest.mark.ray]

SENSORS = ["pump-1", "pump-2", "pump-3"]
WARM_UP = 7


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(small_detector(), tmp_path_factory.mktemp("model") / "small")


@pytest.mark.parametrize("placement", [pytest.param("ingest", marks=pytest.mark.slow), "actors"])
@pytest.mark.timeout(400)
def test_sigterm_drains_and_everything_is_accounted_for(  # noqa: PLR0917 - fixtures
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    model: Path,
    tmp_path: Path,
    placement: str,
) -> None:
    settings = make_settings(connection, make_topic, group)
    records = reading_records(SENSORS, 100, spike_at=50)
    produce(connection, settings.topics.readings, encoded(records))
    labels = tmp_path / "sensors.csv"
    labels.write_text("sensor_id,site\npump-1,north\npump-2,south\n")
    extra = ("--set", f"workers.placement={placement}", "--set", f"sensors.path={labels}")
    with vigie_run(settings, model, tmp_path, *extra) as (process, log):
        address = metrics_address(log)
        wait_until(
            lambda: status(address)["counts"]["records"] == len(records),
            within=120,
            what="all records committed",
        )
        with urllib.request.urlopen(address, timeout=5) as answer:
            exposition = answer.read().decode()
        assert "vigie_scored_total" in exposition
        assert "vigie_lag_records" in exposition
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, log.read_text()
    counts = json.loads(out)["counts"]
    scored = len(SENSORS) * (100 - WARM_UP)
    assert counts["scored"] == scored == len(scored_readings(connection, settings))
    assert counts["warming_up"] == len(SENSORS) * WARM_UP
    told = {a.sensor_id: a.labels for a in anomalies(connection, settings).values()}
    assert told == {"pump-1": {"site": "north"}, "pump-2": {"site": "south"}, "pump-3": {}}


@pytest.mark.slow  # the short chaos run of every CI kills four
@pytest.mark.timeout(400)
def test_a_killed_worker_is_restarted_and_nothing_is_lost(
    connection: Connection, make_topic: MakeTopic, group: str, model: Path, tmp_path: Path
) -> None:
    settings = make_settings(connection, make_topic, group)
    records = encoded(reading_records(SENSORS, 200))
    half = len(records) // 2
    produce(connection, settings.topics.readings, records[:half])
    with vigie_run(settings, model, tmp_path, "--ingest", "1") as (process, log):
        address = metrics_address(log)
        wait_until(
            lambda: status(address)["counts"]["records"] >= half, within=120, what="the first half"
        )
        (worker,) = actors(process, "IngestActor").values()
        worker.kill()
        produce(connection, settings.topics.readings, records[half:])
        wait_until(
            lambda: len(scored_readings(connection, settings)) == len(records) - 3 * WARM_UP,
            within=120,
            what="everything scored",
        )
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, log.read_text()
    assert "worker_died" in log.read_text()
    assert json.loads(out)["counts"]["records"] > 0, "what Ray says of the death is not for stdout"


@pytest.mark.timeout(240)
def test_a_missing_topic_stops_the_run_and_says_what_to_do(
    connection: Connection, make_topic: MakeTopic, group: str, model: Path, tmp_path: Path
) -> None:
    settings = make_settings(connection, make_topic, group)
    absent = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"readings": "not-there"})}
    )
    with vigie_run(absent, model, tmp_path) as (process, log):
        process.communicate(timeout=120)
        assert process.returncode == 2
    assert "not-there" in log.read_text()
    assert "vigie topics create" in log.read_text()


@pytest.mark.slow  # the short chaos run of every CI kills brokers, too
@pytest.mark.timeout(400)
def test_the_broker_goes_away_in_the_middle_and_comes_back(model: Path, tmp_path: Path) -> None:
    config = BrokerConfig(data=tmp_path / "kafka", jvm_options=QUICK_START)
    names = (f"topic-{number}" for number in range(7))
    records = encoded(reading_records(SENSORS, 100))
    half = len(records) // 2
    with config.open() as broker:
        connection = Connection(bootstrap=broker.bootstrap, wait_timeout_s=60)

        def make_topic(partitions: int = 1, **configs: str) -> str:
            spec = TopicSpec(name=next(names), partitions=partitions, configs=configs)
            admin_of(connection).create_topics([spec])
            return spec.name

        settings = make_settings(connection, make_topic, "group")
        produce(connection, settings.topics.readings, records[:half])
        flush = ("--set", "processing.flush_timeout_s=2", "--ingest", "1")
        with vigie_run(settings, model, tmp_path, *flush) as (process, log):
            address = metrics_address(log)
            wait_until(
                lambda: status(address)["counts"]["records"] == half,
                within=120,
                what="the first half",
            )
            broker.stop()
            wait_until(
                lambda: "does not answer" in log.read_text(), within=60, what="a word about it"
            )
            port = int(broker.bootstrap.rpartition(":")[2])
            with replace(config, port=port).open():
                produce(connection, settings.topics.readings, records[half:])
                wait_until(
                    lambda: (
                        len(scored_readings(connection, settings)) == len(records) - 3 * WARM_UP
                    ),
                    within=120,
                    what="everything scored",
                )
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=120)
                assert process.returncode == 0, log.read_text()

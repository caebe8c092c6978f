"""A topic in somebody else's envelope: trained from, streamed, and its dead letters sent back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.artifact import save
from schemas.settings import Settings
from tests.integration.test_stream import expected_from_backtest
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.models import CHANNELS, SECOND_NS, START_NS, reading_records, small_detector
from tests.support.streams import (
    anomalies,
    make_settings,
    open_loop,
    records_done,
    scored_readings,
    step_until,
)
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.kafka.client import Connection

pytestmark = pytest.mark.kafka

SENSORS = ["pump-1", "pump-2", "pump-3"]
TELEGRAF = {"preset": "telegraf", "sensor": "tags.id", "time_unit": "ms"}


def metric(sensor, ts_ns, values):
    return {
        "fields": {**dict(zip(CHANNELS, values.tolist(), strict=True)), "state": "run"},
        "name": "pump",
        "tags": {"id": sensor, "host": "h1"},
        "timestamp": ts_ns // 1_000_000,
    }


def batches(records, size):
    """Records of so many readings each, of whatever sensors."""
    metrics = [metric(*record) for record in records]
    return [
        {
            "value": json.dumps({"metrics": metrics[start : start + size]}).encode(),
            "timestamp_ms": records[start][1] // 1_000_000,
        }
        for start in range(0, len(metrics), size)
    ]


def score(settings: Settings, records: int) -> None:
    """A worker's life of so many records."""
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == records)


def test_records_of_several_sensors_are_scored_as_in_a_backtest_across_a_restart(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = make_settings(connection, make_topic, group, partitions=1, input=TELEGRAF)
    records = reading_records(SENSORS, 60, spike_at=40)
    size = 4  # no multiple of the sensors, so that records hold two readings of one
    sent = batches(records, size)
    half = len(sent) // 2
    for part in (sent[:half], sent[half:]):
        produce(connection, settings.topics.readings, part)
        score(settings, len(part))

    live = {
        (records[offset * size + index][0], scored.ts_ns): scored
        for (_, offset, index), scored in scored_readings(connection, settings).items()
    }
    expected = expected_from_backtest(records, small_detector())
    assert live == expected
    flagged = {key for key, scored in expected.items() if (scored.score or 0.0) >= 1.0}
    found = anomalies(connection, settings).values()
    assert {(anomaly.sensor_id, anomaly.ts_ns) for anomaly in found} == flagged
    assert len(flagged) >= len(SENSORS)


def test_training_finds_sensors_and_channels_in_a_foreign_topic(
    connection: Connection,
    make_topic: MakeTopic,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = make_topic()
    sent = batches(reading_records(SENSORS, 300), 10)
    produce(connection, topic, [{"value": b"{}"}, *sent, {"value": b"no reading"}])
    config = tmp_path / "vigie.toml"
    config.write_text(
        f'[topics]\nreadings = "{topic}"\n[input]\npreset = "telegraf"\nsensor = "tags.id"\n'
        'time_unit = "ms"\n[stream.channels]\npressure = "pressure"\n',
        encoding="utf-8",
    )

    code = cli.main(
        ["train", "-o", str(tmp_path / "m"), "--config", str(config), "--json",
         "--bootstrap", connection.bootstrap, "--topic-from", "2023-11-14T22:13:20Z",
         "--receptive-field", "8", "--latent-size", "4", "--max-steps", "50", "--device", "cpu"]
    )  # fmt: skip

    output = capsys.readouterr()
    assert code == ExitCode.OK, output.err
    result = json.loads(output.out)
    assert result["channels"] == list(CHANNELS)
    assert result["training"]["rows"] == len(SENSORS) * 300
    assert result["left_out"] == {"rejected at decode": {"": 1}, "rejected at schema": {"": 1}}


def test_a_dead_letter_is_judged_by_the_input_of_today(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Sensor ids in the key, which the letter keeps; the wrong unit was set, and is corrected."""
    keyed = {"sensor": "record:key", "time": "timestamp", "values": "fields"}
    settings = make_settings(connection, make_topic, group, partitions=1, input=keyed)
    seconds = {**metric(*reading_records(["p"], 1)[0]), "timestamp": START_NS // SECOND_NS}
    sent = {"key": b"p", "value": json.dumps(seconds).encode()}
    produce(connection, settings.topics.readings, [sent])
    score(settings, 1)
    (letter,) = read_all(connection, settings.topics.dead_letters)
    assert letter.value == sent["value"]
    save(small_detector(), tmp_path / "m")
    capsys.readouterr()

    def verdict(*options: str) -> str:
        places = [f"input.{name}={value}" for name, value in keyed.items()]
        sets = [part for option in (*places, *options) for part in ("--set", option)]
        code = cli.main(
            ["dead-letters", "show", f"{letter.partition}:{letter.offset}", "--json",
             "--bootstrap", connection.bootstrap, "--model", str(tmp_path / "m"),
             "--set", f"topics.dead_letters={settings.topics.dead_letters}", *sets]
        )  # fmt: skip
        output = capsys.readouterr()
        assert code == ExitCode.OK, output.err
        detail: str = json.loads(output.out)["today"]["detail"]
        return detail

    assert 'is input.time_unit = "s" right?' in verdict()
    assert verdict("input.time_unit=s").startswith("1 reading of p, the first at 2023-11-14T22")

"""`vigie status --budget` on a real broker, behind a stream with faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.artifact import save
from schemas.settings import Settings
from tests.support.broker import MakeTopic, produce
from tests.support.models import encoded, reading_records, small_detector
from tests.support.streams import drained, make_settings, open_loop, records_done, step_until
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.kafka.client import Connection

pytestmark = pytest.mark.kafka

SENSORS = ["pump-1", "pump-2", "pump-3"]
ROWS = 240
FAULTS = {"pump-1": ((100, 110), (170, 180)), "pump-2": ((230, 240),)}


def with_faults() -> list[dict[str, Any]]:
    records = reading_records(SENSORS, ROWS)
    for number, (sensor, _, channels) in enumerate(records):
        row = number // len(SENSORS)
        if any(begin <= row < end for begin, end in FAULTS.get(sensor, ())):
            np.add(channels, 5.0, out=channels)
    return encoded(records)


@pytest.fixture
def settings(connection: Connection, make_topic: MakeTopic, group: str) -> Settings:
    """Of a stream that has read everything."""
    made = make_settings(connection, make_topic, group)
    topics = made.topics.model_copy(update={"incidents": make_topic(), "verdicts": make_topic()})
    settings = made.model_copy(update={"topics": topics})
    records = with_faults()
    produce(connection, settings.topics.readings, records)
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) >= len(records))
        drained(loop)
        assert loop.health.total.incidents_opened == 3
    return settings


def asked(settings: Settings, *more: str) -> list[str]:
    topic = f"topics.sensor_state={settings.topics.sensor_state}"
    return [
        "status", "--budget", "--bootstrap", settings.kafka.bootstrap, "--set", topic, *more,
    ]  # fmt: skip


def test_a_stream_with_faults_is_seen_against_the_models_budget(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save(small_detector(), tmp_path / "model")

    assert cli.main(asked(settings, "--model", str(model), "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["budget"], told["basis"], told["certified"]) == (
        "1 per sensor and week", "hoped", False,
    )  # fmt: skip
    assert (told["desk"]["sensors"], told["desk"]["last_day"], told["desk"]["open"]) == (3, 3, 1)
    assert told["desk"]["allowed_week"] == 3.0
    seen = {at["sensor"]: (at["last_week"], at["over"]) for at in told["sensors"]}
    assert seen == {"pump-1": (2, True), "pump-2": (1, False)}
    assert told["unknown_documents"] == 0

    assert cli.main(asked(settings, "--model", str(model))) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Not certain (hoped): the history has" in shown
    assert "Over the budget: 1 sensor." in shown
    assert "pump-1 2 2 over pump-2 1 1 20" in shown


def test_without_a_model_it_says_what_is_missing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(asked(settings)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "The budget is not known here: no model is named (--model, or model.path)" in shown
    assert "last week 3 unknown" in shown


def test_the_counts_of_each_sensor_are_read_of_the_topic_of_sensor_states(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [one.replace("--budget", "--sensors") for one in asked(settings, "--json")]
    assert cli.main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert {at["sensor"] for at in told["sensors"]} == set(SENSORS)


def test_a_topic_that_is_not_there_is_named(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(
        ["status", "--budget", "--bootstrap", connection.bootstrap,
         "--set", "topics.sensor_state=never-made"]
    )  # fmt: skip
    assert code == ExitCode.USAGE
    assert "never-made" in capsys.readouterr().err

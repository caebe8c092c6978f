"""A topic of Avro records through the loop: the scores of the same readings in JSON, whatever the
registry does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")

from schemas.settings import Settings
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.framed import avro_bytes, framed
from tests.support.models import CHANNELS, encoded, reading_records, small_detector
from tests.support.registry import Registry, registry_running
from tests.support.streams import (
    drained,
    make_settings,
    open_loop,
    records_done,
    scored_readings,
    step_until,
)
from workers.kafka.client import Connection
from workers.stream.health import Phase

pytestmark = pytest.mark.kafka

RECORDS = reading_records(["pump-1", "pump-2"], 60, spike_at=40)
HALF = len(RECORDS) // 2


def reading_schema(*more: dict[str, Any]) -> dict[str, Any]:
    channels = [{"name": name, "type": ["null", "double"]} for name in CHANNELS]
    return {
        "type": "record",
        "name": "Reading",
        "namespace": "plant",
        "fields": [
            *more,
            {"name": "sensor_id", "type": "string"},
            {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "values", "type": {"type": "record", "name": "Values", "fields": channels}},
        ],
    }


OLD = reading_schema()
NEW = reading_schema({"name": "site", "type": "string", "default": ""})


def avro_records(
    records: Sequence[tuple[str, int, np.ndarray]], schema_id: int, schema: dict[str, Any]
) -> list[dict[str, Any]]:
    """The readings as arguments of a producer's `send`."""
    return [
        {
            "key": sensor.encode(),
            "value": framed(
                schema_id,
                avro_bytes(
                    schema,
                    {
                        "site": "north",
                        "sensor_id": sensor,
                        "ts": ts_ns // 1000,
                        "values": dict(zip(CHANNELS, values.tolist(), strict=True)),
                    },
                ),
            ),
        }
        for sensor, ts_ns, values in records
    ]


@pytest.fixture
def registry():
    with registry_running(schemas={}) as running:
        running.add(1, OLD)
        running.add(2, NEW)
        yield running


def settings_of(
    connection: Connection, make_topic: MakeTopic, group: str, registry: Registry
) -> Settings:
    return make_settings(
        connection,
        make_topic,
        group,
        input={"format": "avro"},
        registry={"url": registry.url, "timeout_s": 2.0},
        processing={"commit_interval_s": 0.01},
    )


def scores_of_json(connection: Connection, make_topic: MakeTopic, group: str) -> Any:
    settings = make_settings(connection, make_topic, f"{group}-json")
    produce(connection, settings.topics.readings, encoded(RECORDS))
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(RECORDS))
        drained(loop)
    return scored_readings(connection, settings)


def test_an_outage_in_the_middle_and_a_crash_in_it_change_no_score(
    connection: Connection, make_topic: MakeTopic, group: str, registry: Registry
) -> None:
    settings = settings_of(connection, make_topic, group, registry)
    readings = settings.topics.readings
    produce(connection, readings, avro_records(RECORDS[:HALF], 1, OLD))
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == HALF)
        registry.stop()
        produce(connection, readings, avro_records(RECORDS[HALF:], 2, NEW))
        step_until(loop, lambda: loop.health.phase is Phase.WAITING)
        for _ in range(8):
            loop.step()
        assert loop.health.phase is Phase.WAITING
        assert records_done(loop) == HALF
    # Killed while it waited; its successor knows no schema, and waits for those of the restore.
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: loop.health.phase is Phase.WAITING)
        registry.start()
        step_until(loop, lambda: records_done(loop) == len(RECORDS) - HALF)
        drained(loop)
    assert scored_readings(connection, settings) == scores_of_json(connection, make_topic, group)
    assert read_all(connection, settings.topics.dead_letters) == []


def test_what_no_schema_explains_is_a_dead_letter_and_the_rest_goes_on(
    connection: Connection, make_topic: MakeTopic, group: str, registry: Registry
) -> None:
    settings = settings_of(connection, make_topic, group, registry)
    good = avro_records(RECORDS, 1, OLD)
    stranger = {"key": b"pump-1", "value": framed(77, b"\0")}
    produce(connection, settings.topics.readings, [*good[:HALF], stranger, *good[HALF:]])
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(RECORDS) + 1)
        drained(loop)
    (letter,) = read_all(connection, settings.topics.dead_letters)
    assert letter.value == stranger["value"]
    message = dict(letter.headers)["__connect.errors.exception.message"].decode()
    assert f"{registry.url} knows no schema with the id 77" in message
    scores = {scored.score for scored in scored_readings(connection, settings).values()}
    expected = {s.score for s in scores_of_json(connection, make_topic, group).values()}
    assert scores == expected

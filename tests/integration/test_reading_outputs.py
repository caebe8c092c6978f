"""The code of docs/reading-outputs.md, against a broker on which outputs were repeated."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaConsumer, TopicPartition

from schemas.settings import Settings
from schemas.wire.anomaly import NAMESPACE, Anomaly
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.models import encoded, reading_records, small_detector
from tests.support.streams import make_settings, open_loop, records_done, step_until
from workers.errors import OutputsLostError
from workers.kafka.client import Connection
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.options import consumer_options

pytestmark = pytest.mark.kafka

PAGE = Path(__file__).parents[2] / "docs" / "reading-outputs.md"
SENSORS = ["pump-1", "pump-2"]
RECORDS = reading_records(SENSORS, 40, spike_at=25)
SCORED = len(SENSORS) * (40 - 7)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's code defines."""
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    return names


@contextmanager
def repeated(
    connection: Connection, settings: Settings, records: list[Any] = RECORDS
) -> Iterator[None]:
    """Readings through a loop that fails between outputs and what is recorded, again and again.

    Later it would be too late: what is recorded already is not published again.
    """
    produce(connection, settings.topics.readings, encoded(records))
    with open_loop(settings, small_detector()) as loop:
        sink = loop._checkpoint._sink
        settle, calls = sink.settle, iter(range(10_000))

        def failing(deadline: Deadline) -> None:
            if next(calls) % 3 < 2:
                sink._settle(deadline)  # type: ignore[attr-defined]
                raise OutputsLostError("the worker died before it could commit")
            settle(deadline)

        sink.settle = failing  # type: ignore[method-assign]
        step_until(loop, lambda: records_done(loop) == len(records), within=60)
        yield


def settings_with(
    connection: Connection, make_topic: MakeTopic, group: str, guarantee: str
) -> Settings:
    return make_settings(
        connection,
        make_topic,
        group,
        stream={"max_poll_records": 10},
        processing={"guarantee": guarantee, "commit_interval_s": 0.001},
    )


def stored(page: dict[str, Any], settings: Settings, path: Path, group: str) -> dict[str, str]:
    """Id and document of each anomaly, as the page's reader stores them."""
    page["store_anomalies"](
        settings.kafka.bootstrap, settings.topics.anomalies, path, group=group, idle_ms=3000
    )
    with sqlite3.connect(path) as table:
        return dict(table.execute("SELECT id, document FROM anomalies"))


def test_repeats_under_at_least_once_are_dropped_by_their_ids(
    connection: Connection, make_topic: MakeTopic, group: str, tmp_path: Path, page: dict[str, Any]
) -> None:
    settings = settings_with(connection, make_topic, group, "at_least_once")
    with repeated(connection, settings):
        raw = read_all(connection, settings.topics.anomalies)
        frames = read_all(connection, settings.topics.denoised)
    ids = [json.loads(record.value)["id"] for record in raw]
    assert len(ids) > len(set(ids)), "nothing was repeated: this test would prove nothing"
    reader = f"reader-{uuid.uuid4().hex}"
    once = stored(page, settings, tmp_path / "a.db", reader)
    assert sorted(once) == sorted(set(ids))
    # A reader that starts over with its table reads all again and stores nothing twice.
    assert stored(page, settings, tmp_path / "a.db", f"{reader}-anew") == once

    places = [place for place, *_ in page["denoised_readings"](frames, page["Seen"]())]
    assert len(places) == len(set(places)) == SCORED
    assert sum(len(json.loads(frame.value)["offset"]) for frame in frames) > SCORED


def with_a_fault() -> list[Any]:
    """An incident of the first sensor, from its opening to its end."""
    records = reading_records(SENSORS, 170)
    for number, (sensor, _, channels) in enumerate(records):
        if sensor == SENSORS[0] and 100 <= number // len(SENSORS) < 110:
            np.add(channels, 5.0, out=channels)
    return records


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_repeated_events_of_incidents_are_dropped_by_incident_and_sequence(
    mode: str,
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    page: dict[str, Any],
) -> None:
    made = settings_with(connection, make_topic, group, "at_least_once")
    stream = made.stream.model_copy(update={"incidents": mode, "max_poll_records": 60})
    settings = made.model_copy(update={"stream": stream})
    with repeated(connection, settings, with_a_fault()):
        raw = read_all(connection, settings.topics.incidents)

    found = list(page["incident_events"](raw, {}))

    assert len(raw) > len(found), "nothing was repeated: this test would prove nothing"
    assert {event["specversion"] for event, _ in found} == {"1.0"}
    of_one: dict[str, list[tuple[str, str]]] = {}
    for event, data in found:
        assert event["id"] == f"{data['id']}-{int(event['sequence'])}"
        assert (event["subject"], event["source"]) == (data["sensor_id"], f"/vigie/{group}")
        of_one.setdefault(data["id"], []).append((event["sequence"], event["type"]))
    for told in of_one.values():
        assert [sequence for sequence, _ in told] == [f"{n + 1:010d}" for n in range(len(told))]
        assert (told[0][1], told[-1][1]) == ("incident.opened", "incident.resolved")
    of_anomalies = {
        json.loads(record.value)["incident"]
        for record in read_all(connection, settings.topics.anomalies)
    }
    assert set(of_one) <= of_anomalies


def test_a_repeat_says_what_the_original_said(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = settings_with(connection, make_topic, group, "at_least_once")
    with repeated(connection, settings):
        raw = read_all(connection, settings.topics.anomalies)
    said: dict[str, bytes] = {}
    for record in raw:
        assert said.setdefault(json.loads(record.value)["id"], record.value) == record.value


def test_under_exactly_once_a_reader_of_committed_records_sees_no_repeat(
    connection: Connection, make_topic: MakeTopic, group: str, tmp_path: Path, page: dict[str, Any]
) -> None:
    settings = settings_with(connection, make_topic, group, "exactly_once")
    with repeated(connection, settings):
        committed = read_all(connection, settings.topics.denoised)
        anomalies = read_all(connection, settings.topics.anomalies)
    rows = [offset for frame in committed for offset in json.loads(frame.value)["offset"]]
    assert len(rows) == SCORED
    assert len(anomalies) == len({json.loads(record.value)["id"] for record in anomalies})
    everything = uncommitted(connection, settings.topics.denoised)
    assert everything > len(committed), "nothing was aborted: this test would prove nothing"


def uncommitted(connection: Connection, topic: str) -> int:
    """How many records a reader of uncommitted ones sees."""
    options = {**consumer_options(connection), "isolation_level": "read_uncommitted"}
    consumer = KafkaConsumer(**options)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        (end,) = consumer.end_offsets([partition]).values()
        seen = 0
        while consumer.position(partition) < end:
            seen += sum(map(len, consumer.poll(timeout_ms=500).values()))
        return seen
    finally:
        consumer.close()


def test_an_id_is_made_of_the_place_as_the_page_says(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = settings_with(connection, make_topic, group, "exactly_once")
    produce(connection, settings.topics.readings, encoded(RECORDS))
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(RECORDS))
    assert str(NAMESPACE) in PAGE.read_text(encoding="utf-8")
    records = read_all(connection, settings.topics.anomalies)
    assert records
    denoised = {
        (frame["topic"], frame["partition"], offset, 0): score
        for frame in map(
            json.loads, (r.value for r in read_all(connection, settings.topics.denoised))
        )
        for offset, score in zip(frame["offset"], frame["score"], strict=True)
    }
    for record in records:
        anomaly = Anomaly.model_validate_json(record.value)
        at = anomaly.source
        assert anomaly.id == uuid.uuid5(
            NAMESPACE, f"{at.topic}/{at.partition}/{at.offset}/{at.index}"
        )
        assert denoised[at.topic, at.partition, at.offset, at.index] == anomaly.score


def test_what_is_remembered_is_bounded(page: dict[str, Any]) -> None:
    seen = page["Seen"](most=3)
    assert [seen.is_new(n) for n in (1, 2, 3, 1, 4, 1, 2)] == [
        True, True, True, False, True, False, True,
    ]  # fmt: skip

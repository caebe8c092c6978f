"""The ways in of the two hops."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.settings import Settings, StreamSettings
from schemas.wire.errors import Stage
from tests.support.partitions import batch_of, reading
from workers.kafka.client import LARGEST_OUTPUT_BYTES, Record
from workers.stream.input import Input
from workers.stream.repartition.inputs import ShuffledInput, SourceInput
from workers.stream.state.shuffled import Arrival, ClockMark

NOW_MS = 1_700_000_000_000
START_S = NOW_MS // 1_000


def source(value: bytes, *, timestamp: int = 10) -> Record:
    return Record("t", 0, 0, timestamp, b"site", value, ())


def accept(*records: Record) -> Any:
    return SourceInput(Settings(), lambda: NOW_MS / 1e3).accept(records)


def body(**fields: Any) -> bytes:
    return json.dumps({"sensor_id": "a", "ts": 5, "values": {}} | fields).encode()


def test_sensor_and_time_are_all_that_is_asked_of_a_record() -> None:
    batch = accept(source(body(values={"x": "no number"})), source(body(sensor_id=3)))

    assert batch.readings.sensors == ["a"]
    assert batch.readings.ts_ns.tolist() == [5_000_000]
    assert [failure.position for failure in batch.failures] == [1]


def test_what_no_sink_takes_is_a_dead_letter() -> None:
    settings = Settings.model_validate({"stream": {"max_record_bytes": 100_000_000}})
    large = body(values={"x": "x" * LARGEST_OUTPUT_BYTES})

    batch = SourceInput(settings, lambda: 0.0).accept([source(large)])

    assert [failure.stage for failure in batch.failures] == [Stage.SIZE]


def test_a_record_whose_headers_no_sink_takes_is_a_dead_letter() -> None:
    """The publisher would drop it with a line in the log, behind the count of what is written."""
    headers = (("blob", b"x" * LARGEST_OUTPUT_BYTES),)
    large = source(body())._replace(headers=headers)

    batch = accept(source(body(sensor_id="b")), large, source(body()))

    assert batch.readings.sensors == ["b", "a"]
    assert [(f.position, f.stage) for f in batch.failures] == [(1, Stage.SIZE)]


def test_a_timestamp_ahead_is_now_for_the_clock_and_stays_the_records() -> None:
    ahead = NOW_MS + 5_000
    batch = accept(source(body(), timestamp=ahead), source(body(), timestamp=7))

    assert batch.clocks_ms.tolist() == [NOW_MS, 7]
    assert batch.stamps_ms.tolist() == [ahead, 7]


def test_a_timestamp_that_no_broker_takes_is_now() -> None:
    batch = accept(source(body(), timestamp=NOW_MS + 3_600_000))

    assert batch.stamps_ms.tolist() == [NOW_MS]


def metric(host: str, at: int, **fields: Any) -> dict[str, Any]:
    """A metric so many seconds after a time of today's; a number of 1970 would be an error."""
    return {"name": "cpu", "tags": {"host": host}, "timestamp": START_S + at, "fields": fields}


def accept_telegraf(*values: bytes, **layout: Any) -> tuple[Input, Any]:
    settings = Settings.model_validate({"input": {"preset": "telegraf", **layout}})
    batch = SourceInput(settings, lambda: NOW_MS / 1e3).accept(
        [source(value, timestamp=NOW_MS) for value in values]
    )
    return Input((), StreamSettings(), settings.input), batch


def test_a_record_of_several_sensors_goes_on_in_parts_that_lose_nothing() -> None:
    mixed = [
        metric("a", 9, x=1.5, word="on"),
        metric("b", 8, m={"y": None}),
        metric("a", 7, z=True),
    ]
    alone = json.dumps({"metrics": [metric("c", 5)]}).encode()
    record = json.dumps({"more": "stays", "metrics": mixed}).encode()

    reader, batch = accept_telegraf(alone, record)

    assert batch.failures == []
    assert batch.readings.sensors == ["c/cpu", "a/cpu", "b/cpu"]
    assert batch.readings.positions.tolist() == [0, 1, 1]
    assert (batch.readings.ts_ns // 10**9 - START_S).tolist() == [5, 7, 8]
    assert {row: json.loads(part) for row, part in batch.parts.items()} == {
        1: {"more": "stays", "metrics": [mixed[0], mixed[2]]},
        2: {"more": "stays", "metrics": [mixed[1]]},
    }
    again = reader.accept([source(part, timestamp=NOW_MS) for part in batch.parts.values()])
    assert again.readings.sensors == ["a/cpu", "b/cpu"]


def test_a_part_that_would_be_read_as_another_sensors_is_a_dead_letter() -> None:
    """The first reading names them all, and is not in each part."""
    record = {"metrics": [metric("a", 1), metric("b", 2)]}
    record["metrics"][1]["name"] = "mem"

    _, batch = accept_telegraf(json.dumps(record).encode(), sensor=["/metrics.0.tags.host", "name"])

    assert batch.readings.sensors == []
    assert [failure.exception for failure in batch.failures] == ["SeveralSensorsError"]


def test_a_record_that_is_not_json_is_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of([[reading("a", 1)], [reading("b", 2)], [reading("c", 3)]])
    batch.readings.positions[:] = (0, 0, 2)
    monkeypatch.setattr(Input, "accept", lambda self, records, *, poison=(): batch)

    found = accept(source(b""), source(b""), source(b""))

    assert found.readings.sensors == ["c"]
    assert [(failure.position, failure.stage) for failure in found.failures] == [(0, Stage.SCHEMA)]
    assert "several sensors" in found.failures[0].message
    assert "a record for each sensor" in found.failures[0].message


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("own", b"1"),),
        (("vigie-arrival", b"1,2"),),
        (("vigie-arrival", b"a,b,c,d,e"),),
        (("vigie-clock", None),),
    ],
)
def test_what_no_first_hop_wrote_is_a_dead_letter(headers: Any) -> None:
    record = Record("t", 0, 0, 1, b"a", b"v", headers)

    batch = ShuffledInput(StreamSettings()).accept([record])

    assert batch.headers == [None]
    assert batch.failures[0].exception == "NotShuffledError"


def test_a_record_goes_on_with_its_own_headers_and_timestamp() -> None:
    arrival, mark = Arrival(1, 2, 3, 4, 5), ClockMark(6, 7)
    records = [
        Record("t", 0, 8, 99, b"a", b"v", (("own", b"1"), arrival.header())),
        Record("t", 0, 9, 99, None, b"", mark.headers()),
    ]

    batch = ShuffledInput(StreamSettings()).accept(records)

    assert batch.headers == [arrival, mark]
    assert batch.records[0] == Record("t", 0, 8, 5, b"a", b"v", (("own", b"1"),))

"""From a topic without keys to one that the stream can read: by sensor, in order, each once."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from operator import itemgetter
from typing import Any

import pytest

from schemas.settings import Guarantee, Settings
from schemas.wire.dead_letter import read_dead_letter
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.models import START_NS, encoded, reading_records, small_detector
from tests.support.repartition import open_hop, repartition_settings
from tests.support.streams import anomalies, make_settings, open_loop, records_done, step_until
from tests.support.wait import wait_until
from workers.cli.exits import ExitCode
from workers.cli.main import main
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of
from workers.stream.loop import IngestLoop
from workers.stream.repartition.build import Hop, hops_of
from workers.stream.state.counts import Counts

pytestmark = pytest.mark.kafka

SENSORS = [f"pump-{number}" for number in range(6)]
ROWS = 200
NOW_MS = int(time.time() * 1e3)
KILLS = 4
SPREAD = 3
"""Rows by which a reading may come later than a newer one."""


def unordered(rng: random.Random, *, rows: int = ROWS, sources: int = 3) -> list[dict[str, Any]]:
    """Readings without keys, spread over partitions, none more than `SPREAD` rows late."""
    readings = reading_records(SENSORS, rows, spike_at=rows // 2)
    keyed = zip(readings, encoded(readings), strict=True)
    shaken = sorted(keyed, key=lambda both: both[0][1] + rng.random() * SPREAD * 1e9)
    return [
        {
            "value": record["value"],
            "partition": number % sources,
            "headers": [("of", b"%d" % number)],
            # Of today, or retention takes them.
            "timestamp_ms": NOW_MS - 1000 * rows + (readings[number][1] - START_NS) // 10**6,
        }
        for number, (_, record) in enumerate(shaken)
    ]


def by_sensor(records: Sequence[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        found[record.key.decode()].append(record)
    return found


def written(loop: IngestLoop) -> int:
    return sum(counts.written for counts in loop._counts.values())


def step_all(loops: Sequence[IngestLoop]) -> None:
    for loop in loops:
        loop.step()


def run_until_written(settings: Settings, expected: int) -> Counts:
    """One loop for each hop, in turn, until so many records are written; the last hop's counts."""
    with ExitStack() as stack:
        hops = hops_of(settings.repartition)
        loops = [stack.enter_context(open_hop(settings, hop)) for hop in hops]

        def turn() -> bool:
            step_all(loops)
            return written(loops[-1]) >= expected

        wait_until(turn, within=60, what="everything written")
        return sum(loops[-1]._counts.values(), Counts())


def in_order(settings: Settings, connection: Connection, rows: int = ROWS) -> None:
    """The readings' topic holds each reading once, by sensor, in the order of event time."""
    found = read_all(connection, settings.topics.readings)
    expected = by_sensor_sent(rows)
    assert len(found) == sum(map(len, expected.values()))
    for sensor, own in by_sensor(found).items():
        assert len({record.partition for record in own}) == 1, sensor
        assert [record.value for record in own] == expected[sensor], sensor
    assert len({record.partition for record in found}) > 1


def by_sensor_sent(rows: int) -> dict[str, list[bytes]]:
    sent: dict[str, list[bytes]] = defaultdict(list)
    for record in encoded(reading_records(SENSORS, rows, spike_at=rows // 2)):
        sent[record["key"].decode()].append(record["value"])
    return sent


def test_a_round_robin_topic_comes_out_by_sensor_in_order_each_record_once(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = repartition_settings(connection, make_topic, group, max_disorder_s=SPREAD + 1.0)
    records = unordered(random.Random(1))
    produce(connection, settings.repartition.source, records)

    counts = run_until_written(settings, len(records))

    assert (counts.records, counts.written, counts.late, counts.early) == (1200, 1200, 0, 0)
    in_order(settings, connection)
    sent = {record["headers"][0][1]: record for record in records}
    for record in read_all(connection, settings.topics.readings):
        assert [name for name, _ in record.headers] == ["of"]
        before = sent[record.headers[0][1]]
        assert (record.value, record.timestamp) == (before["value"], before["timestamp_ms"])


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_kills_without_a_goodbye_change_neither_what_is_written_nor_its_order(
    connection: Connection, make_topic: MakeTopic, group: str, seed: int
) -> None:
    """Two workers a hop; each is left in the middle, again and again, and one succeeds it."""
    rng = random.Random(seed)
    settings = repartition_settings(
        connection,
        make_topic,
        group,
        max_disorder_s=SPREAD + 1.0,
        stream={"max_poll_records": 20},
        processing={"commit_interval_s": 0.001},
    )
    records = unordered(rng)
    produce(connection, settings.repartition.source, records)
    places = [(hop, slot) for hop in Hop for slot in range(2)]
    with ExitStack() as stack:
        open_now: dict[tuple[Hop, int], tuple[IngestLoop, ExitStack]] = {}

        def start(place: tuple[Hop, int]) -> None:
            own = stack.enter_context(ExitStack())
            open_now[place] = (own.enter_context(open_hop(settings, place[0], slot=place[1])), own)

        for place in places:
            start(place)
        for _ in range(KILLS):
            for _ in range(rng.randint(2, 12)):
                step_all([loop for loop, _ in open_now.values()])
            victim = rng.choice(places)
            open_now.pop(victim)[1].close()
            start(victim)

        def turn() -> bool:
            step_all([loop for loop, _ in open_now.values()])
            return is_done(connection, settings, len(records))

        wait_until(turn, within=60, what="everything written")
    in_order(settings, connection)


def is_done(connection: Connection, settings: Settings, expected: int) -> bool:
    topic = settings.topics.readings
    bounds = admin_of(connection).topic_bounds({topic: 4})
    # Ends of transactions are offsets as well, so there may be more to read than records.
    return sum(end for _, end in bounds.values()) >= expected and (
        len(read_all(connection, topic)) >= expected
    )


def test_the_stream_flags_behind_it_what_it_flags_of_a_topic_with_keys(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = repartition_settings(connection, make_topic, group, max_disorder_s=SPREAD + 1.0)
    keyed = make_settings(connection, make_topic, f"{group}-keyed")
    records = unordered(random.Random(2))
    produce(connection, settings.repartition.source, records)
    produce(
        connection,
        keyed.topics.readings,
        encoded(reading_records(SENSORS, ROWS, spike_at=ROWS // 2)),
    )
    run_until_written(settings, len(records))

    flagged = []
    for own in (settings, keyed):
        with open_loop(own, small_detector()) as loop:
            step_until(loop, lambda: records_done(loop) == len(records))
            assert sum(counts.late for counts in loop._counts.values()) == 0
        flagged.append(
            {(a.sensor_id, a.ts_ns, a.score) for a in anomalies(connection, own).values()}
        )

    assert flagged[0] == flagged[1]
    assert len(flagged[0]) >= len(SENSORS)


def test_what_has_no_sensor_is_a_dead_letter_and_everything_is_accounted_for(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = repartition_settings(connection, make_topic, group)
    records = unordered(random.Random(3), rows=20)
    bad = [{"value": b"no reading", "partition": 1}, {"value": b'{"ts":1}', "partition": 2}]
    produce(connection, settings.repartition.source, [*records, *bad])
    with ExitStack() as stack:
        rekey, reorder = (stack.enter_context(open_hop(settings, hop)) for hop in Hop)

        def turn() -> bool:
            step_all([rekey, reorder])
            return written(reorder) == len(records)

        wait_until(turn, within=60, what="everything written")
        counts = sum(rekey._counts.values(), Counts())
    assert (counts.records, counts.written, counts.dead_lettered) == (122, 120, 2)
    letters = read_all(connection, settings.topics.dead_letters)
    assert {letter.value for letter in letters} == {record["value"] for record in bad}
    places = {read_dead_letter(letter.headers).topic for letter in letters}
    assert places == {settings.repartition.source}


@pytest.mark.parametrize("max_disorder_s", [0.0, 2.0])
def test_batches_of_several_sensors_come_out_by_sensor_each_reading_once(
    connection: Connection, make_topic: MakeTopic, group: str, max_disorder_s: float
) -> None:
    """As Telegraf writes them: one record, the metrics of several hosts."""
    settings = repartition_settings(
        connection,
        make_topic,
        group,
        max_disorder_s=max_disorder_s,
        input={"preset": "telegraf", "sensor": "tags.host"},
    )
    began_s = NOW_MS // 1000 - 100
    metrics = [
        {"name": "cpu", "tags": {"host": host}, "timestamp": began_s + n, "fields": {"x": n / 3}}
        for n in range(40)
        for host in ("a", "b", "c")
    ]
    batches = [metrics[start : start + 5] for start in range(0, len(metrics), 5)]
    records = [
        {
            "value": json.dumps({"metrics": batch}).encode(),
            "partition": number % 3,
            "timestamp_ms": 1000 * int(str(batch[-1]["timestamp"])),
        }
        for number, batch in enumerate(batches)
    ]
    produce(connection, settings.repartition.source, records)

    counts = run_until_written(settings, 3 * len(batches))

    assert counts.dead_lettered == 0
    for host, own in by_sensor(read_all(connection, settings.topics.readings)).items():
        assert len({record.partition for record in own}) == 1
        found = [metric for record in own for metric in json.loads(record.value)["metrics"]]
        if not max_disorder_s:
            found.sort(key=itemgetter("timestamp"))
        assert found == [metric for metric in metrics if metric["tags"] == {"host": host}]


def test_the_command_makes_its_topics_and_says_so_where_they_are_missing(
    connection: Connection, make_topic: MakeTopic, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = ("anomalies", "denoised", "dead_letters", "incidents", "verdicts")
    topics = {name: f"{group}-{name}" for name in missing}
    topics |= {name: make_topic(partitions=3) for name in ("readings", "sensor_state")}
    topics["partitions"] = "3"
    settings = {f"topics.{name}": value for name, value in topics.items()}
    settings |= {f"repartition.{name}": f"{group}-{name}" for name in ("source", "shuffled")}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    words += ["--bootstrap", connection.bootstrap]

    assert main(["repartition", "--group", group, *words]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert f"{group}-source does not exist" in told
    assert "Name theirs: repartition.source" in told

    assert main(["topics", "create", "--repartition", "--json", *words]) == ExitCode.FAILURE
    made = {topic["name"]: topic for topic in json.loads(capsys.readouterr().out)}
    assert made[f"{group}-shuffled"]["partitions"] == 3
    assert made[f"{group}-source"]["state"] == "missing", "an empty one would hide a wrong name"

    words += ["--set", f"repartition.source={make_topic(partitions=3)}"]
    assert main(["topics", "create", "--repartition", "--json", *words]) == ExitCode.OK
    capsys.readouterr()
    assert main(["repartition", "--group", group, "--to", "absent", *words]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "source_is_empty" in told
    assert "absent does not exist" in told
    assert "--set topics.readings=absent" in told

    assert main(["repartition", "--group", "g" * 178, *words]) == ExitCode.USAGE
    assert "kafka.group is too long for vigie repartition" in capsys.readouterr().err


def test_without_a_bound_one_hop_writes_the_readings(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = repartition_settings(
        connection,
        make_topic,
        group,
        max_disorder_s=0.0,
        processing={"guarantee": Guarantee.AT_LEAST_ONCE},
    )
    records = unordered(random.Random(4), rows=20)
    produce(connection, settings.repartition.source, records)

    run_until_written(settings, len(records))

    found = read_all(connection, settings.topics.readings)
    assert sorted(record.value for record in found) == sorted(r["value"] for r in records)
    for own in by_sensor(found).values():
        assert len({record.partition for record in own}) == 1
    assert read_all(connection, settings.repartition.shuffled) == []

"""Compressed topics on a real broker: by producers and by the broker itself, which is Java."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path

import pytest
from kafka import KafkaProducer

from detector.artifact import save
from tests.support.broker import MakeTopic, produce
from tests.support.member import Member
from tests.support.models import encoded, reading_records, small_detector
from tests.support.runs import vigie_run
from tests.support.streams import drained, make_settings, open_loop, records_done, step_until
from tests.support.wait import wait_until
from workers.cli.exits import ExitCode
from workers.kafka.client import Connection
from workers.kafka.factory import open_reader
from workers.kafka.kafka_python.consumer.source import SourceConfig
from workers.kafka.kafka_python.consumer.table import TableConfig
from workers.kafka.kafka_python.options import producer_options

pytestmark = pytest.mark.kafka

CODECS = ["gzip", "snappy", "lz4", "zstd"]
LARGE = {"max.message.bytes": str(16 * 2**20)}


def send_one_batch(connection: Connection, topic: str, values: list[bytes], **options) -> None:
    """All in one request: the producer waits until they are together."""
    options = {"linger_ms": 2000, "batch_size": 2**24, "max_request_size": 2**24, **options}
    producer = KafkaProducer(**producer_options(connection) | options)
    try:
        futures = [producer.send(topic, value, key=b"%d" % n) for n, value in enumerate(values)]
        producer.flush(timeout=20)
        assert [future.get(timeout=0).offset for future in futures] == list(range(len(values)))
    finally:
        producer.close(timeout=5)


@pytest.mark.parametrize("by", ["producer", "broker"])
@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_of_several_mib_is_read_by_each_way_in(
    connection: Connection, make_topic: MakeTopic, group: str, codec: str, by: str
) -> None:
    ours = codec if by == "producer" else None
    configs = {"compression.type": codec, **LARGE} if by == "broker" else LARGE
    topic = make_topic(**configs)
    noise = random.Random(7).randbytes(2000)  # compresses, as it comes again
    values = [noise + b"%d" % n for n in range(2500)]
    send_one_batch(connection, topic, values, compression_type=ours)

    with ExitStack() as stack:
        source = SourceConfig(connection=connection, topic=topic, group=group)
        member = Member(stack.enter_context(source.open())).starting()
        wait_until(lambda: member.step() and len(member.values(0)) == len(values), within=20)
        assert member.values(0) == values

        reader = stack.enter_context(open_reader(connection, [topic]))
        read = [record for part in reader.read_to(reader.ends()) for record in part]
        assert [record.value for record in read] == values

        table = stack.enter_context(TableConfig(connection=connection, topic=topic).open())
        assert table.latest(0) == {b"%d" % n: value for n, value in enumerate(values)}


@pytest.mark.parametrize("codec", CODECS)
def test_a_stream_reads_and_writes_compressed_topics(
    connection: Connection, make_topic: MakeTopic, group: str, codec: str
) -> None:
    settings = make_settings(connection, make_topic, group)
    settings = settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"client": {"compression_type": codec}}),
        }
    )
    records = encoded(reading_records(["pump-1", "pump-2"], 60))
    compressing = Connection(bootstrap=connection.bootstrap, options={"compression_type": codec})
    produce(compressing, settings.topics.readings, records)
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(records))
        drained(loop)
        assert loop.health.total.dead_lettered == 0
        assert loop.health.total.scored > 0
    with open_reader(connection, [settings.topics.denoised]) as reader:
        assert sum(len(part) for part in reader.read_to(reader.ends())) > 0


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_a_run_without_the_package_ends_and_names_it(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder of the same name hides it, from Ray's processes too."""
    settings = make_settings(connection, make_topic, group)
    compressing = Connection(bootstrap=connection.bootstrap, options={"compression_type": "lz4"})
    produce(compressing, settings.topics.readings, encoded(reading_records(["pump-1"], 20)))
    model = save(small_detector(), tmp_path / "model")
    hidden = tmp_path / "hidden" / "lz4"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden by a test')\n")
    root = str(Path(__file__).resolve().parents[2])
    monkeypatch.setenv("PYTHONPATH", f"{hidden.parent}:{root}")
    with vigie_run(settings, model, tmp_path) as (process, log):
        process.communicate(timeout=120)
        assert process.returncode == ExitCode.LOOK_FIRST, log.read_text()
    said = " ".join(log.read_text().split())
    assert "compressed with lz4" in said
    assert "pip install lz4" in said
    assert settings.topics.readings in said
    assert "credentials" not in said

"""A run's broker, and what its files say: two ways in, a disk that fills, fates of records."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from tests.chaos.cluster import Cluster, open_cluster
from tests.chaos.commits import read_commits
from tests.chaos.disk import mounted
from tests.chaos.proxy import FAIR, Passage, Weather
from tests.chaos.segments import Fate, topic_fates, transactions
from tests.chaos.transactions import decided, remainder
from tests.support.broker import produce, read_all
from tests.support.wait import wait_until
from workers.kafka.kafka_python import Connection
from workers.kafka.kafka_python.admin.topics import TopicSpec, create_topics

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with open_cluster(tmp_path_factory.mktemp("cluster")) as opened:
        create_topics(
            opened.direct, [TopicSpec(name=name, partitions=2) for name in ("a", "b", "c", "d")]
        )
        yield opened


def test_clients_are_led_through_the_proxy_and_control_past_it(cluster):
    proxied = Connection(bootstrap=cluster.proxied, wait_timeout_s=20)
    cluster.proxy.set_weather(FAIR)
    before = cluster.proxy.connections
    produce(proxied, "a", [{"key": b"k", "value": b"through", "partition": 0}])
    through = cluster.proxy.connections

    cluster.proxy.set_weather(Weather(up=Passage.HELD, down=Passage.HELD))
    produce(cluster.direct, "a", [{"key": b"k", "value": b"past", "partition": 0}])

    cluster.proxy.set_weather(FAIR)
    # One connection to bootstrap and one to the node that it names: both of them proxied.
    assert through - before >= 2
    assert cluster.proxy.connections == through
    assert [record.value for record in read_all(cluster.direct, "a")] == [b"through", b"past"]


def test_the_files_tell_committed_aborted_open_and_plain_records_apart(cluster):
    direct = cluster.direct
    wanted = {}
    producers = []
    for name, ends in (("x", "commit"), ("y", "abort"), ("z", "")):
        producer = KafkaProducer(**direct.producer_options(transactional_id=f"test-{name}"))
        producers.append(producer)
        producer.init_transactions()
        producer.begin_transaction()
        for _ in range(2):
            sent = producer.send("b", name.encode(), partition=0).get(timeout=10)
            wanted[0, sent.offset] = {"x": Fate.COMMITTED, "y": Fate.ABORTED, "z": Fate.OPEN}[name]
        if ends:
            getattr(producer, f"{ends}_transaction")()
    produce(direct, "b", [{"value": b"plain", "partition": 1}])

    # A commit or an abort returns before every partition is marked.
    wait_until(
        lambda: topic_fates(cluster.log, "b") == {**wanted, (1, 0): Fate.PLAIN},
        within=20,
        what="each record's fate",
    )
    producers[-1].abort_transaction()
    for producer in producers:
        producer.close(timeout=5)
    wait_until(
        lambda: set(topic_fates(cluster.log, "b").values()) == set(Fate) - {Fate.OPEN},
        within=20,
        what="nothing open",
    )


def test_what_an_open_transaction_leaves_is_seen_and_is_gone_with_it(cluster):
    direct = cluster.direct
    producer = KafkaProducer(**direct.producer_options(transactional_id="test-open"))
    producer.init_transactions()
    producer.begin_transaction()
    at = producer.send("d", b"open", partition=0).get(timeout=10).offset

    left = remainder(direct, ["d"], within_s=0)

    assert left.unfinished == {"test-open": "Ongoing"}
    assert left.held == {("d", 0): at}
    assert left.ends["d", 0] - left.stable["d", 0] == 1
    producer.commit_transaction()
    writer = producer._transaction_manager.producer_id_and_epoch
    producer.close(timeout=5)
    assert remainder(direct, ["d"], within_s=20).is_nothing
    producer_at = (writer.producer_id, writer.epoch)
    assert transactions(cluster.log, "d")[0] == [(*producer_at, (at,))]
    assert decided(direct)[producer_at] == [frozenset({("d", 0)})]


def test_every_commit_of_a_group_is_read_but_aborted_ones(cluster):
    direct = cluster.direct
    at = TopicPartition("c", 1)
    consumer = KafkaConsumer(**direct.consumer_options(group_id="chaos"))
    consumer.assign([at])
    for offset in (1, 2):
        consumer.commit({at: OffsetAndMetadata(offset, f"plain {offset}", -1)})
    producer = KafkaProducer(**direct.producer_options(transactional_id="test-commits"))
    producer.init_transactions()
    for offset, end in ((3, producer.commit_transaction), (9, producer.abort_transaction)):
        producer.begin_transaction()
        producer.send_offsets_to_transaction(
            {at: OffsetAndMetadata(offset, f"in a transaction {offset}", -1)}, "chaos"
        )
        end()
    producer.close(timeout=5)
    consumer.close()

    found = read_commits(direct, "chaos", "c")

    assert [(one.partition, one.next_offset, one.metadata) for one in found] == [
        (1, 1, "plain 1"), (1, 2, "plain 2"), (1, 3, "in a transaction 3"),
    ]  # fmt: skip
    assert [one.number for one in found] == sorted(one.number for one in found)


# kafka-python drops the sockets of connections that were refused, without closing them.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_full_disk_ends_the_broker_and_its_data_outlive_it(cluster):
    if cluster.disk is None:
        pytest.skip("no small file system can be mounted here: run as root, or in a user namespace")
    direct = cluster.direct
    before = [record.value for record in read_all(direct, "a")]
    assert cluster.disk.fill() > 0
    assert os.statvfs(cluster.disk.folder).f_bavail == 0
    producer = KafkaProducer(**direct.producer_options(delivery_timeout_ms=15_000))

    producer.send("a", b"x" * 100_000, partition=1)

    wait_until(lambda: not cluster.broker.is_running(), within=60, what="the end of the broker")
    cluster.disk.free()
    cluster.broker.start()
    producer.close(timeout=30)
    assert [r.value for r in read_all(direct, "a") if r.partition == 0] == before
    gc.collect()  # the sockets, while their warning is ignored


def test_without_a_right_to_mount_it_says_so_and_gives_no_disk(tmp_path: Path, capsys):
    (tmp_path / "file").touch()
    with mounted(tmp_path, size_mb=-1) as disk:
        assert disk is None
    assert "NO FULL DISKS" in capsys.readouterr().out

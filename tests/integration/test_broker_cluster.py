"""Three brokers: started as one, one of them lost, nothing that was acknowledged lost with it."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.support.broker import QUICK_START, produce, read_all
from tests.support.wait import wait_until
from workers.broker.cluster import ClusterConfig
from workers.broker.embedded import BrokerConfig
from workers.errors import ProvisioningError
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import admin_options

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(300),
    # kafka-python drops the sockets of connections that were refused, without closing them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

TOPIC = "vigie.readings"


def leaders(connection: Connection) -> list[int]:
    admin = KafkaAdminClient(**admin_options(connection))
    try:
        (topic,) = admin.describe_topics([TOPIC])
    finally:
        admin.close()
    assert all(len(one["replica_nodes"]) == 3 for one in topic["partitions"])
    return [one["leader_id"] for one in topic["partitions"]]


def moved(connection: Connection, lost: int) -> bool:
    try:
        return lost not in leaders(connection)
    except KafkaError:  # it asked the one that is gone
        return False


def test_three_brokers_lose_a_leader_and_keep_what_was_acknowledged(tmp_path: Path) -> None:
    data = tmp_path / "data"
    environment = os.environ | {"VIGIE_STATE_DIR": str(tmp_path / "state")}

    def vigie(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workers.cli.main", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=200, check=False
        )

    try:
        started = vigie("broker", "start", "--nodes", "3", "--data", str(data), "--json")
        assert started.returncode == 0, started.stderr
        known = json.loads(started.stdout)
        pids = [node["pid"] for node in (known, *known["peers"])]
        assert len(set(pids)) == len(known["bootstrap"].split(",")) == 3
        refused = vigie("broker", "start")
        assert refused.returncode == 1
        assert "A broker of 3 nodes is running already" in refused.stderr

        connection = Connection(bootstrap=known["bootstrap"], wait_timeout_s=60)
        copies = ("--set", "topics.replication_factor=3", "--partitions", "3")
        made = vigie("topics", "create", "--bootstrap", known["bootstrap"], *copies)
        assert made.returncode == 0, made.stderr
        produce(connection, TOPIC, [{"value": b"%d" % n, "partition": n % 3} for n in range(30)])

        lost = leaders(connection)[0]
        os.killpg(pids[lost - 1], signal.SIGKILL)
        wait_until(lambda: moved(connection, lost), within=60, what="other leaders")

        limping = vigie("broker", "status")
        assert limping.returncode == 3
        assert "2 of 3 nodes run" in limping.stderr
        more = [{"value": b"%d" % n, "partition": n % 3} for n in range(30, 60)]
        produce(connection, TOPIC, more)
        values = sorted(int(record.value) for record in read_all(connection, TOPIC))
        assert values == list(range(60))
    finally:
        stopped = vigie("broker", "stop")
    assert stopped.returncode == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]

    with pytest.raises(ProvisioningError, match="cluster of 3 nodes: say --nodes"):
        BrokerConfig(data=data).start()
    with pytest.raises(ProvisioningError, match="cluster of 3 nodes: say --nodes 3"):
        ClusterConfig(nodes=2, each=BrokerConfig(data=data)).start()
    each = BrokerConfig(data=data, jvm_options=QUICK_START, heap_mb=192)
    with ClusterConfig(each=each).open() as cluster:
        again = Connection(bootstrap=cluster.bootstrap, wait_timeout_s=60)
        assert sorted(int(record.value) for record in read_all(again, TOPIC)) == values
        for node in cluster.nodes:
            node.kill()  # saves the seconds in which they would part in good order
    gc.collect()  # the sockets, while their warning is ignored


def test_a_node_that_does_not_come_up_is_named_and_none_is_left(tmp_path: Path) -> None:
    each = BrokerConfig(data=tmp_path, properties={"log.segment.bytes": "not a number"})

    with pytest.raises(ProvisioningError, match=r"Node \d: .*\n.*log\.segment\.bytes"):
        ClusterConfig(each=each).start()

    left = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert not [line for line in left if str(tmp_path) in line]

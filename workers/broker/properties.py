"""What a node of Kafka is told at its start: ``server.properties``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MOST_COPIES: Final = 3
_SHARED: Final = {
    "process.roles": "broker,controller",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "num.partitions": "4",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "auto.create.topics.enable": "false",
    "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
}


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """The nodes of a cluster, each of which is a broker and a controller.

    Attributes:
        cluster_id: 22 characters of base64; a data folder belongs to one cluster.
        controllers: HOST:PORT of each node's controller, by the node's number.
    """

    cluster_id: str
    controllers: Mapping[int, str]


def server_properties(
    *, node: int, clients: str, quorum: Quorum, log: Path, overrides: Mapping[str, str]
) -> str:
    """The text of the file.

    A lone node keeps one copy of everything. Three or more keep three copies, and take a write of
    ``acks=all`` when two have it: any one of them may be lost, and nothing is.

    Args:
        node: its number.
        clients: HOST:PORT for clients and the other brokers.
        quorum: with `node` in it.
        log: the folder of its records.
        overrides: lines that win.
    """
    size = len(quorum.controllers)
    copies = min(size, _MOST_COPIES)
    in_sync = max(copies - 1, 1)
    listeners = f"PLAINTEXT://{clients},CONTROLLER://{quorum.controllers[node]}"
    lines = {
        **_SHARED,
        "node.id": str(node),
        "listeners": listeners,
        "advertised.listeners": listeners,
        "log.dirs": str(log),
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(in_sync),
    }
    if size == 1:
        lines["controller.quorum.bootstrap.servers"] = quorum.controllers[node]
    else:
        # A fixed list: the nodes may come back on other ports, and find each other.
        lines["controller.quorum.voters"] = ",".join(
            f"{number}@{address}" for number, address in quorum.controllers.items()
        )
    return "".join(f"{key}={value}\n" for key, value in (lines | dict(overrides)).items())

"""The brokers of a run: clients come through the proxies, the harness and the readings past them.

Each broker has listeners for two ways in, and its data on a small disk. Several brokers, where the
machine allows it, live in network namespaces with two cables each: one to the other brokers, one to
the clients. So a broker can be parted from its peers and go on talking to clients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from tests.chaos.disk import Disk, mounted
from tests.chaos.proxy import HOST, Proxy, Weather, open_proxy
from tests.support import netns
from tests.support.broker import QUICK_START
from workers.broker.cluster import DEFAULT_HEAP_MB, EmbeddedCluster
from workers.broker.embedded import BrokerConfig, EmbeddedBroker
from workers.broker.folders import new_cluster_id, node_folder
from workers.broker.ports import free_port
from workers.broker.properties import Quorum
from workers.kafka.client import Connection

_START_WITHIN_S: Final = 240.0
_DISK: Final = {
    # Small, so that a full disk comes late enough for a log to be there.
    "log.segment.bytes": str(16 * 2**20),
    "log.index.size.max.bytes": str(256 * 1024),
}
_SEVERAL: Final = {
    # Short, so that a run meets the loss of a leader, and of a follower, often.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "1000",
    "replica.lag.time.max.ms": "3000",
}


@dataclass(frozen=True, kw_only=True)
class Node:
    """One broker.

    Attributes:
        broker: its `bootstrap` leads past the proxy.
        log: its log folder, for `tests.chaos.segments`.
        proxy: the way of the pipeline.
        disk: that of the log; None where none could be mounted.
        peers: its cable to the other brokers; None where it has none of its own.
    """

    broker: EmbeddedBroker
    log: Path
    proxy: Proxy
    disk: Disk | None
    peers: netns.Node | None = None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What there is to harm. `broker`, `log`, `proxy` and `disk` are those of the first node."""

    nodes: tuple[Node, ...]

    @property
    def broker(self) -> EmbeddedBroker:
        """See `Node.broker`."""
        return self.nodes[0].broker

    @property
    def log(self) -> Path:
        """See `Node.log`; where several have it, `tests.chaos.replicas` says that all are alike."""
        return self.nodes[0].log

    @property
    def proxy(self) -> Proxy:
        """See `Node.proxy`."""
        return self.nodes[0].proxy

    @property
    def disk(self) -> Disk | None:
        """See `Node.disk`."""
        return self.nodes[0].disk

    @property
    def direct(self) -> Connection:
        """Past the proxies: for control, load and checkers."""
        bootstrap = ",".join(node.broker.bootstrap for node in self.nodes)
        return Connection(bootstrap=bootstrap, wait_timeout_s=60.0)

    @property
    def proxied(self) -> str:
        """The address for the pipeline. The brokers' answers name the proxies, too."""
        return ",".join(f"{HOST}:{node.proxy.port}" for node in self.nodes)

    @property
    def late_requests(self) -> int:
        """Requests that were held for being late."""
        return sum(node.proxy.late_requests for node in self.nodes)

    def set_weather(self, weather: Weather) -> None:
        """Change the weather on the way to every broker."""
        for node in self.nodes:
            node.proxy.set_weather(weather)

    def cut(self) -> None:
        """Reset every connection that goes through a proxy."""
        for node in self.nodes:
            node.proxy.cut()


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a node listens, and what else is its own."""

    number: int
    clients: str
    between: str
    prefix: tuple[str, ...] = ()
    peers: netns.Node | None = None


@contextmanager
def open_cluster(
    folder: Path, *, nodes: int = 1, properties: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Brokers with a listener for each of the two ways, their data on small disks.

    Args:
        folder: for their data; each of several has a folder in it.
        nodes: how many.
        properties: lines for ``server.properties`` of each; they win.
    """
    with ExitStack() as stack:
        places = _places(nodes, stack)
        controllers = {place.number: f"{place.between}:{free_port()}" for place in places}
        quorum = Quorum(cluster_id=new_cluster_id(), controllers=controllers)
        own = {**_DISK, **(_SEVERAL if nodes > 1 else {}), **(properties or {})}
        made = tuple(_node(place, folder, quorum, own, stack) for place in places)
        brokers = tuple(node.broker for node in made)
        running = EmbeddedCluster(brokers, folder, keeps_data=True, start_timeout_s=_START_WITHIN_S)
        stack.callback(_end, running)
        running.start()
        yield Cluster(nodes=made)


def _node(
    place: _Place, folder: Path, quorum: Quorum, properties: Mapping[str, str], stack: ExitStack
) -> Node:
    """A node that is not started yet, with its proxy and its disk."""
    alone, number = len(quorum.controllers) == 1, place.number
    data = folder if alone else node_folder(folder, number)
    port, behind, controller = free_port(), free_port(), quorum.controllers[number]
    proxy = stack.enter_context(open_proxy(behind, place.clients))
    disk = stack.enter_context(mounted(data / "log"))
    listening = {
        "PLAINTEXT": f"{place.between}:{free_port()}",
        "CONTROLLER": controller,
        "DIRECT": f"{place.clients}:{port}",
        "PROXIED": f"{place.clients}:{behind}",
    }
    named = {**listening, "PROXIED": f"{HOST}:{proxy.port}"}
    lines = {
        "listeners": _listeners(listening),
        "advertised.listeners": _listeners(named),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listening),
        **({"controller.quorum.bootstrap.servers": controller} if alone else {}),
    }
    config = BrokerConfig(
        port=port,
        host=place.clients,
        data=data,
        heap_mb=512 if alone else DEFAULT_HEAP_MB,
        jvm_options=QUICK_START,
        prefix=place.prefix,
        start_timeout_s=_START_WITHIN_S,
        properties=lines | dict(properties),
    )
    broker = EmbeddedBroker(
        config=config,
        kafka=config.find_kafka(),
        data=data,
        node=number,
        quorum=None if alone else quorum,
    )
    return Node(broker=broker, log=data / "log", proxy=proxy, disk=disk, peers=place.peers)


def _places(nodes: int, stack: ExitStack) -> list[_Place]:
    """A namespace with two cables for each of several nodes, where that can be had."""
    refused = netns.why_not() if nodes > 1 else "one broker has no peers"
    if refused:
        if nodes > 1:
            structlog.get_logger("chaos").error(
                "NO BROKER PARTED FROM ITS PEERS IN THIS RUN", reason=refused
            )
        return [_Place(number=n, clients=HOST, between=HOST) for n in range(1, nodes + 1)]
    clients = stack.enter_context(netns.open_network())
    between = stack.enter_context(netns.open_network())
    places = []
    for number in range(1, nodes + 1):
        node = clients.add()
        peers = between.add(beside=node)
        prefix = tuple(node.command(()))
        places.append(
            _Place(
                number=number,
                clients=node.address,
                between=peers.address,
                prefix=prefix,
                peers=peers,
            )
        )
    return places


def _end(running: EmbeddedCluster) -> None:
    """Their data is not wanted any more: no need to part in good order, which takes seconds."""
    if len(running.nodes) > 1:
        for node in running.nodes:
            node.kill()
    running.stop()


def _listeners(addresses: Mapping[str, str]) -> str:
    return ",".join(f"{name}://{address}" for name, address in addresses.items())

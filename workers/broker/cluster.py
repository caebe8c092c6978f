"""Several nodes of a real Apache Kafka on this machine, as one cluster.

Contract, beside that of `workers.broker.embedded`:

* Every node is a broker and a controller, with a process, a folder, a port and a log of its own:
  each can be stopped, killed and suspended alone. Three survive the loss of one.
* A data folder keeps its cluster: its id, and how many nodes it has.
* Without a chosen port each node takes a free one; with one they take that and the next ones.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from workers.broker.embedded import FIRST_NODE, BrokerConfig, BusyPortError, EmbeddedBroker, Kafka
from workers.broker.folders import clusters_in, new_cluster_id, node_folder, nodes_of
from workers.broker.jars import OnProgress, unheard
from workers.broker.ports import LAST_PORT, free_port
from workers.broker.properties import Quorum
from workers.errors import ProvisioningError

DEFAULT_HEAP_MB: Final = 192
"""Of each node: its process then takes about 250 MB."""

_ATTEMPTS: Final = 3
_POLL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How to run a cluster. Picklable; nothing happens before `start` or `open`.

    Attributes:
        nodes: how many, 2 or more; three survive the loss of one.
        each: how to run each node; `port` is that of the first one, `data` the folder of all.
    """

    nodes: int = 3
    each: BrokerConfig = field(default_factory=lambda: BrokerConfig(heap_mb=DEFAULT_HEAP_MB))

    def start(self, *, on_progress: OnProgress = unheard) -> EmbeddedCluster:
        """Start all nodes together, and wait until each of them answers and knows the others.

        Raises:
            ProvisioningError: as `BrokerConfig.start`; it names the node. Or the last node's port
                would be above 65535, or the folder holds another number of nodes.
        """
        self._check_ports()
        if self.each.data is not None:
            self._check_folder(self.each.data)
        kafka = self.each.find_kafka(on_progress=on_progress)
        with self.each.folder() as data:
            for attempt in range(1, _ATTEMPTS + 1):
                cluster = self._make(kafka, data)
                try:
                    cluster.start()
                except BusyPortError:
                    # Another program took a free port between our look and the node's bind.
                    if self.each.port is not None or attempt == _ATTEMPTS:
                        raise
                else:
                    break
        return cluster

    @contextmanager
    def open(self, *, on_progress: OnProgress = unheard) -> Iterator[EmbeddedCluster]:
        """`start`, and stop at the end of the block."""
        cluster = self.start(on_progress=on_progress)
        try:
            yield cluster
        finally:
            cluster.stop()

    def _make(self, kafka: Kafka, data: Path) -> EmbeddedCluster:
        """Choose ports and the cluster's id, start nothing."""
        each = self.each
        numbers = range(FIRST_NODE, FIRST_NODE + self.nodes)
        quorum = Quorum(
            cluster_id=next(iter(clusters_in(data)), "") or new_cluster_id(),
            controllers={number: f"{each.host}:{free_port()}" for number in numbers},
        )
        nodes = tuple(
            EmbeddedBroker(
                config=replace(
                    each, port=each.port + number - FIRST_NODE if each.port else free_port()
                ),
                kafka=kafka,
                data=node_folder(data, number),
                node=number,
                quorum=quorum,
            )
            for number in numbers
        )
        return EmbeddedCluster(
            nodes,
            data,
            keeps_data=each.data is not None,
            start_timeout_s=each.start_timeout_s * self.nodes,  # they share the cores
        )

    def _check_ports(self) -> None:
        last = LAST_PORT - self.nodes + 1
        if self.each.port and self.each.port > last:
            raise ProvisioningError(
                f"{self.nodes} nodes take the ports from --port {self.each.port} on, and the last "
                f"one there is is {LAST_PORT}: choose {last} or less."
            )

    def _check_folder(self, data: Path) -> None:
        there = nodes_of(data)
        if there not in {0, self.nodes}:
            raise ProvisioningError(
                f"The data folder {data} holds a cluster of {there} node{'s'[: there > 1]}: say "
                f"--nodes {there}, or choose another folder with --data."
            )


class EmbeddedCluster:
    """The nodes of one cluster; made by `ClusterConfig.start`.

    `nodes` are there to be harmed one by one; `start` and `stop` here mean all of them.
    """

    def __init__(
        self,
        nodes: tuple[EmbeddedBroker, ...],
        data: Path,
        *,
        keeps_data: bool,
        start_timeout_s: float,
    ) -> None:
        """Start nothing.

        Args:
            nodes: of one quorum, in the order of their numbers.
            data: the folder of all of them.
            keeps_data: False: it goes away with them.
            start_timeout_s: how long `start` waits for all to answer.
        """
        self.nodes = nodes
        self.data = data
        self._keeps_data = keeps_data
        self._start_timeout_s = start_timeout_s

    @property
    def bootstrap(self) -> str:
        """The addresses for ``bootstrap_servers``."""
        return ",".join(node.bootstrap for node in self.nodes)

    def is_running(self) -> bool:
        """True while every node's process lives."""
        return all(node.is_running() for node in self.nodes)

    def start(self) -> None:
        """Start the nodes that do not run, and wait until all answer.

        Raises:
            ProvisioningError: see `ClusterConfig.start`; then none of them runs.
        """
        down = [node for node in self.nodes if not node.is_running()]
        try:
            with ThreadPoolExecutor(len(self.nodes)) as pool:  # each may have to be formatted
                list(pool.map(_launch, down))
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all nodes politely, within 20 s by force. A temporary folder is removed."""
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.stop()
        if not self._keeps_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def log_tail(self, lines: int = 30) -> str:
        """The end of the log of each node that does not run."""
        return "\n".join(
            f"node {node.node}:\n{node.log_tail(lines)}"
            for node in self.nodes
            if not node.is_running()
        )

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        waiting = list(self.nodes)
        while waiting:
            for node in self.nodes:
                with _named(node):
                    node.check_running()
            waiting = [node for node in waiting if not node.answers(brokers=len(self.nodes))]
            if waiting and time.monotonic() > deadline:
                with _named(waiting[0]):
                    raise ProvisioningError(waiting[0].silent())
            time.sleep(_POLL_S if waiting else 0)


def _launch(node: EmbeddedBroker) -> None:
    with _named(node):
        node.launch()


@contextmanager
def _named(node: EmbeddedBroker) -> Iterator[None]:
    """Say which node it is about."""
    try:
        yield
    except ProvisioningError as error:
        raise type(error)(f"Node {node.node}: {error}") from error

"""A plant's cluster in small: Kafka, a Ray head, nodes and a driver, each on a machine of its own.

The machines are network namespaces on one bridge: addresses, advertised listeners and cables are
real, processes can be powered off, and a cable pulled.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.settings import Settings
from tests.support.broker import QUICK_START
from tests.support.netns import Network, Node, open_network
from tests.support.ray_nodes import HEAD_PORT, RayNode, RayNodes, kill_all, open_ray_nodes
from workers.broker.embedded import BrokerConfig
from workers.kafka.client import Connection

_METRICS_PORT = 9464
# Ray finds a silent node dead after 5 checks, 3 s apart, of up to 10 s each: here sooner, but not
# so soon that a busy machine counts as dead.
_QUICK_TO_NOTICE = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "4",
}


@dataclass
class Driver:
    """A `vigie run` on a machine of its own, which has no Ray node but the one it brings."""

    machine: Node
    process: subprocess.Popen[str]
    log: Path

    def status(self) -> dict[str, Any]:
        """What it says of itself; empty while it does not answer."""
        url = f"http://{self.machine.address}:{_METRICS_PORT}/status"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
        except (urllib.error.URLError, OSError):
            return {}
        return found

    def scale(self, *options: str) -> None:
        """`vigie scale` on the driver's machine: others may not."""
        command = [sys.executable, "-m", "workers.cli.main", "scale", *options]
        command += ["--address", f"http://127.0.0.1:{_METRICS_PORT}"]
        subprocess.run(self.machine.command(command), check=True)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of this event."""
        lines = self.log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and event in line]
        return [line for line in found if line.get("event") == event]

    def stop(self, *, within: float = 120.0) -> int:
        """SIGTERM, as a container is stopped; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=within)


@dataclass
class Site:
    """Made by `open_site`; nodes and drivers come by its methods."""

    network: Network
    rays: RayNodes
    home: Path
    connection: Connection
    head: RayNode
    nodes: list[RayNode] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    def add_node(self, *options: str, **environment: str) -> RayNode:
        """One more machine with a Ray node."""
        node = self.rays.start(self.network.add(), self.head.machine, *options, **environment)
        self.nodes.append(node)
        return node

    @property
    def address(self) -> str:
        """Where a driver joins."""
        return f"{self.head.machine.address}:{HEAD_PORT}"

    def power_off(self, nodes: Sequence[RayNode]) -> None:
        """Kill these nodes, unless they are off, and forget them."""
        for node in list(nodes):
            node.kill()
            self.nodes.remove(node)

    @contextmanager
    def driver(
        self,
        settings: Settings,
        model: Path,
        *extra: str,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Driver]:
        """`vigie run` on a new machine; nothing of it is left at the end."""
        machine = self.network.add()
        topics = settings.topics.model_dump()
        command = [sys.executable, "-m", "workers.cli.main", "run", "--json"]
        command += ["--model", str(model), "--bootstrap", settings.kafka.bootstrap]
        command += ["--group", settings.kafka.group, "--set", "log.format=json"]
        command += ["--address", self.address]
        command += ["--metrics-port", str(_METRICS_PORT), "--metrics-host", "0.0.0.0"]
        command += [f"--set=topics.{name}={topic}" for name, topic in topics.items()]
        log = self.home / f"{machine.name}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                machine.command([*command, *extra]),
                env={**self.rays.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        try:
            yield Driver(machine, process, log)
        finally:
            kill_all(machine)
            process.wait(timeout=20)


@contextmanager
def open_site(
    home: Path, network: Network | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Site]:
    """A network (or this one) with a broker and a Ray head; at the end nothing of it is left."""
    with ExitStack() as stack:
        network = network or stack.enter_context(open_network())
        kafka, head = network.add(), network.add()
        given = {**_QUICK_TO_NOTICE, **(environment or {})}
        rays = stack.enter_context(open_ray_nodes(network, home, **given))
        config = BrokerConfig(
            host=kafka.address, prefix=tuple(kafka.command([])), jvm_options=QUICK_START
        )
        stack.callback(kill_all, kafka)
        broker = stack.enter_context(config.open())
        connection = Connection(bootstrap=broker.bootstrap, wait_timeout_s=30)
        yield Site(network, rays, home, connection, rays.start_head(head))


def committed(driver: Driver) -> int:
    """Records committed so far."""
    return int(driver.status().get("counts", {}).get("records", 0))

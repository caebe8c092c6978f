"""The broker of a run: clients come through the proxy, the harness and the readings past it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.disk import Disk, mounted
from tests.chaos.proxy import HOST, Proxy, open_proxy
from tests.support.broker import QUICK_START
from workers.broker.embedded import BrokerConfig, EmbeddedBroker
from workers.broker.ports import free_port
from workers.kafka.client import Connection


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What there is to harm.

    Attributes:
        broker: its `bootstrap` leads past the proxy.
        log: its log folder, for `tests.chaos.segments`.
        proxy: the way of the pipeline.
        disk: that of the log; None where none could be mounted.
    """

    broker: EmbeddedBroker
    log: Path
    proxy: Proxy
    disk: Disk | None

    @property
    def direct(self) -> Connection:
        """Past the proxy: for control, load and checkers."""
        return Connection(bootstrap=self.broker.bootstrap, wait_timeout_s=60.0)

    @property
    def proxied(self) -> str:
        """The address for the pipeline. The broker's answers name the proxy, too."""
        return f"{HOST}:{self.proxy.port}"


@contextmanager
def open_cluster(folder: Path) -> Iterator[Cluster]:
    """A broker with a listener for each of the two ways, its data on a small disk."""
    direct, behind, controller = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        proxy = stack.enter_context(open_proxy(behind))
        disk = stack.enter_context(mounted(folder / "log"))
        ours = {"PLAINTEXT": direct, "CONTROLLER": controller}
        properties = {
            "listeners": _listeners({**ours, "PROXIED": behind}),
            "advertised.listeners": _listeners({**ours, "PROXIED": proxy.port}),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in (*ours, "PROXIED")
            ),
            "controller.quorum.bootstrap.servers": f"{HOST}:{controller}",
            # Small, so that a full disk comes late enough for a log to be there.
            "log.segment.bytes": str(16 * 2**20),
            "log.index.size.max.bytes": str(256 * 1024),
        }
        config = BrokerConfig(
            port=direct, data=folder, jvm_options=QUICK_START, properties=properties
        )
        broker = stack.enter_context(config.open())
        yield Cluster(broker=broker, log=folder / "log", proxy=proxy, disk=disk)


def _listeners(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())

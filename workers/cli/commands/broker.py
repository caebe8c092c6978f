"""`vigie broker`: a real Kafka on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.broker.java import JavaSource
from workers.cli.exits import ExitCode
from workers.cli.options import JsonOption, unbundled
from workers.cli.views.report import print_json
from workers.errors import ProvisioningError

if TYPE_CHECKING:
    from workers.broker.cluster import ClusterConfig
    from workers.broker.embedded import BrokerConfig, Lifetime
    from workers.broker.registry import RunningBroker


@dataclass(frozen=True, kw_only=True)
class BrokerOptions:
    """How to run the broker."""

    port: Annotated[
        int | None,
        typer.Option(
            help="Port for clients; further nodes take the next ones. Default: free ones.",
            min=1,
            max=65535,
        ),
    ] = None
    nodes: Annotated[
        int,
        typer.Option(
            help="Brokers of the cluster. From 3 on everything has 3 copies: one may be lost.",
            min=1,
            max=9,
        ),
    ] = 1
    data: Annotated[
        Path | None,
        typer.Option(help="Data folder, kept at the end. Default: a temporary one, removed."),
    ] = None
    heap_mb: Annotated[
        int | None,
        typer.Option(
            "--heap",
            help="Memory of each Java machine in MB. Default: 512, of several nodes 192 each.",
            min=128,
            max=65536,
        ),
    ] = None
    java: Annotated[
        JavaSource,
        typer.Option(help="Java to use: the bundled one, or that of JAVA_HOME (17 or newer)."),
    ] = JavaSource.AUTO

    def config(self, lifetime: Lifetime | int | None = None) -> BrokerConfig | ClusterConfig:
        """The configuration that the options describe; it ends with us unless said otherwise."""
        from workers.broker.cluster import DEFAULT_HEAP_MB, ClusterConfig
        from workers.broker.embedded import BrokerConfig, Lifetime

        each = BrokerConfig(
            port=self.port,
            data=self.data,
            lifetime=Lifetime.OWNER if lifetime is None else lifetime,
            heap_mb=self.heap_mb or (512 if self.nodes == 1 else DEFAULT_HEAP_MB),
            java=self.java,
        )
        return each if self.nodes == 1 else ClusterConfig(nodes=self.nodes, each=each)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    broker = typer.Typer(
        no_args_is_help=True,
        help="Run a real Apache Kafka on this machine: no Docker, no Java to install.",
    )
    broker.command()(unbundled(start))
    broker.command()(stop)
    broker.command()(status)
    broker.command()(unbundled(run))
    app.add_typer(broker, name="broker")


def start(
    *,
    options: BrokerOptions,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End it when the calling process ends.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a broker in the background and print its address.

    The first start fetches Kafka (45 MB) into the cache folder of the user; later ones take
    seconds. Started twice, it says where the first one is and leaves it alone.

    Example: vigie broker start --port 9092 --data ~/kafka
    Three that survive the loss of one: vigie broker start --nodes 3
    """
    from workers.broker.embedded import Lifetime
    from workers.broker.registry import find_running, remember, starting

    with starting():
        running = find_running()
        if running is not None:
            _check_same(running, options)
            _show(running, "The broker is running already", as_json=as_json)
            return
        lifetime = os.getppid() if with_parent else Lifetime.DETACHED
        with _progress() as on_progress:
            broker = options.config(lifetime).start(on_progress=on_progress)
        running = remember(broker, keeps_data=options.data is not None)
    _show(running, "The broker is up", as_json=as_json)


def stop() -> None:
    """Stop the broker that `start` left running."""
    from workers.broker.registry import find_running, starting, stop_running

    with starting():
        running = find_running()
        if running is None:
            typer.echo("No broker is running.", err=True)
            return
        stop_running(running)
    kept = f" Its data is in {running.data}." if running.keeps_data else ""
    typer.echo(f"The broker at {running.bootstrap} has stopped.{kept}", err=True)


def status(as_json: JsonOption = False) -> None:
    """Say whether the broker of `start` runs and answers; exit code 3 if not.

    Of several nodes all have to run.
    """
    from workers.broker.registry import find_running, living_nodes
    from workers.kafka.client import Connection
    from workers.kafka.factory import admin_of

    running = find_running()
    living = 0 if running is None else living_nodes(running)
    answers = running is not None and admin_of(Connection(bootstrap=running.bootstrap)).answers(
        timeout_s=5, brokers=len(running.nodes)
    )
    if as_json:
        facts = {} if running is None else asdict(running)
        print_json({"running": running is not None, "answers": answers, "living": living} | facts)
    elif running is None:
        typer.echo("No broker is running. Start one with vigie broker start.")
    elif living < len(running.nodes):
        _show(running, f"{living} of {len(running.nodes)} nodes run (the logs say why)")
    else:
        _show(running, "The broker answers" if answers else "The broker runs but does not answer")
    if not answers:
        raise typer.Exit(ExitCode.BROKER_UNAVAILABLE)


def run(*, options: BrokerOptions) -> None:
    """Run a broker in the foreground until Ctrl-C or SIGTERM.

    Example: vigie broker run --port 9092
    """
    from workers.process import stop_signals

    with stop_signals(lambda: typer.echo("stopping", err=True)) as should_stop:
        with _progress() as on_progress:
            broker = options.config().start(on_progress=on_progress)
        try:
            typer.echo(broker.bootstrap)
            typer.echo(f"data in {broker.data}; Ctrl-C stops it", err=True)
            while not should_stop():
                if not broker.is_running():
                    raise ProvisioningError(f"The broker ended by itself.\n{broker.log_tail()}")
                time.sleep(0.2)
        finally:
            broker.stop()


def _check_same(running: RunningBroker, options: BrokerOptions) -> None:
    """Do not pass off the running broker as another one."""
    port, data = options.port, options.data
    first = running.bootstrap.partition(",")[0]
    other_port = port is not None and not first.endswith(f":{port}")
    other_data = data is not None and data.absolute() != Path(running.data)
    if other_port or other_data or options.nodes != len(running.nodes):
        raise ProvisioningError(
            f"A broker of {len(running.nodes)} node{'s'[: len(running.nodes) > 1]} is running "
            f"already at {running.bootstrap} with its data in {running.data}: "
            "stop it first (vigie broker stop), or run a second one with vigie broker run."
        )


def _show(running: RunningBroker, what: str, *, as_json: bool = False) -> None:
    if as_json:
        print_json(asdict(running))
        return
    pids = ", ".join(str(node.pid) for node in running.nodes)
    typer.echo(f"{what}, pid {pids}, data in {running.data}.", err=True)
    typer.echo(running.bootstrap)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A line on standard error while the broker starts; the first start fetches Kafka."""
    from rich.console import Console

    with Console(stderr=True).status("starting Kafka") as line:
        yield lambda done, total: line.update(
            f"fetching Kafka, once: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        )

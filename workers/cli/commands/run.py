"""`vigie run`: score the stream."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from workers.cli.options import JsonOption, ModelOption, SettingsOptions, unbundled


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(unbundled(run))


def run(
    *,
    options: SettingsOptions,
    model: ModelOption = None,
    group: Annotated[str | None, typer.Option(help="Consumer group. Sets kafka.group.")] = None,
    ingest: Annotated[
        str | None, typer.Option(help='Ingest workers, or "auto". Sets workers.ingest.')
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster to run on, as HOST:6379; auto: the node on this machine. Sets "
            "ray.address."
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Serve /metrics (Prometheus), /status (JSON), /healthz and /readyz on this port; "
            "0 takes a free one. Sets metrics.port.",
            min=0,
            max=65535,
        ),
    ] = None,
    metrics_host: Annotated[
        str | None,
        typer.Option(
            help="Address for --metrics-port, by default 127.0.0.1; 0.0.0.0 opens it to the "
            "network. Sets metrics.host."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score the stream until Ctrl-C or SIGTERM, then drain: finish, commit, leave the group.

    Readings come from topics.readings; flagged ones go to topics.anomalies, the cleaned signal to
    topics.denoised, records that cannot be read to topics.dead_letters. A second Ctrl-C ends at
    once; what was not committed is scored again at the next start.

    Example: vigie run --model models/pumps --bootstrap localhost:9092
    """
    from workers.api.server import endpoint_of, status_of
    from workers.cli.views.report import counts_table, print_json
    from workers.kafka.rotation import SecretRotation
    from workers.process import configure_logging, stop_signals
    from workers.stream.health import Phase
    from workers.supervision.pipeline import run_pipeline

    source = options.source(
        {
            "model.path": model,
            "kafka.group": group,
            "workers.ingest": ingest,
            "ray.address": address,
            "metrics.host": metrics_host,
            "metrics.port": metrics_port,
        }
    )
    rotation = SecretRotation(source)  # before the load: what changes after it is new
    settings = source.load()
    configure_logging(settings.log)
    # Ray prints what it has to say, such as that a worker died, to standard output: that is for
    # the result, which may be JSON.
    with (
        redirect_stdout(sys.stderr),
        stop_signals(_say_draining) as should_stop,
        endpoint_of(settings.metrics) as endpoint,
        rotation.watching(),
    ):
        healths = run_pipeline(
            settings, should_stop=should_stop, serve=endpoint.of, renewed=rotation.take
        )
    if as_json:
        print_json(status_of(healths))
    else:
        counts_table(healths)
    left = [health.slot for health in healths if health.phase is not Phase.STOPPED]
    if left:
        typer.echo(
            f"worker {', '.join(map(str, left))} did not finish in time: what is not committed is "
            "scored at the next start (processing.drain_timeout_s)",
            err=True,
        )
        raise typer.Exit(1)


def _say_draining() -> None:
    typer.echo("draining; Ctrl-C again ends at once", err=True)

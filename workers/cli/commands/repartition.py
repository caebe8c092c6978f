"""`vigie repartition`: from a topic without keys to one that the stream can read."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.options import JsonOption, SettingsOptions, unbundled

if TYPE_CHECKING:
    from workers.stream.health import Health
    from workers.supervision.pipeline import Serve


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("repartition")(unbundled(repartition))


def repartition(
    *,
    options: SettingsOptions,
    source: Annotated[
        str | None, typer.Option(help="Topic to read. Sets repartition.source.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Topic to write. Sets topics.readings.")
    ] = None,
    max_disorder: Annotated[
        float | None,
        typer.Option(
            help="Seconds that readings wait to be put in order; 0 leaves them as they come. Sets "
            "repartition.max_disorder_s.",
            min=0.0,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="The groups are called after it (NAME.rekey, ...). Sets kafka.group."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Serve /metrics and /status of the first hop on this port of 127.0.0.1, of the "
            "second on the next one; 0 takes free ones.",
            min=0,
            max=65534,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write readings on by sensor and in order, until Ctrl-C or SIGTERM.

    For topics whose records have no key, or another one than their sensor: vigie run needs all
    readings of a sensor in one partition, in the order of event time. Each record goes on as it is,
    once, in two hops: from repartition.source to repartition.shuffled, by sensor; from there to
    topics.readings, in order. A reading waits about --max-disorder seconds; what comes later than
    that is written on as it is, and counted. What has no sensor or no time goes to
    topics.dead_letters. Restarts and crashes change nothing; run vigie run beside it.

    Example: vigie topics create --repartition --set repartition.source=plant.raw, then vigie
    repartition --source plant.raw
    """
    from workers.api.server import serving
    from workers.cli.views.report import print_json
    from workers.process import configure_logging, stop_signals
    from workers.stream.health import Phase
    from workers.stream.repartition.build import Hop
    from workers.supervision.repartition import run_repartition

    settings = options.load(
        {
            "repartition.source": source,
            "topics.readings": to,
            "repartition.max_disorder_s": max_disorder,
            "kafka.group": group,
        }
    )
    configure_logging(settings.log)

    def serve(hop: Hop) -> Serve:
        if metrics_port is None:
            return nullcontext
        port = metrics_port + (list(Hop).index(hop) if metrics_port else 0)
        return serving(host="127.0.0.1", port=port)

    with redirect_stdout(sys.stderr), stop_signals(_say_draining) as should_stop:
        healths = run_repartition(settings, should_stop=should_stop, serve=serve)
    by_hop = {hop.value: own for hop, own in healths.items()}
    if as_json:
        print_json({hop: _told(own) for hop, own in by_hop.items()})
    else:
        _table(by_hop)
    left = [
        f"{hop} {health.slot}"
        for hop, own in by_hop.items()
        for health in own
        if health.phase is not Phase.STOPPED
    ]
    if left:
        typer.echo(
            f"worker {', '.join(left)} did not finish in time: what is not committed is written at "
            "the next start (processing.drain_timeout_s)",
            err=True,
        )
        raise typer.Exit(1)


_COUNTS = ("records", "written", "late", "early", "dead_lettered", "restored", "lost")


def _told(healths: Sequence[Health]) -> dict[str, Any]:
    """What a hop did in this run; `held` are records that wait, whichever run has read them."""
    from workers.stream.health import held_by
    from workers.stream.state.counts import Counts

    total = sum((health.total for health in healths), Counts())
    return {**{name: getattr(total, name) for name in _COUNTS}, "held": held_by(healths)}


def _table(by_hop: Mapping[str, Sequence[Health]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table("", *(Column(hop, justify="right") for hop in by_hop), box=None)
    told = [_told(healths) for healths in by_hop.values()]
    for name in told[0]:
        table.add_row(name.replace("_", " "), *(f"{one[name]:,}" for one in told))
    Console().print(table)


def _say_draining() -> None:
    typer.echo("draining; Ctrl-C again ends at once", err=True)

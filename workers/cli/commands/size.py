"""`vigie size`: how many partitions, workers, brokers a fleet of sensors needs."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from schemas.settings import Guarantee
from workers.cli.gateway_options import parse_seconds
from workers.cli.options import JsonOption, usage_errors
from workers.sizing.measured import DetectorKind, Encoding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("size")(size)


def size(
    sensors: Annotated[int, typer.Option(help="How many sensors.", min=1, show_default=False)],
    channels: Annotated[int, typer.Option(help="Values of a reading.", min=1)] = 8,
    every: Annotated[
        str, typer.Option(help="Between two readings of a sensor, such as 0.1s, 1s, 5m.")
    ] = "1s",
    encoding: Annotated[
        Encoding, typer.Option(help="One reading a record, or frames of several.")
    ] = Encoding.READING,
    frame_readings: Annotated[int, typer.Option(help="Readings of a frame.", min=1)] = 100,
    detector: Annotated[
        DetectorKind, typer.Option(help="As vigie train --detector says.")
    ] = DetectorKind.FULL,
    guarantee: Annotated[
        Guarantee, typer.Option(help="Of the outputs; both cost the same processor time.")
    ] = Guarantee.EXACTLY_ONCE,
    gpu: Annotated[bool, typer.Option("--gpu", help="Scorers on GPUs: extrapolated.")] = False,
    busy: Annotated[
        float, typer.Option(help="Share of the time workers may be at work: 1 less head-room.")
    ] = 0.6,
    recover: Annotated[
        str, typer.Option(help="A worker that crashed has caught up again within so long.")
    ] = "2m",
    retention: Annotated[str, typer.Option(help="How long topics keep what they hold.")] = "7d",
    replication: Annotated[int, typer.Option(help="Copies of each partition.", min=1)] = 3,
    incidents_per_week: Annotated[
        float, typer.Option(help="Incidents of a sensor in a week: the alarm budget.", min=0)
    ] = 1.0,
    growth: Annotated[
        float, typer.Option(help="Partitions for so many times the workers of today.")
    ] = 2.0,
    measured: Annotated[
        Path | None,
        typer.Option(help="Your machine's figures: python -m benchmarks.sizing --json FILE."),
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Take the cost of a reading from a running pipeline: the address of its "
            "--metrics-port. Your model, your channels, your encoding: the best figure there is.",
        ),
    ] = None,
    over: Annotated[str, typer.Option(help="How long to look at that pipeline.")] = "30s",
    toml: Annotated[
        bool, typer.Option("--toml", help="Print the settings alone, for vigie.toml.")
    ] = False,
    values: Annotated[
        bool,
        typer.Option("--values", help="Print Helm values: the settings, and pods."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a fleet of sensors needs: partitions, workers, memory, brokers, disk, a database.

    Reckoned from what a reading costs in processor time, as measured (docs/scaling.md), or from
    what it costs in your own pipeline (--from-run). Names what limits the answer and what was
    assumed.

    Examples:
      vigie size --sensors 1000
      vigie size --sensors 100000 --channels 8 --every 1s --encoding frame --frame-readings 10
      vigie size --sensors 100000 --from-run http://127.0.0.1:9464
      vigie size --sensors 100000 --toml > sized.toml
    """
    from workers.cli.views.sizing import settings_text, show_answer, values_text
    from workers.sizing.answer import settings_of
    from workers.sizing.answer import size as answer_for
    from workers.sizing.fleet import Fleet
    from workers.sizing.measured import our_figures, read_figures
    from workers.sizing.running import observe

    if toml + values + as_json > 1:
        raise typer.BadParameter("one of --toml, --values and --json", param_hint="--toml")
    if measured is not None and from_run is not None:
        raise typer.BadParameter("give --measured or --from-run, not both", param_hint="--measured")
    with usage_errors():
        fleet = Fleet(
            sensors=sensors,
            channels=channels,
            every_s=parse_seconds(every, "--every"),
            encoding=encoding,
            frame_readings=frame_readings,
            detector=detector,
            guarantee=guarantee,
            gpu=gpu,
            busy=busy,
            recover_s=parse_seconds(recover, "--recover"),
            retention_s=parse_seconds(retention, "--retention"),
            replication=replication,
            incidents_per_week=incidents_per_week,
            growth=growth,
        )
    figures = our_figures() if measured is None else read_figures(measured)
    observed = None
    if from_run is not None:
        observed = observe(
            from_run,
            over_s=parse_seconds(over, "--over"),
            monotonic_s=time.monotonic,
            pause=time.sleep,
        )
    with usage_errors():
        answer = answer_for(fleet, figures, observed)
    if as_json:
        from workers.cli.views.report import print_json

        print_json({**asdict(answer), "settings": settings_of(answer)})
    elif toml or values:
        typer.echo(settings_text(answer) if toml else values_text(answer), nl=False)
    else:
        show_answer(answer)

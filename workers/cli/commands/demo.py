"""`vigie demo`: everything at once, on this machine, with a plant that is known to be faulty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    seconds: Annotated[
        float, typer.Option(help="How long readings stream.", min=5, max=86_400)
    ] = 90.0,
    forever: Annotated[
        bool, typer.Option("--forever", help="Go on until Ctrl-C, then sum up.")
    ] = False,
    machines: Annotated[int, typer.Option(help="Pumps in the plant.", min=1, max=500)] = 20,
    per_second: Annotated[
        float, typer.Option(help="Readings a second, all pumps together.", min=1, max=20_000)
    ] = 1_000.0,
    seed: Annotated[int, typer.Option(help="Another seed is another plant.", min=0)] = 0,
    steps: Annotated[int, typer.Option(help="Training steps at most.", min=1, max=100_000)] = 1_000,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the picture, the model and the log.")
    ] = Path("vigie-demo"),
    as_json: JsonOption = False,
) -> None:
    """Watch Vigie find faults in a simulated plant. Needs nothing but this machine.

    Starts a Kafka broker and a local Ray, learns a model from a stretch of the plant without
    faults, then streams readings with faults in them and scores them live. The plant runs in time
    lapse. An operator, who knows what was broken, says of each incident that is over whether it was
    a fault or a false alarm. Meanwhile the gateway (vigie serve) shows it all on a page, whose
    address is printed, and posts the incidents to a receiver in this process, which verifies the
    signatures. At the end every record is accounted for, the incidents are compared with the faults
    and the false ones with the budget, and a picture shows one pump. Ctrl-C ends the streaming
    early; the summary comes all the same.

    Examples:
      vigie demo
      vigie demo --machines 100 --per-second 5000
      vigie demo --forever
    """
    from rich.console import Console

    from workers.cli.views.demo_audience import audience_for
    from workers.demo.play import play
    from workers.demo.quiet import only_ours
    from workers.demo.scenario import Scenario
    from workers.demo.summary import as_dict, show
    from workers.process import stop_signals

    scenario = Scenario(
        machines=machines,
        readings_per_s=per_second,
        seconds=None if forever else seconds,
        seed=seed,
    )
    out.mkdir(parents=True, exist_ok=True)
    log = out / "demo.log"
    log.write_text("", encoding="utf-8")
    with only_ours(log) as stdout:
        console = Console(file=stdout)
        with stop_signals() as should_stop, audience_for(console, quiet=as_json) as audience:
            summary = play(scenario, audience, folder=out, max_steps=steps, should_stop=should_stop)
        if as_json:
            json.dump(as_dict(summary), stdout, indent=2)
            stdout.write("\n")
        else:
            show(summary, console)
    if not summary.balanced:
        raise typer.Exit(1)

"""`vigie scale`: how many workers a running pipeline has, by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.commands.status import show_scaling
from workers.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scale")(scale)


def scale(
    ingest: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="Ingest workers: a number, or auto for by load."),
    ] = None,
    scorers: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="Scorers, where scoring runs in actors."),
    ] = None,
    address: Annotated[
        str,
        typer.Option(help="Address of the pipeline's --metrics-port, on this machine."),
    ] = "http://127.0.0.1:9464",
    as_json: JsonOption = False,
) -> None:
    """Set how many workers a running pipeline has, or give that back to the load.

    Workers that are added take over partitions with their history; those that leave finish and
    commit first. Nothing is lost or doubled. A number stays until the next `vigie scale` or the end
    of the run.

    Examples:
      vigie run --model models/pumps --metrics-port 9464
      vigie scale --ingest 3
      vigie scale --ingest auto
    """
    request = {
        kind: _number(kind, text)
        for kind, text in (("ingest", ingest), ("scorers", scorers))
        if text is not None
    }
    if not request:
        raise typer.BadParameter("name --ingest, --scorers or both", param_hint="--ingest")
    from workers.api.client import ask_scale

    found = ask_scale(address, request)
    if as_json:
        from workers.cli.views.report import print_json

        print_json(found)
        return
    from workers.cli.views.plain import PlainConsole

    show_scaling(found, PlainConsole())


def _number(kind: str, text: str) -> int | str:
    if text == "auto":
        return "auto"
    try:
        wanted = int(text)
    except ValueError:
        wanted = 0
    if wanted < 1:
        raise typer.BadParameter(
            f"{text!r} is neither a number from 1 nor auto", param_hint=f"--{kind}"
        )
    return wanted

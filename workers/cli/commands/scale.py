"""`vigie scale`: how many workers a running pipeline has, by hand."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Annotated, Any, Literal

import typer

from workers.cli.commands.status import pipeline_base, show_scaling
from workers.cli.options import JsonOption
from workers.errors import SettingsError, VigieError

_TIMEOUT_S = 30.0
_MAX_ANSWER_BYTES = 2**20
_REFUSED = frozenset({400, 403, 409})


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
    wishes = {
        kind: _wish(kind, text)
        for kind, text in (("ingest", ingest), ("scorers", scorers))
        if text is not None
    }
    if not wishes:
        raise typer.BadParameter("name --ingest, --scorers or both", param_hint="--ingest")
    found = _post(pipeline_base(address, param_hint="--address"), wishes)
    if as_json:
        from workers.cli.views.report import print_json

        print_json(found)
        return
    from rich.console import Console

    show_scaling(found, Console())


def _wish(kind: str, text: str) -> int | Literal["auto"]:
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


def _post(base: str, wishes: dict[str, Any]) -> dict[str, Any]:
    """Ask the pipeline.

    Raises:
        SettingsError: it refuses, and says why.
        VigieError: nobody answers there, or something else than a pipeline.
    """
    request = urllib.request.Request(  # noqa: S310 - http only, see `pipeline_base`
        f"{base}/scale",
        data=json.dumps(wishes).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
            found = json.loads(answer.read(_MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            told = _told(error) if error.code in _REFUSED else ""
        if told:
            raise SettingsError(f"the pipeline refuses: {told}") from error
        raise VigieError(
            f"{base}/scale does not take the number of workers ({error}): correct --address"
        ) from error
    except (OSError, ValueError) as error:
        raise VigieError(
            f"no pipeline answers at {base}/scale ({error}): start it with vigie run "
            "--metrics-port PORT, or correct --address"
        ) from error
    if not isinstance(found, dict) or "ingest" not in found:
        raise VigieError(f"{base}/scale is not that of a pipeline: correct --address")
    return found


def _told(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(_MAX_ANSWER_BYTES))["error"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""

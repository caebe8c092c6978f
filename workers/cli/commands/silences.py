"""`vigie silences`: no notifications of what matches, for a while. Detection goes on."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from workers.cli.gateway_options import GatewayOptions, as_instant, parse_matches
from workers.cli.options import JsonOption, unbundled

_LIST = "/v1/silences"


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True, help="Shelve alarms: no notifications of what matches, for a while."
    )
    for name, command in (("list", list_all), ("create", create), ("end", end)):
        group.command(name)(unbundled(command))
    app.add_typer(group, name="silences")


def list_all(
    *,
    expired: Annotated[bool, typer.Option("--expired", help="Those that have ended, too.")] = False,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """List the silences that hold, or will.

    Example: vigie silences list
    """
    with gateway.asking() as client:
        found = list(client.entries(_LIST, {"expired": expired}, most=None))
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.alarms import show_silences

        show_silences(found)


def create(
    *,
    match: Annotated[
        list[str],
        typer.Option(
            "--match",
            help="'sensor_id=\"pump-7\"', 'site=~\"L.*\"'; all have to match. May be repeated.",
            show_default=False,
        ),
    ],
    comment: Annotated[str, typer.Option(help="The reason.", show_default=False)],
    until: Annotated[
        str, typer.Option(help="Ends then (RFC 3339), or in so long: 2h, 3d.", show_default=False)
    ],
    start: Annotated[
        str | None, typer.Option("--from", help="Begins then, or in so long. Default: now.")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="For scripts: sent again under the same key, it is made once."),
    ] = None,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Silence incidents that match; what goes on behind the end is told then.

    Example: vigie silences create --match 'site="Lyon"' --until 2h --comment "overhaul"
    """
    body = {
        "matchers": parse_matches(match),
        "endsAt": as_instant(until, "--until", sign=1),
        "startsAt": None if start is None else as_instant(start, "--from", sign=1),
        "comment": comment,
    }
    with gateway.asking() as client:
        key = {"Idempotency-Key": idempotency_key or str(uuid4())}
        found = client.send("POST", _LIST, body, key)
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.alarms import show_silences

        show_silences([found])


def end(
    silence: Annotated[UUID, typer.Argument(help="Its id.", metavar="SILENCE", show_default=False)],
    *,
    gateway: GatewayOptions,
) -> None:
    """End a silence now.

    Example: vigie silences end 3f0c7a52-0b1e-4f5e-8a69-0d3f1d2c4b5a
    """
    with gateway.asking() as client:
        client.send("DELETE", f"{_LIST}/{silence}")
    typer.echo(f"{silence} has ended.")


def _print_json(found: Any) -> None:
    from workers.cli.views.report import print_json

    print_json(found)

"""`vigie incidents`: what is wrong, and what people do about it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer

from schemas.api.incidents import IncidentState
from schemas.api.subscriptions import EventType
from schemas.wire.anomaly import Severity
from workers.cli.gateway_options import GatewayOptions, as_instant, parse_matches
from workers.cli.options import JsonOption, unbundled
from workers.errors import VigieError
from workers.printable import printable

_LIST = "/v1/incidents"


class Kind(StrEnum):
    """What an incident is about."""

    ANOMALY = "anomaly"
    DRIFT = "drift"
    DETECTOR = "detector"


IncidentArgument = Annotated[
    UUID, typer.Argument(help="Id of the incident.", metavar="INCIDENT", show_default=False)
]
CommentOption = Annotated[str, typer.Option(help="Why, for those who read it later.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True, help="See incidents, and say what is done about them."
    )
    for name, command in (
        ("list", list_all),
        ("show", show),
        ("follow", follow),
        ("acknowledge", acknowledge),
        ("unacknowledge", unacknowledge),
        ("resolve", resolve),
        ("comment", comment),
        ("comments", comments),
        ("fault", fault),
        ("false-alarm", false_alarm),
        ("deliveries", deliveries),
    ):
        group.command(name)(unbundled(command))
    app.add_typer(group, name="incidents")


def list_all(
    *,
    state: Annotated[
        list[IncidentState] | None,
        typer.Option(help="May be repeated. Default: open and acknowledged."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    words: Annotated[
        str, typer.Option("--search", help="Words in sensor, labels, channels, comments.")
    ] = "",
    sensor: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    severity: Annotated[list[Severity] | None, typer.Option(help="May be repeated.")] = None,
    kind: Annotated[list[Kind] | None, typer.Option(help="May be repeated.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Opened then (RFC 3339) or later, or so long ago: 2h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Opened before then, or so long ago.")] = None,
    suppressed: Annotated[
        bool | None,
        typer.Option(
            "--suppressed/--no-suppressed",
            help="Those that look like a confirmed false alarm, or the others. Default: both.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most of them.", min=1, max=100_000)] = 50,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """List the incidents that go on, the one that opened last first.

    Examples:
      vigie incidents list
      vigie incidents list --all --sensor pump-7 --since 7d
      vigie incidents list --severity high --label site=Lyon --json
    """
    states = state or [IncidentState.OPEN, IncidentState.ACKNOWLEDGED]
    query = {
        "state": "" if everything and not state else ",".join(one.value for one in states),
        "q": words,
        "sensor": sensor,
        "severity": None if severity is None else [one.value for one in severity],
        "kind": None if kind is None else [one.value for one in kind],
        "label": label,
        "since": None if since is None else as_instant(since, "--since", sign=-1),
        "until": None if until is None else as_instant(until, "--until", sign=-1),
        "suppressed": suppressed,
    }
    with gateway.asking() as client:
        found = list(client.entries(_LIST, query, most=limit))
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.alarms import show_incidents

        show_incidents(found)


def show(
    incident: IncidentArgument, *, gateway: GatewayOptions, as_json: JsonOption = False
) -> None:
    """Show an incident.

    Example: vigie incidents show 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11
    """
    with gateway.asking() as client:
        found = client.get(f"{_LIST}/{incident}")
    _show(found, as_json=as_json)


def follow(
    *,
    types: Annotated[
        list[EventType] | None, typer.Option("--type", help="Of these alone. May be repeated.")
    ] = None,
    after: Annotated[
        int | None, typer.Option(help="Begin behind the event of this number.", min=0)
    ] = None,
    count: Annotated[int | None, typer.Option(help="End after so many.", min=1)] = None,
    gateway: GatewayOptions,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a CloudEvent a line, for scripts.")
    ] = False,
) -> None:
    """Show what happens, as it happens, until Ctrl-C; what is missed in between is made good.

    Examples:
      vigie incidents follow
      vigie incidents follow --type incident.opened --json
    """
    from workers.cli.views.alarms import event_line

    query = {"type": None if types is None else [one.value for one in types]}
    told = 0
    with gateway.asking() as client:
        happened = client.follow(query, after=None if after is None else str(after), lost=_lost)
        for one in happened:
            if one.type == "reset":
                typer.echo("Some events are not kept any more: look at the list.", err=True)
                continue
            # A line each, whatever the gateway wrote.
            typer.echo(json.dumps(json.loads(one.text)) if as_json else event_line(one.text))
            told += 1
            if told == count:
                return


def acknowledge(
    incidents: Annotated[
        list[UUID] | None,
        typer.Argument(help="Ids of incidents.", metavar="[INCIDENT]...", show_default=False),
    ] = None,
    *,
    match: Annotated[
        list[str] | None,
        typer.Option("--match", help="All open ones that match: 'site=\"Lyon\"'."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Holds until then (RFC 3339), or for so long: 8h.")
    ] = None,
    comment: CommentOption = "",
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Look after incidents: nobody else is told that nobody does.

    Examples:
      vigie incidents acknowledge 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11 --until 8h
      vigie incidents acknowledge --match 'site="Lyon"' --comment "power cut, on my way"
    """
    if bool(incidents) == bool(match):
        raise typer.BadParameter("name incidents, or --match: one of the two")
    body: dict[str, Any] = {"comment": comment}
    if until is not None:
        body["until"] = as_instant(until, "--until", sign=1)
    if incidents is not None and len(incidents) == 1:
        _change(gateway, incidents[0], "acknowledge", body, as_json=as_json)
        return
    several = {"incidents": [str(one) for one in incidents or ()], "matchers": parse_matches(match)}
    with gateway.asking() as client:
        found = client.send("POST", f"{_LIST}:acknowledge", body | several)
    if as_json:
        _print_json(found)
    else:
        typer.echo(f"{len(found['acknowledged'])} acknowledged")
    if found["over"]:
        raise VigieError(f"Over, or not known: {', '.join(found['over'])}.")


def unacknowledge(
    incident: IncidentArgument, *, gateway: GatewayOptions, as_json: JsonOption = False
) -> None:
    """Look after it no more.

    Example: vigie incidents unacknowledge 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11
    """
    _change(gateway, incident, "unacknowledge", None, as_json=as_json)


def resolve(
    incident: IncidentArgument,
    *,
    comment: CommentOption = "",
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Say that it is over. The stream goes on to judge: what opens next is a new incident.

    Example: vigie incidents resolve 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11 --comment "valve shut"
    """
    _change(gateway, incident, "resolve", {"comment": comment}, as_json=as_json)


def comment(
    incident: IncidentArgument,
    text: Annotated[str, typer.Argument(help="The note.", show_default=False)],
    *,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Leave a note.

    Example: vigie incidents comment 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11 "spare part ordered"
    """
    with gateway.asking() as client:
        found = client.send("POST", f"{_LIST}/{incident}/comments", {"text": text})
    _show_comments([found], as_json=as_json)


def comments(
    incident: IncidentArgument, *, gateway: GatewayOptions, as_json: JsonOption = False
) -> None:
    """The notes on an incident, the oldest first.

    Example: vigie incidents comments 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11
    """
    with gateway.asking() as client:
        found = client.get(f"{_LIST}/{incident}/comments")
    _show_comments(found, as_json=as_json)


def fault(
    incident: IncidentArgument,
    *,
    note: CommentOption = "",
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Say that it was a fault: it teaches the threshold nothing and costs no budget.

    Example: vigie incidents fault 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11 --note "bearing changed"
    """
    _change(gateway, incident, "verdict", {"verdict": "fault", "note": note}, as_json=as_json)


def false_alarm(
    incident: IncidentArgument,
    *,
    note: CommentOption = "",
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Say that it was a false alarm: what looks like it is held back.

    Example: vigie incidents false-alarm 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11 --note "flushing"
    """
    body = {"verdict": "false_alarm", "note": note}
    _change(gateway, incident, "verdict", body, as_json=as_json)


def deliveries(
    incident: IncidentArgument,
    *,
    limit: Annotated[int, typer.Option(help="Most of them.", min=1, max=100_000)] = 50,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Who was told of it, and what became of that, the latest first.

    Example: vigie incidents deliveries 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11
    """
    with gateway.asking() as client:
        found = list(client.entries(f"{_LIST}/{incident}/deliveries", {}, most=limit))
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.deliveries import show_deliveries

        show_deliveries(found)


# -- what they share -------------------------------------------------------------------------------


def _change(
    gateway: GatewayOptions, incident: UUID, action: str, body: Any, *, as_json: bool
) -> None:
    with gateway.asking() as client:
        found = client.send("POST", f"{_LIST}/{incident}:{action}", body)
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.alarms import show_incidents

        show_incidents([found])


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.alarms import show_incident

        show_incident(found)


def _show_comments(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.alarms import show_comments

        show_comments(found)


def _lost(why: str) -> None:
    typer.echo(printable(f"The connection is lost ({why}); it is made anew."), err=True)


def _print_json(found: Any) -> None:
    from workers.cli.views.report import print_json

    print_json(found)

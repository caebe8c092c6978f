"""`vigie subscriptions`: who is told of what, where, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import typer

from schemas.api.subscriptions import DeliveryState, EventType
from workers.cli.exits import ExitCode
from workers.cli.gateway_options import (
    NOBODY_WATCHES,
    GatewayOptions,
    as_instant,
    find_subscription,
    parse_seconds,
    read_secret,
)
from workers.cli.options import JsonOption, unbundled
from workers.cli.subscription_options import SpecOptions
from workers.printable import printable, printable_lines

if TYPE_CHECKING:
    from workers.api.gateway_client import GatewayClient

_LIST = "/v1/subscriptions"

SubscriptionArgument = Annotated[
    str,
    typer.Argument(help="Its id, or its name.", metavar="SUBSCRIPTION", show_default=False),
]
DeliveryArgument = Annotated[
    int,
    typer.Argument(
        help="Number of the delivery.", metavar="DELIVERY", show_default=False, min=1, max=2**63 - 1
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Say who is told of which incidents, and see what became of it.",
    )
    for name, command in (
        ("list", list_all),
        ("show", show),
        ("create", create),
        ("change", change),
        ("delete", delete),
        ("enable", enable),
        ("disable", disable),
        ("test", send_trial),
        ("rotate-secret", rotate_secret),
        ("deliveries", deliveries),
        ("attempts", attempts),
        ("resend", resend),
        ("recover", recover),
        ("preview", preview),
    ):
        group.command(name)(unbundled(command))
    app.add_typer(group, name="subscriptions")


def list_all(*, gateway: GatewayOptions, as_json: JsonOption = False) -> None:
    """List the subscriptions.

    Example: vigie subscriptions list
    """
    with gateway.asking() as client:
        found = list(client.entries(_LIST, {}, most=None))
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.deliveries import subscriptions

        subscriptions(found)


def show(
    subscription: SubscriptionArgument, *, gateway: GatewayOptions, as_json: JsonOption = False
) -> None:
    """Show a subscription; its secrets are asterisks.

    Example: vigie subscriptions show desk
    """
    with gateway.asking() as client:
        found = client.get(_path(client, subscription))
    _show(found, as_json=as_json)


def create(
    *,
    spec: SpecOptions,
    gateway: GatewayOptions,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="For scripts: sent again under the same key, it is made once."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Subscribe. The secret that signs a webhook is printed, this once.

    Examples:
      vigie subscriptions create --name desk --webhook https://desk.example/hook
      vigie subscriptions create --name night --email ops@example.com --min-severity high
      vigie subscriptions create --file desk.toml
    """
    with gateway.asking() as client:
        document = spec.document(find=lambda named: find_subscription(client, named))
        made = client.send(
            "POST", _LIST, document, {"Idempotency-Key": idempotency_key or str(uuid4())}
        )
        nobody_watches = not as_json and "types" not in document and _nobody_watches(client)
    if as_json:
        _print_json(made)
        return
    typer.echo(printable(f"{made['id']}  {made['spec']['name']}"))
    _show_secret(made["secret"])
    if nobody_watches:
        typer.echo(NOBODY_WATCHES, err=True)


def change(
    subscription: SubscriptionArgument,
    *,
    spec: SpecOptions,
    clear: Annotated[
        list[str] | None,
        typer.Option(
            "--clear", metavar="FIELD", help="Set a field back: group, hours. May be repeated."
        ),
    ] = None,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Change what is given of a subscription, and nothing else of it (JSON Merge Patch).

    Examples:
      vigie subscriptions change desk --min-severity high --cooldown 15m
      vigie subscriptions change desk --clear cooldown_s --group-by site
    """
    with gateway.asking() as client:
        path = _path(client, subscription)
        patch = spec.document(find=lambda named: find_subscription(client, named))
        patch |= dict.fromkeys(clear or ())
        if not patch:
            raise typer.BadParameter("say what to change: an option, --file or --clear")
        before, etag = client.versioned(path)
        _replace_sink(patch, before["spec"]["sink"])
        found = client.send("PATCH", path, patch, {"If-Match": etag})
    _show(found, as_json=as_json)


def delete(subscription: SubscriptionArgument, *, gateway: GatewayOptions) -> None:
    """Delete a subscription with its secrets and deliveries.

    Example: vigie subscriptions delete desk
    """
    with gateway.asking() as client:
        path = _path(client, subscription)
        _, etag = client.versioned(path)
        client.send("DELETE", path, headers={"If-Match": etag})
    typer.echo(printable(f"{subscription} is deleted."))


def enable(subscription: SubscriptionArgument, *, gateway: GatewayOptions) -> None:
    """Tell it again: what happens from now on; vigie subscriptions recover tells what it missed.

    Example: vigie subscriptions enable desk
    """
    _patch(gateway, subscription, {"enabled": True}, "is enabled")


def disable(subscription: SubscriptionArgument, *, gateway: GatewayOptions) -> None:
    """Tell it nothing until it is enabled.

    Example: vigie subscriptions disable desk
    """
    _patch(gateway, subscription, {"enabled": False}, "is disabled")


def send_trial(
    subscription: SubscriptionArgument, *, gateway: GatewayOptions, as_json: JsonOption = False
) -> None:
    """Send a trial now, signed and formed as all others; exit code 1 if it did not arrive.

    Example: vigie subscriptions test desk
    """
    with gateway.asking() as client:
        found = client.send("POST", f"{_path(client, subscription)}:test")
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.deliveries import show_attempts

        show_attempts([found])
    if found["error"]:
        raise typer.Exit(ExitCode.FAILURE)


def rotate_secret(
    subscription: SubscriptionArgument,
    *,
    overlap: Annotated[
        str, typer.Option(help="How long the secret before signs as well: 24h, 0.")
    ] = "24h",
    secret_file: Annotated[
        Path | None, typer.Option(help="File with one of your own, whsec_... Default: a new one.")
    ] = None,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Sign with another secret; it is printed, this once.

    Example: vigie subscriptions rotate-secret desk --overlap 24h
    """
    body: dict[str, Any] = {"overlap_s": parse_seconds(overlap, "--overlap")}
    if secret_file is not None:
        body["secret"] = read_secret(secret_file, "--secret-file")
    with gateway.asking() as client:
        found = client.send("POST", f"{_path(client, subscription)}/secret:rotate", body)
    if as_json:
        _print_json(found)
        return
    _show_secret(found["secret"])
    if found["old_until"] is not None:
        typer.echo(f"The one before signs as well until {found['old_until']}.", err=True)


def deliveries(
    subscription: SubscriptionArgument,
    *,
    state: Annotated[
        DeliveryState | None, typer.Option(help="Those in this state; dead are the dead letters.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most of them.", min=1, max=100_000)] = 50,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """What it was told or is to be told, the latest first.

    Example: vigie subscriptions deliveries desk --state dead
    """
    query = {"state": None if state is None else state.value}
    with gateway.asking() as client:
        path = f"{_path(client, subscription)}/deliveries"
        found = list(client.entries(path, query, most=limit))
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.deliveries import show_deliveries

        show_deliveries(found)


def attempts(
    subscription: SubscriptionArgument,
    delivery: DeliveryArgument,
    *,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """How each attempt of a delivery went, the oldest first.

    Example: vigie subscriptions attempts desk 17
    """
    with gateway.asking() as client:
        found = client.get(f"{_path(client, subscription)}/deliveries/{delivery}/attempts")
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.deliveries import show_attempts

        show_attempts(found)


def resend(
    subscription: SubscriptionArgument,
    delivery: DeliveryArgument,
    *,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Send a delivery again, under the same webhook-id: who had it knows.

    Example: vigie subscriptions resend desk 17
    """
    with gateway.asking() as client:
        found = client.send("POST", f"{_path(client, subscription)}/deliveries/{delivery}:resend")
    if as_json:
        _print_json(found)
    else:
        typer.echo(f"{found['id']} is {found['state']}: it is sent again.")


def recover(
    subscription: SubscriptionArgument,
    *,
    since: Annotated[
        str, typer.Option(help="A time (RFC 3339), or so long ago: 2h, 1d.", show_default=False)
    ],
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Tell it what it was not told since a time: given up, or before it was made.

    Example: vigie subscriptions recover desk --since 2h
    """
    body = {"since": as_instant(since, "--since", sign=-1)}
    with gateway.asking() as client:
        found = client.send("POST", f"{_path(client, subscription)}:recover", body)
    if as_json:
        _print_json(found)
    else:
        typer.echo(f"{found['resent']} given up are sent again, {found['added']} had not been told")


def preview(
    *,
    subscription: Annotated[
        str | None, typer.Option(help="Take the template of this one, an id or a name.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Jinja template of the title.")] = None,
    text: Annotated[str | None, typer.Option(help="Jinja template of the text.")] = None,
    incident: Annotated[
        UUID | None, typer.Option(help="Of which incident. Default: an example.")
    ] = None,
    gateway: GatewayOptions,
    as_json: JsonOption = False,
) -> None:
    """Show what people would read by a template.

    Example: vigie subscriptions preview --title '{{ severity }}: {{ sensor }}'
    """
    with gateway.asking() as client:
        template: dict[str, Any] = {}
        if subscription is not None:
            template = client.get(_path(client, subscription))["spec"].get("template") or {}
        given = {"title": title, "text": text}
        template |= {name: value for name, value in given.items() if value is not None}
        body = {"template": template, "incident": None if incident is None else str(incident)}
        found = client.send("POST", f"{_LIST}:preview", body)
    if as_json:
        _print_json(found)
    else:
        typer.echo(printable(found["title"]))
        typer.echo(printable_lines(found["text"]))


# -- what they share -------------------------------------------------------------------------------


def _path(client: GatewayClient, subscription: str) -> str:
    return f"{_LIST}/{find_subscription(client, subscription)}"


def _nobody_watches(client: GatewayClient) -> bool:
    """Whether no subscription that is enabled is told when the detector itself fails."""
    found = (one["spec"] for one in client.entries(_LIST, {}, most=None))
    return not any(
        spec.get("enabled", True) and EventType.UNHEALTHY in spec.get("types", ()) for spec in found
    )


def _patch(gateway: GatewayOptions, subscription: str, patch: dict[str, Any], said: str) -> None:
    with gateway.asking() as client:
        path = _path(client, subscription)
        _, etag = client.versioned(path)
        client.send("PATCH", path, patch, {"If-Match": etag})
    typer.echo(printable(f"{subscription} {said}."))


def _replace_sink(patch: dict[str, Any], before: dict[str, Any]) -> None:
    """Let nothing of a sink of another kind stay behind in the new one."""
    sink = patch.get("sink")
    if isinstance(sink, dict) and sink.get("kind", before["kind"]) != before["kind"]:
        patch["sink"] = dict.fromkeys(before) | sink


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
    else:
        from workers.cli.views.deliveries import show_subscription

        show_subscription(found)


def _show_secret(secret: str | None) -> None:
    if secret is not None:
        typer.echo(secret)
        typer.echo("Keep the secret: it verifies signatures, and is not shown again.", err=True)


def _print_json(found: Any) -> None:
    from workers.cli.views.report import print_json

    print_json(found)

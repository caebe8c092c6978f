"""`vigie serve`: the gateway and its page."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from workers.cli.gateway_options import NOBODY_WATCHES
from workers.cli.options import SettingsOptions, unbundled

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from workers.api.serving import HttpServer
    from workers.gateway.gateway import Gateway
    from workers.kafka.rotation import SecretRotation

_LOOK_EVERY_S: Final = 0.5  # whether there are new secrets


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(unbundled(serve))


def serve(
    *,
    options: SettingsOptions,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Sets gateway.host.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port; 0 takes a free one. Sets gateway.port.", min=0, max=65535),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="SQLAlchemy URL of the database. Sets gateway.database."),
    ] = None,
    no_tokens: Annotated[
        bool,
        typer.Option(
            "--no-tokens", help="Everybody on this machine may do everything; on loopback only."
        ),
    ] = False,
) -> None:
    """Tell those who subscribed of incidents, and show the page, until Ctrl-C or SIGTERM.

    Reads topics.incidents, keeps incidents, subscriptions and deliveries in its database, and
    delivers to webhooks, Alertmanager, PagerDuty, e-mail, Kafka topics and, by Apprise, to others.
    Everything but its health needs a token: vigie tokens create.

    Examples:
      vigie serve --bootstrap localhost:9092
      vigie serve --no-tokens
    """
    from workers.gateway.gateway import Gateway
    from workers.kafka.rotation import SecretRotation
    from workers.process import configure_logging, stop_signals

    source = options.source(
        {"gateway.host": host, "gateway.port": port, "gateway.database": database}
    )
    rotation = SecretRotation(source)  # before the load: what changes after it is new
    settings = source.load()
    configure_logging(settings.log)
    with stop_signals() as should_stop:
        with Gateway.open(settings) as gateway, rotation.watching():
            is_renewed = _serve(gateway, should_stop, rotation, no_tokens=no_tokens)
        if is_renewed and not should_stop():
            # Every secret may have changed, of the database as well: the same process begins anew.
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _serve(
    gateway: Gateway,
    should_stop: Callable[[], bool],
    rotation: SecretRotation,
    *,
    no_tokens: bool,
) -> bool:
    """Serve until a signal, or until there are new secrets: then true."""
    from workers.api.app import create_app
    from workers.api.serving import HttpServer, address_of, listening

    settings = gateway.settings.gateway
    app = create_app(gateway, open_access=no_tokens)
    bound = listening(settings.host, settings.port)
    address = address_of(bound, settings.host)
    server = HttpServer(
        app,
        most_connections=settings.max_streams + 200,
        trusted_proxies=settings.trusted_proxies,
        ending=gateway.fan.end,
    )
    if not no_tokens and not _has_tokens(gateway):
        typer.echo(
            "There is no token yet: make one with vigie tokens create --scope admin, or start "
            "with --no-tokens on this machine.",
            err=True,
        )
    if nobody_watches(gateway):
        typer.echo(NOBODY_WATCHES, err=True)
    typer.echo(f"The page and the interface: {address} (Ctrl-C ends)", err=True)
    return asyncio.run(_run(gateway, server, bound, should_stop, rotation))


async def _run(
    gateway: Gateway,
    server: HttpServer,
    bound: socket.socket,
    should_stop: Callable[[], bool],
    rotation: SecretRotation,
) -> bool:
    async def renewed() -> None:
        while rotation.take() is None:  # noqa: ASYNC110 - a thread finds out
            await asyncio.sleep(_LOOK_EVERY_S)
        server.should_exit = True

    async with gateway.running():
        looking = asyncio.create_task(renewed())
        server.should_exit = should_stop()  # later ones it hears itself
        await server.serve(sockets=[bound])
        is_renewed = looking.done()
        looking.cancel()
    return is_renewed


def nobody_watches(gateway: Gateway) -> bool:
    """Whether no subscription that is enabled is told when the detector itself fails."""
    from schemas.api.subscriptions import EventType

    with gateway.database.read() as connection:
        entries = gateway.book.read(connection).entries.values()
    return not any(EventType.UNHEALTHY in one.spec.types for one in entries)


def _has_tokens(gateway: Gateway) -> bool:
    from workers.gateway.store.tokens import list_tokens

    if gateway.settings.oidc.issuer:
        return True
    with gateway.database.read() as connection:
        return bool(list_tokens(connection))

"""`vigie tokens`: who may ask the gateway. They are made in its database, as nobody else may."""

from __future__ import annotations

import getpass
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from schemas.api.base import TENANT_PATTERN
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.timestamp import MAX_NS, short_ns, to_ns
from workers.cli.gateway_options import read_secret
from workers.cli.options import JsonOption, SettingsOptions, unbundled, usage_errors
from workers.errors import VigieError
from workers.gateway.principals import Principal, Scope

if TYPE_CHECKING:
    from sqlalchemy import Row

    from workers.gateway.store.database import Database

_UNIT_NS: Final = {"h": 3600 * 10**9, "d": 86_400 * 10**9, "w": 7 * 86_400 * 10**9}
_SECOND_NS: Final = 10**9


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Make, list and revoke tokens of the gateway.")
    for name, command in (("create", create), ("list", list_all), ("revoke", revoke)):
        group.command(name)(unbundled(command))
    app.add_typer(group, name="tokens")


def create(
    name: Annotated[
        str,
        typer.Argument(
            help="Whose it is: a person, a program.", metavar="NAME", show_default=False
        ),
    ],
    *,
    options: SettingsOptions,
    scope: Annotated[
        Scope,
        typer.Option(
            help="read sees; operate also acknowledges, silences and subscribes; admin also sees "
            "the audit log."
        ),
    ] = Scope.READ,
    tenant: Annotated[
        str, typer.Option(help="Sees the incidents and sensors of this tenant alone.")
    ] = "",
    expires: Annotated[
        str | None,
        typer.Option(help="Holds for so long (12h, 90d, 4w), or until then (RFC 3339)."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="Keep the token of this file, in the stead of a new one; prints none, and changes "
            "nothing where it is kept already: one that was revoked stays so, with a warning. For "
            "those that a store of secrets makes."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token, and print it: it is shown this once, and kept as a hash.

    Example: vigie tokens create "night shift" --scope operate --expires 90d
    """
    from workers.gateway.store import tokens

    now_ns = time.time_ns()
    with usage_errors("NAME"):
        _check_text(name, most=MAX_NAME_CHARS)
    with usage_errors("--tenant"):
        _check_tenant(tenant)
    with usage_errors("--expires"):
        expires_ns = None if expires is None else _expiry_ns(expires, now_ns)
    given = None if token_file is None else read_secret(token_file, "--token-file")
    with (
        _database(options) as database,
        database.begin() as connection,
        usage_errors("--token-file"),
    ):
        token_id, token = tokens.create(
            connection,
            _self(),
            name=name,
            scopes=[scope],
            tenant=tenant,
            now_ns=now_ns,
            expires_ns=expires_ns,
            token=given,
        )
        good = tokens.find(connection, token, now_ns) is not None
    if not good:
        # No failure: what keeps the token before each start of the gateway must not hold that up.
        typer.echo(
            f"{token_id}, the token in {token_file}, was revoked or has expired: it is "
            "not valid, and cannot be made valid again. Put another one into the file, and run "
            "this again.",
            err=True,
        )
    if as_json:
        from workers.cli.views.report import print_json

        print_json(
            {
                "id": token_id,
                "token": token if given is None else None,
                "name": name,
                "scopes": [scope.value],
                "tenant": tenant,
                "expires": _time(expires_ns),
            }
        )
        return
    if given is not None:
        if good:
            typer.echo(f"{token_id} is kept.")
        return
    typer.echo(token)
    until = "until it is revoked" if expires_ns is None else f"until {short_ns(expires_ns)}"
    typer.echo(
        f"Keep it: it is not shown again. It holds {until} (vigie tokens revoke {token_id}). "
        "Send it as Authorization: Bearer, or log in with it on the page.",
        err=True,
    )


def list_all(*, options: SettingsOptions, as_json: JsonOption = False) -> None:
    """List all tokens; what they are kept as is no secret, and is not shown either.

    Example: vigie tokens list
    """
    from workers.gateway.store import tokens

    now_ns = time.time_ns()
    with _database(options) as database, database.read() as connection:
        found = [_told(row, now_ns) for row in tokens.list_tokens(connection)]
    if as_json:
        from workers.cli.views.report import print_json

        print_json(found)
        return
    from rich.table import Column, Table

    from workers.cli.views.plain import PlainConsole
    from workers.printable import printable

    table = Table(
        Column("id", no_wrap=True),
        Column("name", overflow="fold"),
        "scope",
        "tenant",
        "state",
        "expires",
        "last used",
        box=None,
    )
    for one in found:
        texts = [one[key] for key in ("id", "name", "scope", "tenant", "state")]
        days = [(one[key] or "never")[:10] for key in ("expires", "last_used")]
        table.add_row(*map(printable, [*texts, *days]))
    PlainConsole().print(table)


def revoke(
    token_id: Annotated[
        str,
        typer.Argument(help="Its id: the part behind vigie_.", metavar="ID", show_default=False),
    ],
    *,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """End a token and the sessions that were begun with it, at once and for good.

    Example: vigie tokens revoke 4f1d2c3b5a69
    """
    from workers.gateway.store import tokens

    with _database(options) as database, database.begin() as connection:
        is_known = tokens.revoke(connection, _self(), token_id, time.time_ns())
    if not is_known:
        raise VigieError("There is no token of this id: see vigie tokens list.")
    if as_json:
        from workers.cli.views.report import print_json

        print_json({"id": token_id, "state": "revoked"})
    else:
        typer.echo(f"{token_id} is revoked.")


# -- what they share -------------------------------------------------------------------------------


@contextmanager
def _database(options: SettingsOptions) -> Iterator[Database]:
    """The gateway's database, with the schema of this version."""
    from workers.gateway.store.database import open_database

    settings = options.load({})
    with open_database(settings.gateway.database.get_secret_value()) as database:
        database.migrate()
        yield database


def _told(row: Row[Any], now_ns: int) -> dict[str, Any]:
    expired = row.expires_ns is not None and row.expires_ns <= now_ns
    return {
        "id": row.id,
        "name": row.name,
        "scope": row.scopes,
        "tenant": row.tenant,
        "state": "revoked" if row.revoked_ns is not None else "expired" if expired else "good",
        "created": _time(row.created_ns),
        "created_by": row.created_by,
        "expires": _time(row.expires_ns),
        "revoked": _time(row.revoked_ns),
        "last_used": _time(row.last_used_ns),
    }


def _time(ns: int | None) -> str | None:
    return None if ns is None else short_ns(ns)


def _self() -> Principal:
    """Who is logged in to this machine: for the audit log."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        name = "unknown"
    return Principal(
        name=f"{name} (command line)"[:MAX_NAME_CHARS], scopes=frozenset({Scope.ADMIN}), id="cli"
    )


def _check_text(text: str, *, most: int) -> None:
    if not (1 <= len(text) <= most and text.isprintable()):
        raise ValueError(f"1 to {most} letters that can be printed")


def _check_tenant(tenant: str) -> None:
    if not re.fullmatch(TENANT_PATTERN, tenant):
        raise ValueError("a to z, 0 to 9 and -, and at most 64 of them")


def _expiry_ns(text: str, now_ns: int) -> int:
    if found := re.fullmatch(r"([1-9][0-9]{0,5})([hdw])", text):
        expires_ns = now_ns + int(found[1]) * _UNIT_NS[found[2]]
    else:
        expires_ns = to_ns(text)
    if expires_ns > MAX_NS:
        raise ValueError("so long that it is never: leave it out")
    if expires_ns <= now_ns:
        raise ValueError("that time is over")
    return expires_ns // _SECOND_NS * _SECOND_NS

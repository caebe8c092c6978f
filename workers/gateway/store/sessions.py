"""Sessions of the page: a cookie stands for a token that was shown once."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from workers.gateway.principals import Principal, Scope
from workers.gateway.store import tokens
from workers.gateway.store.tables import sessions
from workers.gateway.store.tables import tokens as token_table
from workers.gateway.store.tokens import Identity

__all__ = ["LASTS_NS", "Session", "create", "end", "find", "prune"]

LASTS_NS: Final = 12 * 3600 * 10**9
"""How long somebody stays logged in: a shift and its handing over."""
_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session that holds.

    Attributes:
        identity: whose; its principal has the CSRF token.
        is_stale: whether the use of the token has to be noted.
    """

    identity: Identity
    is_stale: bool


def create(connection: Connection, identity: Identity, now_ns: int) -> tuple[str, Principal, int]:
    """Begin a session.

    Returns:
        The cookie, the principal with the CSRF token, and the end.
    """
    cookie, csrf = secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES)
    expires_ns = min(now_ns + LASTS_NS, identity.expires_ns or now_ns + LASTS_NS)
    principal = replace(identity.principal, csrf=csrf)
    connection.execute(
        insert(sessions).values(
            hash=_hash(cookie),
            token_id=identity.token_id,
            csrf=csrf,
            principal=json.dumps(
                {
                    "name": principal.name,
                    "scopes": sorted(principal.scopes),
                    "tenant": principal.tenant,
                    "id": principal.id,
                }
            ),
            expires_ns=expires_ns,
        )
    )
    return cookie, principal, expires_ns


def find(connection: Connection, cookie: str, now_ns: int) -> Session | None:
    """The session of a cookie; None if it is over, or its token is."""
    row = connection.execute(
        select(sessions).where(sessions.c.hash == _hash(cookie), sessions.c.expires_ns > now_ns)
    ).one_or_none()
    if row is None:
        return None
    if row.token_id is not None:
        token = connection.execute(
            select(token_table).where(token_table.c.id == row.token_id)
        ).one_or_none()
        if token is None or not tokens.holds(token, now_ns):
            return None
        identity = tokens.identity_of(token, csrf=row.csrf)
        return Session(identity=identity, is_stale=tokens.is_stale(token, now_ns))
    kept = json.loads(row.principal)
    principal = Principal(
        name=kept["name"],
        scopes=frozenset(map(Scope, kept["scopes"])),
        tenant=kept["tenant"],
        id=kept["id"],
        csrf=row.csrf,
    )
    identity = Identity(principal=principal, expires_ns=row.expires_ns, token_id=None)
    return Session(identity=identity, is_stale=False)


def end(connection: Connection, cookie: str) -> None:
    """End a session."""
    connection.execute(delete(sessions).where(sessions.c.hash == _hash(cookie)))


def prune(connection: Connection, *, now_ns: int) -> int:
    """Forget those that are over; how many there were."""
    return connection.execute(delete(sessions).where(sessions.c.expires_ns <= now_ns)).rowcount


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode(errors="replace")).hexdigest()

"""Tokens: random, shown once, kept as a hash.

A token is `vigie_<id>_<secret>`. The id finds its row and is no secret; the secret has 192 random
bits, so that a plain SHA-256 of the whole is as good as a slow hash: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, or_, select, update

from workers.gateway.principals import Principal, Scope
from workers.gateway.store.audit import record
from workers.gateway.store.tables import tokens

__all__ = [
    "PREFIX",
    "Identity",
    "create",
    "find",
    "given_id",
    "holds",
    "identity_of",
    "is_stale",
    "list_tokens",
    "revoke",
    "touch",
]

PREFIX: Final = "vigie_"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 24
_MAX_CHARS: Final = 256
_USED_EVERY_NS: Final = 60 * 10**9
_NO_HASH: Final = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who somebody has shown to be, and until when that holds.

    Attributes:
        principal: who.
        expires_ns: end of what they showed; None is never.
        token_id: of the token; None of an identity provider's.
    """

    principal: Principal
    expires_ns: int | None
    token_id: str | None


def create(
    connection: Connection,
    by: Principal,
    *,
    name: str,
    scopes: Sequence[Scope],
    tenant: str,
    now_ns: int,
    expires_ns: int | None,
    token: str | None = None,
) -> tuple[str, str]:
    """Make a token; nobody can read it later.

    Args:
        connection: in a transaction.
        by: who makes it.
        name: whose it is.
        scopes: what it may do.
        tenant: whose incidents it sees; empty is all.
        now_ns: the time.
        expires_ns: until when it holds; None is for good.
        token: one that somebody else made; one that is kept already stays as it is, also when it
            is revoked or has expired.

    Returns:
        Its id, and the token.

    Raises:
        ValueError: the given one has not the form of a token, or another one of its id is kept.
    """
    if token is None:
        token = f"{PREFIX}{secrets.token_hex(_ID_BYTES)}_{secrets.token_hex(_SECRET_BYTES)}"
    token_id = given_id(token)
    known = connection.execute(select(tokens).where(tokens.c.id == token_id)).one_or_none()
    if known is not None:
        if not hmac.compare_digest(_hash(token), known.hash):
            raise ValueError("another token of this id is kept: make one")
        return token_id, token
    connection.execute(
        insert(tokens).values(
            id=token_id,
            name=name,
            hash=_hash(token),
            scopes=" ".join(scopes),
            tenant=tenant,
            created_ns=now_ns,
            created_by=by.name,
            expires_ns=expires_ns,
        )
    )
    details = {"name": name, "scopes": list(scopes), "tenant": tenant, "expires_ns": expires_ns}
    record(connection, by, "token.create", token_id, details, clock=lambda: now_ns)
    return token_id, token


def given_id(token: str) -> str:
    """The id of a token that somebody else made.

    Raises:
        ValueError: it has not the form of one; the text does not say what it is.
    """
    form = re.fullmatch(
        rf"{PREFIX}([0-9a-f]{{{2 * _ID_BYTES}}})_[0-9a-f]{{{2 * _SECRET_BYTES}}}", token
    )
    if form is None:
        raise ValueError(
            f"is no token: {PREFIX}, {2 * _ID_BYTES} hexadecimal digits, _, and "
            f"{2 * _SECRET_BYTES} more that are random"
        )
    return form[1]


def find(connection: Connection, token: str, now_ns: int) -> Row[Any] | None:
    """The row of a token that holds; None for one that is wrong, expired or revoked."""
    parts = token[:_MAX_CHARS].split("_")
    token_id = parts[1] if len(parts) == 3 and token.isascii() and token.isprintable() else ""  # noqa: PLR2004
    row = connection.execute(select(tokens).where(tokens.c.id == token_id)).one_or_none()
    is_its = hmac.compare_digest(_hash(token), row.hash if row is not None else _NO_HASH)
    return row if row is not None and is_its and holds(row, now_ns) else None


def holds(row: Row[Any], now_ns: int) -> bool:
    """Whether a token is neither revoked nor expired."""
    return row.revoked_ns is None and (row.expires_ns is None or now_ns < row.expires_ns)


def identity_of(row: Row[Any], *, csrf: str | None = None) -> Identity:
    """Whom a row stands for."""
    return Identity(
        principal=Principal(
            name=row.name,
            scopes=frozenset(map(Scope, row.scopes.split())),
            tenant=row.tenant,
            id=f"token:{row.id}",
            csrf=csrf,
        ),
        expires_ns=row.expires_ns,
        token_id=row.id,
    )


def is_stale(row: Row[Any], now_ns: int) -> bool:
    """Whether a use has to be noted: at most once a minute, as it is a write."""
    return row.last_used_ns is None or row.last_used_ns <= now_ns - _USED_EVERY_NS


def touch(connection: Connection, token_id: str, now_ns: int) -> None:
    """Note that a token was used, if nobody did so within the last minute."""
    connection.execute(
        update(tokens)
        .where(
            tokens.c.id == token_id,
            or_(tokens.c.last_used_ns.is_(None), tokens.c.last_used_ns <= now_ns - _USED_EVERY_NS),
        )
        .values(last_used_ns=now_ns)
    )


def list_tokens(connection: Connection) -> list[Row[Any]]:
    """All tokens, the oldest first, without their hashes."""
    shown = [column for column in tokens.c if column is not tokens.c.hash]
    return list(connection.execute(select(*shown).order_by(tokens.c.created_ns, tokens.c.id)))


def revoke(connection: Connection, by: Principal, token_id: str, now_ns: int) -> bool:
    """End a token and its sessions at once; whether there is one of this id."""
    row = connection.execute(select(tokens.c.revoked_ns).where(tokens.c.id == token_id)).first()
    if row is None:
        return False
    if row.revoked_ns is None:
        connection.execute(update(tokens).where(tokens.c.id == token_id).values(revoked_ns=now_ns))
        record(connection, by, "token.revoke", token_id, clock=lambda: now_ns)
    return True


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()

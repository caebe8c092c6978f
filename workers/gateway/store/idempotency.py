"""Answers to requests with an Idempotency-Key: the same request gets the same one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from workers.gateway.store.tables import idempotency

__all__ = ["KEPT_NS", "Place", "Stored", "claim", "fulfil", "prune"]

KEPT_NS: Final = 86_400 * 10**9
"""How long an answer is kept."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Whose key it is, and for what: a digest of the request."""

    by: str
    key: str
    request: str


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An answer of before."""

    request: str
    status: int
    body: bytes


def claim(connection: Connection, place: Place, *, now_ns: int | None = None) -> Stored | None:
    """Take a key in this transaction; what it was answered with, if it is taken.

    On PostgreSQL a transaction that has the key is waited for.
    """
    now = time.time_ns() if now_ns is None else now_ns
    ours = (idempotency.c.by == place.by) & (idempotency.c.key == place.key)
    connection.execute(delete(idempotency).where(ours, idempotency.c.at_ns < now - KEPT_NS))
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    taken = connection.execute(
        dialect.insert(idempotency)
        .values(by=place.by, key=place.key, request=place.request, status=0, body=b"", at_ns=now)
        .on_conflict_do_nothing()
    )
    if taken.rowcount:
        return None
    row = connection.execute(select(idempotency).where(ours)).one()
    return Stored(request=row.request, status=row.status, body=row.body)


def fulfil(connection: Connection, place: Place, status: int, body: bytes) -> None:
    """Keep the answer of a key that was taken in this transaction."""
    connection.execute(
        update(idempotency)
        .where(idempotency.c.by == place.by, idempotency.c.key == place.key)
        .values(status=status, body=body)
    )


def prune(connection: Connection, *, now_ns: int) -> int:
    """Forget what is older than a day; how many there were."""
    old = delete(idempotency).where(idempotency.c.at_ns < now_ns - KEPT_NS)
    return connection.execute(old).rowcount

"""Silences as they are kept."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, insert, select, update

from schemas.api.incidents import Silence, SilenceSpec
from schemas.api.matchers import Matcher
from workers.gateway.store.tables import silences
from workers.gateway.store.times import as_time, to_ns

__all__ = ["active_silences", "add_silence", "end_silence", "get_silence", "list_silences"]


def add_silence(
    connection: Connection, spec: SilenceSpec, *, by: str, tenant: str, now_ns: int
) -> str:
    """Keep a silence; returns its id."""
    id_ = str(uuid4())
    connection.execute(
        insert(silences).values(
            id=id_,
            tenant=tenant,
            matchers=json.dumps([one.model_dump(mode="json") for one in spec.matchers]),
            starts_ns=now_ns if spec.starts_at is None else to_ns(spec.starts_at),
            ends_ns=to_ns(spec.ends_at),
            created_by=by,
            comment=spec.comment,
            created_ns=now_ns,
        )
    )
    return id_


def end_silence(connection: Connection, id_: str, *, now_ns: int) -> bool:
    """End one that has not ended; says whether there was one."""
    changed = connection.execute(
        update(silences)
        .where(silences.c.id == id_, silences.c.ends_ns > now_ns)
        .values(ends_ns=now_ns)
    )
    return changed.rowcount > 0


def get_silence(connection: Connection, id_: str, *, now_ns: int) -> tuple[str, Silence] | None:
    """Tenant and silence; None if there is none."""
    row = connection.execute(select(silences).where(silences.c.id == id_)).one_or_none()
    return None if row is None else (row.tenant, _silence(row, now_ns))


def list_silences(
    connection: Connection,
    *,
    tenant: str | None,
    now_ns: int,
    expired: bool,
    after: str,
    limit: int,
) -> list[Silence]:
    """Silences by id behind one; None is those of all tenants."""
    query = select(silences).where(silences.c.id > after).order_by(silences.c.id).limit(limit)
    if tenant is not None:
        query = query.where(silences.c.tenant == tenant)
    if not expired:
        query = query.where(silences.c.ends_ns > now_ns)
    return [_silence(row, now_ns) for row in connection.execute(query)]


def active_silences(
    connection: Connection, *, now_ns: int
) -> list[tuple[str, str, tuple[Matcher, ...]]]:
    """Id, tenant and matchers of those that hold now."""
    rows = connection.execute(
        select(silences.c.id, silences.c.tenant, silences.c.matchers).where(
            silences.c.starts_ns <= now_ns, silences.c.ends_ns > now_ns
        )
    )
    return [(row.id, row.tenant, _matchers(row.matchers)) for row in rows]


def prune(connection: Connection, *, before_ns: int) -> int:
    """Delete those that ended before a time."""
    return connection.execute(delete(silences).where(silences.c.ends_ns < before_ns)).rowcount


def _matchers(text: str) -> tuple[Matcher, ...]:
    return tuple(Matcher.model_validate(one) for one in json.loads(text))


def _silence(row: Row[Any], now_ns: int) -> Silence:
    status = (
        "expired" if row.ends_ns <= now_ns else "pending" if row.starts_ns > now_ns else "active"
    )
    return Silence.model_validate(
        {
            "id": row.id,
            "matchers": _matchers(row.matchers),
            "starts_at": as_time(row.starts_ns),
            "ends_at": as_time(row.ends_ns),
            "created_by": row.created_by,
            "comment": row.comment,
            "status": status,
        }
    )

"""The audit log: who changed what, and when. Only ever added to, until it is pruned."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, desc, insert, select, true

from workers.gateway.principals import Principal
from workers.gateway.store.tables import audit

__all__ = ["entries", "prune", "record"]

_MAX_DETAILS: Final = 16_384
_MAX_TARGET: Final = 300


def record(
    connection: Connection,
    principal: Principal,
    action: str,
    target: str,
    details: Mapping[str, Any] | None = None,
    *,
    clock: Callable[[], int] = time.time_ns,
) -> None:
    """Note a change, in the transaction that makes it.

    Args:
        connection: of the transaction.
        principal: who made it.
        action: a noun and a verb, such as `subscription.create`.
        target: id of what was changed.
        details: what people will ask for later; never a secret.
        clock: of the gateway.
    """
    text = json.dumps(dict(details or {}), default=str, sort_keys=True)
    if len(text) > _MAX_DETAILS:
        text = json.dumps({"truncated": text[: _MAX_DETAILS // 2]})
    connection.execute(
        insert(audit).values(
            at_ns=clock(),
            by=principal.name,
            tenant=principal.tenant,
            action=action,
            target=target[:_MAX_TARGET],
            details=text,
        )
    )


def entries(
    connection: Connection, *, tenant: str, before: int | None, limit: int
) -> list[Row[Any]]:
    """The latest entries first.

    Args:
        connection: of a transaction.
        tenant: theirs alone; empty is all.
        before: entries older than the one of this id; None begins with the latest.
        limit: most entries.
    """
    wanted = and_(
        audit.c.tenant == tenant if tenant else true(),
        audit.c.id < before if before is not None else true(),
    )
    return list(
        connection.execute(select(audit).where(wanted).order_by(desc(audit.c.id)).limit(limit))
    )


def prune(connection: Connection, *, before_ns: int) -> int:
    """Forget what is older; how many there were."""
    return connection.execute(delete(audit).where(audit.c.at_ns < before_ns)).rowcount

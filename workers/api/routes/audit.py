"""The audit log, for those who run Vigie."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request

from schemas.api.access import AuditEntry
from schemas.api.base import Page
from workers.api.auth import Administrator
from workers.api.paging import CursorParameter, LimitParameter, decode_cursor, encode_cursor
from workers.api.problems import RESPONSES
from workers.gateway.store import audit
from workers.gateway.store.times import as_time

router = APIRouter(prefix="/v1/audit", tags=["audit"], responses=RESPONSES)


@router.get("", operation_id="list_audit")
def list_audit(
    request: Request,
    principal: Administrator,
    cursor: CursorParameter = None,
    limit: LimitParameter = 100,
) -> Page[AuditEntry]:
    """Every change that somebody made, the latest first."""
    before = None if cursor is None else decode_cursor(cursor, int)[0]
    with request.app.state.gateway.database.read() as connection:
        rows = audit.entries(connection, tenant=principal.tenant, before=before, limit=limit + 1)
    items = [
        AuditEntry(
            id=row.id,
            at=as_time(row.at_ns),
            by=row.by,
            tenant=row.tenant,
            action=row.action,
            target=row.target,
            details=json.loads(row.details),
        )
        for row in rows[:limit]
    ]
    return Page(items=items, next=encode_cursor(items[-1].id) if len(rows) > limit else None)

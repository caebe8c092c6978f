"""Silences: no notifications for a while."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from schemas.api.base import Page
from schemas.api.incidents import Silence, SilenceSpec
from workers.alerts.matchers import LabelMatchers, is_vacuous
from workers.api.auth import Operator, Principal, Reader
from workers.api.changes import Answer, OnceOnly, audit, gateway_of
from workers.api.paging import CursorParameter, LimitParameter, decode_cursor, encode_cursor
from workers.api.problems import RESPONSES, ProblemError
from workers.gateway.store import silences
from workers.gateway.store.times import to_ns

router = APIRouter(prefix="/v1/silences", tags=["silences"], responses=RESPONSES)


@router.get("", operation_id="list_silences")
def list_silences(
    request: Request,
    principal: Reader,
    expired: Annotated[bool, Query(description="Those that have ended, too.")] = False,  # noqa: FBT002
    cursor: CursorParameter = None,
    limit: LimitParameter = 100,
) -> Page[Silence]:
    """The silences that hold, or will."""
    after = "" if cursor is None else str(decode_cursor(cursor, str)[0])
    with gateway_of(request).database.read() as connection:
        found = silences.list_silences(
            connection,
            tenant=principal.tenant or None,
            now_ns=request.app.state.clock(),
            expired=expired,
            after=after,
            limit=limit + 1,
        )
    more = len(found) > limit
    return Page(items=found[:limit], next=encode_cursor(str(found[limit - 1].id)) if more else None)


@router.post("", operation_id="create_silence", status_code=201, response_model=Silence)
def create_silence(
    spec: SilenceSpec, request: Request, principal: Operator, once: OnceOnly
) -> Response:
    """Silence what matches; the author is who asks."""
    now_ns = request.app.state.clock()
    _check(spec, now_ns)

    def change(connection: Connection) -> Answer:
        id_ = silences.add_silence(
            connection, spec, by=principal.name, tenant=principal.tenant, now_ns=now_ns
        )
        audit(connection, principal, "silence.create", id_, spec.model_dump(mode="json"))
        found = silences.get_silence(connection, id_, now_ns=now_ns)
        assert found is not None
        return Answer(
            status=HTTPStatus.CREATED, body=found[1], headers={"Location": f"/v1/silences/{id_}"}
        )

    return once.run(principal, change)


@router.get("/{silence_id}", operation_id="get_silence")
def get_silence(silence_id: UUID, request: Request, principal: Reader) -> Silence:
    """One silence."""
    with gateway_of(request).database.read() as connection:
        return _found(connection, silence_id, principal, request.app.state.clock())


@router.delete("/{silence_id}", operation_id="end_silence", status_code=204)
def end_silence(silence_id: UUID, request: Request, principal: Operator) -> None:
    """End a silence now; what it held back and goes on is told."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    with gateway.database.begin() as connection:
        _found(connection, silence_id, principal, now_ns)
        if silences.end_silence(connection, str(silence_id), now_ns=now_ns):
            audit(connection, principal, "silence.end", str(silence_id))
    gateway.signal.notify()


def _found(connection: Connection, id_: UUID, principal: Principal, now_ns: int) -> Silence:
    found = silences.get_silence(connection, str(id_), now_ns=now_ns)
    if found is None or (principal.tenant and found[0] != principal.tenant):
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no such silence.")
    return found[1]


def _check(spec: SilenceSpec, now_ns: int) -> None:
    try:
        LabelMatchers.of(spec.matchers)
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    if is_vacuous(spec.matchers):
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "All the matchers fit the empty text, so they fit everything: name what to silence.",
        )
    if to_ns(spec.ends_at) <= now_ns:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "endsAt lies in the past.")

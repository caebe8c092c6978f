"""Incidents: the list that people work through, and what they do about each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection, Row

from schemas.api.base import Page, Text, Time
from schemas.api.base import Response as Document
from schemas.api.incidents import (
    Acknowledge,
    AcknowledgeMany,
    Comment,
    CommentRequest,
    IncidentState,
    IncidentView,
    Resolve,
    VerdictRequest,
)
from schemas.api.subscriptions import Delivery
from workers.alerts.matchers import LabelMatchers
from workers.api.auth import Operator, Principal, Reader
from workers.api.changes import Answer, OnceOnly, audit, gateway_of
from workers.api.incident_filters import Labels, States, labels_of, states_of
from workers.api.paging import CursorParameter, LimitParameter, decode_cursor, encode_cursor
from workers.api.problems import RESPONSES, ProblemError
from workers.errors import BrokerUnavailableError, VigieError
from workers.gateway.circumstances import compiled_silences, silences_for_labels
from workers.gateway.gateway import Gateway
from workers.gateway.handling import Handling, verdict_wish, write_verdict
from workers.gateway.store import deliveries, events, incidents
from workers.gateway.store.incidents import IncidentQuery
from workers.gateway.store.times import to_ns

__all__ = ["incident_view", "list_view", "router"]

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], responses=RESPONSES)

_AT_ONCE = 500


class Acknowledged(Document):
    """What became of several."""

    acknowledged: list[UUID]
    """These are looked after."""
    over: list[UUID]
    """These are over, or there are none of these ids."""


@router.get("", operation_id="list_incidents")
def list_incidents(
    request: Request,
    principal: Reader,
    state: States = "",
    q: Annotated[
        Text, Query(max_length=200, description="Words in sensor, labels, channels, comments.")
    ] = "",
    sensor: Annotated[list[Text], Query(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
    severity: Annotated[list[Literal["low", "medium", "high"]], Query(max_length=3)] = [],  # noqa: B006
    kind: Annotated[list[Literal["anomaly", "drift", "detector"]], Query(max_length=3)] = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    since: Annotated[Time | None, Query(description="Opened then or later.")] = None,
    until: Annotated[Time | None, Query(description="Opened before.")] = None,
    suppressed: Annotated[
        bool | None, Query(description="Those that look like a confirmed false alarm, or not.")
    ] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 100,
) -> Page[IncidentView]:
    """The incidents, the one that opened last first: all that are kept, a searchable history."""
    query = IncidentQuery(
        states=states_of(state),
        sensors=tuple(sensor),
        severities=tuple(severity),
        kinds=tuple(kind),
        labels=labels_of(label),
        words=q,
        since_ns=_ns(since),
        until_ns=_ns(until),
        suppressed=suppressed,
        tenant=principal.tenant or None,
        before=None if cursor is None else tuple(decode_cursor(cursor, int, str)),
        limit=limit + 1,
    )
    return list_view(request, query, limit)


def list_view(request: Request, query: IncidentQuery, limit: int) -> Page[IncidentView]:
    """A page of incidents; `query.limit` is one more than its entries."""
    gateway = gateway_of(request)
    with gateway.database.read() as connection:
        rows = incidents.list_rows(connection, query)
        views = _views(connection, rows[:limit], request.app.state.clock())
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        items=views, next=None if last is None else encode_cursor(last.opened_event_ns, last.id)
    )


@router.post(":acknowledge", operation_id="acknowledge_incidents", response_model=Acknowledged)
def acknowledge_many(
    asked: AcknowledgeMany, request: Request, principal: Operator, once: OnceOnly
) -> Response:
    """Look after several: by their ids, or all open ones that match."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    until_ns = _until(asked.until, now_ns)

    def change(connection: Connection) -> Answer:
        done: list[UUID] = []
        events.lock(connection)
        ids = [str(one) for one in asked.incidents] or _matching(connection, asked, principal)
        handling = _handling(gateway, connection, principal, now_ns)
        for id_ in ids:
            row = incidents.get_row(connection, id_, lock=True)
            if row is None or (principal.tenant and row.tenant != principal.tenant):
                continue
            if handling.acknowledge(row, until_ns=until_ns, comment=asked.comment):
                done.append(UUID(id_))
        details = {"incidents": [str(one) for one in done], "until": asked.until}
        audit(connection, principal, "incident.acknowledge", f"{len(done)} incidents", details)
        over = [UUID(one) for one in ids if UUID(one) not in set(done)]
        return Answer(status=HTTPStatus.OK, body=Acknowledged(acknowledged=done, over=over))

    response = once.run(principal, change)
    gateway.signal.notify()
    return response


@router.get("/{incident_id}", operation_id="get_incident")
def get_incident(incident_id: UUID, request: Request, principal: Reader) -> IncidentView:
    """One incident."""
    return incident_view(request, incident_id, principal)


def incident_view(request: Request, incident_id: UUID, principal: Principal) -> IncidentView:
    """One incident, as somebody may see it."""
    with gateway_of(request).database.read() as connection:
        row = _row(connection, incident_id, principal)
        return _views(connection, [row], request.app.state.clock())[0]


@router.post(
    "/{incident_id}:acknowledge", operation_id="acknowledge_incident", response_model=IncidentView
)
def acknowledge(
    incident_id: UUID, asked: Acknowledge, request: Request, principal: Operator, once: OnceOnly
) -> Response:
    """Look after an incident; nobody else is told that nobody does."""
    until_ns = _until(asked.until, request.app.state.clock())

    def change(handling: Handling, row: Row[Any]) -> bool:
        return handling.acknowledge(row, until_ns=until_ns, comment=asked.comment)

    return _changed(
        request,
        incident_id,
        principal,
        once,
        change,
        action="acknowledge",
        details={"until": asked.until},
    )


@router.post(
    "/{incident_id}:unacknowledge",
    operation_id="unacknowledge_incident",
    response_model=IncidentView,
)
def unacknowledge(
    incident_id: UUID, request: Request, principal: Operator, once: OnceOnly
) -> Response:
    """Look after it no more."""
    return _changed(
        request,
        incident_id,
        principal,
        once,
        lambda handling, row: handling.unacknowledge(row),
        action="unacknowledge",
    )


@router.post("/{incident_id}:resolve", operation_id="resolve_incident", response_model=IncidentView)
def resolve(
    incident_id: UUID, asked: Resolve, request: Request, principal: Operator, once: OnceOnly
) -> Response:
    """Say that it is over. The stream goes on to judge: what opens next is a new incident."""
    return _changed(
        request,
        incident_id,
        principal,
        once,
        lambda handling, row: handling.resolve(row, comment=asked.comment),
        action="resolve",
        details={"comment": asked.comment},
    )


@router.post("/{incident_id}:verdict", operation_id="judge_incident")
def judge(
    incident_id: UUID, asked: VerdictRequest, request: Request, principal: Operator
) -> IncidentView:
    """Say what it was: the stream goes by it from its next reading on.

    The verdict is shown at once; `verdict_heeded` says when the stream has it.
    """
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    with gateway.database.read() as connection:
        row = _row(connection, incident_id, principal)
    try:
        wish = verdict_wish(
            row, verdict=asked.verdict, note=asked.note, by=principal.name, now_ns=now_ns
        )
        write_verdict(gateway.settings, row.sensor_id, wish)
    except BrokerUnavailableError:
        raise
    except VigieError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error
    with gateway.database.begin() as connection:
        incidents.set_verdict(
            connection,
            row.id,
            verdict=asked.verdict,
            by=principal.name,
            heeded=False,
            now_ns=now_ns,
        )
        details = {"verdict": asked.verdict, "note": asked.note}
        audit(connection, principal, "incident.verdict", row.id, details)
    gateway.signal.notify()
    return incident_view(request, incident_id, principal)


@router.get("/{incident_id}/comments", operation_id="list_comments")
def list_comments(incident_id: UUID, request: Request, principal: Reader) -> list[Comment]:
    """The notes on an incident, the oldest first."""
    with gateway_of(request).database.read() as connection:
        return incidents.comments_of(connection, _row(connection, incident_id, principal).id)


@router.post(
    "/{incident_id}/comments",
    operation_id="create_comment",
    status_code=201,
    response_model=Comment,
)
def create_comment(
    incident_id: UUID, asked: CommentRequest, request: Request, principal: Operator, once: OnceOnly
) -> Response:
    """Leave a note."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()

    def change(connection: Connection) -> Answer:
        events.lock(connection)
        row = _row(connection, incident_id, principal, lock=True)
        _handling(gateway, connection, principal, now_ns).remark(row, asked.text)
        audit(connection, principal, "incident.comment", row.id)
        made = incidents.comments_of(connection, row.id)[-1]
        return Answer(status=HTTPStatus.CREATED, body=made)

    response = once.run(principal, change)
    gateway.signal.notify()
    return response


@router.get("/{incident_id}/deliveries", operation_id="list_incident_deliveries")
def list_deliveries(
    incident_id: UUID,
    request: Request,
    principal: Reader,
    cursor: CursorParameter = None,
    limit: LimitParameter = 100,
) -> Page[Delivery]:
    """Who was told of it, and what became of that."""
    before = None if cursor is None else decode_cursor(cursor, int)[0]
    with gateway_of(request).database.read() as connection:
        row = _row(connection, incident_id, principal)
        rows = deliveries.list_rows(connection, incident_id=row.id, before=before, limit=limit + 1)
    more = len(rows) > limit
    return Page(
        items=[deliveries.view(one) for one in rows[:limit]],
        next=encode_cursor(rows[limit - 1].id) if more else None,
    )


# -- what they share -------------------------------------------------------------------------------


def _handling(
    gateway: Gateway, connection: Connection, principal: Principal, now_ns: int
) -> Handling:
    return Handling(connection=connection, outbox=gateway.outbox, by=principal.name, now_ns=now_ns)


def _changed(
    request: Request,
    incident_id: UUID,
    principal: Principal,
    once: OnceOnly,
    change: Callable[[Handling, Row[Any]], bool],
    *,
    action: str,
    details: dict[str, Any] | None = None,
) -> Response:
    gateway, now_ns = gateway_of(request), request.app.state.clock()

    def changed(connection: Connection) -> Answer:
        events.lock(connection)
        row = _row(connection, incident_id, principal, lock=True)
        if not change(_handling(gateway, connection, principal, now_ns), row):
            raise ProblemError(
                HTTPStatus.CONFLICT, f"The incident is {row.state}: it cannot be {action}d."
            )
        audit(connection, principal, f"incident.{action}", row.id, details)
        after = _row(connection, incident_id, principal)
        return Answer(status=HTTPStatus.OK, body=_views(connection, [after], now_ns)[0])

    response = once.run(principal, changed)
    gateway.signal.notify()
    return response


def _row(
    connection: Connection, incident_id: UUID, principal: Principal, *, lock: bool = False
) -> Row[Any]:
    row = incidents.get_row(connection, str(incident_id), lock=lock)
    if row is None or (principal.tenant and row.tenant != principal.tenant):
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no such incident.")
    return row


def _views(connection: Connection, rows: Sequence[Row[Any]], now_ns: int) -> list[IncidentView]:
    silences = compiled_silences(connection, now_ns=now_ns)
    return [
        incidents.view(
            row,
            silenced_by=silences_for_labels(silences, incidents.labels_of(row), row.tenant)
            if row.state != IncidentState.RESOLVED
            else [],
        )
        for row in rows
    ]


def _matching(connection: Connection, asked: AcknowledgeMany, principal: Principal) -> list[str]:
    try:
        matchers = LabelMatchers.of(asked.matchers)
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    found: list[str] = []
    before: tuple[int, str] | None = None
    while True:
        query = IncidentQuery(
            states=(IncidentState.OPEN.value,),
            tenant=principal.tenant or None,
            before=before,
            limit=_AT_ONCE,
        )
        rows = incidents.list_rows(connection, query)
        found += [row.id for row in rows if matchers.match(incidents.labels_of(row))]
        if len(rows) < _AT_ONCE:
            return found
        before = rows[-1].opened_event_ns, rows[-1].id


def _until(until: datetime | None, now_ns: int) -> int | None:
    until_ns = _ns(until)
    if until_ns is not None and until_ns <= now_ns:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "until lies in the past.")
    return until_ns


def _ns(time: datetime | None) -> int | None:
    return None if time is None else to_ns(time)

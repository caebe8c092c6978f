"""Incidents as the stream told of them last, and what people made of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from schemas.api.incidents import Comment, IncidentState, IncidentView
from schemas.api.subscriptions import EventType
from workers.gateway.store.events import GATEWAY
from workers.gateway.store.sql import contains_words
from workers.gateway.store.tables import comments, deliveries, incidents
from workers.gateway.store.times import as_time

__all__ = [
    "SEVERITIES",
    "IncidentQuery",
    "acknowledge",
    "add_comment",
    "comments_of",
    "document_of",
    "expired_acknowledgements",
    "get_row",
    "going_on",
    "labels_of",
    "list_rows",
    "open_rows",
    "prune",
    "resolve",
    "sequences",
    "set_verdict",
    "unacknowledge",
    "view",
]

SEVERITIES: Final = {"low": 1, "medium": 2, "high": 3}
"""Severities as they are kept, so that they can be compared."""
_NAMES: Final = {number: name for name, number in SEVERITIES.items()}
_GOING_ON: Final = (IncidentState.OPEN.value, IncidentState.ACKNOWLEDGED.value)


@dataclass(frozen=True, kw_only=True)
class IncidentQuery:
    """Which incidents somebody wants to see.

    Attributes:
        states, sensors, severities, kinds: one of these each; empty is any.
        labels: name and value, all of them.
        words: all are in its text.
        since_ns, until_ns: bounds of the event time at which it opened.
        suppressed: None is both.
        tenant: None is any.
        before: event time of its opening and id, of the last one of the page before.
    """

    states: Collection[str] = ()
    sensors: Collection[str] = ()
    severities: Collection[str] = ()
    kinds: Collection[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    suppressed: bool | None = None
    tenant: str | None = None
    before: tuple[int, str] | None = None
    limit: int = 100


def sequences(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """The number of the last event of each incident that there is."""
    rows = connection.execute(
        select(incidents.c.id, incidents.c.sequence).where(incidents.c.id.in_(ids))
    )
    return {row.id: row.sequence for row in rows}


def labels_of(row: Row[Any]) -> dict[str, str]:
    """What matchers look at, of an incident that is kept."""
    labels: dict[str, str] = json.loads(row.labels)
    return labels


def open_rows(connection: Connection, *, kinds: Collection[str] | None = None) -> Sequence[Any]:
    """Id, state, tenant and labels of the incidents that go on; None is those of all kinds.

    Without those that look like a confirmed false alarm.
    """
    query = select(incidents.c.id, incidents.c.state, incidents.c.tenant, incidents.c.labels).where(
        incidents.c.state.in_(_GOING_ON), ~incidents.c.suppressed
    )
    if kinds is not None:
        query = query.where(incidents.c.kind.in_(kinds))
    return connection.execute(query).all()


def going_on(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of these incidents that are not over."""
    query = select(incidents.c.id).where(incidents.c.id.in_(ids), incidents.c.state.in_(_GOING_ON))
    return set(connection.execute(query).scalars())


def get_row(connection: Connection, id_: str, *, lock: bool = False) -> Row[Any] | None:
    """One incident."""
    query = select(incidents).where(incidents.c.id == id_)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def list_rows(connection: Connection, query: IncidentQuery) -> Sequence[Row[Any]]:
    """The incidents of a query, the one that opened last first."""
    return connection.execute(_selected(query)).all()


def _selected(query: IncidentQuery) -> Select[Any]:
    one_of = {
        incidents.c.state: query.states,
        incidents.c.sensor_id: query.sensors,
        incidents.c.severity: [SEVERITIES[name] for name in query.severities],
        incidents.c.kind: query.kinds,
    }
    where: list[ColumnElement[bool]] = [
        column.in_(values) for column, values in one_of.items() if values
    ]
    where += contains_words((incidents.c.search, incidents.c.notes), query.words)
    for name, value in query.labels.items():
        pair = f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        where.append(
            or_(
                incidents.c.labels.contains("{" + pair, autoescape=True),
                incidents.c.labels.contains(", " + pair, autoescape=True),
            )
        )
    if query.since_ns is not None:
        where.append(incidents.c.opened_event_ns >= query.since_ns)
    if query.until_ns is not None:
        where.append(incidents.c.opened_event_ns < query.until_ns)
    if query.suppressed is not None:
        where.append(incidents.c.suppressed == query.suppressed)
    if query.tenant is not None:
        where.append(incidents.c.tenant == query.tenant)
    if query.before is not None:
        where.append(tuple_(incidents.c.opened_event_ns, incidents.c.id) < tuple_(*query.before))
    return (
        select(incidents)
        .where(*where)
        .order_by(incidents.c.opened_event_ns.desc(), incidents.c.id.desc())
        .limit(query.limit)
    )


def acknowledge(
    connection: Connection, id_: str, *, by: str, until_ns: int | None, now_ns: int
) -> bool:
    """Somebody looks after it; says whether it goes on."""
    return _change(
        connection,
        id_,
        {
            "state": IncidentState.ACKNOWLEDGED.value,
            "acknowledged_by": by,
            "acknowledged_ns": now_ns,
            "acknowledged_until_ns": until_ns,
            "updated_ns": now_ns,
        },
        states=_GOING_ON,
    )


def unacknowledge(connection: Connection, id_: str, *, now_ns: int) -> bool:
    """Nobody looks after it any more; says whether somebody did."""
    return _change(
        connection,
        id_,
        {
            "state": IncidentState.OPEN.value,
            "acknowledged_by": "",
            "acknowledged_ns": None,
            "acknowledged_until_ns": None,
            "updated_ns": now_ns,
        },
        states=(IncidentState.ACKNOWLEDGED.value,),
    )


def expired_acknowledgements(connection: Connection, *, now_ns: int) -> list[str]:
    """Incidents whose acknowledgement is over."""
    return list(
        connection.execute(
            select(incidents.c.id).where(
                incidents.c.acknowledged_until_ns <= now_ns,
                incidents.c.state == IncidentState.ACKNOWLEDGED.value,
            )
        ).scalars()
    )


def resolve(connection: Connection, id_: str, *, by: str, now_ns: int) -> bool:
    """Somebody says that it is over; says whether it went on."""
    return _change(
        connection,
        id_,
        {
            "state": IncidentState.RESOLVED.value,
            "resolved_ns": now_ns,
            "resolved_by": by,
            "updated_ns": now_ns,
        },
        states=_GOING_ON,
    )


def set_verdict(
    connection: Connection, id_: str, *, verdict: str, by: str, heeded: bool, now_ns: int
) -> bool:
    """What it was; empty takes that back. Says whether there is such an incident."""
    return _change(
        connection,
        id_,
        {
            "verdict": verdict,
            "verdict_by": by,
            "verdict_heeded": heeded,
            "updated_ns": now_ns,
        },
        states=None,
    )


def _change(
    connection: Connection, id_: str, values: Mapping[str, Any], *, states: Sequence[str] | None
) -> bool:
    where = [incidents.c.id == id_]
    if states is not None:
        where.append(incidents.c.state.in_(states))
    return connection.execute(update(incidents).where(and_(*where)).values(**values)).rowcount > 0


def add_comment(connection: Connection, id_: str, *, by: str, text: str, now_ns: int) -> None:
    """Keep a note; its words are found by a search."""
    connection.execute(insert(comments).values(incident_id=id_, at_ns=now_ns, by=by, text=text))
    connection.execute(
        update(incidents)
        .where(incidents.c.id == id_)
        .values(
            comments=incidents.c.comments + 1,
            notes=incidents.c.notes + text.lower() + "\n",
            updated_ns=now_ns,
        )
    )


def comments_of(connection: Connection, id_: str) -> list[Comment]:
    """The notes on an incident, the oldest first."""
    rows = connection.execute(
        select(comments).where(comments.c.incident_id == id_).order_by(comments.c.id)
    )
    return [Comment(at=as_time(row.at_ns), by=row.by, text=row.text) for row in rows]


def view(row: Row[Any], *, silenced_by: Sequence[str] = ()) -> IncidentView:
    """An incident as people see it."""
    data: dict[str, Any] = json.loads(row.data)
    return IncidentView.model_validate(
        {
            "id": row.id,
            "state": row.state,
            "sensor_id": row.sensor_id,
            "severity": _NAMES[row.severity],
            "kind": row.kind,
            "labels": data.get("labels") or {},
            "opened_at": as_time(row.opened_event_ns),
            "updated_at": as_time(row.updated_ns),
            "resolved_at": as_time(
                row.resolved_ns if row.resolved_event_ns is None else row.resolved_event_ns
            ),
            "resolved_by": row.resolved_by,
            "peak": row.peak,
            "acknowledged_by": row.acknowledged_by,
            "acknowledged_at": as_time(row.acknowledged_ns),
            "acknowledged_until": as_time(row.acknowledged_until_ns),
            "verdict": row.verdict,
            "verdict_by": row.verdict_by,
            "verdict_heeded": row.verdict_heeded,
            "silenced_by": list(silenced_by),
            "comments": row.comments,
            "data": data,
        }
    )


def document_of(row: Row[Any], id_: str, type_: EventType) -> dict[str, Any]:
    """A CloudEvent about an incident as it is kept."""
    return {
        "specversion": "1.0",
        "id": id_,
        "source": GATEWAY,
        "type": type_.value,
        "subject": row.sensor_id,
        "datacontenttype": "application/json",
        "data": json.loads(row.data),
    }


def prune(connection: Connection, *, before_ns: int, limit: int) -> int:
    """Delete incidents that were over before a time, unless somebody is still to be told."""
    told_of = exists().where(
        deliveries.c.incident_id == incidents.c.id, deliveries.c.state.in_(("waiting", "muted"))
    )
    old = (
        select(incidents.c.id)
        .where(incidents.c.resolved_ns < before_ns, ~told_of)
        .order_by(incidents.c.resolved_ns)
        .limit(limit)
    )
    return connection.execute(delete(incidents).where(incidents.c.id.in_(old))).rowcount

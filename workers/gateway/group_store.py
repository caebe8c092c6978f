"""Groups of incidents as the database has them: fed with events, and flushed when they are due."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, select

from schemas.api.subscriptions import DeliveryState, EventType
from workers.alerts.event import AlertEvent
from workers.alerts.groups import Flush, GroupState, Stage, flush, group_key, with_event
from workers.alerts.message import Group
from workers.alerts.muting import Circumstances, Recently, mute
from workers.gateway.book import Entry
from workers.gateway.store import deliveries, events, incidents
from workers.gateway.store.events import GATEWAY
from workers.gateway.store.sql import upsert
from workers.gateway.store.tables import groups

__all__ = ["GroupStore", "flush_due", "forget_groups"]

_MAX_DOCUMENTS: Final = 100
"""Most incidents that one notification tells of in full."""


@dataclass(kw_only=True)
class _Group:
    labels: Mapping[str, str]
    state: GroupState


class GroupStore:
    """The groups that one transaction touches; each is locked until its end."""

    def __init__(self, connection: Connection, now_ns: int) -> None:
        """Of a transaction at a time."""
        self._connection, self._now_ns = connection, now_ns
        self._groups = dict[tuple[str, str], _Group]()

    def add(self, entry: Entry, event: AlertEvent) -> None:
        """Feed a group with an event of an incident."""
        grouping = entry.spec.group
        assert grouping is not None
        key, labels = group_key(grouping, event.labels)
        group = self._groups.get((entry.id, key)) or self._load(entry.id, key, labels)
        types = {one.value for one in entry.spec.types}
        if event.type not in types and event.type == EventType.UPDATED:
            # The first that passed the filters: it opens for this subscription.
            event = event if event.incident_id in group.state.members else _opening(event)
        group.state = with_event(group.state, event, self._now_ns, grouping, types)

    def _load(self, subscription_id: str, key: str, labels: Mapping[str, str]) -> _Group:
        row = self._connection.execute(
            select(groups)
            .where(groups.c.subscription_id == subscription_id, groups.c.key == key)
            .with_for_update()
        ).one_or_none()
        state = GroupState() if row is None else GroupState.from_json(row.state)
        group = self._groups[subscription_id, key] = _Group(labels=labels, state=state)
        return group

    def write(self) -> None:
        """Write down what became of them."""
        for (subscription_id, key), group in self._groups.items():
            save(self._connection, subscription_id, key, group.labels, group.state)
        self._groups.clear()


def _opening(event: AlertEvent) -> AlertEvent:
    return replace(event, type=EventType.OPENED.value)


def save(
    connection: Connection,
    subscription_id: str,
    key: str,
    labels: Mapping[str, str],
    state: GroupState,
) -> None:
    """Keep a group, or forget it when it is over."""
    if state.is_over:
        connection.execute(
            delete(groups).where(groups.c.subscription_id == subscription_id, groups.c.key == key)
        )
        return
    row = {
        "subscription_id": subscription_id,
        "key": key,
        "labels": json.dumps(dict(labels)),
        "state": state.to_json(),
        "due_ns": state.due_ns,
    }
    upsert(connection, groups, row)


def forget_groups(connection: Connection, subscription_id: str) -> None:
    """Of a subscription that groups in another way now."""
    connection.execute(delete(groups).where(groups.c.subscription_id == subscription_id))


def flush_due(
    connection: Connection,
    entries: Mapping[str, Entry],
    at: Circumstances,
    *,
    limit: int,
) -> int:
    """Make notifications of the groups that are due; returns how many were looked at."""
    rows = connection.execute(
        select(groups)
        .where(groups.c.due_ns <= at.now_ns)
        .order_by(groups.c.due_ns)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        entry = entries.get(row.subscription_id)
        if entry is None or entry.spec.group is None:  # disabled, or it groups no more
            forget_groups(connection, row.subscription_id)
            continue
        _flush(connection, entry, row, at)
    return len(rows)


def _flush(connection: Connection, entry: Entry, row: Row[Any], at: Circumstances) -> None:
    assert entry.spec.group is not None
    labels: dict[str, str] = json.loads(row.labels)
    before = GroupState.from_json(row.state)
    documents = _documents(connection, before)
    state = _without_muted(connection, entry, before, documents, at)
    after, due = flush(state, at.now_ns, entry.spec.group)
    save(connection, entry.id, row.key, labels, after)
    told = [] if due is None else _told(entry, due, documents, at)
    if due is not None and told:
        group = Group(key=row.key, labels=labels)
        deliveries.add(connection, [_row(entry, group, due, told, now_ns=at.now_ns)])


def _documents(connection: Connection, state: GroupState) -> dict[str, dict[str, Any]]:
    """The events of the members by id; where one is not kept any more, as the incident is now."""
    ids = [one.event for one in state.members.values()]
    found = events.documents(connection, ids)
    for incident_id, member in state.members.items():
        if member.event not in found:
            row = incidents.get_row(connection, incident_id)
            if row is not None:
                found[member.event] = {
                    "specversion": "1.0",
                    "id": member.event,
                    "source": GATEWAY,
                    "type": EventType.UPDATED.value,
                    "subject": row.sensor_id,
                    "datacontenttype": "application/json",
                    "data": json.loads(row.data),
                }
    return found


def _without_muted(
    connection: Connection,
    entry: Entry,
    state: GroupState,
    documents: Mapping[str, Mapping[str, Any]],
    at: Circumstances,
) -> GroupState:
    """The group without what was not told yet and is held back by now: that waits outside."""
    members = dict(state.members)
    for incident_id, member in state.members.items():
        document = documents.get(member.event)
        if member.stage is not Stage.NEW or document is None:
            continue
        muted = mute(entry.spec, AlertEvent.of(document), at, Recently())
        if muted is not None:
            deliveries.hold_back(connection, entry.id, incident_id, muted)
            del members[incident_id]
    is_pending = any(one.is_pending for one in members.values())
    return replace(state, members=members, news_ns=state.news_ns if is_pending else None)


def _told(
    entry: Entry,
    due: Flush,
    documents: Mapping[str, Mapping[str, Any]],
    at: Circumstances,
) -> list[Mapping[str, Any]]:
    """The events to tell; a repeat says nothing of what is held back by now."""
    found = [documents[id_] for id_ in due.events if id_ in documents]
    if not due.is_repeat:
        return found
    return [one for one in found if mute(entry.spec, AlertEvent.of(one), at, Recently()) is None]


def _row(
    entry: Entry,
    group: Group,
    due: Flush,
    told: Sequence[Mapping[str, Any]],
    *,
    now_ns: int,
) -> dict[str, Any]:
    is_over = all(one["type"] == EventType.RESOLVED for one in told)
    more = len(told) - _MAX_DOCUMENTS
    notes = [
        *(["told again: nobody acknowledged it"] if due.is_repeat else []),
        *([f"and {more} more"] if more > 0 else []),
        *([f"{due.dropped} were over before they were told"] if due.dropped else []),
    ]
    payload = {
        "events": list(told[:_MAX_DOCUMENTS]),
        "group": {"key": group.key, "labels": dict(group.labels)},
        "note": "; ".join(notes),
    }
    return {
        "subscription_id": entry.id,
        "event_id": f"{entry.id}-{group.key[:16]}-{due.number}-{now_ns}",
        "type": (EventType.RESOLVED if is_over else EventType.OPENED).value,
        "incident_id": None,
        "order_key": f"group:{group.key}",
        "sensor": "",
        "payload": json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
        "state": DeliveryState.WAITING.value,
        "muted_by": None,
        "muted_ref": None,
        "reason": "",
        "due_ns": now_ns,
        "expires_ns": now_ns + round(entry.spec.max_age_s * 1e9),
        "escalate_ns": None,
        "created_ns": now_ns,
    }

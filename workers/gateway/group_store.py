"""Groups of incidents as the database has them: fed with events, and flushed when they are due."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, select

from schemas.api.subscriptions import EventType
from workers.alerts.event import AlertEvent
from workers.alerts.groups import Flush, GroupState, Stage, flush, group_key, with_event
from workers.alerts.message import Group
from workers.alerts.muting import Circumstances, Recently, mute
from workers.gateway.book import Entry
from workers.gateway.store import deliveries, events, incidents
from workers.gateway.store.sql import upsert
from workers.gateway.store.tables import groups, subscriptions

__all__ = ["GroupStore", "due_groups", "flush_group"]

_PREFIX: Final = "group:"
"""Before the key of a group in an order key."""
_MAX_DOCUMENTS: Final = 100
"""Most incidents that one notification tells of in full."""


@dataclass(kw_only=True)
class _Group:
    labels: Mapping[str, str]
    state: GroupState


class GroupStore:
    """The groups that one transaction touches, which holds the lock of `events.lock`."""

    def __init__(self, connection: Connection, now_ns: int) -> None:
        """Of a transaction at a time."""
        self._connection, self._now_ns = connection, now_ns
        self._groups = dict[tuple[str, str], _Group]()

    def join(self, entry: Entry, event: AlertEvent) -> str:
        """Let an incident join the group of its labels; returns the order key of its delivery.

        It stays in that group, whatever its labels are later.
        """
        assert entry.spec.group is not None
        key, labels = group_key(entry.spec.group, event.labels)
        self._feed(entry, key, labels, event)
        return _PREFIX + key

    def follow(self, entry: Entry, event: AlertEvent, order_key: str) -> None:
        """Feed a group with what happened to an incident that had joined it."""
        self._feed(entry, order_key.removeprefix(_PREFIX), {}, event)

    def _feed(self, entry: Entry, key: str, labels: Mapping[str, str], event: AlertEvent) -> None:
        assert entry.spec.group is not None
        group = self._groups.get((entry.id, key)) or self._load(entry.id, key, labels)
        types = {one.value for one in entry.spec.types}
        if event.type not in types and event.type == EventType.UPDATED:
            # The first that passed the filters: it opens for this subscription.
            event = event if event.incident_id in group.state.members else _opening(event)
        group.state = with_event(group.state, event, self._now_ns, entry.spec.group, types)

    def _load(self, subscription_id: str, key: str, labels: Mapping[str, str]) -> _Group:
        row = self._connection.execute(
            select(groups).where(groups.c.subscription_id == subscription_id, groups.c.key == key)
        ).one_or_none()
        if row is None:
            group = _Group(labels=labels, state=GroupState())
        else:
            group = _Group(labels=json.loads(row.labels), state=GroupState.from_json(row.state))
        self._groups[subscription_id, key] = group
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


def due_groups(connection: Connection, *, now_ns: int, limit: int) -> list[tuple[str, str]]:
    """Subscription and key of the groups that are due; those of disabled ones wait."""
    rows = connection.execute(
        select(groups.c.subscription_id, groups.c.key)
        .join(subscriptions, subscriptions.c.id == groups.c.subscription_id)
        .where(groups.c.due_ns <= now_ns, subscriptions.c.enabled)
        .order_by(groups.c.due_ns)
        .limit(limit)
    )
    return [(row.subscription_id, row.key) for row in rows]


def flush_group(connection: Connection, entry: Entry, key: str, at: Circumstances) -> None:
    """Make the notification of a group that is due, in a transaction that holds the lock."""
    row = connection.execute(
        select(groups).where(groups.c.subscription_id == entry.id, groups.c.key == key)
    ).one_or_none()
    if row is None:
        return
    if entry.spec.group is None:
        _dissolve(connection, entry, row, now_ns=at.now_ns)
    else:
        _flush(connection, entry, row, at)


def _dissolve(connection: Connection, entry: Entry, row: Row[Any], *, now_ns: int) -> None:
    """The subscription groups no more: what was not told yet is told by itself."""
    for incident_id, member in GroupState.from_json(row.state).members.items():
        if member.stage is Stage.NEW:
            deliveries.ungroup(connection, entry.id, incident_id, now_ns=now_ns)
    save(connection, entry.id, row.key, {}, GroupState())


def _flush(connection: Connection, entry: Entry, row: Row[Any], at: Circumstances) -> None:
    assert entry.spec.group is not None
    labels: dict[str, str] = json.loads(row.labels)
    before = _ended(connection, GroupState.from_json(row.state), entry, at.now_ns)
    documents = _documents(connection, before)
    state = _without_muted(connection, entry, before, documents, at)
    after, due = flush(state, at.now_ns, entry.spec.group)
    save(connection, entry.id, row.key, labels, after)
    told = [] if due is None else _told(entry, due, documents, at)
    if due is not None and told:
        group = Group(key=row.key, labels=labels)
        deliveries.add(connection, [_row(entry, group, due, told, now_ns=at.now_ns)])


def _ended(connection: Connection, state: GroupState, entry: Entry, now_ns: int) -> GroupState:
    """The group as it is if it heard of all ends: a disabled subscription hears of none."""
    assert entry.spec.group is not None
    going_on = incidents.going_on(connection, list(state.members))
    for incident_id, member in state.members.items():
        if incident_id in going_on or member.stage is Stage.ENDED:
            continue
        row = incidents.get_row(connection, incident_id)
        if row is not None:
            over = AlertEvent.of(incidents.document_of(row, f"{row.id}-over", EventType.RESOLVED))
            types = {one.value for one in entry.spec.types}
            state = with_event(state, over, now_ns, entry.spec.group, types)
    return state


def _documents(connection: Connection, state: GroupState) -> dict[str, dict[str, Any]]:
    """The events of the members by id; where one is not kept any more, as the incident is now."""
    ids = [one.event for one in state.members.values()]
    found = events.documents(connection, ids)
    for incident_id, member in state.members.items():
        if member.event not in found:
            row = incidents.get_row(connection, incident_id)
            if row is not None:
                is_over = member.stage is Stage.ENDED
                type_ = EventType.RESOLVED if is_over else EventType.UPDATED
                found[member.event] = incidents.document_of(row, member.event, type_)
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
    """The events to tell, and behind them what goes on beside: or its receiver would close it.

    A repeat says nothing of what is held back by now, and is none if nothing is left.
    """
    found = [documents[id_] for id_ in due.events if id_ in documents]
    if due.is_repeat:
        found = [
            one for one in found if mute(entry.spec, AlertEvent.of(one), at, Recently()) is None
        ]
    if not found:
        return []
    goes_on = {"type": EventType.UPDATED.value}
    beside = [dict(documents[id_]) | goes_on for id_ in due.standing if id_ in documents]
    return [*found, *beside]


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
    return deliveries.new_row(
        entry.id,
        f"{entry.id}-{group.key[:16]}-{due.number}-{now_ns}",
        (EventType.RESOLVED if is_over else EventType.OPENED).value,
        order_key=_PREFIX + group.key,
        now_ns=now_ns,
        max_age_s=entry.spec.max_age_s,
        payload=json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
    )

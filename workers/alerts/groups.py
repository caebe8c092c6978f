"""Notifications of groups: incidents that share labels are told together.

The times are Alertmanager's. A group waits `wait_s` behind its first news for others (group_wait);
two notifications of it are at least `interval_s` apart (group_interval); what goes on without news
is told again `repeat_s` behind the last one (repeat_interval), unless all of it is acknowledged.

News of an incident, from nothing to nothing:

| it is    | opens, goes on | resolves         | flush           |
| -------- | -------------- | ---------------- | --------------- |
| unknown  | new            | unknown          |                 |
| new      | new            | gone, counted    | told            |
| told     | changed        | ended            | told, on repeat |
| changed  | changed        | ended            | told            |
| ended    | ended          | ended            | gone            |

So a receiver that was told of an incident is told of its end, once, and of no other end. A group
stays for `interval_s` behind its last notification even if it is empty: or a new one of the same
labels could follow too soon.

A state is never changed: each function returns the next one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Final, Self

from schemas.api.subscriptions import EventType, Grouping
from workers.alerts.event import AlertEvent

__all__ = [
    "Flush",
    "GroupState",
    "Member",
    "Stage",
    "flush",
    "group_key",
    "with_event",
]

NEWS: Final = frozenset({EventType.OPENED, EventType.UPDATED, EventType.RESOLVED})
"""What is news of a group unless told otherwise."""
_ACKNOWLEDGEMENTS: Final = {EventType.ACKNOWLEDGED: True, EventType.UNACKNOWLEDGED: False}
_SECOND_NS: Final = 10**9


class Stage(StrEnum):
    """How far the telling of an incident is."""

    NEW = "new"
    """It goes on, and nothing of it was told."""
    TOLD = "told"
    """It goes on, and all of it was told."""
    CHANGED = "changed"
    """It goes on and was told, but not its last event."""
    ENDED = "ended"
    """It was told and is over, and that was not told."""


@dataclass(frozen=True)
class Member:
    """An incident of a group."""

    event: str
    """Id of its last event that is to be told."""
    stage: Stage
    """How far the telling is."""
    acknowledged: bool = False
    """Whether somebody looks after it."""

    @property
    def is_pending(self) -> bool:
        """Whether there is something to tell."""
        return self.stage is not Stage.TOLD


@dataclass(frozen=True, kw_only=True)
class Flush:
    """A notification that is due."""

    number: int
    """Which of the group it is, from 1 on."""
    events: tuple[str, ...]
    """Ids of the events to tell, in the order in which their incidents joined; of a repeat, those
    of the incidents that nobody acknowledged."""
    standing: tuple[str, ...]
    """Ids of the last events of the others that go on, for receivers that want all of a group."""
    is_repeat: bool
    """Whether it has no news."""
    dropped: int
    """Incidents that opened and resolved since the last notification, and were not told."""


@dataclass(frozen=True, kw_only=True)
class GroupState:
    """A group between two events."""

    members: Mapping[str, Member] = field(default_factory=dict)
    """Its incidents by id, in the order in which they joined."""
    number: int = 0
    """Notifications so far."""
    due_ns: int | None = None
    """When to flush it; None if there is nothing to wait for."""
    told_ns: int | None = None
    """When its last notification came about."""
    news_ns: int | None = None
    """Since when there is something to tell."""
    dropped: int = 0
    """Incidents that were over before they were told, since the last notification."""

    @property
    def is_over(self) -> bool:
        """Whether it may be forgotten: it is empty, and a new one could not follow too soon."""
        return not self.members and self.due_ns is None

    def to_json(self) -> str:
        """All of it, as short as JSON is."""
        return json.dumps(
            {
                "members": {
                    id_: [one.event, one.stage.value, int(one.acknowledged)]
                    for id_, one in self.members.items()
                },
                "number": self.number,
                "due_ns": self.due_ns,
                "told_ns": self.told_ns,
                "news_ns": self.news_ns,
                "dropped": self.dropped,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The state that `to_json` wrote."""
        document = json.loads(text)
        members = {
            id_: Member(event, Stage(stage), bool(acknowledged))
            for id_, (event, stage, acknowledged) in document.pop("members").items()
        }
        return cls(members=members, **document)


def group_key(grouping: Grouping, labels: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Which group an incident is in.

    Returns:
        A key of 64 characters, the same wherever and whenever it is asked for, and the labels that
        the incidents of the group share; a label that is missing is left out.
    """
    shared = {name: labels[name] for name in sorted(set(grouping.by)) if labels.get(name)}
    named = [[name, shared.get(name, "")] for name in sorted(set(grouping.by))]
    return sha256(json.dumps(named).encode()).hexdigest(), shared


def with_event(
    state: GroupState,
    event: AlertEvent,
    now_ns: int,
    grouping: Grouping,
    types: Collection[str] = NEWS,
) -> GroupState:
    """The group behind an event of an incident.

    Events of an incident come in their order. Acknowledgements, and ends of members, have to be
    given whether or not the subscription wants to be told of them: or the group would go on
    repeating what is over.

    Args:
        state: the group before.
        event: of an incident of the group; one that is the member's last already changes nothing.
        now_ns: the time.
        grouping: its times.
        types: what is news. The end of an incident that is not makes it leave untold; another
            event that is not changes nothing.
    """
    if event.incident_id is None:
        return state
    before = state.members.get(event.incident_id)
    if event.type in _ACKNOWLEDGEMENTS:
        if before is None:
            return state
        after: Member | None = replace(
            before, acknowledged=_ACKNOWLEDGEMENTS[EventType(event.type)]
        )
    elif event.type == EventType.RESOLVED:
        after = _resolved(before, event) if event.type in types else None
    elif event.type in types and event.type in NEWS:
        after = _gone_on(before, event)
    else:
        return state
    if after == before:
        return state
    return _with_member(state, event.incident_id, after, now_ns, grouping)


def flush(state: GroupState, now_ns: int, grouping: Grouping) -> tuple[GroupState, Flush | None]:
    """What a group tells now, and the group behind it.

    Returns:
        The next state, and the notification; None if none is due by `grouping`, which may be
        another one than when `due_ns` was set.
    """
    state = replace(state, due_ns=_due_ns(state, grouping))
    if state.due_ns is None or now_ns < state.due_ns:
        return state, None
    if not state.members:
        return replace(state, due_ns=None), None
    is_repeat = not any(one.is_pending for one in state.members.values())
    told = {
        id_: one.event
        for id_, one in state.members.items()
        if one.is_pending or (is_repeat and not one.acknowledged)
    }
    members = {
        id_: replace(one, stage=Stage.TOLD)
        for id_, one in state.members.items()
        if one.stage is not Stage.ENDED
    }
    due = Flush(
        number=state.number + 1,
        events=tuple(told.values()),
        standing=tuple(one.event for id_, one in members.items() if id_ not in told),
        is_repeat=is_repeat,
        dropped=state.dropped,
    )
    after = GroupState(members=members, number=due.number, told_ns=now_ns)
    return replace(after, due_ns=_due_ns(after, grouping)), due


def _resolved(before: Member | None, event: AlertEvent) -> Member | None:
    if before is None or before.stage is Stage.NEW:
        return None
    if before.stage is Stage.ENDED:
        return before
    return replace(before, event=event.id, stage=Stage.ENDED)


def _gone_on(before: Member | None, event: AlertEvent) -> Member:
    if before is None:
        return Member(event.id, Stage.NEW)
    # What comes behind the end is late, or told twice.
    if before.stage is Stage.ENDED or before.event == event.id:
        return before
    stage = Stage.NEW if before.stage is Stage.NEW else Stage.CHANGED
    return replace(before, event=event.id, stage=stage)


def _with_member(
    state: GroupState, incident_id: str, after: Member | None, now_ns: int, grouping: Grouping
) -> GroupState:
    members = dict(state.members)
    before = members.pop(incident_id, None)
    dropped = state.dropped
    if after is not None:
        # An incident that is known stays in its place.
        members = {**state.members, incident_id: after}
    elif before is not None and before.stage is Stage.NEW:
        dropped += 1
    is_pending = any(one.is_pending for one in members.values())
    news_ns = (state.news_ns if state.news_ns is not None else now_ns) if is_pending else None
    found = replace(state, members=members, dropped=dropped, news_ns=news_ns)
    return replace(found, due_ns=_due_ns(found, grouping))


def _due_ns(state: GroupState, grouping: Grouping) -> int | None:
    """When the group has to be looked at next."""
    told_ns = state.told_ns
    soonest_ns = None if told_ns is None else told_ns + round(grouping.interval_s * _SECOND_NS)
    if state.news_ns is not None:
        wait_ns = state.news_ns + round(grouping.wait_s * _SECOND_NS)
        return wait_ns if soonest_ns is None else max(wait_ns, soonest_ns)
    if not state.members:
        return soonest_ns
    if not grouping.repeat_s or told_ns is None or soonest_ns is None:
        return None
    if all(one.acknowledged for one in state.members.values()):
        return None
    return max(soonest_ns, told_ns + round(grouping.repeat_s * _SECOND_NS))

"""What everybody has to have been told, and what the database has to say. Pure functions."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tests.chaos.gateway.receiver import TAKEN
from tests.chaos.gateway.subscribers import Event, Subscriber, due_of, lives
from tests.chaos.violations import Violations, found

QUICK_NS: Final = 10**9
GROUP_NS: Final = 4 * 10**9
"""Longer than a group of the run may wait for news, and behind its last notification."""
SWEEP_NS: Final = 2 * 10**9
"""A sweep of that age may have found a group locked, by the transaction that took the end in."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the receiver noted of a request."""

    at_ns: int
    name: str
    id: str
    timestamp: str
    signature: str
    body: str
    answer: str

    @property
    def is_taken(self) -> bool:
        """Whether the notification stayed with the receiver."""
        return self.answer in TAKEN

    @cached_property
    def document(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the database says at the end.

    Attributes:
        positions: next offset by partition.
        incidents: rows by id: sequence, state, data.
        events: number and id of each, and when it was taken in.
        deliveries: state by subscription's name and event's id.
        waiting_groups: groups that have something to tell.
        swept: when a notification of a group came about, by subscription's name.
        unheard: what was sent, and no answer came in time: subscription's name and event's id.
    """

    positions: Mapping[int, int]
    incidents: Mapping[str, tuple[int, str, Any]]
    events: Sequence[tuple[int, str, int]]
    deliveries: Mapping[tuple[str, str], str]
    waiting_groups: int
    swept: Mapping[str, Sequence[int]]
    unheard: frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is left of a run.

    Attributes:
        events: that were committed, by partition and offset; repeats included.
        ends: behind the last record that was committed, by partition.
        requests: in the order in which they came.
        secrets: of the subscriptions by name.
        strikes: when something was harmed.
    """

    events: Sequence[Event]
    ends: Mapping[int, int]
    requests: Sequence[Request]
    kept: Kept
    subscribers: Sequence[Subscriber]
    secrets: Mapping[str, str]
    strikes: Sequence[int]

    @cached_property
    def taken(self) -> Mapping[str, Mapping[str, list[Request]]]:
        """What stayed with the receiver by subscription and webhook-id."""
        by_name: dict[str, dict[str, list[Request]]] = defaultdict(lambda: defaultdict(list))
        for request in self.requests:
            if request.is_taken:
                by_name[request.name][request.id].append(request)
        return by_name

    @property
    def single(self) -> list[Subscriber]:
        """Those that are told one by one."""
        return [one for one in self.subscribers if not one.is_grouped]

    @property
    def grouped(self) -> list[Subscriber]:
        """The others."""
        return [one for one in self.subscribers if one.is_grouped]


def told_what_was_due(evidence: Evidence) -> Violations:
    """Each is told all that it is to be told, and nothing else."""
    lost, undue = [], []
    for one in evidence.single:
        due, told = due_of(one, evidence.events), evidence.taken[one.name]
        lost += [f"{one.name}: {id_}" for id_ in due.keys() - told.keys()]
        asked = {request.id for request in evidence.requests if request.name == one.name}
        undue += [f"{one.name}: {id_}" for id_ in asked - due.keys()]
    return [
        *found("notifications that were due and never came", sorted(lost)),
        *found("notifications that were not due", sorted(undue)),
    ]


def told_the_same_again(evidence: Evidence) -> Violations:
    """What has one webhook-id has one body, and the body is of the event."""
    bodies: dict[tuple[str, str], set[str]] = defaultdict(set)
    for request in evidence.requests:
        bodies[request.name, request.id].add(request.body)
    by_id = {event["id"]: event for event in evidence.events}
    wrong = []
    for one in evidence.single:
        for id_, requests in evidence.taken[one.name].items():
            document, event = requests[0].document, by_id.get(id_)
            told = document if one.form == "cloudevents" else {"data": document["data"]}
            if event is not None and any(event[name] != value for name, value in told.items()):
                wrong.append(f"{one.name}: {id_}")
    return [
        *found("bodies that differ under one id", (k for k, v in bodies.items() if len(v) > 1)),
        *found("bodies that are not of their event", wrong),
    ]


def signed(evidence: Evidence) -> Violations:
    """Each request is signed by the secret of its subscription."""
    hooks = {name: Webhook(secret) for name, secret in evidence.secrets.items()}
    wrong = []
    for request in evidence.requests:
        at = datetime.fromtimestamp(int(request.timestamp), UTC)
        try:
            expected = hooks[request.name].sign(request.id, at, request.body)
        except WebhookVerificationError:
            expected = ""
        if expected not in request.signature.split(" "):
            wrong.append(f"{request.name}: {request.id}")
    return found("requests without a valid signature", wrong)


def in_order(evidence: Evidence) -> Violations:
    """Nothing of an incident comes before what is before it was taken."""
    wrong = []
    for one in evidence.single:
        due = due_of(one, evidence.events)
        first_came: dict[str, int] = {}
        for request in evidence.requests:
            if request.name == one.name:
                first_came.setdefault(request.id, request.at_ns)
        for life in lives(list(due.values())).values():
            for before, after in pairwise(life):
                taken = evidence.taken[one.name].get(before["id"])
                came = first_came.get(after["id"])
                if taken and came is not None and came < taken[0].at_ns:
                    wrong.append(f"{one.name}: {after['id']} before {before['id']}")
    return found("notifications out of order", wrong)


def repeated_for_a_reason(evidence: Evidence) -> Violations:
    """What was taken, and answered at once, is sent again only after a fault.

    Or if the answer came too late all the same, on a busy machine: then the outbox says so.
    """
    wrong, unheard = [], evidence.kept.unheard
    for name, told in evidence.taken.items():
        for id_, requests in told.items():
            for before, after in pairwise(requests):
                harmed = any(
                    before.at_ns - 3 * QUICK_NS <= at_ns <= after.at_ns + QUICK_NS
                    for at_ns in evidence.strikes
                )
                if before.answer == "take" and not harmed and (name, id_) not in unheard:
                    wrong.append(f"{name}: {id_} after {(after.at_ns - before.at_ns) / 1e6:.0f} ms")
    return found("repeats without a fault", wrong)


def groups_told(evidence: Evidence) -> Violations:
    """Groups tell of each incident that it goes on, and that it is over, once.

    Or never, if it was over before anybody looked at its group: when gateways were killed then.
    """
    lost, twice, undue, numbers = [], [], [], []
    taken_in = {id_: at_ns for _, id_, at_ns in evidence.kept.events}
    for one in evidence.grouped:
        wanted = lives(list(due_of(_told_of_all(one), evidence.events).values()))
        told, again = _told_in_groups(one, evidence)
        twice += [f"{one.name}: {what}" for what in again]
        undue += [f"{one.name}: {id_}" for id_, _ in told if id_ not in wanted]
        for id_, life in wanted.items():
            stati = [status for told_id, status in told if told_id == id_]
            from_ns = taken_in.get(life[0]["id"], 0) + GROUP_NS
            until_ns = taken_in.get(life[-1]["id"], 0) - SWEEP_NS
            swept = any(from_ns < at_ns < until_ns for at_ns in evidence.kept.swept[one.name])
            if not stati and (swept or _status(life[-1]) == "firing"):
                lost.append(f"{one.name}: {id_}, {(until_ns - from_ns) / 1e9:.1f} s")
            elif stati and (stati[0] != "firing" or stati[-1] != _status(life[-1])):
                lost.append(f"{one.name}: {id_} was told {stati}")
            elif stati.count("resolved") > 1:
                numbers.append(f"{one.name}: {id_} was told {stati}")
    return [
        *found("incidents of groups that were not told from start to end", lost),
        *found("incidents of groups that ended twice", numbers),
        *found("notifications of groups without news", twice),
        *found("incidents of groups that were not due", undue),
    ]


def _status(event: Event) -> str:
    return "resolved" if event["type"] == "incident.resolved" else "firing"


def _told_of_all(one: Subscriber) -> Subscriber:
    return Subscriber(name=one.name, asks=one.asks, passes=one.passes)


def _told_in_groups(one: Subscriber, evidence: Evidence) -> tuple[list[tuple[str, str]], list[str]]:
    """(incident, firing or resolved) in the order of the first copies; and those without news.

    Beside its news a notification says what goes on in its group.
    """
    firsts = sorted(
        (requests[0] for requests in evidence.taken[one.name].values()),
        key=lambda request: request.at_ns,
    )
    told: list[tuple[str, str]] = []
    seen, idle = set[str](), []
    for request in firsts:
        told += [(event["data"]["id"], _status(event)) for event in request.document]
        ids = {event["id"] for event in request.document}
        if ids <= seen:
            idle.append(request.id)
        seen |= ids
    return told, idle


def kept_what_happened(evidence: Evidence) -> Violations:
    """The database has each event once, numbered without holes, and each incident as it ended."""
    kept, all_lives = evidence.kept, lives(evidence.events)
    ids = Counter(id_ for _, id_, _ in kept.events)
    want = {event["id"] for event in evidence.events}
    numbers = sorted(seq for seq, _, _ in kept.events)
    wrong = []
    for id_, life in all_lives.items():
        last = life[-1]
        state = "resolved" if last["type"] == "incident.resolved" else "open"
        if kept.incidents.get(id_) != (int(last["sequence"]), state, last["data"]):
            wrong.append(f"{id_}: {str(kept.incidents.get(id_))[:80]}")
    return [
        *found("events that are not kept", sorted(want - ids.keys())),
        *found("events that never were", sorted(ids.keys() - want)),
        *found("events kept twice", (id_ for id_, n in ids.items() if n > 1)),
        *found(
            "holes in the numbers of the events",
            [f"{len(numbers)} up to {numbers[-1]}"]
            if numbers and numbers != list(range(1, len(numbers) + 1))
            else [],
        ),
        *found("incidents that are not as they ended", wrong),
        *found("incidents that never were", kept.incidents.keys() - all_lives.keys()),
    ]


def kept_what_was_told(evidence: Evidence) -> Violations:
    """The outbox says delivered where the receiver has it, and nothing waits."""
    kept = evidence.kept
    unsettled = [
        f"{name}: {id_} is {state}"
        for (name, id_), state in kept.deliveries.items()
        if state in {"waiting", "muted", "dead"}
    ]
    delivered = {key for key, state in kept.deliveries.items() if state == "delivered"}
    taken = {(name, id_) for name, told in evidence.taken.items() for id_ in told}
    behind = [
        f"partition {p} at {kept.positions.get(p)} of {end}"
        for p, end in evidence.ends.items()
        if kept.positions.get(p) != end
    ]
    return [
        *found("deliveries that are not over", unsettled),
        *found("deliveries that nobody received", sorted(map(str, delivered - taken))),
        *found("notifications that the outbox does not know", sorted(map(str, taken - delivered))),
        *found("groups with something left to tell", range(kept.waiting_groups)),
        *found("positions that are not the end of the topic", behind),
    ]


JUDGES: Final = (
    told_what_was_due,
    told_the_same_again,
    signed,
    in_order,
    repeated_for_a_reason,
    groups_told,
    kept_what_happened,
    kept_what_was_told,
)


def judge(evidence: Evidence) -> Violations:
    """All violations."""
    return [one for check in JUDGES for one in check(evidence)]

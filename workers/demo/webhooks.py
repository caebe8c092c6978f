"""Was everybody told? What the gateway owed to the demo's receiver, against what came. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from workers.demo.accounts import Check
from workers.demo.ledger import Happened

TOLD: Final = ("incident.opened", "incident.resolved")
"""What the receiver has subscribed to."""
GATEWAY: Final = "/vigie/gateway"
"""Source of the events that the gateway makes itself, when somebody does something on the page."""


class Came(NamedTuple):
    """A webhook as it came."""

    id: str  # `webhook-id`: of the event
    incident: str  # empty if the body names none
    at_ns: int
    is_valid: bool  # its signature


class Seen(NamedTuple):
    """An event as the page's stream told of it."""

    source: str
    incident: str
    at_ns: int


class Delay(NamedTuple):
    """Seconds from the record of an event in Kafka."""

    p50: float
    p99: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self | None:
        """Of some; None of none."""
        ordered = sorted(seconds)
        if not ordered:
            return None
        p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
        return cls(p50, p99, ordered[-1])


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """What was due, what came, and how long it took."""

    due: int  # openings and ends of incidents
    came: int  # webhooks, each id counted once
    valid: int  # of these, with a valid signature
    repeats: int  # webhooks under an id that had come before
    left_out: int  # incidents that somebody silenced or resolved on the page
    to_webhook_s: Delay | None
    first_to_page_s: float | None  # of the incident that opened first
    worst_to_page_s: float | None
    checks: tuple[Check, ...]

    @property
    def balanced(self) -> bool:
        """Whether everything due came, and nothing else."""
        return all(check.holds for check in self.checks)


def reconcile(
    happened: Mapping[str, Happened],
    came: Sequence[Came],
    seen: Mapping[str, Seen],
    *,
    held_back: Collection[str],
) -> Webhooks:
    """Compare what is in the topic with what the receiver and the page's stream got.

    An incident that somebody silenced or resolved by hand is told in another way, or not at all: it
    counts on neither side.

    Args:
        happened: what the topic tells of incidents, by the id of the event.
        came: webhooks, in the order in which they came.
        seen: the first of each event on the stream, by its id.
        held_back: incidents of which the gateway says that it was not to tell.
    """
    left_out = {one.incident for one in seen.values() if one.source == GATEWAY} | set(held_back)
    due = {
        id_: one
        for id_, one in happened.items()
        if one.type in TOLD and str(one.incident) not in left_out
    }
    counted = [one for one in came if one.incident not in left_out]
    first: dict[str, Came] = {}
    for one in counted:
        first.setdefault(one.id, one)
    told = due.keys() & first.keys()
    on_page = due.keys() & seen.keys()
    equations = {
        "openings and ends of incidents in the topic = webhooks, each id once": (
            len(due),
            len(told),
        ),
        "webhooks of what never happened: none": (0, len(first) - len(told)),
        "webhooks without a valid signature: none": (0, sum(not one.is_valid for one in came)),
        "openings and ends in the topic = events on the page's stream": (len(due), len(on_page)),
    }
    to_page_s = {id_: _seconds(due[id_], seen[id_].at_ns) for id_ in on_page}
    openings = [id_ for id_ in on_page if due[id_].type == TOLD[0]]
    opened_first = min(openings, key=lambda id_: (due[id_].stamp_ms, id_), default=None)
    return Webhooks(
        due=len(due),
        came=len(first),
        valid=sum(one.is_valid for one in first.values()),
        repeats=len(counted) - len(first),
        left_out=len(left_out),
        to_webhook_s=Delay.of([_seconds(due[id_], first[id_].at_ns) for id_ in told]),
        first_to_page_s=None if opened_first is None else to_page_s[opened_first],
        worst_to_page_s=max(to_page_s.values(), default=None),
        checks=tuple(Check(claim, *sides) for claim, sides in equations.items()),
    )


def _seconds(happened: Happened, at_ns: int) -> float:
    return (at_ns / 1e6 - happened.stamp_ms) / 1e3

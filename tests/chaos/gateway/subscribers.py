"""Who is told in a run, what each wants in plain Python, and what that comes to.

Nothing here uses the rules of `workers.alerts`: they are what is tried.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter

from schemas.api.subscriptions import SubscriptionSpec

Event = Mapping[str, Any]
_SPEC: Final = TypeAdapter(SubscriptionSpec)
_RANK: Final = {"low": 1, "medium": 2, "high": 3}
ALL: Final = ("incident.opened", "incident.updated", "incident.resolved")
ENDS: Final = ("incident.opened", "incident.resolved")


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """A subscription of a run.

    Attributes:
        name: also the path at the receiver.
        asks: what its specification says beside name, types and sink.
        passes: the same in plain Python, of one event.
        trouble: share of the notifications that its receiver does not take at first.
        form: of the body.
    """

    name: str
    types: tuple[str, ...] = ALL
    asks: Mapping[str, Any] = field(default_factory=dict)
    passes: Callable[[Event], bool] = lambda _: True
    trouble: float = 0.0
    form: str = "standard-webhooks"

    @property
    def is_grouped(self) -> bool:
        """Whether it is told of incidents together."""
        return "group" in self.asks

    def spec(self, receiver: str) -> SubscriptionSpec:
        """The subscription, told at a receiver."""
        url = f"{receiver}/{self.name}?trouble={self.trouble}"
        return _SPEC.validate_python(
            {
                "name": self.name,
                "types": self.types,
                "sink": {"kind": "webhook", "url": url, "format": self.form},
                **self.asks,
            }
        )


SUBSCRIBERS: Final = (
    Subscriber(name="everything", form="cloudevents"),
    Subscriber(name="ends", types=ENDS, trouble=0.02),
    Subscriber(name="only-ends", types=("incident.resolved",)),
    Subscriber(
        name="suppressed-too", types=ENDS, asks={"suppressed": True, "min_severity": "medium"},
        passes=lambda event: _RANK[event["data"]["severity"]] >= 2,
    ),
    Subscriber(
        name="severe",
        asks={"min_severity": "high"},
        passes=lambda event: event["data"]["severity"] == "high",
    ),
    Subscriber(
        name="some-sensors",
        asks={"sensors": ["site-0-pump-1", "site-1-pump-2", "site-1-pump-3", "site-3-*"]},
        passes=lambda event: (
            event["subject"] in {"site-0-pump-1", "site-1-pump-2", "site-1-pump-3"}
            or event["subject"].startswith("site-3-")
        ),
        trouble=0.1,
    ),
    Subscriber(
        name="one-line",
        asks={"matchers": [{"name": "line", "value": "1"},
                           {"name": "site", "value": "site-[01]", "isRegex": True}]},
        passes=lambda event: (
            event["data"]["labels"]["line"] == "1"
            and event["data"]["labels"]["site"] in {"site-0", "site-1"}
        ),
    ),
    Subscriber(
        name="filtered",
        asks={"filters": [{"prefix": {"subject": "site-2-"}},
                          {"not": {"exact": {"severity": "low"}}}]},
        passes=lambda event: (
            event["subject"].startswith("site-2-") and event["data"]["severity"] != "low"
        ),
        trouble=0.1,
        form="cloudevents",
    ),
    Subscriber(
        name="by-site",
        asks={"group": {"by": ["site"], "wait_s": 1, "interval_s": 2, "repeat_s": 0}},
        form="cloudevents",
    ),
    Subscriber(
        name="by-line",
        types=ENDS,
        asks={"group": {"by": ["line"], "wait_s": 0.5, "interval_s": 1, "repeat_s": 0},
              "min_severity": "medium"},
        passes=lambda event: _RANK[event["data"]["severity"]] >= 2,
        trouble=0.05,
        form="cloudevents",
    ),
)  # fmt: skip


def due_of(subscriber: Subscriber, events: Sequence[Event]) -> dict[str, Event]:
    """The events that a subscription is to be told of, one by one, by id.

    Told of an incident is who asks for what opens one and finds it bad enough, at its opening or
    later; from then on, of all that it asks for. Who does not ask for openings is told of ends that
    pass by themselves.
    """
    due: dict[str, Event] = {}
    for life in lives(events).values():
        told = False
        for event in life:
            wanted = subscriber.passes(event) and (
                event["data"]["suppressed"] is None or bool(subscriber.asks.get("suppressed"))
            )
            if told:
                is_due = event["type"] in subscriber.types
            elif event["type"] == "incident.resolved":
                is_due = wanted and "incident.opened" not in subscriber.types
            else:
                is_due = told = wanted and "incident.opened" in subscriber.types
            if is_due:
                due[event["id"]] = event
    return due


def lives(events: Sequence[Event]) -> dict[str, list[Event]]:
    """The events of each incident in their order, without those that come again."""
    found: dict[str, dict[str, Event]] = defaultdict(dict)
    for event in events:
        found[event["data"]["id"]].setdefault(event["id"], event)
    return {id_: list(life.values()) for id_, life in found.items()}

"""From what happened to what is to be delivered, within the transaction in which it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from schemas.api.subscriptions import DeliveryState, EventType
from workers.alerts.event import AlertEvent
from workers.alerts.muting import Circumstances, Muted, Recently, mute
from workers.alerts.telling import First, Telling, as_opening, decide
from workers.gateway.book import Entry, SubscriptionBook, Subscriptions
from workers.gateway.circumstances import CircumstancesReader
from workers.gateway.group_store import GroupStore
from workers.gateway.store import deliveries
from workers.gateway.store.recent import recently

__all__ = ["News", "Outbox"]

_LATE_NS: Final = 300 * 10**9
"""How far the broker's clock may be behind ours without a new subscription missing anything."""


@dataclass(frozen=True, kw_only=True)
class News:
    """An event, and what its deliveries need to know beside it.

    Attributes:
        tenant: whose it is.
        at_ns: when it happened, by the clock of who wrote it; subscriptions made later are not
            told.
    """

    event: AlertEvent
    tenant: str
    at_ns: int


class Outbox:
    """Finds out who is told of what, and writes it down."""

    def __init__(self, book: SubscriptionBook, reader: CircumstancesReader) -> None:
        """With the subscriptions in memory, and what reads silences and inhibitions."""
        self._book, self._reader = book, reader

    def tell(
        self,
        connection: Connection,
        news: Sequence[News],
        *,
        now_ns: int,
        only: str | None = None,
    ) -> int:
        """Write down what is to be delivered of these events; returns how many deliveries.

        Args:
            connection: of the transaction that keeps the events.
            news: in their order.
            now_ns: the time.
            only: the subscription that is told; None is all.
        """
        subscriptions = self._book.read(connection)
        if not news or not subscriptions.entries:
            return 0
        ids = {one.event.incident_id for one in news if one.event.incident_id is not None}
        planner = _Planner(
            connection,
            self._reader.read(connection, now_ns=now_ns),
            firsts=deliveries.firsts(connection, ids),
        )
        for one in news:
            for entry, is_wanted in _concerned(one, subscriptions, planner.told_of):
                if only not in {None, entry.id}:
                    continue
                try:
                    planner.plan(entry, one, is_wanted=is_wanted)
                except (AssertionError, LookupError, TypeError, ValueError):
                    # One subscription that cannot be told keeps nobody else waiting.
                    structlog.get_logger("vigie.gateway").exception(
                        "not_planned", subscription=entry.id, event_id=one.event.id
                    )
        return planner.write()

    def release(
        self, connection: Connection, entry: Entry, event: AlertEvent, id_: int, *, now_ns: int
    ) -> bool:
        """Tell what was held back: by itself, or with its group; false if it is not held back."""
        groups = GroupStore(connection, now_ns)
        state, order_key = DeliveryState.WAITING, event.incident_id or event.id
        if _is_grouped(entry, event):
            state, order_key = DeliveryState.GROUPED, groups.join(entry, event)
        if not deliveries.release(connection, id_, state=state, order_key=order_key, now_ns=now_ns):
            return False
        groups.write()
        return True


def _is_grouped(entry: Entry, event: AlertEvent) -> bool:
    """Whether a subscription is told of it with others; of Vigie itself it is told at once."""
    return entry.spec.group is not None and event.is_of_sensor


def _concerned(
    news: News,
    subscriptions: Subscriptions,
    told_of: Callable[[str | None], Mapping[str, First]],
) -> Iterator[tuple[Entry, bool]]:
    """The subscriptions that may be told of an event, and whether they want it."""
    event = news.event
    wanting = dict.fromkeys(subscriptions.index.wanting(event))
    if event.type == EventType.UPDATED:
        wanting |= dict.fromkeys(subscriptions.index.wanting(as_opening(event)))
    known = told_of(event.incident_id)
    for id_ in wanting | dict.fromkeys(known):
        entry = subscriptions.entries.get(id_)
        if entry is None or entry.spec.tenant not in {"", news.tenant}:
            continue
        if entry.spec.escalations_only and id_ not in known:
            continue
        if id_ not in known and news.at_ns < entry.created_ns - _LATE_NS:
            continue
        yield entry, id_ in wanting


class _Planner:
    """Collects the deliveries of one transaction."""

    def __init__(
        self,
        connection: Connection,
        at: Circumstances,
        *,
        firsts: Mapping[str, dict[str, First]],
    ) -> None:
        self._connection, self._at = connection, at
        self._firsts = dict(firsts)
        self._rows: list[dict[str, Any]] = []
        self._openings: dict[tuple[str, str], dict[str, Any]] = {}
        self._groups = GroupStore(connection, at.now_ns)

    def told_of(self, incident_id: str | None) -> Mapping[str, First]:
        """The subscriptions that have a delivery of the incident."""
        return {} if incident_id is None else self._firsts.get(incident_id, {})

    def plan(self, entry: Entry, news: News, *, is_wanted: bool) -> None:
        """Decide what one subscription is told of one event."""
        event = news.event
        first = self.told_of(event.incident_id).get(entry.id)
        telling = decide(entry.spec, event, first, is_wanted=is_wanted)
        if telling is Telling.OPEN:
            self._open(entry, event)
        elif telling is Telling.FOLLOW:
            if (
                first is not None
                and first.state is DeliveryState.GROUPED
                and entry.spec.group is not None
            ):
                self._groups.follow(entry, event, first.order_key)
            elif event.type in entry.spec.types:
                self._rows.append(self._row(entry, event, DeliveryState.WAITING))

    def _open(self, entry: Entry, event: AlertEvent) -> None:
        if event.incident_id is None:
            self._rows.append(self._row(entry, event, DeliveryState.WAITING))
            return
        muted = mute(entry.spec, event, self._at, self._recently(entry, event))
        state = DeliveryState.MUTED
        if muted is None:
            is_grouped = _is_grouped(entry, event)
            state = DeliveryState.GROUPED if is_grouped else DeliveryState.WAITING
        row = self._row(entry, event, state, muted=muted)
        if state is DeliveryState.GROUPED:
            row["order_key"] = self._groups.join(entry, event)
        if entry.spec.escalate is not None:
            row["escalate_ns"] = self._at.now_ns + round(entry.spec.escalate.after_s * 1e9)
        self._rows.append(row)
        self._openings[entry.id, event.incident_id] = row
        first = First(id=0, state=state, order_key=row["order_key"])
        self._firsts.setdefault(event.incident_id, {})[entry.id] = first

    def _recently(self, entry: Entry, event: AlertEvent) -> Recently:
        found = recently(
            self._connection,
            entry.id,
            entry.spec,
            sensor=event.subject,
            now_ns=self._at.now_ns,
        )
        mine = [
            row
            for (id_, _), row in self._openings.items()
            if id_ == entry.id and row["state"] == DeliveryState.WAITING.value
        ]
        same = any(row["sensor"] == event.subject for row in mine)
        return Recently(
            sensor_told_ns=self._at.now_ns if same else found.sensor_told_ns,
            told_last_hour=found.told_last_hour + len(mine),
        )

    def _row(
        self, entry: Entry, event: AlertEvent, state: DeliveryState, *, muted: Muted | None = None
    ) -> dict[str, Any]:
        held = {}
        if muted is not None:
            held = {
                "muted_by": muted.by.value,
                "muted_ref": muted.ref,
                "reason": muted.reason,
            }
        return deliveries.new_row(
            entry.id,
            event.id,
            event.type,
            incident_id=event.incident_id,
            order_key=event.incident_id or event.id,
            sensor=event.subject,
            state=state.value,
            now_ns=self._at.now_ns,
            max_age_s=entry.spec.max_age_s,
            **held,
        )

    def write(self) -> int:
        """Write down what was planned."""
        added = deliveries.add(self._connection, self._rows)
        self._groups.write()
        return added

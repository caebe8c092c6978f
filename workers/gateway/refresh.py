"""Telling Alertmanagers again what goes on: they forget what they do not hear of.

An Alertmanager takes an alert for resolved when nobody sends it any more, and one that starts anew
knows of none. So what was delivered to one and goes on is sent again and again, all in one request,
and so is what has ended, for a few minutes. Nothing of this is in the outbox: it adds no news.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from sqlalchemy import Connection, exists, or_, select

from schemas.api.incidents import IncidentState
from schemas.api.sinks import AlertmanagerSink
from schemas.api.subscriptions import DeliveryState, EventType
from workers.alerts.message import Message
from workers.gateway.book import Entry, SubscriptionBook
from workers.gateway.sinks.sender import Senders
from workers.gateway.store import positions
from workers.gateway.store.database import Database, DatabaseUnavailableError
from workers.gateway.store.incidents import document_of
from workers.gateway.store.tables import deliveries, incidents

__all__ = ["Refresher"]

_LEASE: Final = "refresh"
_LEASE_NS: Final = 30 * 10**9
_LOOK_S: Final = 1.0
_RESOLVED_NS: Final = 300 * 10**9
_MOST: Final = 500


class Refresher:
    """Refreshes the alerts of all Alertmanager subscriptions."""

    def __init__(
        self,
        database: Database,
        *,
        book: SubscriptionBook,
        senders: Senders,
        url: str,
        holder: str,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Note what to use; `run` begins."""
        self._database, self._book, self._senders = database, book, senders
        self._url, self._holder, self._clock_ns = url, holder, clock_ns
        self._due_ns = dict[str, int]()

    async def run(self, stopping: asyncio.Event) -> None:
        """Refresh until it is told to stop."""
        log = structlog.get_logger("vigie.gateway")
        while not stopping.is_set():
            try:
                due = await asyncio.to_thread(self._due)
                await asyncio.gather(*(self._refresh(entry) for entry in due))
            except DatabaseUnavailableError as error:
                log.warning("refresh_waits", error=str(error))
            except Exception:
                log.exception("refresh_failed")
            try:
                async with asyncio.timeout(_LOOK_S):
                    await stopping.wait()
            except TimeoutError:
                continue

    def _due(self) -> list[Entry]:
        now_ns = self._clock_ns()
        with self._database.read() as connection:
            found = self._book.read(connection).of_kind("alertmanager")
        due = [one for one in found if self._due_ns.get(one.id, 0) <= now_ns]
        if not due:
            return []
        with self._database.begin() as connection:
            until_ns = now_ns + _LEASE_NS
            if not positions.hold(
                connection, _LEASE, holder=self._holder, now_ns=now_ns, until_ns=until_ns
            ):
                return []
        for entry in due:
            assert isinstance(entry.spec.sink, AlertmanagerSink)
            self._due_ns[entry.id] = now_ns + round(entry.spec.sink.resend_s * 1e9)
        return due

    async def _refresh(self, entry: Entry) -> None:
        """Send what goes on, read just before it is sent, some at a time."""
        before = ""
        while documents := await asyncio.to_thread(self._documents, entry.id, before):
            before = documents[-1]["data"]["id"]
            await self._send(entry, documents)

    def _documents(self, subscription_id: str, after: str) -> list[dict[str, Any]]:
        with self._database.read() as connection:
            return _documents(connection, subscription_id, after, self._clock_ns())

    async def _send(self, entry: Entry, documents: list[dict[str, Any]]) -> None:
        message = Message(
            id=f"refresh-{entry.id}",
            type=EventType.UPDATED.value,
            at_ns=self._clock_ns(),
            events=tuple(documents),
            url=self._url,
            template=entry.spec.template,
            subscription=entry.id,
            name=entry.spec.name,
        )
        outcome = await self._senders.send(entry.spec.sink, (), message)
        if not outcome.is_delivered:
            structlog.get_logger("vigie.gateway").warning(
                "refresh_failed", subscription=entry.id, error=outcome.error
            )


def _documents(
    connection: Connection, subscription_id: str, after: str, now_ns: int
) -> list[dict[str, Any]]:
    """Events of the incidents that a subscription was told of and that go on, or just ended."""
    told = exists().where(
        deliveries.c.incident_id == incidents.c.id,
        deliveries.c.subscription_id == subscription_id,
        deliveries.c.state == DeliveryState.DELIVERED.value,
    )
    rows = connection.execute(
        select(incidents)
        .where(
            told,
            incidents.c.id > after,
            or_(
                incidents.c.state != IncidentState.RESOLVED.value,
                incidents.c.resolved_ns >= now_ns - _RESOLVED_NS,
            ),
        )
        .order_by(incidents.c.id)
        .limit(_MOST)
    )
    return [
        document_of(
            row,
            f"{row.id}-{row.sequence}",
            EventType.RESOLVED if row.state == IncidentState.RESOLVED else EventType.UPDATED,
        )
        for row in rows
    ]

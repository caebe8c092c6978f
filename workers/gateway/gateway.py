"""The gateway: what `vigie serve` runs, from the database to the threads and tasks on it."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Self

import structlog

from schemas.settings import GatewaySettings, Settings
from workers.alerts.inhibition import OpenIncidents
from workers.errors import SettingsError
from workers.gateway.book import SubscriptionBook
from workers.gateway.circumstances import CircumstancesReader
from workers.gateway.detector_watch import DetectorWatch
from workers.gateway.dispatch import Dispatcher
from workers.gateway.fan import EventFan
from workers.gateway.intake import Intake
from workers.gateway.live.feed import following
from workers.gateway.live.live import LiveFeed
from workers.gateway.outbox import Outbox
from workers.gateway.refresh import Refresher
from workers.gateway.sealing import Sealer
from workers.gateway.signal import Signal
from workers.gateway.sinks.sender import Senders
from workers.gateway.store import leases, positions
from workers.gateway.store.database import Database, DatabaseUnavailableError, open_database
from workers.gateway.sweep import Sweeper
from workers.kafka.factory import connection_of
from workers.stream.sensor_labels import LabelsOf, SensorLabels

__all__ = ["Gateway", "GatewayState"]

_STOP_WITHIN_S: Final = 15.0


@dataclass
class GatewayState:
    """What is known of the gateway while it runs."""

    senders: Senders | None = None
    dispatcher: Dispatcher | None = None
    intake: Intake | None = None
    watch: DetectorWatch | None = None


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """What the interface and the page work on.

    Attributes:
        live: readings and scores for the page; None when they are not followed.
    """

    settings: Settings
    database: Database
    sealer: Sealer
    live: LiveFeed | None
    signal: Signal
    book: SubscriptionBook
    circumstances: CircumstancesReader
    outbox: Outbox
    fan: EventFan
    holder: str
    state: GatewayState = field(default_factory=GatewayState)

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """Open the database and bring its schema up to date; nothing runs yet.

        Raises:
            SettingsError: the database, its key or a table of `[[inhibit]]` cannot be used.
            DatabaseUnavailableError: the database does not answer.
        """
        gateway = settings.gateway
        try:
            OpenIncidents(settings.inhibit)
        except ValueError as error:
            raise SettingsError(f"[[inhibit]]: {error}") from error
        with open_database(gateway.database.get_secret_value()) as database:
            database.migrate()
            sealer = Sealer.of_settings(gateway)
            book = SubscriptionBook(sealer)
            labels = SensorLabels.of_file(settings.sensors.path)
            circumstances = CircumstancesReader(settings.inhibit, labels.of)
            signal = Signal()
            yield cls(
                settings=settings,
                database=database,
                sealer=sealer,
                live=_live_feed(gateway, labels.of),
                signal=signal,
                book=book,
                circumstances=circumstances,
                outbox=Outbox(book, circumstances),
                fan=EventFan(database, signal),
                holder=f"{socket.gethostname()[:40]}-{secrets.token_hex(8)}",
            )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take in, deliver and sweep until the end; then finish what is under way."""
        if self.database.is_sqlite:  # nobody else can be there: what is leased was left behind
            with self.database.begin() as connection:
                leases.free_leases(connection)
                positions.give_up(connection)
        await asyncio.to_thread(self._read_book)
        connection_to = connection_of(self.settings.kafka)
        gateway = self.settings.gateway
        intake = Intake(
            connection_to,
            self.database,
            self.outbox,
            topic=self.settings.topics.incidents,
            tenant_label=gateway.tenant_label,
            holder=self.holder,
            signal=self.signal,
        )
        sweeper = Sweeper(
            self.database,
            gateway,
            book=self.book,
            outbox=self.outbox,
            circumstances=self.circumstances,
            holder=self.holder,
            signal=self.signal,
        )
        watch = DetectorWatch(
            self.database,
            self.settings,
            outbox=self.outbox,
            holder=self.holder,
            signal=self.signal,
        )
        async with AsyncExitStack() as stack:
            senders = await stack.enter_async_context(Senders.open(self.settings))
            dispatcher = Dispatcher(
                self.database,
                self.settings,
                book=self.book,
                sealer=self.sealer,
                senders=senders,
                outbox=self.outbox,
                rng=Random(),  # noqa: S311 - spreads attempts, keeps no secret
                holder=self.holder,
                signal=self.signal,
            )
            refresher = Refresher(
                self.database,
                book=self.book,
                senders=senders,
                url=gateway.url,
                holder=self.holder,
            )
            self.state.senders = senders
            self.state.dispatcher, self.state.intake, self.state.watch = dispatcher, intake, watch
            live = ExitStack()
            if self.live is not None:
                live.enter_context(following(self.settings, self.live))
            stopping = asyncio.Event()
            tasks = [
                asyncio.create_task(dispatcher.run(stopping)),
                asyncio.create_task(refresher.run(stopping)),
                asyncio.create_task(self.fan.run(stopping)),
            ]
            threads = (intake, sweeper, watch)
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                stopping.set()
                self.signal.notify()
                await asyncio.gather(
                    *(asyncio.to_thread(one.stop, within_s=_STOP_WITHIN_S) for one in threads),
                    asyncio.to_thread(live.close),
                    *tasks,
                    return_exceptions=True,
                )
                await asyncio.to_thread(self._give_up_leases)

    def _read_book(self) -> None:
        """Before anything runs: many subscriptions take seconds, in which nothing else waits."""
        with self.database.read() as connection:
            self.book.read(connection)

    def _give_up_leases(self) -> None:
        try:
            with self.database.begin() as connection:
                positions.give_up(connection, holder=self.holder)
        except DatabaseUnavailableError as error:
            structlog.get_logger("vigie.gateway").warning("leases_not_given_up", error=str(error))

    def health(self) -> dict[str, Any]:
        """How it goes: for `/readyz` (what is yes or no) and `/metrics`."""
        state = self.state
        found: dict[str, Any] = {"streams": self.fan.listeners}
        if state.intake is not None:
            found["intake"] = state.intake.is_alive() and not state.intake.state.error
            found["taken_in"] = dict(state.intake.state.counts)
            if state.intake.state.lag is not None:
                found["intake_lag_records"] = state.intake.state.lag
        if state.dispatcher is not None:
            found["attempts"] = dict(state.dispatcher.counts)
        return found


def _live_feed(settings: GatewaySettings, labels_of: LabelsOf) -> LiveFeed | None:
    if settings.live == "off":
        return None
    return LiveFeed(max_sensors=settings.live_sensors, labels_of=labels_of)

"""A gateway without a broker: events go in as records, notifications come out to a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from schemas.api.incidents import SilenceSpec
from schemas.api.sinks import Sink, WebhookSink
from schemas.api.subscriptions import SubscriptionSpec
from schemas.settings import Settings
from schemas.wire.timestamp import short_ns
from workers.alerts.message import Message
from workers.gateway.book import SubscriptionBook
from workers.gateway.circumstances import CircumstancesReader
from workers.gateway.dispatch import Dispatcher
from workers.gateway.handling import Handling
from workers.gateway.intake import Kept, take_in
from workers.gateway.outbox import Outbox
from workers.gateway.sealing import Sealer
from workers.gateway.signal import Signal
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.gateway.store import deliveries, incidents, leases, positions, silences, subscriptions
from workers.gateway.store.database import Database
from workers.gateway.store.times import as_time
from workers.gateway.sweep import Sweeper
from workers.kafka.client import Record

TOPIC: Final = "vigie.incidents"
START_NS: Final = 1_796_000_000 * 10**9
MINUTE: Final = 60.0
HOUR: Final = 3600.0


class Clock:
    """Time that goes on when a test says so."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns

    def go_on(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def incident_id(name: str) -> str:
    """The id of an incident by a name of the test's own."""
    return str(uuid5(NAMESPACE_URL, name))


class Scripted:
    """Receivers that answer as told, in the place of `Senders`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message, tuple[str, ...]]] = []
        self.outcomes: dict[str, list[Outcome]] = {}
        self.hanging = set[str]()
        self.most_at_once = 0
        self._at_once = 0

    async def send(self, sink: Sink, signing: Sequence[str], message: Message) -> Outcome:
        assert isinstance(sink, WebhookSink)
        name = sink.url.removeprefix("https://receiver/")
        self.sent.append((name, message, tuple(signing)))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            while name in self.hanging:  # noqa: ASYNC110 - released by a test, from anywhere
                await asyncio.sleep(0.05)
            await asyncio.sleep(0)
        finally:
            self._at_once -= 1
        waiting = self.outcomes.get(name)
        return waiting.pop(0) if waiting else Outcome(verdict=Verdict.DELIVERED, status=204)

    def of(self, name: str) -> list[Message]:
        """What one receiver was sent."""
        return [message for to, message, _ in self.sent if to == name]

    def types(self, name: str) -> list[str]:
        """The same by the types."""
        return [message.type for message in self.of(name)]

    def told(self, name: str) -> list[tuple[str, str]]:
        """Type and sensor of each event that one was sent."""
        return [
            (event["type"].removeprefix("incident."), event["subject"])
            for message in self.of(name)
            for event in message.events
        ]


def failing(status: int = 500, *, retry_after_s: float | None = None) -> Outcome:
    """An answer that says no."""
    return Outcome(verdict=Verdict.RETRY, status=status, retry_after_s=retry_after_s)


@dataclass
class Rig:
    """The parts of a gateway around one database, with a clock of the test's own."""

    database: Database
    settings: Settings = field(default_factory=Settings)
    clock: Clock = field(default_factory=Clock)
    receivers: Scripted = field(default_factory=Scripted)
    offsets: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sealer = Sealer.of_key("a key of the tests, long enough")
        self.signal = Signal()
        self.circumstances = CircumstancesReader(self.settings.inhibit)
        self.book = SubscriptionBook(self.sealer)
        self.outbox = Outbox(self.book, self.circumstances)
        self.sweeper = Sweeper(
            self.database,
            self.settings.gateway,
            book=self.book,
            outbox=self.outbox,
            circumstances=self.circumstances,
            holder="tests",
            signal=self.signal,
            clock_ns=self.clock,
        )

    # -- what goes in ------------------------------------------------------------------------------

    def subscribe(self, name: str = "a", **spec: Any) -> str:
        """A webhook of a name."""
        made = SubscriptionSpec.model_validate(
            {"name": name, "sink": {"kind": "webhook", "url": f"https://receiver/{name}"}, **spec}
        )
        with self.database.begin() as connection:
            return subscriptions.add_subscription(
                connection, made, sealer=self.sealer, by="tests", now_ns=self.clock()
            )

    def event(
        self,
        what: str,
        sensor: str = "pump-1",
        name: str = "",
        *,
        sequence: int | None = None,
        **data: Any,
    ) -> dict[str, Any]:
        """An event of an incident, as the stream writes it."""
        id_ = incident_id(name or sensor)
        number = sequence or {"opened": 1, "updated": 2, "resolved": 9}[what]
        now = short_ns(self.clock())
        end = {"end": now, "end_reason": "recovered"} if what == "resolved" else {}
        return {
            "specversion": "1.0",
            "id": f"{id_}-{number}",
            "source": "/vigie/plant",
            "type": f"incident.{what}",
            "subject": sensor,
            "time": now,
            "datacontenttype": "application/json",
            "dataschema": "urn:vigie:schema:incident:v1",
            "partitionkey": sensor,
            "sequence": f"{number:010d}",
            "data": _incident(id_, sensor, now) | end | data,
        }

    def records(
        self, documents: Sequence[Mapping[str, Any] | bytes], partition: int = 0
    ) -> list[Record]:
        """Them as they lie in the topic, behind those before."""
        found = []
        for document in documents:
            offset = self.offsets.get(partition, 0)
            self.offsets[partition] = offset + 1
            value = document if isinstance(document, bytes) else json.dumps(document).encode()
            found.append(Record(TOPIC, partition, offset, self.clock() // 10**6, b"key", value, ()))
        return found

    def keep(self, records: Sequence[Record]) -> Kept:
        """Take records in, in one transaction."""
        with self.database.begin() as connection:
            at = positions.next_offsets(connection, TOPIC)
            return take_in(
                connection,
                records,
                topic=TOPIC,
                before={record.partition: at.get(record.partition) for record in records},
                outbox=self.outbox,
                tenant_label=self.settings.gateway.tenant_label,
                now_ns=self.clock(),
            )

    def take_in(self, *documents: Mapping[str, Any] | bytes) -> Kept:
        """Take events in."""
        return self.keep(self.records(documents))

    def opens(self, sensor: str = "pump-1", name: str = "", **data: Any) -> None:
        """An incident opens."""
        self.take_in(self.event("opened", sensor, name, **data))

    def resolves(self, sensor: str = "pump-1", name: str = "", **data: Any) -> None:
        """An incident is over."""
        self.take_in(self.event("resolved", sensor, name, **data))

    def silence(self, seconds: float, **labels: str) -> str:
        """Silence what has these labels."""
        spec = SilenceSpec.model_validate(
            {
                "matchers": [{"name": name, "value": value} for name, value in labels.items()],
                "endsAt": as_time(self.clock() + round(seconds * 1e9)),
                "comment": "tests",
            }
        )
        with self.database.begin() as connection:
            return silences.add_silence(
                connection, spec, by="tests", tenant="", now_ns=self.clock()
            )

    def handle(self, name: str, act: Callable[[Handling, Any], bool], *, by: str = "anna") -> bool:
        """Somebody does something about an incident."""
        with self.database.begin() as connection:
            row = incidents.get_row(connection, incident_id(name), lock=True)
            handling = Handling(
                connection=connection, outbox=self.outbox, by=by, now_ns=self.clock()
            )
            return act(handling, row)

    # -- what comes out ----------------------------------------------------------------------------

    def sweep(self) -> None:
        """Do what is due by now, however often."""
        self.sweeper._look_at_s = 0.0
        self.sweeper.sweep()

    def dispatcher(self, holder: str = "tests") -> Dispatcher:
        """One who delivers."""
        return Dispatcher(
            self.database,
            self.settings,
            book=self.book,
            sealer=self.sealer,
            senders=self.receivers,  # type: ignore[arg-type]
            outbox=self.outbox,
            holder=holder,
            signal=self.signal,
            clock_ns=self.clock,
            rng=Random(7),
        )

    def deliver(self, dispatcher: Dispatcher | None = None) -> Scripted:
        """Deliver all that is due now."""
        asyncio.run(self._deliver(dispatcher or self.dispatcher()))
        return self.receivers

    async def _deliver(self, dispatcher: Dispatcher) -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(dispatcher.run(stopping))
        with self.signal.listen() as heard:
            async with asyncio.timeout(20):
                while not dispatcher.is_idle or await asyncio.to_thread(self.is_any_due):
                    await heard.wait(0.02)
        stopping.set()
        self.signal.notify()
        await running

    def is_any_due(self) -> bool:
        """Whether something could be delivered now."""
        with self.database.read() as connection:
            return leases.is_any_due(connection, now_ns=self.clock())

    def go_on(self, seconds: float) -> Scripted:
        """Time goes on: sweep, and deliver what is due."""
        self.clock.go_on(seconds)
        self.sweep()
        return self.deliver()

    def states(self, subscription: str) -> list[tuple[str, str, str]]:
        """Type, state and what holds it back, of each delivery of a subscription."""
        with self.database.read() as connection:
            rows = deliveries.list_rows(connection, subscription_id=subscription, limit=500)
        return [
            (row.type.removeprefix("incident."), row.state, row.muted_by or "")
            for row in reversed(rows)
        ]


def _incident(id_: str, sensor: str, now: str) -> dict[str, Any]:
    return {
        "id": id_,
        "kind": "anomaly",
        "sensor_id": sensor,
        "labels": {"site": "Lyon"},
        "first": now,
        "opened": now,
        "last": now,
        "until": now,
        "duration_s": 5.0,
        "readings": 6,
        "flagged": 5,
        "peak": 3.2,
        "mean": 1.9,
        "p_value": 1e-6,
        "severity": "medium",
        "direction": "high",
        "seen_by": "long",
        "channels": [
            {
                "channel": "temperature",
                "unit": "°C",
                "share": 0.7,
                "observed": 81.0,
                "expected": 63.0,
                "band": 2.0,
                "direction": "high",
            }
        ],
        "model": {"name": "pumps", "version": "1"},
        "calibration": "1",
        "group": "pooled",
        "group_kind": "pooled",
        "source": {"topic": "vigie.readings", "partition": 0, "first_offset": 1, "last_offset": 2},
    }

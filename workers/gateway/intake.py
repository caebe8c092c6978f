"""From the topic of the incidents into the database: one transaction for a batch and its offsets.

The positions are in the database, not in a consumer group: what was taken in and up to where is
one commit, so that a crash anywhere neither loses nor doubles anything. Of several gateways one
reads at a time (a lease); should two, the second finds the positions moved and starts over.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from sqlalchemy import Connection as Transaction
from sqlalchemy.exc import StatementError

from schemas.api.base import TENANT_PATTERN
from workers.alerts.event import AlertEvent
from workers.errors import StoppedError, VigieError
from workers.gateway.background import Background
from workers.gateway.cloud_event import document_of
from workers.gateway.outbox import News, Outbox
from workers.gateway.signal import Signal
from workers.gateway.store import events, incidents, positions
from workers.gateway.store.database import Database
from workers.gateway.store.taking import Taken, Taking
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection, Record
from workers.kafka.factory import admin_of, open_reader

__all__ = ["Intake", "IntakeState", "Kept", "take_in"]

_LEASE: Final = "intake"
_TENANT: Final = re.compile(TENANT_PATTERN)
_LEASE_NS: Final = 10 * 10**9
_POLL_S: Final = 0.2
_MAX_RECORDS: Final = 500
_PAUSE_S: Final = 1.0
_PARTITIONS_EVERY_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What one batch came to.

    Attributes:
        events: that were news.
        deliveries: that came of them.
        unreadable: records that are no event of an incident.
    """

    events: int = 0
    deliveries: int = 0
    unreadable: int = 0


class _MovedError(Exception):
    """Somebody else took the records in."""


def take_in(
    connection: Transaction,
    records: Sequence[Record],
    *,
    topic: str,
    before: Mapping[int, int | None],
    outbox: Outbox,
    tenant_label: str,
    now_ns: int,
) -> Kept:
    """Take a batch in: positions, incidents, events and deliveries, all in one transaction.

    Raises:
        _MovedError: the positions are others than `before`; nothing may be committed.
    """
    events.lock(connection)
    after = {record.partition: record.offset + 1 for record in records}
    if not positions.advance(connection, topic, before, after):
        raise _MovedError
    found = _readable(records)
    ids = {str(event.incident_id) for _, event in found if event.incident_id is not None}
    taking = Taking(connection, ids, now_ns=now_ns)
    happened, news = [], []
    for record, event in found:
        tenant = _tenant(event, tenant_label)
        if event.type.startswith("wish."):
            taking.write()  # it may be about an incident of this batch
            _take_in_deed(connection, event, now_ns=now_ns)
            taken = Taken.NEWS
        else:
            taken = taking.take_in(event, tenant=tenant)
        if taken is Taken.REPEAT:
            continue
        happened.append(
            events.Happened(document=event.document, incident_id=event.incident_id, tenant=tenant)
        )
        if taken is Taken.NEWS:
            at_ns = now_ns if record.timestamp < 0 else record.timestamp * 10**6
            news.append(News(event=event, tenant=tenant, at_ns=at_ns))
    taking.write()
    happened, news = _unseen(connection, happened, news)
    events.append(connection, happened, now_ns=now_ns)
    told = outbox.tell(connection, news, now_ns=now_ns)
    unreadable = sum(record.value is not None for record in records) - len(found)
    return Kept(events=len(happened), deliveries=told, unreadable=unreadable)


def _readable(records: Sequence[Record]) -> list[tuple[Record, AlertEvent]]:
    """The events, and the records that they were in."""
    found = []
    for record in records:
        if record.value is None:
            continue
        try:
            found.append((record, AlertEvent.of(document_of(record))))
        except ValueError as error:
            structlog.get_logger("vigie.gateway").warning(
                "record_unreadable",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=str(error),
            )
    return found


def _tenant(event: AlertEvent, label: str) -> str:
    labels = event.data.get("labels") or {}
    tenant = str(labels.get(label, "")) if label else ""
    return tenant if _TENANT.fullmatch(tenant) else ""  # one that no token can have


def _take_in_deed(connection: Transaction, event: AlertEvent, *, now_ns: int) -> None:
    """A wish that the stream heeds: of a verdict, the incident shows it."""
    deed: Mapping[str, Any] = event.document.get("data") or {}
    wish = deed.get("wish") or {}
    incident, kind = wish.get("incident"), str(wish.get("kind") or "")
    if incident is not None and kind in {"fault", "false_alarm"}:
        is_withdrawn = bool(deed.get("withdrawn"))
        incidents.set_verdict(
            connection,
            str(incident),
            verdict="" if is_withdrawn else kind,
            by=str(wish.get("by") or ""),
            heeded=not is_withdrawn,
            now_ns=now_ns,
        )


def _unseen(
    connection: Transaction, happened: list[events.Happened], news: list[News]
) -> tuple[list[events.Happened], list[News]]:
    """Without what was kept before: at least once, the stream may write an event twice."""
    known = events.known_ids(connection, [str(one.document["id"]) for one in happened])
    kept = {
        str(one.document["id"]): one for one in happened if str(one.document["id"]) not in known
    }
    told = {one.event.id: one for one in news if one.event.id in kept}
    return list(kept.values()), list(told.values())


@dataclass
class IntakeState:
    """How the intake goes, for `/readyz` and `/metrics`; written by its thread alone."""

    error: str = ""
    lag: int | None = None
    counts: Counter[str] = field(default_factory=Counter)


class Intake(Background):
    """Takes the topic in for as long as the gateway runs."""

    def __init__(
        self,
        connection: Connection,
        database: Database,
        outbox: Outbox,
        *,
        topic: str,
        tenant_label: str,
        holder: str,
        signal: Signal,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Note what to read; `start` begins."""
        super().__init__("intake")
        self._connection, self._database, self._outbox = connection, database, outbox
        self._topic, self._tenant_label, self._holder = topic, tenant_label, holder
        self._signal, self._clock_ns = signal, clock_ns
        self.state = IntakeState()

    def run(self) -> None:
        """Read on, through outages of the broker and of the database."""
        log = structlog.get_logger("vigie.gateway")
        while not self.stopping.is_set():
            try:
                if self._hold():
                    self._follow()
            except (VigieError, _MovedError) as error:
                if isinstance(error, StoppedError):
                    return
                said = "somebody else takes the topic in" if not str(error) else str(error)
                if said != self.state.error:
                    log.warning("intake_waits", error=said)
                self.state.error = said
            except Exception as error:
                self.state.error = f"{type(error).__name__}: {error}"
                log.exception("intake_failed")
            self.stopping.wait(_PAUSE_S)

    def _hold(self) -> bool:
        now_ns = self._clock_ns()
        with self._database.begin() as transaction:
            return positions.hold(
                transaction,
                _LEASE,
                holder=self._holder,
                now_ns=now_ns,
                until_ns=now_ns + _LEASE_NS,
            )

    def _follow(self) -> None:
        """Read from where the database is, until the lease or the broker is lost."""
        self.state.error = self.state.error or "the broker has not answered yet"
        admin_of(self._connection).wait_for_broker(should_stop=self.stopping.is_set)
        with open_reader(self._connection, [self._topic], client_id="vigie-gateway") as reader:
            ends = reader.ends()
            at = self._positions(reader.beginnings(), ends)
            reader.seek(
                {(self._topic, p): offset for p, offset in at.items() if offset is not None}
            )
            opened_s = held_s = time.monotonic()
            while not self.stopping.is_set():
                records = reader.poll(timeout_s=_POLL_S, max_records=_MAX_RECORDS)
                if records:
                    self._keep(records, at)
                if self.state.error:
                    structlog.get_logger("vigie.gateway").info("intake_goes_on")
                    self.state.error = ""
                now_s = time.monotonic()
                if now_s - held_s > _LEASE_NS / 3e9:
                    held_s = now_s
                    self.state.lag = _lag(reader.ends(), at)
                    if not self._hold():
                        return
                if now_s - opened_s > _PARTITIONS_EVERY_S:
                    opened_s = now_s
                    if self._has_grown(len(ends)):
                        return

    def _positions(
        self, beginnings: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]
    ) -> dict[int, int | None]:
        with self._database.read() as transaction:
            known = positions.next_offsets(transaction, self._topic)
        at: dict[int, int | None] = {}
        log = structlog.get_logger("vigie.gateway")
        for (_, partition), beginning in beginnings.items():
            offset, end = known.get(partition), ends[self._topic, partition]
            at[partition] = offset
            if offset is None or beginning <= offset <= end:
                continue
            # Deleted before they were read, or the topic was made anew: go on from its first one.
            log.error(
                "incidents_lost",
                topic=self._topic,
                partition=partition,
                next_offset=offset,
                beginning=beginning,
                end=end,
            )
            self.state.counts["lost"] += max(beginning - offset, 0)
            with self._database.begin() as transaction:
                positions.advance(
                    transaction, self._topic, {partition: offset}, {partition: beginning}
                )
            at[partition] = beginning
        return at

    def _keep(self, records: Sequence[Record], at: dict[int, int | None]) -> None:
        """Take a batch in; if the database cannot hold something of it, record by record."""
        try:
            self._keep_together(records, at)
        except StatementError as error:
            structlog.get_logger("vigie.gateway").exception(
                "records_rejected", records=len(records), offset=records[0].offset
            )
            if len(records) > 1:
                for record in records:
                    self._keep([record], at)
            else:
                self._pass_over(records[0], at, error)

    def _pass_over(self, record: Record, at: dict[int, int | None], error: StatementError) -> None:
        """Go on behind a record that the database will never take: the others are to be told."""
        with self._database.begin() as transaction:
            before = {record.partition: at.get(record.partition)}
            after = {record.partition: record.offset + 1}
            if not positions.advance(transaction, self._topic, before, after):
                raise _MovedError
        at[record.partition] = record.offset + 1
        self.state.counts["rejected"] += 1
        structlog.get_logger("vigie.gateway").error(
            "record_passed_over",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            error=type(error.orig or error).__name__,
        )

    def _keep_together(self, records: Sequence[Record], at: dict[int, int | None]) -> None:
        now_ns = self._clock_ns()
        with self._database.begin() as transaction:
            kept = take_in(
                transaction,
                records,
                topic=self._topic,
                before={record.partition: at.get(record.partition) for record in records},
                outbox=self._outbox,
                tenant_label=self._tenant_label,
                now_ns=now_ns,
            )
        at.update({record.partition: record.offset + 1 for record in records})
        self.state.counts.update(
            records=len(records), events=kept.events, unreadable=kept.unreadable
        )
        self._signal.notify()

    def _has_grown(self, partitions: int) -> bool:
        (found,) = admin_of(self._connection).check_topics([TopicSpec(name=self._topic)])
        return found.partitions > partitions


def _lag(ends: Mapping[tuple[str, int], int], at: Mapping[int, int | None]) -> int:
    return sum(max(end - (at.get(partition) or 0), 0) for (_, partition), end in ends.items())

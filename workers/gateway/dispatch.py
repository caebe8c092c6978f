"""Delivering what is due: leased from the outbox, sent, and what became of it written down.

A delivery is sent after its row was leased and before what became of it is committed: after a crash
it is sent again under the same id, never not at all. A receiver that hangs holds its own deliveries
up and nobody else's: of one subscription only a few are sent at once, of one that fails or is slow
only one, and all the slow ones together have lanes of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog
from sqlalchemy import Connection

from schemas.api.subscriptions import DeliveryState, EventType
from schemas.settings import Settings
from workers.alerts.message import Group, Message
from workers.alerts.schedule import next_due_ns
from workers.gateway.announce import announce
from workers.gateway.book import Entry, SubscriptionBook
from workers.gateway.outbox import Outbox
from workers.gateway.sealing import Sealer
from workers.gateway.signal import Listening, Signal
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.gateway.sinks.sender import Senders
from workers.gateway.store import events, leases
from workers.gateway.store import subscriptions as stored
from workers.gateway.store.database import Database, DatabaseUnavailableError
from workers.gateway.store.leases import Due, Settled

__all__ = ["Dispatcher"]

_PER_SUBSCRIPTION: Final = 4
_LEASED_AT_ONCE: Final = 64
_LANES: Final = 5
"""Most deliveries under way, the slow ones included, in terms of gateway.max_in_flight."""
_POLL_S: Final = 0.5
_SLOW_S: Final = 1.0
"""An attempt that takes longer moves to a slow lane."""
_LEASE_MARGIN_NS: Final = 30 * 10**9
_GATHER_S: Final = 0.005
"""How long it is waited for what comes together, so that it is leased together."""
_BATCH_S: Final = 0.02
"""How long what became of deliveries is collected before it is committed."""
_CLOSE_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class _Done:
    due: Due
    entry: Entry
    outcome: Outcome
    at_ns: int
    took_s: float


@dataclass(frozen=True, kw_only=True)
class _Health:
    """How a subscription is: since when it fails, and why it is to be disabled."""

    entry: Entry
    since_ns: int | None = None
    reason: str = ""


class Dispatcher:
    """Sends what is due for as long as the gateway runs."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        book: SubscriptionBook,
        sealer: Sealer,
        senders: Senders,
        outbox: Outbox,
        holder: str,
        signal: Signal,
        clock_ns: Callable[[], int] = time.time_ns,
        rng: Random,
    ) -> None:
        """Note what to use; `run` begins."""
        self._database, self._settings = database, settings
        self._sealer, self._senders, self._outbox = sealer, senders, outbox
        self._holder, self._signal, self._clock_ns, self._rng = holder, signal, clock_ns, rng
        self._book = book
        self._entries: Mapping[str, Entry] = {}
        self._signing = dict[str, list[str]]()
        self._failing = dict[str, int]()
        self._in_flight = Counter[str]()
        self._unsettled = 0
        self._is_leasing = False
        self._heard: Listening | None = None
        self._slow = set[asyncio.Task[None]]()
        self._tasks = dict[asyncio.Task[None], str]()
        self._done = asyncio.Queue[_Done | None]()
        self.counts = Counter[str]()
        """Attempts by their verdict, since the start."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being sent, and all that was sent is written down."""
        return not self._unsettled and not self._is_leasing

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until it is told to stop, then finish what is being sent within a few seconds."""
        self._done = asyncio.Queue()
        settling = asyncio.create_task(self._settle_all())
        try:
            with self._signal.listen() as heard:
                self._heard = heard
                while not stopping.is_set():
                    if not await self._take():
                        await heard.wait(_POLL_S)
                        await asyncio.sleep(_GATHER_S)
        finally:
            await self._close(settling)

    async def _close(self, settling: asyncio.Task[None]) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._done.put_nowait(None)
        try:
            async with asyncio.timeout(_CLOSE_S):
                await settling
            await asyncio.to_thread(self._give_back)
        except (DatabaseUnavailableError, TimeoutError) as error:
            # What was sent and is not written down is sent again when the leases are over.
            structlog.get_logger("vigie.gateway").warning("leases_not_given_back", error=str(error))

    def _give_back(self) -> None:
        with self._database.begin() as connection:
            leases.free_leases(connection, holder=self._holder)

    # -- taking ------------------------------------------------------------------------------------

    async def _take(self) -> bool:
        """Lease and begin to send as many as there is room for; false if there was nothing."""
        most = self._settings.gateway.max_in_flight
        fast = len(self._tasks) - len(self._slow)
        free = min(most - fast, _LANES * most - len(self._tasks), _LEASED_AT_ONCE)
        if free <= 0:
            await asyncio.wait(self._tasks, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            return True
        self._is_leasing = True
        try:
            found = await asyncio.to_thread(self._lease, free, self._busy())
            for due in found:
                entry = self._entries.get(due.subscription_id)
                if entry is not None:
                    self._begin(due, entry)
        except DatabaseUnavailableError as error:
            structlog.get_logger("vigie.gateway").warning("deliveries_wait", error=str(error))
            return False
        except Exception:  # noqa: BLE001 - who delivers nothing must not look alive
            structlog.get_logger("vigie.gateway").exception("deliveries_failed")
            return False
        finally:
            self._is_leasing = False
        return bool(found)

    def _busy(self) -> set[str]:
        """Subscriptions of which none is taken now."""
        no_room = len(self._slow) >= self._settings.gateway.max_in_flight
        slow = {self._tasks[task] for task in self._slow}
        busy = {
            id_
            for id_, number in self._in_flight.items()
            if number >= (1 if id_ in self._failing or id_ in slow else _PER_SUBSCRIPTION)
        }
        return busy | (self._failing.keys() if no_room else set())

    def _lease(self, limit: int, busy: set[str]) -> list[Due]:
        now_ns = self._clock_ns()
        timeout_ns = round(self._settings.gateway.deliver_timeout_s * 1e9)
        with self._database.begin() as connection:
            found = leases.lease(
                connection,
                holder=self._holder,
                now_ns=now_ns,
                until_ns=now_ns + timeout_ns + _LEASE_MARGIN_NS,
                limit=limit,
                per_subscription=_PER_SUBSCRIPTION,
                busy=busy,
            )
            if found:
                self._entries = self._book.read(connection).entries
                ids = list({one.subscription_id for one in found})
                secrets = stored.signing_secrets(
                    connection, ids, sealer=self._sealer, now_ns=now_ns
                )
                self._signing |= {id_: secrets.get(id_, []) for id_ in ids}
        return found

    def _begin(self, due: Due, entry: Entry) -> None:
        self._in_flight[entry.id] += 1
        self._unsettled += 1
        # As the database has it: another gateway may have seen it fail, or recover.
        if due.failing_since_ns is None:
            self._failing.pop(entry.id, None)
        else:
            self._failing[entry.id] = due.failing_since_ns
        task = asyncio.create_task(self._send(due, entry))
        self._tasks[task] = entry.id
        timer = asyncio.get_running_loop().call_later(_SLOW_S, self._slow.add, task)
        task.add_done_callback(lambda done: self._ended(done, timer))

    def _ended(self, task: asyncio.Task[None], timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._slow.discard(task)
        id_ = self._tasks.pop(task)
        self._in_flight[id_] -= 1
        if not self._in_flight[id_]:
            del self._in_flight[id_]

    # -- sending -----------------------------------------------------------------------------------

    async def _send(self, due: Due, entry: Entry) -> None:
        at_ns, began_s = self._clock_ns(), time.monotonic()
        if at_ns >= due.expires_ns:
            outcome = Outcome.failed("too old to be told", Verdict.REJECTED)
        else:
            message = message_of(due, entry, url=self._settings.gateway.url)
            signing = self._signing.get(entry.id, [])
            try:
                outcome = await self._senders.send(entry.spec.sink, signing, message)
            except Exception as error:  # noqa: BLE001 - one message must not stop the others
                structlog.get_logger("vigie.gateway").exception("sink_failed", delivery=due.id)
                outcome = Outcome.failed(f"{type(error).__name__} in Vigie's own code")
        self.counts[outcome.verdict.value] += 1
        took_s = time.monotonic() - began_s
        self._done.put_nowait(
            _Done(due=due, entry=entry, outcome=outcome, at_ns=at_ns, took_s=took_s)
        )

    async def _settle_all(self) -> None:
        """Write down what became of deliveries, until None says that no more come."""
        is_last = False
        while not is_last:
            batch = [await self._done.get()]
            await asyncio.sleep(_BATCH_S)
            batch += [self._done.get_nowait() for _ in range(self._done.qsize())]
            is_last = None in batch
            await self._settle_at_last([one for one in batch if one is not None])
            if self._heard is not None:
                self._heard.wake()  # there is room, and what waited for its turn can go

    async def _settle_at_last(self, batch: Sequence[_Done]) -> None:
        while batch:
            try:
                await asyncio.to_thread(self._settle_once, batch)
            except DatabaseUnavailableError:
                await asyncio.sleep(_POLL_S)
                continue
            except Exception:  # noqa: BLE001 - the others go on
                if len(batch) > 1:  # one of them cannot be written down: the others can
                    for one in batch:
                        await self._settle_at_last([one])
                    return
                structlog.get_logger("vigie.gateway").exception(
                    "not_settled", delivery=batch[0].due.id
                )
            self._unsettled -= len(batch)
            return

    def _settle_once(self, batch: Sequence[_Done]) -> None:
        """Write down what became of attempts, and what that says of their subscriptions.

        Subscriptions before deliveries, in the order of their ids: so does who deletes one.
        """
        now_ns = self._clock_ns()
        health = {id_: self._health(done, now_ns) for id_, done in sorted(_last(batch).items())}
        with self._database.begin() as connection:
            if any(one.reason for one in health.values()):
                events.lock(connection)
            for id_, one in health.items():
                if one.since_ns != self._failing.get(id_):
                    stored.set_failing(connection, id_, since_ns=one.since_ns)
            disabled = [id_ for id_, one in health.items() if self._disabled(connection, id_, one)]
            settled = [self._settled(one, now_ns) for one in batch]
            leases.settle(connection, settled, holder=self._holder)
            for id_ in disabled:
                self._announce(connection, id_, health[id_], now_ns)
        for id_, one in health.items():
            if one.since_ns is None:
                self._failing.pop(id_, None)
            else:
                self._failing[id_] = one.since_ns

    def _settled(self, done: _Done, now_ns: int) -> Settled:
        outcome, due = done.outcome, done.due
        state, due_ns = DeliveryState.DEAD, now_ns
        if outcome.is_delivered:
            state = DeliveryState.DELIVERED
        elif outcome.verdict is Verdict.GONE:
            state = DeliveryState.DEAD
        elif outcome.verdict is Verdict.RETRY:
            next_ns = next_due_ns(
                due.attempts + 1,
                now_ns,
                self._rng.random(),
                outcome.retry_after_s,
                due.expires_ns,
            )
            if next_ns is not None:
                state, due_ns = DeliveryState.WAITING, next_ns
        reason = outcome.error or (f"answered {outcome.status}" if outcome.status else "")
        return Settled(
            id=due.id,
            state=state,
            due_ns=due_ns,
            reason="" if outcome.is_delivered else reason,
            at_ns=done.at_ns,
            took_ms=done.took_s * 1e3,
            status=outcome.status,
            error=outcome.error,
            response=outcome.response,
            ended_ns=now_ns,
        )

    # -- the health of subscriptions ---------------------------------------------------------------

    def _health(self, done: _Done, now_ns: int) -> _Health:
        """What the last attempt of a subscription says of it."""
        if done.outcome.is_delivered:
            return _Health(entry=done.entry)
        since_ns = self._failing.get(done.entry.id, now_ns)
        reason = ""
        if done.outcome.verdict is Verdict.GONE:
            reason = "the receiver wants no more (410 Gone)"
        elif now_ns - since_ns >= self._settings.gateway.disable_after_s * 1e9:
            days = (now_ns - since_ns) / 86_400e9
            reason = f"nothing could be delivered for {days:.1f} days: {done.outcome.error}"
        return _Health(entry=done.entry, since_ns=since_ns, reason=reason)

    def _disabled(self, connection: Connection, id_: str, health: _Health) -> bool:
        """Disable a subscription, if that is to be; false if somebody else was faster."""
        return bool(health.reason) and stored.disable(
            connection, id_, reason=health.reason, now_ns=self._clock_ns()
        )

    def _announce(self, connection: Connection, id_: str, health: _Health, now_ns: int) -> None:
        spec = health.entry.spec
        announce(
            connection,
            self._outbox,
            EventType.DISABLED,
            subject=id_,
            data={"subscription": id_, "name": spec.name, "reason": health.reason},
            tenant=spec.tenant,
            now_ns=now_ns,
        )
        structlog.get_logger("vigie.gateway").error(
            "subscription_disabled", subscription=id_, name=spec.name, reason=health.reason
        )


def _last(batch: Sequence[_Done]) -> dict[str, _Done]:
    """The attempt that says most of each subscription: that it is gone, or else the last one."""
    found = {one.entry.id: one for one in batch}
    return found | {one.entry.id: one for one in batch if one.outcome.verdict is Verdict.GONE}


def message_of(due: Due, entry: Entry, *, url: str) -> Message:
    """What is sent: the same in every attempt."""
    group = due.payload.get("group")
    return Message(
        id=due.event_id,
        type=due.type,
        at_ns=due.created_ns,
        events=due.documents,
        group=None if group is None else Group(key=group["key"], labels=group["labels"]),
        url=url,
        template=entry.spec.template,
        suppressed=int(due.payload.get("suppressed", 0)),
        subscription=entry.id,
        name=entry.spec.name,
        note=str(due.payload.get("note", "")),
    )

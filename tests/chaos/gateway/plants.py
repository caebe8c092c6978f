"""Bugs that are planted in a gateway to see the judges find them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import sqlalchemy


def plant(name: str) -> None:
    """Plant one."""
    PLANTS[name]()


def _lose() -> None:
    """Every 30th delivery is never written down."""
    from workers.gateway.store import deliveries

    add, count = deliveries.add, itertools.count(1)

    def lossy(connection: Any, rows: Any) -> int:
        return add(connection, [row for row in rows if next(count) % 30])

    deliveries.add = lossy


def _position_first() -> None:
    """The position is committed before what was read."""
    from workers.gateway import intake
    from workers.gateway.store import positions

    take_in, advance = intake.take_in, positions.advance

    def keep(self: Any, records: Any, at: dict[int, int | None]) -> None:
        after = {record.partition: record.offset + 1 for record in records}
        before = {record.partition: at.get(record.partition) for record in records}
        with self._database.begin() as transaction:
            if not advance(transaction, self._topic, before, after):
                raise intake._MovedError
        positions.advance = lambda *_: True
        try:
            with self._database.begin() as transaction:
                take_in(
                    transaction, records, topic=self._topic, before=before, outbox=self._outbox,
                    tenant_label="", now_ns=self._clock_ns(),
                )  # fmt: skip
        finally:
            positions.advance = advance
        at.update(after)
        self._signal.notify()

    intake.Intake._keep = keep  # type: ignore[method-assign]


def _no_lease() -> None:
    """What somebody else is sending is taken all the same."""
    from workers.gateway.store import leases

    vars(leases)["is_free"] = lambda _: sqlalchemy.true()


def _no_order() -> None:
    """What comes behind something that waits is sent all the same."""
    from workers.gateway.store import leases

    class Never:
        def where(self, *_: object) -> Any:
            return sqlalchemy.false()

    vars(leases)["exists"] = Never


def _new_ids() -> None:
    """Each attempt has an id of its own."""
    from dataclasses import replace

    from workers.gateway import dispatch

    of, count = dispatch.message_of, itertools.count(1)
    dispatch.message_of = lambda due, entry, *, url: replace(
        of(due, entry, url=url),
        id=f"{due.event_id}-{next(count)}" if due.attempts else due.event_id,
    )


def _settle_first() -> None:
    """What is sent is taken for delivered before it is."""
    from workers.gateway import dispatch

    lease = dispatch.Dispatcher._lease

    def careless(self: Any, limit: int, busy: Any) -> Any:
        found = lease(self, limit, busy)
        if found:
            from workers.gateway.store.tables import deliveries

            with self._database.begin() as connection:
                connection.execute(
                    sqlalchemy.update(deliveries)
                    .where(deliveries.c.id.in_([one.id for one in found]))
                    .values(state="delivered")
                )
        return found

    dispatch.Dispatcher._lease = careless  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "lose": _lose,
    "position-first": _position_first,
    "no-lease": _no_lease,
    "no-order": _no_order,
    "new-ids": _new_ids,
    "settle-first": _settle_first,
}

"""A group that two gateways found due is told once."""

from __future__ import annotations

from sqlalchemy import select

from tests.support.gateway import Rig
from workers.gateway.group_store import due_groups, flush_group
from workers.gateway.store import events
from workers.gateway.store.database import Database
from workers.gateway.store.tables import deliveries


def test_a_group_that_two_gateways_found_due_is_told_once(database: Database) -> None:
    rig = Rig(database)
    group = {"by": ["site"], "wait_s": 1, "interval_s": 2, "repeat_s": 0}
    id_ = rig.subscribe("a", group=group)
    rig.opens()
    rig.clock.go_on(1.5)
    with database.read() as connection:
        due = due_groups(connection, now_ns=rig.clock(), limit=10)
    assert len(due) == 1

    for _ in ("one", "other"):
        with database.begin() as connection:
            events.lock(connection)
            entry = rig.book.read(connection).entries[id_]
            at = rig.circumstances.read(connection, now_ns=rig.clock())
            flush_group(connection, entry, due[0][1], at)

    with database.read() as connection:
        waiting = connection.execute(
            select(deliveries.c.event_id).where(deliveries.c.state == "waiting")
        ).all()
    assert len(waiting) == 1

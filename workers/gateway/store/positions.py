"""Up to where topics were taken in, and who does it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, select, update

from workers.gateway.store.sql import insert_new
from workers.gateway.store.tables import leases, positions

__all__ = ["advance", "give_up", "hold", "next_offsets"]


def next_offsets(connection: Connection, topic: str) -> dict[int, int]:
    """The first offset not taken in yet, by partition; those never begun are absent."""
    rows = connection.execute(select(positions).where(positions.c.topic == topic))
    return {row.partition: row.next_offset for row in rows}


def advance(
    connection: Connection,
    topic: str,
    before: Mapping[int, int | None],
    after: Mapping[int, int],
) -> bool:
    """Move on, if nobody else has: false means that what was read is not ours to take in.

    Args:
        connection: of the transaction that takes the records in.
        topic: that was read.
        before: where each partition stood when it was read; None if it was never begun.
        after: where each stands now.
    """
    for partition, offset in sorted(after.items()):
        known = before.get(partition)
        key = {"topic": topic, "partition": partition}
        if known is None:
            if not insert_new(connection, positions, [{**key, "next_offset": offset}]):
                return False
            continue
        moved = connection.execute(
            update(positions)
            .where(
                positions.c.topic == topic,
                positions.c.partition == partition,
                positions.c.next_offset == known,
            )
            .values(next_offset=offset)
        )
        if not moved.rowcount:
            return False
    return True


def hold(connection: Connection, name: str, *, holder: str, now_ns: int, until_ns: int) -> bool:
    """Take or keep what only one does at a time; false if somebody else has it."""
    kept = connection.execute(
        update(leases)
        .where(
            leases.c.name == name,
            (leases.c.holder == holder) | (leases.c.until_ns <= now_ns),
        )
        .values(holder=holder, until_ns=until_ns)
    )
    if kept.rowcount:
        return True
    new = {"name": name, "holder": holder, "until_ns": until_ns}
    return insert_new(connection, leases, [new]) > 0


def give_up(connection: Connection, *, holder: str | None = None) -> None:
    """Let others have what one holds, or what anybody does (where nobody else can be there)."""
    query = delete(leases)
    connection.execute(query if holder is None else query.where(leases.c.holder == holder))

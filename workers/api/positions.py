"""Where the group stands in each partition of the readings, by what the broker says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workers.kafka.admin import Group
from workers.stream.state.restore import decode_metadata


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where the group stands in one partition of the readings.

    Attributes:
        beginning, end: of the log as it is now.
        next_offset: first offset not done; None when nothing was committed.
        lag: records not done.
        restore_from: where a restart begins to read to rebuild its windows; None when unknown.
        member: who has it now, empty when none has.
    """

    partition: int
    beginning: int
    end: int
    next_offset: int | None
    lag: int
    restore_from: int | None
    member: str


def positions_of(
    group: Group, bounds: Mapping[tuple[str, int], tuple[int, int]], topic: str
) -> list[Position]:
    """Positions by partition of the readings; `bounds` are the first and the end offsets."""
    owners = {p: member.client_id for member in group.members for p in member.partitions}
    positions = []
    for (name, partition), (beginning, end) in sorted(bounds.items()):
        if name != topic:
            continue
        at = group.committed.get(partition)
        metadata = None if at is None else decode_metadata(at.metadata)
        done = beginning if at is None else max(at.next_offset, beginning)
        positions.append(
            Position(
                partition=partition,
                beginning=beginning,
                end=end,
                next_offset=None if at is None else at.next_offset,
                lag=max(end - done, 0),
                restore_from=None if metadata is None else metadata.restore_from,
                member=owners.get(partition, ""),
            )
        )
    return positions

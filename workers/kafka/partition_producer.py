"""The seam for sending records to partitions by number: what goes back to where it came from.

A `Publisher` lets the key choose the partition, as Kafka's default does. A record that goes back
must not: its first sender may choose otherwise, and the readings of a sensor belong in one
partition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class PartitionRecord(NamedTuple):
    """A record and the partition that it goes to."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


Deliver = Callable[[Sequence[PartitionRecord]], Sequence[int]]
"""Sends records, and waits until each is with the broker; see `factory.open_partition_producer`.

Returns the indices, ascending, of those that the topic, or the client, does not take for their
size. Raises OutputsLostError when another did not arrive, or may not have, and SettingsError when
the broker rejects us for good.
"""

"""The seam for sending records to partitions by number: what goes back to where it came from.

A `Publisher` lets the key choose the partition, as Kafka's default does. A record that goes back
must not: its first sender may choose otherwise, and the readings of a sensor belong in one
partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionRecord:
    """A record and the partition that it goes to."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]

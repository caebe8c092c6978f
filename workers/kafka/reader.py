"""The seam for reading topics without a group: commands that look and commit nothing.

A `TopicReader` reads every partition of its topics, from the beginning unless it is told where. It
joins no group, so it disturbs no member of one, and it sees committed records only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from workers.kafka.client import Record


class TopicReader(Protocol):
    """Reads on one thread; made by `workers.kafka.factory.open_reader`."""

    def poll(self, *, timeout_s: float = 0.2, max_records: int = 5000) -> list[Record]:
        """Return what has come, in offset order within each partition; empty when nothing has.

        Raises:
            CorruptLogError: a partition cannot be read on.
            BrokerUnavailableError, SettingsError: see `Source`.
        """

    def ends(self) -> Mapping[tuple[str, int], int]:
        """Return the end offset of each (topic, partition) as it is now. Asks the broker."""

    def beginnings(self) -> Mapping[tuple[str, int], int]:
        """Return the first offset of each (topic, partition) still there. Asks the broker."""

    def offsets_at(self, time_ms: int) -> Mapping[tuple[str, int], int]:
        """Return the first offset of each partition not before a time, else the end.

        Args:
            time_ms: epoch milliseconds, compared with the records' timestamps.
        """

    def seek(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Go on from these offsets."""

    def read_to(self, ends: Mapping[tuple[str, int], int]) -> Iterator[list[Record]]:
        """Yield records below `ends`, batch by batch, until every partition was read so far.

        Raises:
            BrokerUnavailableError: nothing came for a while although there is more.
        """

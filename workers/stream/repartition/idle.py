"""The passing of time where no record passes: partitions that are read to their end."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from workers.errors import BrokerUnavailableError
from workers.kafka.client import Source
from workers.stream.owned_partition import OwnedPartition, PartitionRequest
from workers.stream.state.rekey import RekeyState


class IdleMarks:
    """Now and then notes which partitions are read to their end, so that nobody waits for them.

    It is written into the log, as everything that decides an order: a restart reads it there.
    """

    def __init__(
        self,
        source: Source,
        *,
        every_s: float,
        monotonic_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        """Ask `source` so often."""
        self._source, self._every_s = source, every_s
        self._monotonic_s, self._wall_s = monotonic_s, wall_s
        self._due_s = monotonic_s()

    def __call__(self, opened: Collection[OwnedPartition]) -> list[PartitionRequest]:
        """Requests that say so, for the partitions of which it is true now."""
        if self._monotonic_s() < self._due_s:
            return []
        self._due_s = self._monotonic_s() + self._every_s
        now_ms = int(self._wall_s() * 1e3)  # before asking: what comes after it is behind it
        try:
            at_end = self._source.at_end([owned.number for owned in opened])
        except BrokerUnavailableError:
            return []  # whoever is away says nothing about the end
        return [_idle(owned, now_ms) for owned in opened if owned.number in at_end]


def _idle(owned: OwnedPartition, now_ms: int) -> PartitionRequest:
    assert isinstance(owned.state, RekeyState)
    return PartitionRequest(
        partition=owned,
        request=owned.state.idle(now_ms),
        records=(),
        stamps_ms=np.empty(0, np.int64),
    )

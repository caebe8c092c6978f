"""One member of a group as a test drives it."""

from __future__ import annotations

from typing import Any

from workers.kafka.client import Generation, GroupMember, PollResult


class Member:
    """Polls a source, does the book-keeping of a caller, and keeps everything it saw."""

    def __init__(self, source: GroupMember) -> None:
        self.source = source
        self.held: set[int] = set()
        self.records: dict[int, list[Any]] = {}
        self.batch_sizes: list[int] = []
        self.lost: dict[int, int] = {}
        self.generation = Generation(token=None, epochs={})
        self._starts = False

    def starting(self) -> Member:
        """Start each assigned partition at the committed offset, or at the beginning."""
        self._starts = True
        return self

    def step(self, *, timeout_s: float = 0.1, max_records: int = 5000) -> PollResult:
        """Poll once."""
        polled = self.source.poll(timeout_s=timeout_s, max_records=max_records)
        self.held -= polled.revoked
        self.held |= polled.assigned
        self.generation = polled.generation
        if self._starts:
            for partition in polled.assigned:
                committed = self.source.committed(partition)
                self.source.start(partition, committed.next_offset if committed else 0)
        for partition, batch in polled.records.items():
            self.records.setdefault(partition, []).extend(batch)
        for partition, count in polled.lost.items():
            self.lost[partition] = self.lost.get(partition, 0) + count
        self.batch_sizes.append(sum(map(len, polled.records.values())))
        return polled

    def values(self, partition: int) -> list[bytes]:
        """The values of every record seen so far."""
        return [record.value for record in self.records.get(partition, [])]

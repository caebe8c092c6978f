"""Whether retention has overtaken a reader: records that it never saw are gone.

kafka-python goes on at the beginning of the log without a word. What can be seen is a hole between
the offset that was to come and the one that came. Holes are ordinary, too: a transaction leaves one
offset for its marker, aborted and compacted records leave more. So a hole of two offsets or more
makes us ask where the log begins, and only what lies before that is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from workers.errors import BrokerUnavailableError
from workers.kafka.client import Record

_ORDINARY: Final = 1  # offset of the marker of one transaction


class Retention:
    """Follows the offsets that one source gives."""

    def __init__(self, beginning: Callable[[int], int]) -> None:
        # Asked where a partition begins; may raise that no broker answers.
        self._beginning = beginning
        self._expected: dict[int, int] = {}
        self._holes: list[tuple[int, int, int]] = []  # partition, expected, came; not yet judged

    def expect(self, partition: int, offset: int) -> None:
        """Have ``offset`` be the next of a partition that is started there."""
        self._expected[partition] = offset
        self._holes = [hole for hole in self._holes if hole[0] != partition]

    def forget(self, partitions: frozenset[int]) -> None:
        """Stop following partitions that were taken away."""
        for partition in partitions:
            self._expected.pop(partition, None)
        self._holes = [hole for hole in self._holes if hole[0] not in partitions]

    def follow(self, records: Mapping[int, Sequence[Record]]) -> Mapping[int, int]:
        """Look at what a poll gave, and return how many offsets of which partition are lost."""
        for partition, batch in records.items():
            came, expected = batch[0].offset, self._expected.get(partition)
            if expected is not None and came - expected > _ORDINARY:
                self._holes.append((partition, expected, came))
            self._expected[partition] = batch[-1].offset + 1
        return self._judged() if self._holes else {}

    def _judged(self) -> Mapping[int, int]:
        lost: dict[int, int] = {}
        holes, self._holes = self._holes, []
        for partition, expected, came in holes:
            try:
                beginning = self._beginning(partition)
            except BrokerUnavailableError:
                self._holes.append((partition, expected, came))  # ask again at the next poll
                continue
            if beginning > expected:
                lost[partition] = lost.get(partition, 0) + min(beginning, came) - expected
        return lost

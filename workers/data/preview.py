"""What the stream will reject of a feed, while it is sent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from schemas.codec import HEADER
from schemas.wire.errors import Stage
from workers.data.feed import FeedRecord
from workers.stream.input import Candidate, Input

_MOST_RECORDS = 1_000
_MOST_BYTES = 4 * 2**20


class Preview:
    """What the stream will reject of the records that are sent.

    Attributes:
        rejected: how many records, by the stage at which they fail.
        reasons: the first reason of each stage.
    """

    def __init__(
        self,
        accepting: Input,
        content_type: str,
        *,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """Ask `accepting`; records carry the time at which they are sent."""
        self._input, self._headers, self._wall_s = (
            accepting,
            ((HEADER, content_type.encode()),),
            wall_s,
        )
        self._sent: list[Candidate] = []
        self._bytes = 0
        self.rejected: Counter[Stage] = Counter()
        self.reasons: dict[Stage, str] = {}

    def sent(self, record: FeedRecord) -> None:
        """Note one record."""
        stamp_ms = round(self._wall_s() * 1e3)
        self._sent.append(Candidate(value=record.value, headers=self._headers, timestamp=stamp_ms))
        self._bytes += len(record.value)
        if len(self._sent) >= _MOST_RECORDS or self._bytes >= _MOST_BYTES:
            self.settle()

    def settle(self) -> None:
        """Look at the records noted last."""
        if not self._sent:
            return
        for failure in self._input.accept(self._sent).failures:
            self.rejected[failure.stage] += 1
            self.reasons.setdefault(failure.stage, failure.message)
        self._sent, self._bytes = [], 0

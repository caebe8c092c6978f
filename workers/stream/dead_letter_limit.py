"""When to stop rather than drain a topic into dead letters: a limit on bad records. Pure.

A few broken sensors are everyday life, a gateway that was deployed with the wrong format is not:
the first gives a small share of bad records for ever, the second a large one at once. So each
partition has two limits, over its records in the order of their offsets:

* a *share* of bad records among the last `window`; judged once so many have been seen, so that the
  first bad record of a start, all of what was seen by then, trips nothing;
* a number of bad records *in a row*; it trips before the window is full.

Counted is each record that is met for the first time: what is read again to restore windows
(offsets below `live_from`) was judged before its commit, and a checkpoint that was rewound counts
once. The verdict does not depend on where polls cut the log. A record that no scorer survives was
counted as a good one when that is found out: all is forgotten, and counted again from the last
commit.

The error is raised before anything of the batch goes further, so that nothing of a rejected batch
is committed. The window is not kept across starts: the next start meets the rejected records again,
with an empty window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Failure
from schemas.settings import StreamSettings
from workers.errors import DeadLetterLimitError

Int64s = NDArray[np.int64]


class DeadLetterLimit:
    """Judges the records of one partition."""

    def __init__(self, partition: int, settings: StreamSettings) -> None:
        """Judge by `max_dead_letter_share`, `dead_letter_window`, `max_dead_letters_in_row`."""
        self._partition = partition
        self._share = settings.max_dead_letter_share
        self._window = settings.dead_letter_window
        self._in_row = settings.max_dead_letters_in_row
        self.forget()

    def forget(self) -> None:
        """Begin anew: what was counted as good was not."""
        self._next_offset = -1  # the first offset not counted yet
        self._seen = 0  # records counted
        self._row = 0  # how many of the last ones were bad, without a good one between them
        # The bad records of the window and of the row: number (from 0) among those seen, [b] int64;
        # offset and failure.
        self._ranks: Int64s = np.empty(0, np.int64)
        self._bad: list[tuple[int, Failure]] = []

    def check(self, offsets: Int64s, failures: Sequence[Failure], *, live_from: int = 0) -> None:
        """Count the records of one poll; call it before anything else is done with them.

        Args:
            offsets: int64 [r], of all records polled, good and bad, ascending.
            failures: the bad records; ``position`` indexes into `offsets`, ascending.
            live_from: records below this offset were judged before, and are not counted.

        Raises:
            DeadLetterLimitError: too many are bad. Nothing of the batch may be committed.
        """
        if not (self._share or self._in_row):
            return
        skip = int(np.searchsorted(offsets, max(live_from, self._next_offset)))
        if skip == len(offsets):
            return
        new = [failure for failure in failures if failure.position >= skip]
        ranks = np.array([failure.position for failure in new], np.int64) - skip + self._seen
        first, before = self._seen, len(self._ranks)
        self._ranks = np.concatenate((self._ranks, ranks))
        self._bad += [(int(offsets[failure.position]), failure) for failure in new]
        self._seen += len(offsets) - skip
        self._next_offset = int(offsets[-1]) + 1
        if len(self._ranks):
            self._judge_row(ranks, first=first)
            self._judge_share(before, first=first)
        self._forget_old()

    def _judge_row(self, ranks: Int64s, *, first: int) -> None:
        carried, self._row = self._row, 0
        if not len(ranks):
            return
        # The row that each bad record ends: counted from the last place where a good one stood
        # before it. The row from before the batch goes on if its first record is bad.
        at = np.arange(len(ranks))
        begins = np.diff(ranks, prepend=-2) != 1
        lengths = at - np.maximum.accumulate(np.where(begins, at, 0)) + 1
        if carried and ranks[0] == first:
            lengths[ranks - at == first] += carried
        if ranks[-1] == self._seen - 1:
            self._row = int(lengths[-1])
        over = np.flatnonzero(lengths > self._in_row) if self._in_row else at[:0]
        if len(over):
            last = len(self._bad) - len(ranks) + int(over[0])
            raise self._error(
                self._bad[max(last - self._in_row, 0) : last + 1],
                f"{self._in_row + 1:,} records in a row could not be read",
                limit=f"stream.max_dead_letters_in_row is {self._in_row:,}",
            )

    def _judge_share(self, before: int, *, first: int) -> None:
        """Judge at each new bad record, where alone the share grows, and when the window fills."""
        ends = self._ranks[before:]
        full = self._window - 1
        if first <= full < self._seen:
            ends = np.union1d(ends, [full])
        ends = ends[ends >= full]
        if not self._share or not len(ends):
            return
        stops = np.searchsorted(self._ranks, ends, side="right")
        starts = np.searchsorted(self._ranks, ends - self._window, side="right")
        over = np.flatnonzero(stops - starts > self._share * self._window)
        if len(over):
            start, stop = int(starts[over[0]]), int(stops[over[0]])
            raise self._error(
                self._bad[start:stop],
                f"{stop - start:,} of {self._window:,} records could not be read",
                limit=f"stream.max_dead_letter_share is {self._share:g}",
            )

    def _forget_old(self) -> None:
        oldest = self._seen - self._window
        in_window = len(self._ranks) - int(np.searchsorted(self._ranks, oldest))
        keep = max(in_window, min(self._row, self._in_row))
        if keep < len(self._bad):
            self._ranks = self._ranks[len(self._ranks) - keep :]
            self._bad = self._bad[len(self._bad) - keep :]

    def _error(
        self, bad: Sequence[tuple[int, Failure]], what: str, *, limit: str
    ) -> DeadLetterLimitError:
        kinds = Counter((failure.stage, failure.exception) for _, failure in bad)
        ((stage, exception), often), *_ = kinds.most_common(1)
        offset, example = next(
            one for one in bad if (one[1].stage, one[1].exception) == (stage, exception)
        )
        return DeadLetterLimitError(
            f"partition {self._partition}: {what} (offsets {bad[0][0]} to {bad[-1][0]}); {limit}. "
            f"Most frequent reason ({often:,} of {len(bad):,}), stage {stage}, {exception}: "
            f"{example.message} (offset {offset}). Nothing from the last batch on is "
            "committed, the next start reads it again. Fix what sends these records; or, if they "
            "are right, correct [input], stream.content_type or stream.channels; or, to give them "
            "up as dead letters, raise the limit (0 is none) until they are past."
        )

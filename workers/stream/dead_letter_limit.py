"""When to stop rather than drain a topic into dead letters: a limit on bad records. Pure.

A few broken sensors are everyday life, a gateway that was deployed with the wrong format is not:
the first gives a small share of bad records for ever, the second a large one at once. So each
partition has two limits, over its records in the order of their offsets:

* a *share* of bad records among the last `window`; judged once so many have been seen, so that the
  first bad record of a start, all of what was seen by then, trips nothing;
* a number of bad records *in a row*; it trips before the window is full.

Counted is each record that is met for the first time: a replay (offsets below `live_from`) was
judged before its commit, and a unit of work that was rewound counts once. The verdict does not
depend on where polls cut the log. A record that no scorer survives was counted as a good one when
that is found out: the partition is forgotten, and counted again from the last commit.

The error is raised before anything of the batch goes further, so that nothing of a refused batch is
committed. The window is not kept across starts: the next start meets the refused records again,
with an empty window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Failure
from schemas.settings import StreamSettings
from workers.errors import DeadLetterLimitError

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Bad:
    """A bad record of the window."""

    offset: int
    failure: Failure


@dataclass(slots=True)
class _Window:
    """What one partition remembers.

    Attributes:
        next_offset: first offset not counted yet.
        seen: records counted.
        in_row: how many of the last ones were bad, without a good one between them.
        ranks: int64 [b], number (from 0) of each bad record among those seen: what lies in the
            window, and the row.
        bad: [b], the same records.
    """

    next_offset: int = -1
    seen: int = 0
    in_row: int = 0
    ranks: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    bad: list[_Bad] = field(default_factory=list)


class DeadLetterLimit:
    """Judges the records of the partitions of one worker."""

    def __init__(self, settings: StreamSettings) -> None:
        """Judge by `max_dead_letter_share`, `dead_letter_window`, `max_dead_letters_in_row`."""
        self._share = settings.max_dead_letter_share
        self._window = settings.dead_letter_window
        self._in_row = settings.max_dead_letters_in_row
        self._windows: dict[int, _Window] = {}

    def check(
        self, partition: int, offsets: Int64s, failures: Sequence[Failure], *, live_from: int = 0
    ) -> None:
        """Count one poll's records of a partition; call it before anything else is done with them.

        Args:
            partition: its number.
            offsets: int64 [r], of all records polled, good and bad, ascending.
            failures: the bad records; ``position`` indexes into `offsets`, ascending.
            live_from: records below this offset are a replay and not counted.

        Raises:
            DeadLetterLimitError: too many are bad. Nothing of the batch may be committed.
        """
        if not (self._share or self._in_row):
            return
        window = self._windows.setdefault(partition, _Window())
        skip = int(np.searchsorted(offsets, max(live_from, window.next_offset)))
        count = len(offsets) - skip
        if count <= 0:
            return
        new = [_Bad(int(offsets[f.position]), f) for f in failures if f.position >= skip]
        ranks = np.fromiter((f.position for f in failures), np.int64, len(failures))
        ranks = ranks[len(failures) - len(new) :] - skip + window.seen
        before = len(window.ranks)
        window.ranks = np.concatenate((window.ranks, ranks))
        window.bad += new
        first = window.seen
        window.seen += count
        window.next_offset = int(offsets[-1]) + 1
        if len(window.ranks):
            self._judge_row(partition, window, ranks, first=first)
            self._judge_share(partition, window, before, first=first)
        self._forget_old(window)

    def forget(self, partition: int) -> None:
        """Begin anew: it went to somebody else, or what was counted as good was not."""
        self._windows.pop(partition, None)

    def _judge_row(self, partition: int, window: _Window, ranks: Int64s, *, first: int) -> None:
        carried, window.in_row = window.in_row, 0
        if not len(ranks):
            return
        # The row that each bad record ends: counted from the last place where a good one stood
        # before it. The row from before the batch goes on if its first record is bad.
        at = np.arange(len(ranks))
        begins = np.diff(ranks, prepend=-2) != 1
        lengths = at - np.maximum.accumulate(np.where(begins, at, 0)) + 1
        if carried and ranks[0] == first:
            lengths[ranks - at == first] += carried
        if ranks[-1] == window.seen - 1:
            window.in_row = int(lengths[-1])
        over = np.flatnonzero(lengths > self._in_row) if self._in_row else at[:0]
        if len(over):
            last = len(window.bad) - len(ranks) + int(over[0])
            bad = window.bad[max(last - self._in_row, 0) : last + 1]
            raise _error(
                partition,
                bad,
                f"{self._in_row + 1:,} records in a row could not be read",
                limit=f"stream.max_dead_letters_in_row is {self._in_row:,}",
            )

    def _judge_share(self, partition: int, window: _Window, before: int, *, first: int) -> None:
        """Judge at each new bad record, where alone the share grows, and when the window fills."""
        ends = window.ranks[before:]
        full = self._window - 1
        if first <= full < window.seen:
            ends = np.union1d(ends, [full])
        ends = ends[ends >= full]
        if not self._share or not len(ends):
            return
        stops = np.searchsorted(window.ranks, ends, side="right")
        starts = np.searchsorted(window.ranks, ends - self._window, side="right")
        over = np.flatnonzero(stops - starts > self._share * self._window)
        if len(over):
            start, stop = int(starts[over[0]]), int(stops[over[0]])
            raise _error(
                partition,
                window.bad[start:stop],
                f"{stop - start:,} of {self._window:,} records could not be read",
                limit=f"stream.max_dead_letter_share is {self._share:g}",
            )

    def _forget_old(self, window: _Window) -> None:
        oldest = window.seen - self._window
        in_window = len(window.ranks) - int(np.searchsorted(window.ranks, oldest))
        keep = max(in_window, min(window.in_row, self._in_row))
        if keep < len(window.bad):
            window.ranks = window.ranks[len(window.ranks) - keep :]
            window.bad = window.bad[len(window.bad) - keep :]


def _error(partition: int, bad: Sequence[_Bad], told: str, *, limit: str) -> DeadLetterLimitError:
    kinds = Counter((one.failure.stage, one.failure.exception) for one in bad)
    (kind, often), *_ = kinds.most_common(1)
    example = next(one for one in bad if (one.failure.stage, one.failure.exception) == kind)
    return DeadLetterLimitError(
        f"partition {partition}: {told} (offsets {bad[0].offset} to {bad[-1].offset}); {limit}. "
        f"Most frequent reason ({often:,} of {len(bad):,}), stage {kind[0]}, {kind[1]}: "
        f"{example.failure.message} (offset {example.offset}). Nothing from the last batch on is "
        "committed, the next start reads it again. Mend what sends these records; or, if they are "
        "right, correct stream.content_type or stream.channels; or, to give them up as dead "
        "letters, raise the limit (0 is none) until they are past."
    )

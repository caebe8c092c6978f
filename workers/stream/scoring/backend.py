"""Where scoring happens: in this process, or in Ray actors. One scorer code for both.

Scorers are stateless: any may serve any call, and a lost call is simply sent again. The caller
takes the scores in the order in which it submitted the work.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from detector.scoring import Detector, Scores
from workers.errors import VigieError
from workers.stream.state.history import Samples


class ScorerLostError(VigieError):
    """A scorer died, and a call with it: scoring again finds another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What to score: the arguments of `Detector.score`.

    Args:
        rows: float64 [T, C]; sequence behind sequence.
        times: int64 [T]; event time of each row.
        ends: int64 [n], ascending; row of each sample.
        lengths: int64 [n]; readings of its window, 1..R: rows[end-length+1 .. end].
        groups: int32 [n].
    """

    rows: NDArray[np.float64]
    times: NDArray[np.int64]
    ends: NDArray[np.int64]
    lengths: NDArray[np.int64]
    groups: NDArray[np.int32]

    def scores(self, detector: Detector) -> Scores:
        """Have it scored.

        Raises:
            Exception: whatever the detector does.
        """
        return detector.score(
            self.rows, self.ends, self.groups, lengths=self.lengths, times=self.times
        )

    def part(self, start: int, stop: int) -> Work:
        """Samples `start` to `stop`, with the rows that they need."""
        ends, lengths = self.ends[start:stop], self.lengths[start:stop]
        # The first window begins first: within a sequence, a window's beginning never goes back.
        first, last = (int(ends[0] - lengths[0]) + 1, int(ends[-1]) + 1) if len(ends) else (0, 0)
        return Work(
            rows=self.rows[first:last],
            times=self.times[first:last],
            ends=ends - first,
            lengths=lengths,
            groups=self.groups[start:stop],
        )

    @classmethod
    def of(cls, samples: Samples) -> Work:
        """Samples as a partition gives them."""
        return cls(
            rows=samples.rows,
            times=samples.times,
            ends=samples.ends,
            lengths=samples.lengths,
            groups=samples.groups,
        )

    @classmethod
    def joined(cls, parts: Sequence[Work]) -> Work:
        """Several, at least one, one behind the other; one alone as it is."""
        if len(parts) == 1:
            return parts[0]
        bases = np.cumsum([0, *(len(part.rows) for part in parts[:-1])]).tolist()
        return cls(
            rows=np.concatenate([part.rows for part in parts]),
            times=np.concatenate([part.times for part in parts]),
            ends=np.concatenate(
                [part.ends + base for part, base in zip(parts, bases, strict=True)]
            ),
            lengths=np.concatenate([part.lengths for part in parts]),
            groups=np.concatenate([part.groups for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one call: when it was sent, and the seconds that it waited and that it was computed."""

    sent_s: float
    queue_s: float
    device_s: float


class ScoringFuture(Protocol):
    """The scores of one call, some time.

    Attributes:
        timing: of the call, known with its scores; None while, or where, it is not.
    """

    timing: Timing | None

    def wait(self, timeout_s: float) -> bool:
        """Wait for the scores, at most `timeout_s`; whether they are there."""
        ...

    def scores(self) -> Scores:
        """The scores; blocks until they are there and raises what the scorer raised.

        Raises:
            ScorerLostError: the scorer died and the call with it.
        """
        ...

    def cancel(self) -> None:
        """The scores are not wanted any more."""
        ...


class Scoring(Protocol):
    """Takes work for scorers."""

    def submit(self, work: Work) -> ScoringFuture:
        """Have samples scored."""
        ...


class Done:
    """A future whose scores are there at once."""

    def __init__(self, outcome: Scores | Exception, timing: Timing | None = None) -> None:
        self._outcome, self.timing = outcome, timing

    def wait(self, timeout_s: float) -> bool:  # noqa: ARG002 - the protocol's
        """See `ScoringFuture`."""
        return True

    def scores(self) -> Scores:
        """See `ScoringFuture`."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def cancel(self) -> None:
        """See `ScoringFuture`."""


class LocalScoring:
    """Scores in the calling thread."""

    def __init__(self, detector: Detector) -> None:
        """Score with `detector`."""
        self._detector = detector

    def submit(self, work: Work) -> ScoringFuture:
        """Score now."""
        sent_s, began_s = time.time(), time.perf_counter()
        try:
            scores = work.scores(self._detector)
            return Done(scores, Timing(sent_s, 0.0, time.perf_counter() - began_s))
        except Exception as error:  # noqa: BLE001 - the future raises it, as an actor's would
            return Done(error)

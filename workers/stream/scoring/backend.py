"""Where scoring happens: in this process, or in Ray actors. One scorer code for both.

Scorers are stateless: any may serve any call, and a lost call is simply sent again. The caller
takes the scores in the order in which it submitted the work.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from detector.scoring import Detector, Scores
from workers.errors import VigieError

Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]


class ScorerLostError(VigieError):
    """A scorer died, and a call with it: scoring again finds another."""


class ScoringFuture(Protocol):
    """The scores of one call, some time."""

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

    def submit(self, rows: Float64s, ends: Int64s, groups: Int32s) -> ScoringFuture:
        """Have samples scored; the arguments are `Detector.score`'s."""
        ...


class Done:
    """A future whose scores are there at once."""

    def __init__(self, outcome: Scores | Exception) -> None:
        self._outcome = outcome

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

    def submit(self, rows: Float64s, ends: Int64s, groups: Int32s) -> ScoringFuture:
        """Score now."""
        try:
            return Done(self._detector.score(rows, ends, groups))
        except Exception as error:  # noqa: BLE001 - the future raises it, as an actor's would
            return Done(error)

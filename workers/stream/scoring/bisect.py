"""A scoring call that failed: tried again, then halved until the record at fault is found.

A call fails because its scorer died under it, because the scorer is broken, because the batch is
too large for the device, or because of one reading that no scorer survives. Scores do not depend on
how samples are cut into calls, so halves give the same numbers as the whole: what is too large gets
through in pieces, and what fails alone, again and again, while a harmless window beside it is
scored, is poison.

The probes come first (`workers.stream.scoring.call`): readings that are in no window yet. Where a
window of them fails, each of its readings is tried by itself, as a window of nothing else; one that
fails so is poison, and if none does, nothing is. Once the probes are through, no window holds an
older reading that fails by itself, so a sample that fails is its newest reading's fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from detector.scoring import POOLED, Scores
from workers.errors import TransactionAbortedError, VigieError
from workers.stream.health import ProgressTicks
from workers.stream.scoring.backend import Scoring, ScoringFuture, Work
from workers.stream.scoring.call import ScoringCall, join_scores, slice_scores

CONVICTING_FAILURES = 3
_ASK_S = 0.5


class ScoringFailedError(VigieError):
    """A scorer failed on a call."""


class ScorersBrokenError(TransactionAbortedError):
    """Scorers fail on harmless windows as well: nothing can be scored now."""


class PoisonFoundError(Exception):
    """No scorer survives this record; the batch has to be scored again without it."""

    def __init__(self, partition: int, offset: int, cause: str) -> None:
        super().__init__(f"partition {partition} offset {offset}: {cause}")
        self.partition, self.offset = partition, offset


@dataclass(frozen=True, kw_only=True)
class BatchBisector:
    """Scores failed calls.

    Args:
        scoring: takes the calls.
        receptive_field: R of the model.
        channels: C of the model.
        progress: ticks with each answer.
    """

    scoring: Scoring
    receptive_field: int
    channels: int
    progress: ProgressTicks

    def answer(self, future: ScoringFuture, samples: int) -> Scores:
        """The scores of a call.

        Raises:
            ScoringFailedError: there are none, or not those asked for.
        """
        try:
            while not future.wait(_ASK_S):
                pass
            scores = future.scores()
        except Exception as error:
            raise ScoringFailedError(f"{type(error).__name__}: {error}") from error
        finally:
            self.progress.tick()
        if scores.score.shape != (samples,) or scores.expected.shape != (samples, self.channels):
            raise ScoringFailedError(
                f"the scorer gave {scores.score.shape} scores for {samples} samples of "
                f"{self.channels} channels"
            )
        return scores

    def scores(self, call: ScoringCall) -> Scores:
        """The scores of a call; it is halved if it fails.

        Raises:
            PoisonFoundError: the first record found that cannot be scored.
            ScorersBrokenError: it is not the records.
        """
        try:
            return self.answer(call.future, len(call.work.ends))
        except ScoringFailedError as error:
            log = structlog.get_logger("vigie.bisect")
            log.warning("scoring_failed", of=str(call), samples=call.samples, cause=str(error))
        if len(call.work.ends) > call.samples:
            scores = self._with_probes(call)
        else:
            scores = self._scores(call, 0, call.samples)
        log.info("scoring_recovered", of=str(call))
        return scores

    def _with_probes(self, call: ScoringCall) -> Scores:
        try:
            return self._part(call, 0, len(call.work.ends))
        except ScoringFailedError:
            of_probes = self._probe(call, call.samples, len(call.work.ends))
        if call.samples:
            return self._scores(call, 0, call.samples)
        return slice_scores(of_probes, 0, 0)

    def _scores(self, call: ScoringCall, start: int, stop: int) -> Scores:
        try:
            return self._part(call, start, stop)
        except ScoringFailedError as error:
            if start == stop:  # a call about nothing: no record can be at fault
                return self._last_resort(lambda: self._part(call, start, stop), None, error)
            if stop - start == 1:
                place = call.places()[start]
                return self._last_resort(lambda: self._part(call, start, stop), place, error)
        middle = (start + stop) // 2
        return join_scores([self._scores(call, start, middle), self._scores(call, middle, stop)])

    def _probe(self, call: ScoringCall, start: int, stop: int) -> Scores:
        """Find a reading of these probes that fails by itself; else the scores of something."""
        try:
            return self._part(call, start, stop)
        except ScoringFailedError:
            if stop - start > 1:
                middle = (start + stop) // 2
                self._probe(call, start, middle)
                return self._probe(call, middle, stop)
            field = self.receptive_field
            first = call.samples + (start - call.samples) * field
            rows = call.work.part(start, stop).rows
            places = call.places()[first : first + field]
            return [self._try_alone(row, place) for row, place in zip(rows, places, strict=False)][
                -1
            ]

    def _try_alone(self, row: NDArray[np.float64], place: tuple[int, int]) -> Scores:
        rows = np.tile(row, (self.receptive_field, 1))
        try:
            return self._window(rows)
        except ScoringFailedError as error:
            return self._last_resort(lambda: self._window(rows), place, error)

    def _last_resort(
        self,
        attempt: Callable[[], Scores],
        place: tuple[int, int] | None,
        error: ScoringFailedError,
    ) -> Scores:
        """A single sample: its failures count only while a harmless window is scored."""
        for _ in range(CONVICTING_FAILURES):
            self._control()
            try:
                return attempt()
            except ScoringFailedError as again:
                error = again
        self._control()
        if place is None:
            raise ScorersBrokenError(f"scorers fail on an empty call: {error}") from error
        raise PoisonFoundError(*place, str(error)) from error

    def _control(self) -> None:
        try:
            self._window(np.zeros((self.receptive_field, self.channels)))
        except ScoringFailedError as error:
            raise ScorersBrokenError(f"scorers fail on a harmless window: {error}") from error

    def _window(self, rows: NDArray[np.float64]) -> Scores:
        work = Work(
            rows=rows,
            times=np.zeros(len(rows), np.int64),
            ends=np.array([len(rows) - 1]),
            lengths=np.array([len(rows)]),
            groups=np.full(1, POOLED, np.int32),
        )
        return self.answer(self.scoring.submit(work), samples=1)

    def _part(self, call: ScoringCall, start: int, stop: int) -> Scores:
        return self.answer(self.scoring.submit(call.work.part(start, stop)), stop - start)

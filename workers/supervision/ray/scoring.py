"""Scoring in Ray actors: the calls, and which scorer gets one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detector.scoring import Scores
from workers.stream.scoring.backend import ScorerLostError, ScoringFuture, Timing, Work
from workers.supervision.launcher import ActorAwayError, ActorLostError
from workers.supervision.ray.polled_call import PolledCall

_ASK_AGAIN_S = 0.05
_ANOTHER_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a scorer gives back: scores, when by its wall clock it began, and how long it took."""

    scores: Scores
    began_s: float
    took_s: float


@dataclass(frozen=True, slots=True)
class PlacedScorer:
    """A scorer actor, and the node it runs on, as Ray names it."""

    actor: Any
    node: str


class RayScoring:
    """Sends work to scorer actors: to the one with the fewest calls under way, a near one first.

    A batch that goes over the network costs more than one that stays in shared memory, so a scorer
    of another node counts as if it had one call more.

    A call that dies with its actor is not sent again here: `workers.stream.scoring.bisect` has
    to know.
    """

    def __init__(self, scorers: Sequence[PlacedScorer], *, node: str) -> None:
        """Send to these, from a worker that runs on `node`."""
        self._node = node
        self._lines = _lines(scorers)
        self.is_waiting = False
        """Whether the caller waits for any scorer to be there; asked from any thread."""

    def use(self, scorers: Sequence[PlacedScorer]) -> None:
        """Send the calls to these from now on; from any thread.

        Calls under way stay where they are. Handles used before keep their count of them.
        """
        self._lines = _lines(scorers, self._lines)

    def submit(self, work: Work) -> ScoringFuture:
        """Send the work to the scorer that has the least to do, or is nearest."""
        alive = [line for line in self._lines if line.is_alive()] or self._lines
        line = min(alive, key=self._cost)
        line.calls += 1
        return _RayFuture(line.scorer.score.remote(work), line, self)

    def _cost(self, line: _Line) -> tuple[int, bool]:
        is_far = line.node != self._node
        return line.calls + is_far, is_far

    def wait(self, timeout_s: float) -> None:
        """Return when a scorer answers, at the latest after `timeout_s`.

        While Ray restarts an actor, every call to it fails at once: who tried again at once would
        lose that call too, and think that it is the call that kills.
        """
        until_s = time.monotonic() + timeout_s
        self.is_waiting = True
        try:
            while time.monotonic() < until_s and not any(line.is_alive() for line in self._lines):
                time.sleep(_ASK_AGAIN_S)
        finally:
            self.is_waiting = False


@dataclass
class _Line:
    """A scorer, and how many calls it has from here."""

    scorer: Any
    node: str
    calls: int = 0
    question: PolledCall | None = None  # since a call was lost

    def lost(self) -> None:
        """A call was lost: send none here before it answers a question."""
        self.question = PolledCall(self.scorer.heartbeat)
        self.is_alive()

    def is_alive(self) -> bool:
        """Whether the scorer is there, as far as one knows without waiting."""
        if self.question is None:
            return True
        try:
            if self.question.answer() is None:
                return False
        except (ActorLostError, ActorAwayError):
            return False
        self.question = None
        return True


def _lines(scorers: Sequence[PlacedScorer], before: Sequence[_Line] = ()) -> list[_Line]:
    if not scorers:
        raise ValueError("scoring in actors needs at least one scorer")
    known = {line.scorer: line for line in before}
    lines = [known.get(at.actor) or _Line(at.actor, at.node) for at in scorers]
    for line, at in zip(lines, scorers, strict=True):
        line.node = at.node  # Ray may have started it again elsewhere
    return lines


class _RayFuture:
    def __init__(self, reference: Any, line: _Line, scoring: RayScoring) -> None:
        self._reference = reference
        self._line, self._scoring = line, scoring
        self._sent_s = time.time()
        self.timing: Timing | None = None

    def wait(self, timeout_s: float) -> bool:
        import ray

        ready, _ = ray.wait([self._reference], timeout=timeout_s, fetch_local=True)
        return bool(ready)

    def scores(self) -> Scores:
        import ray

        reference, self._reference = self._reference, None
        try:
            answer: Answer = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            self._line.lost()
            self._scoring.wait(_ANOTHER_WITHIN_S)
            raise ScorerLostError(f"a scorer died with its call: {error}") from error
        finally:
            self._line.calls -= 1
        # By the clocks of two machines: what they are apart is in it, but for less than nothing.
        self.timing = Timing(self._sent_s, max(answer.began_s - self._sent_s, 0.0), answer.took_s)
        return answer.scores

    def cancel(self) -> None:
        self._reference = None
        self._line.calls -= 1

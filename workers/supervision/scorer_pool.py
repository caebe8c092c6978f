"""The scorers of a run: started, watched, replaced when they hang, retired in peace.

Ray restarts a scorer whose process dies, behind the same handle. What Ray does not see is one that
hangs: stopped, or stuck in a call. Its ingest workers would stand still before it, so it has half
the time that they have.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import structlog

from workers.errors import ClusterError
from workers.supervision.actors import (
    Scorer,
    Staff,
    WorkerAwayError,
    WorkerGoneError,
)
from workers.supervision.managed_actor import READY_WITHIN_S, Reason
from workers.supervision.restarts import CrashLoopError, RestartPolicy
from workers.supervision.status import ScorerPulse


@dataclass(kw_only=True)
class _Seat:
    number: int
    scorer: Scorer
    ready: bool = False
    """It has answered at some time, so calls may go to it."""
    answered: bool = False
    """It has answered since it last (re)started."""
    silent_s: float = 0.0
    stuck_s: float = 0.0
    pulse: ScorerPulse | None = None


@dataclass(kw_only=True)
class ScorerPool:
    """See the module's text.

    Attributes:
        staff: hires them.
        policy: bounds how often one that is gone for good gets a successor.
        stall_timeout_s: of the settings.
        retire_after_s: how long a retired one still answers the calls it has.
        replaced: killed or found dead, by reason.
    """

    staff: Staff
    policy: RestartPolicy
    stall_timeout_s: float
    retire_after_s: float
    replaced: Counter[str] = field(default_factory=Counter)
    _seats: list[_Seat] = field(default_factory=list)
    _retired: list[tuple[Scorer, float]] = field(default_factory=list)
    _hired: int = 0
    _hire_at_s: float = 0.0

    @property
    def ready(self) -> list[Scorer]:
        """Those that calls may be sent to."""
        return [seat.scorer for seat in self._seats if seat.ready]

    @property
    def count(self) -> int:
        """Those that are here or on their way."""
        return len(self._seats)

    def reach(self, target: int, now_s: float) -> None:
        """Hire or retire until there are `target`."""
        while len(self._seats) < target and now_s >= self._hire_at_s:
            self._seats.append(_Seat(number=self._hired, scorer=self.staff.scorer()))
            _log().info("scorer_started", scorer=self._hired)
            self._hired += 1
        while len(self._seats) > target:
            seat = self._seats.pop()
            # Its ingest workers hear of it at about the same time; what it has, it finishes.
            self._retired.append((seat.scorer, now_s + self.retire_after_s))
            _log().info("scorer_retired", scorer=seat.number)

    def tick(self, now_s: float, passed_s: float) -> bool:
        """Look after them all; whether one that was hired later found no room, and was let go.

        Raises:
            ClusterError: none of the first ones could start.
            CrashLoopError: they are gone for good again and again.
        """
        for scorer, until_s in self._retired:
            if now_s >= until_s:
                scorer.kill()
        self._retired = [(s, until_s) for s, until_s in self._retired if now_s < until_s]
        no_room = False
        for seat in list(self._seats):
            try:
                self._look(seat, passed_s)
            except WorkerGoneError as error:
                self._gone(seat, error, now_s)
            except TimeoutError:
                self._let_go(seat)
                no_room = True
        if no_room and not self.ready:
            raise ClusterError(
                f"no scorer started within {READY_WITHIN_S:g} s: lower workers.scorers or "
                "workers.num_gpus_per_scorer, or give the cluster more"
            )
        return no_room

    def end(self) -> None:
        """End them all."""
        for scorer in (*(seat.scorer for seat in self._seats), *(s for s, _ in self._retired)):
            scorer.kill()
        self._seats, self._retired = [], []

    def _look(self, seat: _Seat, passed_s: float) -> None:
        """Look after one.

        Raises:
            WorkerGoneError: it is gone for good.
            TimeoutError: it never started.
        """
        limit_s = self.stall_timeout_s / 2
        before, pulse = seat.pulse, None
        try:
            pulse = seat.scorer.pulse()
        except WorkerAwayError:
            if seat.answered:  # to start takes longer than to answer
                seat.answered, seat.silent_s = False, 0.0
        if pulse is None:
            seat.silent_s += passed_s
            if not seat.answered and seat.silent_s >= READY_WITHIN_S:
                raise TimeoutError
            if seat.answered and seat.silent_s >= limit_s:
                self._replace(seat, Reason.SILENT, f"it gave no answer for {limit_s:g} s")
            return
        if before is not None and pulse.pid != before.pid:
            self._tell(seat, Reason.DIED, "its process ended")
            before = None
        seat.ready = seat.answered = True
        seat.silent_s, seat.pulse = 0.0, pulse
        stuck = before is not None and pulse.begun > pulse.ended == before.ended
        seat.stuck_s = seat.stuck_s + passed_s if stuck else 0.0
        if seat.stuck_s >= limit_s:
            self._replace(seat, Reason.STALLED, f"one call took more than {limit_s:g} s")

    def _gone(self, seat: _Seat, error: WorkerGoneError, now_s: float) -> None:
        self._let_go(seat)
        delay_s = self.policy.failed(now_s)
        if delay_s is None:
            raise CrashLoopError(
                f"scorers are gone for good again and again. The last cause: {error}"
            ) from error
        self._hire_at_s = now_s + delay_s
        self._tell(seat, Reason.DIED, str(error))

    def _let_go(self, seat: _Seat) -> None:
        seat.scorer.kill()
        self._seats.remove(seat)

    def _replace(self, seat: _Seat, reason: Reason, cause: str) -> None:
        seat.scorer.restart()
        seat.answered, seat.silent_s, seat.stuck_s, seat.pulse = False, 0.0, 0.0, None
        self._tell(seat, reason, cause)

    def _tell(self, seat: _Seat, reason: Reason, cause: str) -> None:
        self.replaced[reason] += 1
        _log().warning("scorer_replaced", scorer=seat.number, reason=reason.value, cause=cause)


def _log() -> Any:
    return structlog.get_logger("vigie.supervisor")

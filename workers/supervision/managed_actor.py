"""One place for an ingest worker: started, watched, restarted, drained, left. Decides no numbers.

A slot has a number, and its workers one after the other the same name in the group. Its stages:

    IDLE -> WORKING -> DRAINING -> LEAVING -> IDLE
              |  ^
              v  |
             WAITING

`watch` finds out that a worker is gone or has to go and says why; whether and when there is another
one is the supervisor's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from workers.errors import VigieError
from workers.stream.health import Health, Phase
from workers.supervision.actors import (
    Scorer,
    Staff,
    Worker,
)
from workers.supervision.restarts import RestartPolicy

READY_WITHIN_S: Final = 120.0
FENCED_AGAIN_WITHIN_S: Final = 60.0


class Stage(StrEnum):
    """What is the matter with a slot."""

    IDLE = "idle"
    """Nobody is here."""
    WORKING = "working"
    """A worker is, or should be."""
    WAITING = "waiting"
    """The worker is gone; another one starts soon."""
    DRAINING = "draining"
    """The worker finishes what it has begun."""
    LEAVING = "leaving"
    """The worker is gone and its name is being taken off the group."""


class Reason(StrEnum):
    """Why a worker is gone or had to go."""

    DIED = "died"
    """Its process or its run ended."""
    SILENT = "silent"
    """It gave no answer: stopped, or stuck in foreign code."""
    STALLED = "stalled"
    """It stood still with work before it."""
    NO_ROOM = "no_room"
    """It never started."""


class WorkerHungError(VigieError):
    """A worker lives and does nothing."""


@dataclass(frozen=True, kw_only=True)
class Gone:
    """A worker that is gone, or has to go.

    Attributes:
        reason: in one word.
        cause: what it was.
    """

    reason: Reason
    cause: BaseException


class Slot:
    """See the module's text."""

    def __init__(
        self,
        number: int,
        *,
        staff: Staff,
        policy: RestartPolicy,
        stall_timeout_s: float,
        is_extra: bool,
    ) -> None:
        """A slot without a worker.

        Args:
            number: of the slot, from 0.
            staff: hires its workers.
            policy: bounds how often.
            stall_timeout_s: see `WorkerSettings`.
            is_extra: it came by scaling out, so the run can do without it.
        """
        self.number, self.is_extra = number, is_extra
        self.policy = policy
        self.stage = Stage.IDLE
        self.answered = False
        self.finished = False
        self.restarts = 0
        self.restart_at_s = 0.0
        self.drain_until_s = 0.0
        self.departure: Future[None] | None = None
        self._staff = staff
        self._stall_timeout_s = stall_timeout_s
        self._worker: Worker | None = None
        self._silent_s = 0.0
        self._fenced_at_s = -math.inf
        self._past = self._own = Health(slot=number)
        self.health = self._own

    @property
    def worker(self) -> Worker | None:
        """The worker that is here now."""
        return self._worker

    def start(self, scorers: Sequence[Scorer]) -> None:
        """Put a worker here."""
        self._worker = self._staff.ingest(self.number, scorers)
        self.stage = Stage.WORKING
        self.answered, self.finished, self._silent_s = False, False, 0.0
        self._note(Health(slot=self.number))

    def watch(self, passed_s: float) -> Gone | None:
        """Look after the worker.

        Args:
            passed_s: time since the last look in which we could have heard of it. A driver that was
                stopped itself must not blame its workers.
        """
        worker = self._worker
        if worker is None:
            return None
        if worker.over():
            return Gone(reason=Reason.DIED, cause=self._end_of(worker))
        health = worker.health()
        if health is None:
            self._silent_s += passed_s
            return self._gone_silent()
        self._silent_s, self.answered = 0.0, True
        self._note(health)
        if health.stalls:
            said = f"it stood still for {self._stall_timeout_s:g} s with work before it"
            return Gone(reason=Reason.STALLED, cause=WorkerHungError(said))
        return None

    def clear(self) -> None:
        """End the worker, keep its counts."""
        if self._worker is not None:
            self._worker.kill()
        self._worker = None
        self._past = self.health
        self._own = Health(slot=self.number)

    def wait(self, until_s: float) -> None:
        """The worker is gone; another one may start at a time."""
        self.clear()
        self.stage, self.restart_at_s = Stage.WAITING, until_s
        self.health = self._past = replace(self.health, phase=Phase.STARTING)

    def rest(self, phase: Phase) -> None:
        """Nobody is here any more."""
        self.clear()
        self.stage = Stage.IDLE
        self.health = self._past = self.health.at_rest(phase)

    def has_rival(self, now_s: float) -> bool:
        """Note that the worker was fenced; whether it looks as if another run has our name.

        Once, it may be the broker alone: one that went down before it had written who goes by this
        name knows the worker before. The next worker takes the name over. A rival takes it back.
        """
        before_s, self._fenced_at_s = self._fenced_at_s, now_s
        return now_s - before_s <= FENCED_AGAIN_WITHIN_S

    def _gone_silent(self) -> Gone | None:
        if not self.answered:
            if self._silent_s < READY_WITHIN_S:
                return None
            said = f"it did not start within {READY_WITHIN_S:g} s"
            return Gone(reason=Reason.NO_ROOM, cause=WorkerHungError(said))
        # Loading a model may hold the interpreter for long; afterwards nothing should.
        starting = self._own.phase is Phase.STARTING
        limit_s = max(self._stall_timeout_s, READY_WITHIN_S) if starting else self._stall_timeout_s
        if self._silent_s < limit_s:
            return None
        said = f"it gave no answer for {limit_s:g} s"
        return Gone(reason=Reason.SILENT, cause=WorkerHungError(said))

    def _end_of(self, worker: Worker) -> BaseException:
        """How the run ended, with the last counts of it."""
        try:
            self._note(worker.result())
            self.finished = True
        except Exception as error:  # noqa: BLE001 - it travels on as the cause
            # Where only the run failed, the actor still knows what was committed since.
            last = worker.last_health()
            if last is not None:
                self._note(last)
            return error
        return VigieError("the worker ended without being asked")

    def _note(self, health: Health) -> None:
        self._own = health
        self.health = health.carried(self._past)

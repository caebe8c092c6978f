"""The life of a managed actor, ingest worker or scorer: one state machine for both.

A `ManagedActor` is a slot with a number. The actors in it come one after the other; ingest workers
of one slot have the same name in the group.

1. IDLE: the slot is empty. An actor is started and is STARTING until its first heartbeat, then
   READY.
2. READY or not, it may be lost: its process dies, it falls silent, or it stands still with work
   before it. Then it is killed, and the slot is WAITING until the next one may start.
3. An actor that Ray restarts behind the same handle (a scorer) is RESTARTING meanwhile: it keeps
   its place, and calls may go to it.
4. An actor that is no longer wanted is DRAINING: it finishes what it has begun, in a limited time.
   Then it is gone, and LEAVING until its name is off the group; the slot is IDLE again.
5. An actor that never started for want of room is given up: IDLE.

`TRANSITIONS` is all of that. Every method that is an event looks it up first: an illegal event
raises and changes nothing. `watch` finds out that an actor is gone or has to go and says why; what
is done about it, and how many actors there should be, is the supervisor's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from workers.errors import VigieError
from workers.stream.health import Health, Phase
from workers.supervision.launcher import (
    ActorAwayError,
    ActorEndedError,
    ActorHandle,
    ActorLostError,
    Heartbeat,
    OtherVersionError,
    other_version,
)
from workers.supervision.restarts import CrashLoopError, RestartPolicy
from workers.supervision.status import Kind
from workers.version import own_version

LOADS_WITHIN_S: Final = 120.0
"""The longest silence of an actor that has a node and loads its model."""
PLACED_WITHIN_S: Final = 30.0
"""One that is silent for longer after its start waits for a place, or for a node."""
FENCED_AGAIN_WITHIN_S: Final = 60.0
NAMES: Final = {Kind.INGEST: "ingest worker", Kind.SCORERS: "scorer"}


class ActorStage(StrEnum):
    """Where in its life an actor is; see the module's text."""

    IDLE = "idle"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    WAITING = "waiting"
    DRAINING = "draining"
    LEAVING = "leaving"


class Event(StrEnum):
    """What happens to an actor."""

    START = "start"
    ANSWER = "answer"
    RESTART = "restart"
    LOSE = "lose"
    DRAIN = "drain"
    LEAVE = "leave"
    STOP = "stop"


TRANSITIONS: Final[Mapping[tuple[ActorStage, Event], ActorStage]] = {
    (ActorStage.IDLE, Event.START): ActorStage.STARTING,
    (ActorStage.STARTING, Event.ANSWER): ActorStage.READY,
    (ActorStage.STARTING, Event.LOSE): ActorStage.WAITING,
    (ActorStage.STARTING, Event.DRAIN): ActorStage.DRAINING,
    (ActorStage.STARTING, Event.STOP): ActorStage.IDLE,
    (ActorStage.READY, Event.RESTART): ActorStage.RESTARTING,
    (ActorStage.READY, Event.LOSE): ActorStage.WAITING,
    (ActorStage.READY, Event.DRAIN): ActorStage.DRAINING,
    (ActorStage.RESTARTING, Event.ANSWER): ActorStage.READY,
    (ActorStage.RESTARTING, Event.LOSE): ActorStage.WAITING,
    (ActorStage.RESTARTING, Event.DRAIN): ActorStage.DRAINING,
    (ActorStage.RESTARTING, Event.STOP): ActorStage.IDLE,
    (ActorStage.WAITING, Event.START): ActorStage.STARTING,
    (ActorStage.WAITING, Event.DRAIN): ActorStage.LEAVING,
    (ActorStage.DRAINING, Event.LEAVE): ActorStage.LEAVING,
    (ActorStage.LEAVING, Event.STOP): ActorStage.IDLE,
}


class Reason(StrEnum):
    """Why an actor is gone or has to go."""

    DIED = "died"
    """Its process or its run ended."""
    SILENT = "silent"
    """It gave no answer: stopped, or stuck in foreign code."""
    STALLED = "stalled"
    """It stood still with work before it."""
    NO_ROOM = "no_room"
    """It never started."""
    OTHER_VERSION = "other_version"
    """It runs another version of Vigie than its driver: its node has another image."""


class IllegalTransitionError(RuntimeError):
    """An event that cannot happen at this stage: a mistake of ours."""


class ActorHungError(VigieError):
    """An actor lives and does nothing."""


@dataclass(frozen=True, kw_only=True)
class ActorExit:
    """An actor that is gone, or has to go; `restarted`: another process is behind its handle."""

    reason: Reason
    cause: BaseException
    restarted: bool = False


class ManagedActor:
    """See the module's text."""

    def __init__(
        self,
        slot: int,
        *,
        kind: Kind,
        policy: RestartPolicy,
        stall_after_s: float,
        start_timeout_s: float,
    ) -> None:
        """An empty slot.

        Args:
            slot: its number.
            kind: of the actors in it.
            policy: when a lost one may have a successor.
            stall_after_s: the longest silence, and call, of a ready actor.
            start_timeout_s: the longest silence of one that has not answered yet: a node may have
                to come for it.
        """
        self.slot, self.kind = slot, kind
        self.stage = ActorStage.IDLE
        self.handle: ActorHandle | None = None
        self.finished = False
        """The last one ended by itself, with everything done."""
        self.is_outdated = False
        """It is to be exchanged for one of another launcher."""
        self.restarts = 0
        self.restart_at_s = self.drain_until_s = 0.0
        self.departure: Future[None] | None = None
        """Its name being taken off the group."""
        self._policy, self._stall_after_s = policy, stall_after_s
        self._start_timeout_s = start_timeout_s
        self._silent_s = self._stuck_s = 0.0
        self._fenced_at_s = -math.inf
        self._last: Heartbeat | None = None
        self._past = self.health = Health(slot=slot)
        """Of ingest workers, with the counts of those before."""

    @property
    def is_ready(self) -> bool:
        """Whether it has answered and is expected to go on: calls may go to it."""
        return self.stage in {ActorStage.READY, ActorStage.RESTARTING}

    @property
    def waits_for_room(self) -> bool:
        """Whether it has not answered since its start, for longer than where there is room."""
        return self.stage is ActorStage.STARTING and self._silent_s >= PLACED_WITHIN_S

    @property
    def node(self) -> str | None:
        """Where it runs, as Ray names it, as far as it has said so."""
        return None if self.handle is None or self._last is None else self._last.node

    def can(self, event: Event) -> bool:
        """Whether the event is legal now."""
        return (self.stage, event) in TRANSITIONS

    # -- events ----------------------------------------------------------------------------------

    def start(self, launch: Callable[[], ActorHandle]) -> None:
        """Put an actor here."""
        after = self._after(Event.START)
        self.handle = launch()
        self.restarts += self.stage is ActorStage.WAITING
        self.finished = self.is_outdated = False
        self._last = None
        self._silent_s = self._stuck_s = 0.0
        self._note(Health(slot=self.slot))
        self.stage = after

    def lose(self, cause: BaseException, now_s: float) -> float:
        """The actor is gone; gives after how many seconds another one may start.

        Raises:
            CrashLoopError: too many were lost.
        """
        after = self._after(Event.LOSE)
        delay_s = self._policy.failed(now_s)
        if delay_s is None:
            raise CrashLoopError(
                f"{NAMES[self.kind]} {self.slot} was lost more than {self._policy.limit} times "
                f"within {self._policy.window_s:g} s (workers.max_restarts, "
                f"workers.restart_window_s). The last cause: {one_line(cause)}"
            ) from cause
        self.kill()
        self.stage, self.restart_at_s = after, now_s + delay_s
        self.health = self._past = replace(self.health, phase=Phase.STARTING)
        return delay_s

    def drain(self, until_s: float) -> None:
        """The slot is no longer wanted: have the actor, if there is one, finish by then."""
        after = self._after(Event.DRAIN)
        if self.handle is not None:
            self.handle.stop()
        self.stage, self.drain_until_s = after, until_s

    def leave(self) -> None:
        """The drain is over."""
        after = self._after(Event.LEAVE)
        self.kill()
        self.stage = after

    def stop(self, phase: Phase) -> None:
        """The slot is empty again."""
        after = self._after(Event.STOP)
        self.kill()
        self.stage, self.restart_at_s, self.departure = after, 0.0, None
        self.health = self._past = self.health.at_rest(phase)

    def watch(self, passed_s: float) -> ActorExit | None:
        """Look after the actor, `passed_s` after the last look.

        Only time in which we could have heard of it counts: a driver that was stopped itself must
        not blame its workers.
        """
        if self.handle is None:
            return None
        heartbeat = None
        try:
            heartbeat = self.handle.heartbeat()
        except ActorEndedError as end:
            if end.health is not None:
                self._note(end.health)
            self.finished = end.cause is None
            cause = end.cause or VigieError("it ended without being asked")
            is_other = isinstance(cause, OtherVersionError)  # its run refused the work
            reason = Reason.OTHER_VERSION if is_other else Reason.DIED
            return ActorExit(reason=reason, cause=cause)
        except ActorAwayError:
            if self.can(Event.RESTART):  # to start takes longer than to answer
                self._restarted()
        if heartbeat is None:
            self._silent_s += passed_s
            return self._exit_of_the_silent()
        return self._take(heartbeat, passed_s)

    # -- of a process ----------------------------------------------------------------------------

    def kill(self) -> None:
        """End the process, if there is one. No event: the whole run may be over."""
        if self.handle is not None:
            self.handle.kill()
        self.handle = None

    def has_rival(self, now_s: float) -> bool:
        """Note that the worker was fenced; whether it looks as if another run has our name.

        Once, it may be the broker alone: one that went down before it had written who goes by this
        name knows the worker before. The next worker takes the name over. A rival takes it back.
        """
        before_s, self._fenced_at_s = self._fenced_at_s, now_s
        return now_s - before_s <= FENCED_AGAIN_WITHIN_S

    def _take(self, heartbeat: Heartbeat, passed_s: float) -> ActorExit | None:
        before, self._last, self._silent_s = self._last, heartbeat, 0.0
        if (error := other_version(heartbeat, own_version())) is not None:
            return ActorExit(reason=Reason.OTHER_VERSION, cause=error)
        if self.can(Event.ANSWER):
            self.stage = self._after(Event.ANSWER)
        if before is not None and heartbeat.pid != before.pid:
            self._stuck_s = 0.0
            cause = ActorLostError("its process ended")
            return ActorExit(reason=Reason.DIED, cause=cause, restarted=True)
        limit_s = self._stall_after_s
        is_stuck = before is not None and heartbeat.begun > heartbeat.ended == before.ended
        self._stuck_s = self._stuck_s + passed_s if is_stuck else 0.0
        if self._stuck_s >= limit_s:
            return self._hung(Reason.STALLED, f"one call took more than {limit_s:g} s")
        if heartbeat.health is not None:
            self._note(heartbeat.health)
            if heartbeat.health.stalls:
                said = f"it stood still for {limit_s:g} s with work before it"
                return self._hung(Reason.STALLED, said)
        return None

    def _exit_of_the_silent(self) -> ActorExit | None:
        reason, limit_s, said = Reason.SILENT, self._stall_after_s, "gave no answer for"
        if self.stage is ActorStage.STARTING:
            reason, limit_s, said = Reason.NO_ROOM, self._start_timeout_s, "did not start within"
        elif self.can(Event.ANSWER) or self._last is None or self._last.is_loading:
            # It has had a place: if it is gone, the next actor in this slot may wait for another.
            limit_s = max(limit_s, min(LOADS_WITHIN_S, self._start_timeout_s))
        return self._hung(reason, f"it {said} {limit_s:g} s") if self._silent_s >= limit_s else None

    def _hung(self, reason: Reason, said: str) -> ActorExit:
        is_restarted = self.can(Event.RESTART) and self.handle is not None and self.handle.restart()
        if is_restarted:
            self._restarted()
            self._last = None  # the next process is no surprise
        return ActorExit(reason=reason, cause=ActorHungError(said), restarted=is_restarted)

    def _restarted(self) -> None:
        self.stage = self._after(Event.RESTART)
        self._silent_s = self._stuck_s = 0.0

    def _note(self, health: Health) -> None:
        self.health = health.carried(self._past)

    def _after(self, event: Event) -> ActorStage:
        if not self.can(event):
            raise IllegalTransitionError(
                f"{self.kind} {self.slot} is {self.stage}: it cannot {event}"
            )
        return TRANSITIONS[self.stage, event]


def one_line(cause: BaseException) -> str:
    """What the error says, in one line."""
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0]}"

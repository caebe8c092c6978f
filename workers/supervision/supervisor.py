"""Who supervises whom: the driver starts workers, watches them, restarts, scales and drains them.

The driver owns every actor, so when it dies they die with it, and its restart replays. Every
quarter of a second, and at once when a worker's run ends, a tick

1. looks after each worker: one that is gone, silent or stalled is replaced, after a pause that
   grows, until that happens too often;
2. shows the load to `Targets`, which may change its mind about the numbers;
3. starts and drains workers until the numbers are reached. Slots 0 to target - 1 have workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog

from schemas.settings import Settings
from workers.errors import ClusterError, FencedError, RunEndedError, SettingsError, VigieError
from workers.stream.health import (
    Health,
    Phase,
)
from workers.supervision.actors import (
    Scorer,
    Staff,
)
from workers.supervision.managed_actor import READY_WITHIN_S, Gone, Reason, Slot, Stage
from workers.supervision.plan import Plan
from workers.supervision.restarts import CrashLoopError, RestartPolicy
from workers.supervision.scorer_pool import ScorerPool
from workers.supervision.status import Staffing
from workers.supervision.targets import INGEST, SCORERS, ScaleRefusedError, Targets, Wish

__all__ = ["CrashLoopError", "GroupOffice", "Supervisor"]

_TICK_S: Final = 0.25
_LOOK_EVERY_S: Final = 1.0
_COUNT_EVERY_S: Final = 30.0
_DRAIN_GRACE_S: Final = 10.0
_GOODBYE_WITHIN_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class GroupOffice:
    """What only the broker can do or tell. Both calls may block, and may raise a `VigieError`.

    Attributes:
        partitions: how many the readings have now.
        remove: takes the members of these slots off the group: a static member stays in it, with
            its partitions, until its session times out.
    """

    partitions: Callable[[], int]
    remove: Callable[[Sequence[int]], None]


def two_clerks() -> Executor:
    """Threads for calls to the broker: a slow count must not hold up a departure."""
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="vigie-office")


class Supervisor:
    """Runs the workers of one set of settings."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        *,
        staff: Staff,
        office: GroupOffice,
        monotonic_s: Callable[[], float],
        wall_s: Callable[[], float],
        rng: Random,
        open_office: Callable[[], Executor] = two_clerks,
    ) -> None:
        """Wire the parts; nobody is hired before `run`.

        Args:
            settings: all settings.
            plan: what to begin with.
            staff: hires workers.
            office: talks to the broker.
            monotonic_s: a clock that never goes back.
            wall_s: seconds since 1970, for what is told.
            rng: spreads restarts.
            open_office: makes what runs the calls of `office`, which may block.
        """
        self._settings, self._plan = settings, plan
        self._staff, self._office = staff, office
        self._monotonic_s, self._rng = monotonic_s, rng
        self._targets = Targets(settings, plan, monotonic_s=monotonic_s, wall_s=wall_s)
        self._pool = ScorerPool(
            staff=staff,
            policy=self._policy(),
            stall_timeout_s=settings.workers.stall_timeout_s,
            retire_after_s=settings.processing.drain_timeout_s,
        )
        self._slots: list[Slot] = []
        self._told_scorers: list[Scorer] = []
        self._replaced: Counter[str] = Counter()
        self._ending = False
        self._ticked_at_s = self._look_at_s = 0.0
        self._count_at_s = 0.0
        self._counting: Future[int] | None = None
        self._open_office = open_office
        self._clerk: Executor | None = None
        self._log = structlog.get_logger("vigie.supervisor")
        self._published: tuple[list[Health], Staffing] = ([], self._staffing())

    @property
    def healths(self) -> list[Health]:
        """The last health of each ingest worker, with the counts of those before it."""
        return self._published[0]

    @property
    def staffing(self) -> Staffing:
        """How many workers there are and should be, and what was done about it."""
        return self._published[1]

    def scale(self, *, ingest: Wish | None = None, scorers: Wish | None = None) -> Staffing:
        """Change the numbers by hand, from any thread; see `Targets.ask`.

        Raises:
            ScaleRefusedError: there cannot be so many; nothing was changed.
        """
        known = self._targets.partitions
        if isinstance(ingest, int) and ingest > known:
            try:  # the topic may have grown since the last count
                self._targets.partitions = self._office.partitions()
            except VigieError as error:
                raise ScaleRefusedError(
                    f"ingest = {ingest} is more than the {known} partitions that were last "
                    f"counted, and they cannot be counted now: {error}"
                ) from error
        self._targets.ask(ingest=ingest, scorers=scorers)
        return self._staffing()

    def run(
        self,
        should_stop: Callable[[], bool],
        observe: Callable[[list[Health]], None] = lambda _: None,
    ) -> list[Health]:
        """Keep the workers running until `should_stop`, then drain them.

        Args:
            should_stop: asked a few times a second.
            observe: shown the workers' health a few times a second.

        Returns:
            The last health of each worker.

        Raises:
            CrashLoopError: a worker died more often than the settings allow.
            RunEndedError, SettingsError: a worker cannot go on, and a restart would not help.
            ClusterError: the cluster has no room.
        """
        with self._office_hours():
            self._ticked_at_s = self._monotonic_s()
            self._count_at_s = self._ticked_at_s + _COUNT_EVERY_S
            while not should_stop():
                self._tick()
                observe(self.healths)
            self._drain(observe)
            return self.healths

    @contextmanager
    def _office_hours(self) -> Iterator[None]:
        """Somebody to talk to the broker; at the end nobody is left working."""
        self._clerk = self._open_office()
        try:
            yield
        finally:
            for slot in self._slots:
                slot.clear()
            self._pool.end()
            self._clerk.shutdown(wait=False, cancel_futures=True)

    # -- one turn --------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._staff.wait([s.worker for s in self._slots if s.worker is not None], _TICK_S)
        now_s = self._monotonic_s()
        # Time in which this process itself may have stood still says nothing about the others.
        passed_s = min(now_s - self._ticked_at_s, 4 * _TICK_S)
        self._ticked_at_s = now_s
        for slot in self._slots:
            self._look_after(slot, now_s, passed_s)
        if self._pool.tick(now_s, passed_s):
            self._targets.no_room(SCORERS)
        if not self._ending:
            self._count_partitions(now_s)
            self._look_at_load(now_s)
        self._reach_targets(now_s)
        self._publish()

    def _look_after(self, slot: Slot, now_s: float, passed_s: float) -> None:
        gone = slot.watch(passed_s)
        if slot.stage is Stage.DRAINING:
            self._look_after_draining(slot, gone, now_s)
        elif gone is not None:
            self._replace(slot, gone, now_s)
        elif slot.stage is Stage.LEAVING and slot.departure is not None and slot.departure.done():
            self._departed(slot)

    def _replace(self, slot: Slot, gone: Gone, now_s: float) -> None:
        """A worker is gone although nobody stopped it: have another one, later or not at all."""
        if gone.reason is Reason.NO_ROOM:
            self._without_room(slot)
            return
        if isinstance(gone.cause, FencedError):
            if slot.has_rival(now_s):
                raise gone.cause
        elif isinstance(gone.cause, (RunEndedError, SettingsError)):
            raise gone.cause
        self._replaced[gone.reason] += 1
        delay_s = slot.policy.failed(now_s)
        if delay_s is None:
            raise CrashLoopError(
                f"ingest worker {slot.number} was lost more than {slot.policy.limit} times within "
                f"{slot.policy.window_s:g} s (workers.max_restarts, workers.restart_window_s). "
                f"The last cause: {_told(gone.cause)}"
            ) from gone.cause
        slot.wait(until_s=now_s + delay_s)
        self._log.warning(
            "worker_died" if gone.reason is Reason.DIED else "worker_replaced",
            slot=slot.number,
            reason=gone.reason.value,
            cause=_told(gone.cause),
            restart_in_s=round(delay_s, 2),
        )

    def _without_room(self, slot: Slot) -> None:
        """A worker that the cluster has no room for would wait for ever, and say nothing."""
        if not slot.is_extra or slot.restarts:
            raise ClusterError(
                f"ingest worker {slot.number} did not start within {READY_WITHIN_S:g} s. The "
                f"workers need {self._plan.cpus} CPUs together: give the cluster more, or lower "
                "workers.ingest or workers.scorers"
            )
        if slot.number + 1 != self._targets.ingest:
            return  # only the last one may leave, now or at a later tick
        slot.rest(Phase.STOPPED)
        self._targets.no_room(INGEST)

    # -- the numbers -----------------------------------------------------------------------------

    def _look_at_load(self, now_s: float) -> None:
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        busy = [slot for slot in self._slots if slot.stage is not Stage.IDLE]
        undisturbed = len(busy) == self._targets.ingest and all(
            slot.stage is Stage.WORKING and slot.health.phase is Phase.RUNNING for slot in busy
        )
        scorers_there = len(self._pool.ready) == self._targets.scorers
        held = {p for slot in busy for p in slot.health.lag}
        self._targets.look(
            [slot.health for slot in self._slots],
            undisturbed=undisturbed and scorers_there and len(held) >= self._targets.partitions,
        )

    def _count_partitions(self, now_s: float) -> None:
        if self._counting is not None and self._counting.done():
            counting, self._counting = self._counting, None
            try:
                self._targets.partitions = counting.result()
            except VigieError as error:
                self._log.debug("partitions_not_counted", reason=str(error))
        if now_s >= self._count_at_s and self._counting is None and self._clerk is not None:
            self._count_at_s = now_s + _COUNT_EVERY_S
            self._counting = self._clerk.submit(self._office.partitions)

    def _reach_targets(self, now_s: float) -> None:
        ingest = 0 if self._ending else self._targets.ingest
        if not self._ending:
            self._pool.reach(self._targets.scorers, now_s)
        scorers = self._pool.ready
        self._tell_scorers(scorers)
        # No worker without a scorer to send its calls to.
        while len(self._slots) < ingest:
            self._slots.append(self._new_slot(len(self._slots)))
        for slot in self._slots:
            if slot.number >= ingest:
                self._send_home(slot, now_s)
            elif self._plan.scorers and not scorers:
                continue
            elif slot.stage is Stage.IDLE:
                self._start(slot, scorers)
            elif slot.stage is Stage.WAITING and now_s >= slot.restart_at_s:
                slot.restarts += 1
                self._start(slot, scorers)

    def _new_slot(self, number: int) -> Slot:
        return Slot(
            number,
            staff=self._staff,
            policy=self._policy(),
            stall_timeout_s=self._settings.workers.stall_timeout_s,
            is_extra=bool(self._targets.decisions),
        )

    def _policy(self) -> RestartPolicy:
        workers = self._settings.workers
        return RestartPolicy(
            limit=workers.max_restarts, window_s=workers.restart_window_s, rng=self._rng
        )

    def _start(self, slot: Slot, scorers: Sequence[Scorer]) -> None:
        slot.start(scorers)
        self._log.info("worker_started", slot=slot.number)

    def _tell_scorers(self, scorers: list[Scorer]) -> None:
        if scorers == self._told_scorers or not scorers:
            return
        self._told_scorers = scorers
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.use_scorers(scorers)

    # -- leaving ---------------------------------------------------------------------------------

    def _send_home(self, slot: Slot, now_s: float) -> None:
        """Nobody is wanted in this slot any more."""
        if slot.stage is Stage.WAITING:
            self._leave(slot)
        elif slot.stage is Stage.WORKING and slot.worker is not None:
            slot.worker.stop()
            slot.stage = Stage.DRAINING
            within_s = self._settings.processing.drain_timeout_s + _DRAIN_GRACE_S
            slot.drain_until_s = now_s + within_s
            self._log.info("worker_drains", slot=slot.number)

    def _look_after_draining(self, slot: Slot, gone: Gone | None, now_s: float) -> None:
        if gone is not None and not slot.finished:
            self._log.warning("drain_failed", slot=slot.number, cause=_told(gone.cause))
        elif gone is None and now_s >= slot.drain_until_s:
            self._log.warning("drain_timed_out", slot=slot.number)
        elif gone is None:
            return
        self._leave(slot)

    def _leave(self, slot: Slot) -> None:
        """The worker is gone. With its name off the group, its partitions move at once."""
        slot.clear()
        slot.stage = Stage.LEAVING
        if not self._ending:
            self._take_off([slot])

    def _take_off(self, slots: Sequence[Slot]) -> None:
        if not slots:
            return
        assert self._clerk is not None
        departure = self._clerk.submit(self._office.remove, [slot.number for slot in slots])
        for slot in slots:
            slot.departure = departure

    def _departed(self, slot: Slot) -> None:
        if slot.departure is not None:
            try:
                slot.departure.result()
            except VigieError as error:
                # Its session times out instead: later, and by itself.
                self._log.warning("member_not_removed", slot=slot.number, reason=str(error))
        slot.departure = None
        # What it left undone the others do, unless there are no others.
        slot.rest(slot.health.phase if self._ending else Phase.STOPPED)

    def _drain(self, observe: Callable[[list[Health]], None]) -> None:
        """Have everybody finish and leave."""
        self._ending = True
        until_s = self._monotonic_s() + (
            self._settings.processing.drain_timeout_s + _DRAIN_GRACE_S + _GOODBYE_WITHIN_S
        )
        while (
            any(slot.stage is not Stage.IDLE for slot in self._slots)
            and self._monotonic_s() < until_s
        ):
            self._tick()
            leaving = [slot for slot in self._slots if slot.stage is Stage.LEAVING]
            at_work = any(s.stage in {Stage.WORKING, Stage.DRAINING} for s in self._slots)
            if not at_work:
                # All at once: a departure before the last commit would only rebalance the others.
                self._take_off([slot for slot in leaving if slot.departure is None])
            observe(self.healths)
        left = [s.number for s in self._slots if s.health.phase is not Phase.STOPPED]
        self._log.info("drained", workers=len(self._slots), unfinished=left)

    # -- what is told ----------------------------------------------------------------------------

    def _publish(self) -> None:
        self._published = ([slot.health for slot in self._slots], self._staffing())

    def _staffing(self) -> Staffing:
        targets = self._targets
        working = sum(slot.stage is Stage.WORKING and slot.answered for slot in self._slots)
        # Copied before they are looped over: `scale` asks from another thread.
        by_kind = ((INGEST, dict(self._replaced)), (SCORERS, dict(self._pool.replaced)))
        replaced = {(kind, reason): n for kind, found in by_kind for reason, n in found.items()}
        return Staffing(
            partitions=targets.partitions,
            ingest=targets.headcount(INGEST, working),
            scorers=targets.headcount(SCORERS, len(self._pool.ready)),
            replaced=replaced,
            restarts={slot.number: slot.restarts for slot in self._slots},
            decisions=dict(targets.decisions),
            last=targets.last,
        )


def _told(cause: BaseException) -> str:
    """The error's last words, in one line."""
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0]}"

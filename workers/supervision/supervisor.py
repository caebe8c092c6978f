"""Who supervises whom: the driver starts workers, watches them, restarts, scales and drains them.

The driver owns every actor, so when it dies they die with it, and its restart restores. Every
quarter of a second, and at once when an ingest worker's run ends, a tick

1. looks after each actor: one that is gone, silent or stalled is replaced, after a pause that
   grows, until that happens too often;
2. shows the load to `Targets`, which may change its mind about the numbers;
3. starts and drains actors until the numbers are reached: the first ones stay, the last ones go.
   What runs on a node that is about to go is drained too, and started elsewhere: an ingest worker
   at once, a scorer when there is another in its stead.

The life of each actor is a `ManagedActor`. Ingest workers leave the group by name, and end the run
when a restart does not help. Scorers have no name, and Ray restarts them in their place; what Ray
does not see is one that hangs. Its ingest workers would stand still before it, so it has half the
time that they have. One that drains answers the calls it has until its time is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from random import Random
from typing import Final

import structlog

from schemas.settings import ProcessingSettings, WorkerSettings
from workers.errors import (
    ClusterError,
    ClusterLostError,
    FencedError,
    RunEndedError,
    SettingsError,
    VigieError,
)
from workers.stream.health import Health, Phase
from workers.supervision.group_admin import GroupAdmin
from workers.supervision.launcher import ActorHandle, ActorLauncher
from workers.supervision.managed_actor import (
    ActorExit,
    ActorStage,
    Event,
    ManagedActor,
    Reason,
    one_line,
)
from workers.supervision.plan import Plan
from workers.supervision.restarts import RestartPolicy
from workers.supervision.split_watch import SplitWatch
from workers.supervision.status import Kind, ScaleRequest, ScalingStatus
from workers.supervision.targets import ScaleRejectedError, Targets

_TICK_S: Final = 0.25
_LOOK_EVERY_S: Final = 1.0
_COUNT_EVERY_S: Final = 30.0
_DRAIN_GRACE_S: Final = 10.0
_LEAVE_WITHIN_S: Final = 5.0
_AT_WORK: Final = frozenset({Phase.RUNNING, Phase.WAITING})  # the latter for the registry


class Supervisor:
    """Runs the workers of one plan; nothing is started before `run`.

    `replan` gives the plan for what the cluster has by now, without blocking; its limits are kept
    to. The `executor` runs the calls of `group`, and is shut down at the end of `run`.
    """

    def __init__(
        self,
        plan: Plan,
        workers: WorkerSettings,
        processing: ProcessingSettings,
        *,
        start_timeout_s: float,
        replan: Callable[[], Plan],
        launcher: ActorLauncher,
        group: GroupAdmin,
        monotonic_s: Callable[[], float],
        wall_s: Callable[[], float],
        rng: Random,
        executor: Executor,
    ) -> None:
        self._plan, self._workers = plan, workers
        self._drain_timeout_s = processing.drain_timeout_s
        self._start_timeout_s, self._replan = start_timeout_s, replan
        self._launcher, self._group, self._executor = launcher, group, executor
        self._monotonic_s, self._rng = monotonic_s, rng
        self._targets = Targets(
            plan,
            workers,
            max_in_flight=processing.max_in_flight,
            monotonic_s=monotonic_s,
            wall_s=wall_s,
        )
        self._split_watch = SplitWatch(plan.topic)
        self._ingest: list[ManagedActor] = []
        self._scorers: list[ManagedActor] = []
        self._connected: list[ActorHandle] = []
        self._replaced: Counter[tuple[str, str]] = Counter()
        self._ending = False
        self._leaving: frozenset[str] = frozenset()
        self._ticked_at_s: float | None = None
        self._look_at_s = self._count_at_s = 0.0
        self._counting: Future[int] | None = None
        self._log = structlog.get_logger("vigie.supervisor")

    @property
    def healths(self) -> list[Health]:
        """The last health of each ingest worker, with the counts of those before it."""
        return [actor.health for actor in list(self._ingest)]

    @property
    def tick_age_s(self) -> float | None:
        """How long ago its last tick began; None before the first one. From any thread."""
        ticked_at_s = self._ticked_at_s
        return None if ticked_at_s is None else self._monotonic_s() - ticked_at_s

    @property
    def scaling(self) -> ScalingStatus:
        """How many workers there are and should be, and what was done about it."""
        targets = self._targets
        # Lists and counters are copied: it is asked from other threads.
        ingest, scorers = list(self._ingest), list(self._scorers)
        return ScalingStatus(
            partitions=targets.partitions,
            ingest=targets.count(Kind.INGEST, actual=sum(a.is_ready for a in ingest)),
            scorers=targets.count(Kind.SCORERS, actual=sum(a.is_ready for a in scorers)),
            replaced=dict(self._replaced),
            restarts={actor.slot: actor.restarts for actor in ingest},
            decisions=dict(targets.decisions),
            last=targets.last,
        )

    def scale(self, request: ScaleRequest) -> ScalingStatus:
        """Change the numbers by hand, from any thread; see `Targets.ask`.

        Raises:
            ScaleRejectedError: there cannot be so many; nothing was changed.
        """
        ingest, known = request.ingest, self._targets.partitions
        if isinstance(ingest, int) and ingest > known:
            try:  # the topic may have grown since the last count
                self._targets.partitions = self._group.partitions()
            except VigieError as error:
                raise ScaleRejectedError(
                    f"ingest = {ingest} is more than the {known} partitions that were last "
                    f"counted, and they cannot be counted now: {error}"
                ) from error
        self._targets.ask(request)
        return self.scaling

    def renew(self, launcher: ActorLauncher, group: GroupAdmin) -> None:
        """Have other ingest workers, one after the other: each drains, and the next takes its slot.

        For what a worker cannot change in its life, such as its password. Call it from `observe`.
        """
        self._launcher, self._group = launcher, group
        for actor in self._ingest:
            actor.is_outdated = actor.handle is not None

    def run(
        self,
        should_stop: Callable[[], bool],
        observe: Callable[[list[Health]], None] = lambda _: None,
    ) -> list[Health]:
        """Keep the workers running until `should_stop`, then drain them; give their last health.

        `should_stop` is asked, and `observe` shown the health, a few times a second.

        Raises:
            CrashLoopError: a worker died more often than the settings allow.
            RunEndedError, SettingsError: a worker cannot go on, and a restart would not help.
            ClusterError: the cluster has no room.
            ClusterLostError: it is gone; what still answered has drained.
        """
        lost: ClusterLostError | None = None
        try:
            began_s = self._ticked_at_s = self._monotonic_s()
            self._count_at_s = began_s + _COUNT_EVERY_S
            try:
                while not should_stop():
                    self._leaving = self._launcher.leaving_nodes()
                    self._tick()
                    observe(self.healths)
            except ClusterLostError as error:
                self._log.error("cluster_lost", reason=str(error))
                lost = error
            self._drain(observe)
        finally:
            for actor in (*self._ingest, *self._scorers):
                actor.kill()
            self._executor.shutdown(wait=False, cancel_futures=True)
        if lost is not None:
            raise lost
        return self.healths

    # -- one tick --------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._launcher.wait(_handles(self._ingest), _TICK_S)
        now_s = self._monotonic_s()
        # Time in which this process itself may have stood still says nothing about the others.
        passed_s = min(now_s - (self._ticked_at_s or now_s), 4 * _TICK_S)
        self._ticked_at_s = now_s
        for actor in (*self._ingest, *self._scorers):
            self._look_after(actor, now_s, passed_s)
        if not self._ending:
            self._count_partitions(now_s)
            self._look_at_load(now_s)
            self._split_watch.look(self.healths, now_s)
        self._reach_targets(now_s)

    def _look_after(self, actor: ManagedActor, now_s: float, passed_s: float) -> None:
        found = actor.watch(passed_s)
        if actor.stage is ActorStage.DRAINING:
            self._look_after_draining(actor, found, now_s)
        elif found is not None:
            self._replace(actor, found, now_s)
        elif actor.departure is not None and actor.departure.done():
            self._departed(actor, actor.departure)

    def _replace(self, actor: ManagedActor, found: ActorExit, now_s: float) -> None:
        """An actor is gone without having been stopped: start another one, later or not at all."""
        if found.reason is Reason.NO_ROOM:
            self._without_room(actor)
            return
        if isinstance(found.cause, FencedError):
            if actor.has_rival(now_s):
                raise found.cause
        elif isinstance(found.cause, SettingsError) and actor.is_outdated:
            pass  # the old password, not the new one
        elif isinstance(found.cause, (RunEndedError, SettingsError)):
            raise found.cause
        self._replaced[actor.kind, found.reason] += 1
        delay_s = 0.0 if found.restarted else actor.lose(found.cause, now_s)
        self._log.warning(
            "worker_died" if found.reason is Reason.DIED else "worker_replaced",
            kind=actor.kind.value,
            slot=actor.slot,
            reason=found.reason.value,
            cause=one_line(found.cause),
            restart_in_s=round(delay_s, 2),
        )

    def _without_room(self, actor: ManagedActor) -> None:
        """An actor that the cluster has no room for would wait for ever, and say nothing."""
        if actor.kind is Kind.SCORERS:
            actor.stop(Phase.STOPPED)
            self._scorers.remove(actor)
            if not any(scorer.is_ready for scorer in self._scorers):
                raise ClusterError(
                    f"no scorer started within {self._start_timeout_s:g} s "
                    "(ray.start_timeout_s): lower workers.scorers or "
                    "workers.num_gpus_per_scorer, or give the cluster more"
                )
        else:
            if actor.slot < self._plan.ingest.target or actor.restarts:
                wanted = sum(map(self._targets.of, Kind))
                raise ClusterError(
                    f"ingest worker {actor.slot} did not start within "
                    f"{self._start_timeout_s:g} s (ray.start_timeout_s). The workers need "
                    f"{wanted} CPUs together: give the cluster more, or lower "
                    "workers.ingest or workers.scorers"
                )
            if actor.slot + 1 != self._targets.of(Kind.INGEST):
                return  # only the last one may leave, now or at a later tick
            actor.stop(Phase.STOPPED)
        self._targets.no_room(actor.kind)

    # -- the numbers -----------------------------------------------------------------------------

    def _look_at_load(self, now_s: float) -> None:
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        self._targets.follow(self._replan())
        # A node may have to come for those that wait, for minutes: the others go on as if alone.
        waiting = Counter(a.kind for a in (*self._ingest, *self._scorers) if a.waits_for_room)
        there = [a for a in self._ingest if a.stage is not ActorStage.IDLE and not a.waits_for_room]
        held = {partition for actor in there for partition in actor.health.lag}
        scorers, wanted = len(self._ready_scorers()), self._targets.of(Kind.SCORERS)
        self._targets.look(
            [actor.health for actor in self._ingest],
            ready_scorers=scorers,
            waiting=waiting,
            undisturbed=len(there) + waiting[Kind.INGEST] == self._targets.of(Kind.INGEST)
            and all(a.is_ready and a.health.phase is Phase.RUNNING for a in there)
            and min(wanted, 1) <= scorers <= wanted <= scorers + waiting[Kind.SCORERS]
            and len(held) >= self._targets.partitions,
        )

    def _count_partitions(self, now_s: float) -> None:
        if self._counting is not None and self._counting.done():
            counting, self._counting = self._counting, None
            try:
                self._targets.partitions = counting.result()
            except VigieError as error:
                self._log.debug("partitions_not_counted", reason=str(error))
        if now_s >= self._count_at_s and self._counting is None:
            self._count_at_s = now_s + _COUNT_EVERY_S
            self._counting = self._executor.submit(self._group.partitions)

    def _reach_targets(self, now_s: float) -> None:
        if not self._ending:
            self._reach(Kind.SCORERS, self._targets.of(Kind.SCORERS), now_s)
        scorers = self._ready_scorers()
        if scorers and scorers != self._connected:
            self._connected = scorers
            self._launcher.connect(_handles(self._ingest), scorers)
        self._reach(Kind.INGEST, 0 if self._ending else self._targets.of(Kind.INGEST), now_s)

    def _reach(self, kind: Kind, target: int, now_s: float) -> None:
        actors = self._ingest if kind is Kind.INGEST else self._scorers
        spare = sum(map(self._has_to_move, actors)) if kind is Kind.SCORERS else 0
        while len(actors) < target + spare:
            actors.append(self._new_actor(kind, 1 + max((a.slot for a in actors), default=-1)))
        if spare:
            # The others first: they stay. In one step, as other threads look at the list.
            actors[:] = sorted(actors, key=self._has_to_move)
        for position, actor in enumerate(actors):
            if actor.can(Event.DRAIN) and self._may_leave(actor, position, target):
                self._drain_one(actor, now_s)
            elif position < target and actor.can(Event.START) and now_s >= actor.restart_at_s:
                self._start(actor)

    def _has_to_move(self, actor: ManagedActor) -> bool:
        return actor.is_ready and (actor.node in self._leaving or self._is_next(actor))

    def _is_next(self, actor: ManagedActor) -> bool:
        """Whether it is outdated, the first one, and all the others are at work, or could be."""
        if not actor.is_outdated:  # at nearly every tick none is
            return False
        busy = [a for a in self._ingest if a.stage is not ActorStage.IDLE]
        first = next((a for a in busy if a.is_outdated), None)
        return actor is first and all(
            a.is_ready and a.health.phase in _AT_WORK for a in busy if a is not actor
        )

    def _may_leave(self, actor: ManagedActor, position: int, target: int) -> bool:
        """Whether nobody wants it, or its node is about to go and it has no calls to wait for."""
        if not self._has_to_move(actor):
            return position >= target
        if actor.kind is Kind.INGEST or self._ending:
            return True
        staying = sum(a.is_ready and not self._has_to_move(a) for a in self._scorers)
        return staying >= target

    def _new_actor(self, kind: Kind, slot: int) -> ManagedActor:
        workers = self._workers
        return ManagedActor(
            slot,
            kind=kind,
            policy=RestartPolicy(
                limit=workers.max_restarts, window_s=workers.restart_window_s, rng=self._rng
            ),
            stall_after_s=workers.stall_timeout_s / (1 if kind is Kind.INGEST else 2),
            start_timeout_s=self._start_timeout_s,
        )

    def _ready_scorers(self) -> list[ActorHandle]:
        return _handles(actor for actor in self._scorers if actor.is_ready)

    def _start(self, actor: ManagedActor) -> None:
        if actor.kind is Kind.SCORERS:
            actor.start(self._launcher.scorer)
        else:
            scorers = self._ready_scorers()
            if self._plan.scorers.target and not scorers:
                return  # no worker without a scorer to send its calls to
            actor.start(lambda: self._launcher.ingest(actor.slot, scorers))
        self._log.info("worker_started", kind=actor.kind.value, slot=actor.slot)

    # -- leaving ---------------------------------------------------------------------------------

    def _drain_one(self, actor: ManagedActor, now_s: float) -> None:
        """This slot is no longer wanted."""
        grace_s = _DRAIN_GRACE_S if actor.kind is Kind.INGEST else 0.0
        actor.drain(now_s + self._drain_timeout_s + grace_s)
        if actor.stage is ActorStage.LEAVING:  # it was dead
            self._left(actor)
        else:
            self._log.info(
                "worker_drains",
                kind=actor.kind.value,
                slot=actor.slot,
                **({"leaves_node": actor.node} if actor.node in self._leaving else {}),
            )

    def _look_after_draining(
        self, actor: ManagedActor, found: ActorExit | None, now_s: float
    ) -> None:
        if found is None and now_s < actor.drain_until_s:
            return
        fields = {"kind": actor.kind.value, "slot": actor.slot}
        if found is not None and not actor.finished:
            self._log.warning("drain_failed", cause=one_line(found.cause), **fields)
        elif found is None and actor.kind is Kind.INGEST:
            self._log.warning("drain_timed_out", **fields)
        actor.leave()
        self._left(actor)

    def _left(self, actor: ManagedActor) -> None:
        """The actor is gone. With its name off the group, its partitions move at once."""
        if actor.kind is Kind.SCORERS:
            actor.stop(Phase.STOPPED)
        elif not self._ending:
            self._take_off([actor])

    def _take_off(self, actors: Sequence[ManagedActor]) -> None:
        if not actors:
            return
        departure = self._executor.submit(self._group.remove, [actor.slot for actor in actors])
        for actor in actors:
            actor.departure = departure

    def _departed(self, actor: ManagedActor, departure: Future[None]) -> None:
        try:
            departure.result()
        except VigieError as error:
            # Its session times out instead: later, and by itself.
            self._log.warning("member_not_removed", slot=actor.slot, reason=str(error))
        # What it left undone the others do, unless there are no others.
        actor.stop(actor.health.phase if self._ending else Phase.STOPPED)

    def _drain(self, observe: Callable[[list[Health]], None]) -> None:
        """Have all ingest workers finish and leave."""
        self._ending = True
        until_s = self._monotonic_s() + self._drain_timeout_s + _DRAIN_GRACE_S + _LEAVE_WITHIN_S
        while (
            any(actor.stage is not ActorStage.IDLE for actor in self._ingest)
            and self._monotonic_s() < until_s
        ):
            self._tick()
            if not _handles(self._ingest):
                # All at once: a departure before the last commit would only rebalance the others.
                leaving = [a for a in self._ingest if a.stage is ActorStage.LEAVING]
                self._take_off([actor for actor in leaving if actor.departure is None])
            observe(self.healths)
        left = [a.slot for a in self._ingest if a.health.phase is not Phase.STOPPED]
        self._log.info("drained", workers=len(self._ingest), unfinished=left)


def _handles(actors: Iterable[ManagedActor]) -> list[ActorHandle]:
    """Of those in whose slot an actor is."""
    return [actor.handle for actor in actors if actor.handle is not None]

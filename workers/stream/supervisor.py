"""Who supervises whom: the driver creates workers, restarts what dies, and drains at the end.

The driver owns every actor, so when it dies they die with it, and its restart replays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import structlog

from schemas.settings import Settings
from workers.errors import SettingsError, VigieError
from workers.stream.actors import IngestActor, Job, ScorerActor, read_artifact
from workers.stream.progress import Health
from workers.stream.restarts import RestartPolicy
from workers.stream.session import ClusterError

_TICK_S = 0.25
_READY_WITHIN_S = 120.0


class CrashLoopError(VigieError):
    """A worker dies again and again: the cause is in the message."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many actors of which kind, and what each reserves."""

    ingest: int
    scorers: int
    device: str
    gpus_per_scorer: float

    @property
    def cpus(self) -> int:
        """Logical cores that the actors reserve together."""
        return self.ingest + self.scorers


def make_plan(settings: Settings, *, partitions: int, cores: int, has_cuda: bool) -> Plan:
    """Decide placement and numbers.

    Without a GPU scoring stays in the ingest workers: a call to an actor costs more than it saves
    (docs/decisions/). More ingest workers than partitions would stand idle.
    """
    workers = settings.workers
    device = settings.model.device
    if device == "auto":
        device = "cuda" if has_cuda else "cpu"
    in_actors = workers.placement == "actors" or (workers.placement == "auto" and device == "cuda")
    wanted = cores if workers.ingest == "auto" else workers.ingest
    return Plan(
        ingest=max(1, min(wanted, partitions)),
        scorers=max(1, workers.scorers) if in_actors else 0,
        device=device,
        gpus_per_scorer=workers.num_gpus_per_scorer if device == "cuda" else 0.0,
    )


@dataclass(kw_only=True)
class _Worker:
    """One ingest actor and its life so far."""

    slot: int
    policy: RestartPolicy
    actor: Any = None
    run: Any = None
    asked: Any = None
    started_s: float = 0.0
    restart_at_s: float | None = None
    answered: bool = False
    health: Health = field(init=False)

    def __post_init__(self) -> None:
        self.health = Health(slot=self.slot)


class Supervisor:
    """Runs the pipeline of one set of settings on the current Ray."""

    def __init__(
        self, settings: Settings, model: Path, plan: Plan, *, monotonic_s: Callable[[], float]
    ) -> None:
        """Read the files of a model that was checked; no actor is made before `run`."""
        self._settings, self._plan = settings, plan
        self._job = Job(settings=settings, artifact=read_artifact(model), device=plan.device)
        self._monotonic_s = monotonic_s
        self._workers = [
            _Worker(
                slot=slot,
                policy=RestartPolicy(
                    limit=settings.workers.max_restarts,
                    window_s=settings.workers.restart_window_s,
                    rng=Random(),  # noqa: S311 - spreads restarts, keeps no secret
                ),
            )
            for slot in range(plan.ingest)
        ]
        self._scorers: Sequence[Any] = ()
        self._log = structlog.get_logger("vigie.supervisor")
        self.restarts = 0

    @property
    def healths(self) -> list[Health]:
        """The last health of each ingest worker."""
        return [worker.health for worker in self._workers]

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
            SettingsError: a worker cannot work with these settings; a restart would not help.
            ClusterError: the cluster has no room.
        """
        import ray

        try:
            self._scorers = self._start_scorers()
            for worker in self._workers:
                self._start(worker)
            while not should_stop():
                self._tick(ray)
                observe(self.healths)
            self._drain(ray)
            observe(self.healths)
            return self.healths
        finally:
            self._end(ray)

    def _start_scorers(self) -> list[Any]:
        import ray

        if not self._plan.scorers:
            return []
        # A lost call is sent again by Ray; the bound keeps a batch that kills scorers from
        # circling for ever: its ingest worker fails then, and says why.
        actor: Any = ray.remote(ScorerActor).options(
            num_cpus=1,
            num_gpus=self._plan.gpus_per_scorer,
            max_restarts=-1,
            max_task_retries=self._settings.workers.max_restarts,
        )
        scorers = [actor.remote(self._job) for _ in range(self._plan.scorers)]
        ready, missing = ray.wait(
            [scorer.pid.remote() for scorer in scorers],
            num_returns=len(scorers),
            timeout=_READY_WITHIN_S,
        )
        if missing:
            raise ClusterError(
                f"{len(missing)} of {len(scorers)} scorers did not start within "
                f"{_READY_WITHIN_S:g} s. Each needs "
                f"1 CPU and {self._plan.gpus_per_scorer:g} GPU: lower workers.scorers or "
                "workers.num_gpus_per_scorer"
            )
        ray.get(ready)
        return scorers

    def _start(self, worker: _Worker) -> None:
        import ray

        worker.restart_at_s = None
        # A group of its own for control calls: they answer while `run` is busy.
        actor: Any = ray.remote(concurrency_groups={"control": 1})(IngestActor)  # type: ignore[call-overload]
        worker.actor = actor.options(num_cpus=1, max_restarts=0).remote(
            self._job, worker.slot, list(self._scorers)
        )
        worker.run = worker.actor.run.remote()
        worker.asked = None
        worker.started_s, worker.answered = self._monotonic_s(), False
        self._log.info("worker_started", slot=worker.slot)

    def _tick(self, ray: Any) -> None:
        runs = {worker.run: worker for worker in self._workers if worker.run is not None}
        ended, _ = ray.wait(list(runs), timeout=_TICK_S) if runs else ([], [])
        for reference in ended:
            self._ended(ray, runs[reference])
        now_s = self._monotonic_s()
        for worker in self._workers:
            if worker.restart_at_s is not None and now_s >= worker.restart_at_s:
                self.restarts += 1
                self._start(worker)
            self._ask(ray, worker)

    def _ended(self, ray: Any, worker: _Worker) -> None:
        """A worker's run is over although nobody stopped it: restart it, later or not at all."""
        try:
            worker.health = ray.get(worker.run)
            cause: BaseException = VigieError("the worker ended without being asked")
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
        except ray.exceptions.RayError as error:
            cause = error
        worker.run = worker.asked = None
        ray.kill(worker.actor)
        if isinstance(cause, SettingsError):
            raise cause
        delay_s = worker.policy.failed(self._monotonic_s())
        if delay_s is None:
            raise CrashLoopError(
                f"ingest worker {worker.slot} died more than {worker.policy.limit} times within "
                f"{worker.policy.window_s:g} s (workers.max_restarts, workers.restart_window_s). "
                f"The last cause: {_told(cause)}"
            ) from cause
        self._log.warning(
            "worker_died", slot=worker.slot, cause=_told(cause), restart_in_s=round(delay_s, 2)
        )
        worker.restart_at_s = self._monotonic_s() + delay_s

    def _ask(self, ray: Any, worker: _Worker) -> None:
        """Collect the health asked for at the last tick, and ask again."""
        if worker.run is None:
            return
        if worker.asked is not None:
            ready, _ = ray.wait([worker.asked], timeout=0)
            if not ready:
                self._check_room(worker)
                return
            try:
                worker.health = ray.get(worker.asked)
                worker.answered = True
            except ray.exceptions.RayError:
                worker.asked = None  # its run ends too, and tells why
                return
        worker.asked = worker.actor.health.options(concurrency_group="control").remote()

    def _check_room(self, worker: _Worker) -> None:
        """A worker that the cluster has no room for would wait for ever, and say nothing."""
        if worker.answered or self._monotonic_s() - worker.started_s < _READY_WITHIN_S:
            return
        raise ClusterError(
            f"ingest worker {worker.slot} did not start within {_READY_WITHIN_S:g} s. The workers "
            f"need {self._plan.cpus} CPUs together: give the cluster more, or lower workers.ingest "
            "or workers.scorers"
        )

    def _drain(self, ray: Any) -> None:
        running = [worker for worker in self._workers if worker.run is not None]
        for worker in running:
            worker.actor.stop.options(concurrency_group="control").remote()
        within_s = self._settings.processing.drain_timeout_s + 10.0
        runs = [worker.run for worker in running]
        ended, late = ray.wait(runs, num_returns=len(runs), timeout=within_s) if runs else ([], [])
        for worker in running:
            if worker.run in late:
                self._log.warning("drain_timed_out", slot=worker.slot, after_s=within_s)
                continue
            try:
                worker.health = ray.get(worker.run)
            except ray.exceptions.RayError as error:
                self._log.warning("drain_failed", slot=worker.slot, cause=_told(error))
        self._log.info("drained", workers=len(ended), late=len(late))

    def _end(self, ray: Any) -> None:
        for actor in (*(w.actor for w in self._workers if w.actor), *self._scorers):
            ray.kill(actor)


def _told(cause: BaseException) -> str:
    """The error's last words, in one line."""
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0]}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Actors of Ray behind the protocols of `workers.supervision.actors`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from schemas.settings import Settings
from workers.stream.health import Health
from workers.stream.sensor_labels import SensorLabels
from workers.supervision.actors import Scorer, Worker, WorkerAwayError, WorkerGoneError
from workers.supervision.plan import Plan
from workers.supervision.ray.actors import (
    IngestActor,
    Job,
    ScorerActor,
    current_node,
    read_artifact,
)
from workers.supervision.status import ScorerPulse

_LAST_WORDS_WITHIN_S = 1.0


class RayStaff:
    """Workers as actors of the Ray that this process is connected to."""

    def __init__(self, settings: Settings, model: Path, plan: Plan) -> None:
        """Read the model's files and the labels of sensors: they travel to the actors."""
        self._job = Job(
            settings=settings,
            artifact=read_artifact(model),
            device=plan.device,
            labels=SensorLabels.of_file(settings.sensors.path),
        )
        self._gpus_per_scorer = plan.gpus_per_scorer
        # A local Ray is ours alone: reservations would only forbid what an operator asks for.
        self._cpus = 0 if settings.ray.address is None else 1

    def ingest(self, slot: int, scorers: Sequence[Scorer]) -> Worker:
        """See `Staff`."""
        import ray

        # A group of its own for control calls: they answer while `run` is busy.
        actor: Any = ray.remote(concurrency_groups={"control": 1})(IngestActor)  # type: ignore[call-overload]
        started = actor.options(num_cpus=self._cpus, max_restarts=0).remote(
            self._job, slot, _actors(scorers)
        )
        return _RayWorker(ray, started)

    def scorer(self) -> Scorer:
        """See `Staff`."""
        import ray

        # No retries by Ray: a call that kills scorers must come back to its ingest worker, which
        # finds the record at fault.
        actor: Any = ray.remote(concurrency_groups={"control": 1})(ScorerActor)  # type: ignore[call-overload]
        started = actor.options(
            num_cpus=self._cpus,
            num_gpus=self._gpus_per_scorer,
            max_restarts=-1,
            max_task_retries=0,
        ).remote(self._job)
        return _RayScorer(ray, started)

    def wait(self, workers: Sequence[Worker], timeout_s: float) -> None:
        """See `Staff`."""
        import ray

        runs = [worker.run for worker in workers if isinstance(worker, _RayWorker)]
        if runs:
            ray.wait(runs, timeout=timeout_s)
        else:
            time.sleep(timeout_s)


def _actors(scorers: Sequence[Scorer]) -> list[Any]:
    return [scorer.actor for scorer in scorers if isinstance(scorer, _RayScorer)]


class _Question:
    """A control call that is asked, looked for, and asked again."""

    def __init__(self, ray: Any, actor: Any, name: str) -> None:
        self._ray = ray
        self._method = getattr(actor, name).options(concurrency_group="control")
        self._asked: Any = None

    def answer(self) -> Any:
        """What has come since, or None; asks again when there is nothing to wait for.

        Raises:
            WorkerGoneError: nobody will ever answer.
            WorkerAwayError: nobody is there at the moment; it is asked again at the next call.
        """
        found = None
        if self._asked is not None:
            ready, _ = self._ray.wait([self._asked], timeout=0)
            if not ready:
                return None
            asked, self._asked = self._asked, None
            try:
                found = self._ray.get(asked)
            except self._ray.exceptions.ActorDiedError as error:
                raise WorkerGoneError(_told(error)) from error
            except self._ray.exceptions.RayError as error:
                raise WorkerAwayError(_told(error)) from error
        self._asked = self._method.remote()
        return found


class _RayWorker:
    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.run = actor.run.remote()
        self._health = _Question(ray, actor, "health")

    def over(self) -> bool:
        ready, _ = self._ray.wait([self.run], timeout=0)
        return bool(ready)

    def result(self) -> Health:
        try:
            health: Health = self._ray.get(self.run)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            raise WorkerGoneError(_told(error)) from error
        return health

    def health(self) -> Health | None:
        try:
            found: Health | None = self._health.answer()
        except (WorkerGoneError, WorkerAwayError):
            return None  # its run is over too, and tells why
        return found

    def last_health(self) -> Health | None:
        asked = self._actor.health.options(concurrency_group="control").remote()
        try:
            health: Health = self._ray.get(asked, timeout=_LAST_WORDS_WITHIN_S)
        except (self._ray.exceptions.RayError, TimeoutError):
            return None
        return health

    def stop(self) -> None:
        self._actor.stop.options(concurrency_group="control").remote()

    def use_scorers(self, scorers: Sequence[Scorer]) -> None:
        self._actor.use_scorers.options(concurrency_group="control").remote(_actors(scorers))

    def kill(self) -> None:
        # Ray sends SIGTERM, and SIGKILL 5 s later: that ends a stopped process too.
        self._ray.kill(self._actor)


class _RayScorer:
    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self.actor = ray, actor
        self._pulse = _Question(ray, actor, "pulse")
        self._last: ScorerPulse | None = None

    def pulse(self) -> ScorerPulse | None:
        found: ScorerPulse | None = self._pulse.answer()
        self._last = found or self._last
        return found

    def restart(self) -> None:
        # Ray gives a process 5 s to end: too long for ingest workers that wait for a stopped one.
        if self._last is None or not _ended_here(self._last):
            self._ray.kill(self.actor, no_restart=False)

    def kill(self) -> None:
        self._ray.kill(self.actor)


def _ended_here(pulse: ScorerPulse) -> bool:
    """Kill a scorer's process, if it is on this machine."""
    if pulse.node != current_node():
        return False
    try:
        process = psutil.Process(pulse.pid)
        if ScorerActor.__name__ not in " ".join(process.cmdline()):
            return False  # another one has the number by now
        process.kill()
    except psutil.Error:
        return False
    return True


def _told(error: BaseException) -> str:
    """What Ray says, without the frames between."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()] or [""]
    told = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
    return f"{type(error).__name__}: {told}"

"""Actors of Ray behind the protocols of `workers.supervision.launcher`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from workers.stream.health import Health
from workers.supervision.launcher import (
    ActorAwayError,
    ActorEndedError,
    ActorHandle,
    ActorLostError,
    Heartbeat,
    other_version,
)
from workers.supervision.ray.actors import IngestActor, Job, ScorerActor, WorkerJob, current_node
from workers.supervision.ray.placement import SPREAD, node_beside_scorers, strategy_beside
from workers.supervision.ray.polled_call import PolledCall, summary
from workers.supervision.ray.scoring import PlacedScorer
from workers.supervision.ray.watch import ClusterWatch
from workers.version import own_version

_LAST_WITHIN_S = 1.0


class RayLauncher:
    """Starts actors in the Ray that this process is connected to."""

    def __init__(
        self, job: WorkerJob, watch: ClusterWatch, *, gpus_per_scorer: float, cpus_per_actor: int
    ) -> None:
        self._job, self._watch = job, watch
        self._gpus_per_scorer, self._cpus = gpus_per_scorer, cpus_per_actor
        self._workers: dict[int, _RayWorker] = {}
        self._leaving: frozenset[str] = frozenset()

    def ingest(self, slot: int, scorers: Sequence[ActorHandle]) -> ActorHandle:
        """See `ActorLauncher`."""
        present = [node for worker in self._workers.values() if (node := worker.node) is not None]
        beside = [at.node for at in _placed(scorers)]
        node = node_beside_scorers(beside, present, self._leaving)
        options = {
            "num_cpus": self._cpus,
            "max_restarts": 0,
            "scheduling_strategy": strategy_beside(node),
        }
        actor = _actor(IngestActor, options).remote(self._job, slot, _placed(scorers))
        worker = self._workers[slot] = _RayWorker(actor, node)
        return worker

    def scorer(self) -> ActorHandle:
        """See `ActorLauncher`."""
        # No retries by Ray: a call that kills scorers must come back to its ingest worker, which
        # finds the record at fault.
        options = {
            "num_cpus": self._cpus,
            "num_gpus": self._gpus_per_scorer,
            "max_restarts": -1,
            "max_task_retries": 0,
            "scheduling_strategy": SPREAD,
        }
        assert isinstance(self._job, Job)  # no other is planned with scorers
        return _RayScorer(_actor(ScorerActor, options).remote(self._job.model))

    def connect(self, workers: Sequence[ActorHandle], scorers: Sequence[ActorHandle]) -> None:
        """See `ActorLauncher`."""
        for worker in workers:
            if isinstance(worker, _RayWorker):
                use_scorers = worker.actor.use_scorers.options(concurrency_group="control")
                use_scorers.remote(_placed(scorers))

    def leaving_nodes(self) -> frozenset[str]:
        """See `ActorLauncher`."""
        self._leaving = self._watch.look()
        return self._leaving

    def wait(self, workers: Sequence[ActorHandle], timeout_s: float) -> None:
        """See `ActorLauncher`."""
        import ray

        runs = [worker.run for worker in workers if isinstance(worker, _RayWorker)]
        if runs:
            ray.wait(runs, timeout=timeout_s)
        else:
            time.sleep(timeout_s)


def _actor(kind: type, options: dict[str, Any]) -> Any:
    import ray

    # A group of its own for control calls: they answer while `run` or `score` is busy.
    actor: Any = ray.remote(concurrency_groups={"control": 1})(kind)  # type: ignore[call-overload]
    return actor.options(**options)


def _placed(scorers: Sequence[ActorHandle]) -> list[PlacedScorer]:
    return [
        PlacedScorer(handle.actor, handle.node)
        for handle in scorers
        if isinstance(handle, _RayScorer)
    ]


class Killer:
    """Has Ray end actors. Its head does that: one that is gone must not hold up the supervisor."""

    def __init__(self, kill: Callable[..., None], *, within_s: float = 2.0) -> None:
        """`kill` may block for ever; `within_s` is how long it is waited for."""
        self._kill, self._within_s = kill, within_s
        self._stuck: threading.Thread | None = None

    def __call__(self, actor: Any, *, no_restart: bool = True) -> None:
        """Return when the actor is ended, or when that takes too long."""
        thread = threading.Thread(
            target=self._kill, args=(actor,), kwargs={"no_restart": no_restart}, daemon=True
        )
        thread.start()
        # One wait is enough to know that nobody answers: with many actors they would add up.
        is_stuck = self._stuck is not None and self._stuck.is_alive()
        thread.join(0.0 if is_stuck else self._within_s)
        self._stuck = thread if thread.is_alive() else None


def _ray_kill(actor: Any, *, no_restart: bool) -> None:
    import ray

    ray.kill(actor, no_restart=no_restart)


_kill = Killer(_ray_kill)


class _RayWorker:
    """An ingest worker: it ends with its `run`, and Ray does not restart it."""

    def __init__(self, actor: Any, wished: str | None) -> None:
        self.actor = actor
        self.node = wished
        """Where it runs, or where it is wished to; None: unknown, or no more."""
        # The run itself compares versions: it begins before the first heartbeat comes.
        self.run = actor.run.remote(own_version())
        self._heartbeat = actor.heartbeat.options(concurrency_group="control")
        self._call = PolledCall(self._heartbeat)

    def heartbeat(self) -> Heartbeat | None:
        import ray

        ended, _ = ray.wait([self.run], timeout=0)
        if not ended:
            try:
                found: Heartbeat | None = self._call.answer()
            except (ActorLostError, ActorAwayError):
                return None  # its run is over too, and says why
            if found is not None:
                self.node = found.node
            return found
        self.node = None
        try:
            health: Health = ray.get(self.run)
        except ray.exceptions.RayTaskError as error:
            # Only the run failed: the actor still knows what was committed since.
            last = self._last_heartbeat()
            # The run of an older version fails at what it is called with, and does not say why.
            other = None if last is None else other_version(last, own_version())
            health_then = None if last is None else last.health
            raise ActorEndedError(other or error.cause, health=health_then) from error
        except ray.exceptions.RayError as error:
            raise ActorEndedError(ActorLostError(summary(error))) from error
        raise ActorEndedError(None, health=health)

    def restart(self) -> bool:
        return False

    def stop(self) -> None:
        self.actor.stop.options(concurrency_group="control").remote()

    def kill(self) -> None:
        # Ray sends SIGTERM, and SIGKILL 5 s later: that ends a stopped process too.
        _kill(self.actor)
        self.node = None

    def _last_heartbeat(self) -> Heartbeat | None:
        import ray

        try:
            last: Heartbeat = ray.get(self._heartbeat.remote(), timeout=_LAST_WITHIN_S)
        except (ray.exceptions.RayError, TimeoutError):
            return None
        return last


class _RayScorer:
    """A scorer: Ray restarts it behind the same handle."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self._call = PolledCall(actor.heartbeat.options(concurrency_group="control"))
        self._last: Heartbeat | None = None

    @property
    def node(self) -> str:
        """Where it runs, as it said last; calls go only to scorers that have answered."""
        return "" if self._last is None else self._last.node

    def heartbeat(self) -> Heartbeat | None:
        try:
            found: Heartbeat | None = self._call.answer()
        except ActorLostError as error:
            raise ActorEndedError(error) from error
        self._last = found or self._last
        return found

    def restart(self) -> bool:
        # Ray gives a process 5 s to end: too long for ingest workers that wait for a stopped one.
        if self._last is None or not _ended_here(self._last):
            _kill(self.actor, no_restart=False)
        return True

    def stop(self) -> None:
        """Nothing to ask for: no more calls are sent to it, and it finishes those it has."""

    def kill(self) -> None:
        _kill(self.actor)


def _ended_here(last: Heartbeat) -> bool:
    """Kill a scorer's process, if it is on this machine."""
    if last.node != current_node():
        return False
    try:
        process = psutil.Process(last.pid)
        if ScorerActor.__name__ not in " ".join(process.cmdline()):
            return False  # another one has the number by now
        process.kill()
    except psutil.Error:
        return False
    return True

"""A supervisor without a cluster: actors that do as a test says, on a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from schemas.settings import ProcessingSettings, WorkerSettings
from tests.support.clock import FakeClock
from workers.errors import BrokerUnavailableError, ClusterLostError
from workers.stream.health import Health, Phase
from workers.supervision.group_admin import GroupAdmin
from workers.supervision.launcher import (
    ActorAwayError,
    ActorEndedError,
    ActorHandle,
    ActorLostError,
    Heartbeat,
)
from workers.supervision.plan import Plan, Resources, make_plan
from workers.supervision.status import ScaleRequest, ScalingStatus
from workers.supervision.supervisor import Supervisor

Scenario = Generator[None, None, None]
"""What happens meanwhile: each yield is a tick of the supervisor."""

KILLED = ActorLostError("ActorDiedError: the actor's process was killed")


@dataclass(eq=False)
class FakeWorker:
    slot: int
    scorers: Sequence[ActorHandle]
    state: Health = field(init=False)
    answers: bool = True
    node: str = "here"
    drains: bool = True
    stopped: bool = False
    killed: bool = False
    end: Health | BaseException | None = None
    last_words: Health | None = None

    def __post_init__(self) -> None:
        self.state = Health(slot=self.slot, phase=Phase.RUNNING, lag={self.slot: 0})

    def says(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def heartbeat(self) -> Heartbeat | None:
        if isinstance(self.end, BaseException):
            raise ActorEndedError(self.end, health=self.last_words)
        if self.end is not None:
            raise ActorEndedError(None, health=self.end)
        return Heartbeat(node=self.node, pid=1, health=self.state) if self.answers else None

    def restart(self) -> bool:
        return False

    def stop(self) -> None:
        self.stopped = True
        if self.drains:
            self.end = replace(self.state, phase=Phase.STOPPED)

    def kill(self) -> None:
        self.killed = True


@dataclass(eq=False)
class FakeScorer:
    answers: bool = True
    gone: ActorEndedError | ActorAwayError | None = None
    state: Heartbeat = field(default_factory=lambda: Heartbeat(node="here", pid=1))
    restarts: int = 0
    stops: int = 0
    killed: bool = False

    def heartbeat(self) -> Heartbeat | None:
        if self.gone is not None:
            raise self.gone
        return self.state if self.answers else None

    def restart(self) -> bool:
        self.restarts += 1
        return True

    def stop(self) -> None:
        self.stops += 1

    def kill(self) -> None:
        self.killed = True


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it belongs to the future
            future.set_exception(error)
        return future


class SupervisorHarness:
    """A supervisor among fakes. Workers and scorers stand in the order in which they started."""

    def __init__(
        self,
        *,
        partitions: int = 4,
        cores: int = 4,
        device: str = "auto",
        start_timeout_s: float = 120.0,
        **workers: Any,
    ) -> None:
        self.clock = FakeClock()
        self.workers: list[FakeWorker] = []
        self.scorers: list[FakeScorer] = []
        self.removed: list[list[int]] = []
        self.partitions = partitions
        self.broker_answers = True
        self.has_room = True
        self.leaving: set[str] = set()
        self.lost: ClusterLostError | None = None
        self.resources = Resources(cpus=cores)
        section = WorkerSettings.model_validate(workers)

        def planned(device: str) -> Plan:
            return make_plan(
                section,
                device=device,
                topic="vigie.readings",
                partitions=partitions,
                resources=self.resources,
            )

        plan = planned(device)
        self.supervisor = Supervisor(
            plan,
            section,
            ProcessingSettings(drain_timeout_s=10.0),
            start_timeout_s=start_timeout_s,
            replan=lambda: planned(plan.device),
            launcher=self,
            group=GroupAdmin(partitions=self._count, remove=self._remove),
            monotonic_s=self.clock,
            wall_s=lambda: 1.7e9 + self.clock(),
            rng=Random(0),
            executor=AtOnce(),
        )

    # -- the launcher ----------------------------------------------------------------------------

    def ingest(self, slot: int, scorers: Sequence[ActorHandle]) -> ActorHandle:
        worker = FakeWorker(slot, scorers, answers=self.has_room)
        self.workers.append(worker)
        return worker

    def scorer(self) -> ActorHandle:
        scorer = FakeScorer(answers=self.has_room)
        self.scorers.append(scorer)
        return scorer

    def connect(self, workers: Sequence[ActorHandle], scorers: Sequence[ActorHandle]) -> None:
        for worker in workers:
            assert isinstance(worker, FakeWorker)
            worker.scorers = scorers

    def leaving_nodes(self) -> frozenset[str]:
        if self.lost is not None:
            raise self.lost
        return frozenset(self.leaving)

    def wait(self, workers: Sequence[ActorHandle], timeout_s: float) -> None:
        if not any(isinstance(one, FakeWorker) and one.end is not None for one in workers):
            self.clock.advance(timeout_s)

    # -- the broker ------------------------------------------------------------------------------

    def _count(self) -> int:
        self._ask()
        return self.partitions

    def _remove(self, slots: Sequence[int]) -> None:
        self._ask()
        self.removed.append(list(slots))

    def _ask(self) -> None:
        if not self.broker_answers:
            raise BrokerUnavailableError("the broker is away")

    # -- the scenario ----------------------------------------------------------------------------

    def run(
        self, scenario: Scenario, observe: Callable[[list[Health]], None] = lambda _: None
    ) -> list[Health]:
        """Run the supervisor until the scenario is over, then have it drain."""
        return self.supervisor.run(lambda: next(scenario, scenario) is scenario, observe)

    def scale(self, **kinds: Any) -> ScalingStatus:
        """Ask for numbers by hand."""
        return self.supervisor.scale(ScaleRequest(**kinds))

    def ticks(self, seconds: float) -> Scenario:
        """Let time pass."""
        until_s = self.clock() + seconds
        while self.clock() < until_s:
            yield

    def until(self, condition: Callable[[], bool], *, within: float = 60.0) -> Scenario:
        """Let time pass until the condition holds."""
        until_s = self.clock() + within
        while not condition():
            assert self.clock() < until_s, "it never came to that"
            yield

    def at_work(self) -> list[int]:
        """Slots that have a living worker, in the order in which these started."""
        return [w.slot for w in self.workers if not w.killed and w.end is None]

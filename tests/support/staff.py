"""Workers that do as they are told: a supervisor's staff without a cluster, on a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from schemas.settings import Settings
from tests.support.clock import FakeClock
from workers.errors import BrokerUnavailableError
from workers.stream.health import (
    Health,
    Phase,
)
from workers.supervision.actors import (
    Scorer,
    Worker,
    WorkerAwayError,
    WorkerGoneError,
)
from workers.supervision.plan import make_plan
from workers.supervision.status import ScorerPulse
from workers.supervision.supervisor import GroupOffice, Supervisor

Story = Generator[None, None, None]
"""What happens meanwhile: each yield is a tick of the supervisor."""

KILLED = WorkerGoneError("ActorDiedError: the actor's process was killed")


@dataclass(eq=False)
class FakeWorker:
    slot: int
    scorers: Sequence[Scorer]
    state: Health = field(init=False)
    answers: bool = True
    drains: bool = True
    stopped: bool = False
    killed: bool = False
    end: Health | BaseException | None = None
    last_words: Health | None = None

    def __post_init__(self) -> None:
        self.state = Health(slot=self.slot, phase=Phase.RUNNING, lag={self.slot: 0})

    def says(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def over(self) -> bool:
        return self.end is not None

    def result(self) -> Health:
        if isinstance(self.end, BaseException):
            raise self.end
        assert self.end is not None
        return self.end

    def health(self) -> Health | None:
        return self.state if self.answers else None

    def last_health(self) -> Health | None:
        return self.last_words

    def stop(self) -> None:
        self.stopped = True
        if self.drains:
            self.end = replace(self.state, phase=Phase.STOPPED)

    def use_scorers(self, scorers: Sequence[Scorer]) -> None:
        self.scorers = scorers

    def kill(self) -> None:
        self.killed = True


@dataclass(eq=False)
class FakeScorer:
    answers: bool = True
    gone: WorkerGoneError | WorkerAwayError | None = None
    state: ScorerPulse = field(
        default_factory=lambda: ScorerPulse(node="here", pid=1, begun=0, ended=0)
    )
    restarts: int = 0
    killed: bool = False

    def pulse(self) -> ScorerPulse | None:
        if self.gone is not None:
            raise self.gone
        return self.state if self.answers else None

    def restart(self) -> None:
        self.restarts += 1

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


class Theatre:
    """A supervisor among fakes. Workers and scorers stand in the order in which they were hired."""

    def __init__(self, *, partitions: int = 4, cores: int = 4, **workers: Any) -> None:
        self.clock = FakeClock()
        self.workers: list[FakeWorker] = []
        self.scorers: list[FakeScorer] = []
        self.removed: list[list[int]] = []
        self.partitions = partitions
        self.broker_answers = True
        self.has_room = True
        self.settings = Settings.model_validate(
            {"workers": workers, "processing": {"drain_timeout_s": 10.0}}
        )
        plan = make_plan(self.settings, partitions=partitions, cores=cores, gpus=0)
        self.supervisor = Supervisor(
            self.settings,
            plan,
            staff=self,
            office=GroupOffice(partitions=self._count, remove=self._remove),
            monotonic_s=self.clock,
            wall_s=lambda: 1.7e9 + self.clock(),
            rng=Random(0),
            open_office=AtOnce,
        )

    # -- the staff -------------------------------------------------------------------------------

    def ingest(self, slot: int, scorers: Sequence[Scorer]) -> Worker:
        worker = FakeWorker(slot, scorers, answers=self.has_room)
        self.workers.append(worker)
        return worker

    def scorer(self) -> Scorer:
        scorer = FakeScorer(answers=self.has_room)
        self.scorers.append(scorer)
        return scorer

    def wait(self, workers: Sequence[Worker], timeout_s: float) -> None:
        if not any(worker.over() for worker in workers):
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

    # -- the play --------------------------------------------------------------------------------

    def play(self, story: Story) -> list[Health]:
        """Run the supervisor until the story is told, then have it drain."""
        return self.supervisor.run(lambda: next(story, story) is story)

    def ticks(self, seconds: float) -> Story:
        """Let time pass."""
        until_s = self.clock() + seconds
        while self.clock() < until_s:
            yield

    def until(self, condition: Callable[[], bool], *, within: float = 60.0) -> Story:
        """Let time pass until the condition holds."""
        until_s = self.clock() + within
        while not condition():
            assert self.clock() < until_s, "it never came to that"
            yield

    def at_work(self) -> list[int]:
        """Slots that have a living worker, in the order in which these were hired."""
        return [w.slot for w in self.workers if not w.killed and w.end is None]

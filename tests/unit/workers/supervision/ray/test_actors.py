"""What an ingest worker does before it opens anything."""

from __future__ import annotations

import re
from typing import Any

import pytest
import ray

from workers.supervision.launcher import ActorEndedError, Heartbeat, OtherVersionError
from workers.supervision.ray import actors
from workers.supervision.ray.actors import IngestActor
from workers.supervision.ray.launcher import _RayWorker
from workers.version import own_version


class Remote:
    """A method of an actor that answers at once, or raises what Ray would."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []

    def options(self, **_: str) -> Remote:
        return self

    def remote(self, *arguments: Any) -> Remote:
        self.calls.append(arguments)
        return self


class FakeActor:
    def __init__(self, *, run: Any, heartbeat: Any) -> None:
        self.run, self.heartbeat = Remote(run), Remote(heartbeat)


@pytest.fixture
def answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(call: Remote, timeout: float | None = None) -> Any:
        if isinstance(call.answer, BaseException):
            raise call.answer
        return call.answer

    monkeypatch.setattr(ray, "wait", lambda calls, timeout: (calls, []))
    monkeypatch.setattr(ray, "get", get)


class Untouched:
    """A job that must not even be looked at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the run went on to {name}")


def test_an_ingest_worker_of_another_version_refuses_before_it_opens_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(actors, "current_node", lambda: "b1f2")
    job: Any = Untouched()
    worker = IngestActor(job, 0, ())
    said = rf"node b1f2 has Vigie {re.escape(own_version())}, its driver has 9\.9\.9: .* image"
    with pytest.raises(OtherVersionError, match=said):
        worker.run("9.9.9")
    with pytest.raises(AssertionError, match="went on to settings"):
        worker.run(own_version())


def test_the_run_of_an_ingest_worker_is_told_the_drivers_version() -> None:
    actor = FakeActor(run=None, heartbeat=None)
    _RayWorker(actor, None)
    assert actor.run.calls == [(own_version(),)]


@pytest.mark.usefixtures("answers_at_once")
def test_a_run_too_old_to_be_called_like_this_is_another_version() -> None:
    failed = ray.exceptions.RayTaskError("run", "", TypeError("run() takes 1 positional argument"))
    old = FakeActor(run=failed, heartbeat=Heartbeat(node="b1f2", pid=1, version="0.0.9"))
    with pytest.raises(ActorEndedError, match=r"node b1f2 has Vigie 0\.0\.9") as ended:
        _RayWorker(old, None).heartbeat()
    assert isinstance(ended.value.cause, OtherVersionError)
    ours = FakeActor(run=failed, heartbeat=Heartbeat(node="b1f2", pid=1))
    with pytest.raises(ActorEndedError) as ended:
        _RayWorker(ours, None).heartbeat()
    assert isinstance(ended.value.cause, TypeError)

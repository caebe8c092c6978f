"""What a reading costs an ingest worker, stage by stage, in processor time: one worker, no Ray.

Processor time, since it changes little when others keep the cores busy. A stage of the main thread
is timed by that thread's own clock; what the client's threads take (fetching, sending, waiting for
answers) is the time of the process less that of the main thread.
"""

from __future__ import annotations

import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from benchmarks.pipeline import PipelineJob
from benchmarks.processes import Gate
from detector.artifact import load
from workers.kafka.factory import sink_of, source_of, table_of
from workers.process import configure_logging
from workers.stream.build import build_loop, warm_up
from workers.stream.loop import IngestLoop
from workers.stream.scoring.backend import LocalScoring
from workers.supervision.ray import actors

Result = TypeVar("Result")

WARM_SHARE = 0.3
"""Of the readings: windows are full, caches warm, batches as large as they get."""
_LIMIT_S = 1_500.0


@dataclass(frozen=True, kw_only=True)
class StagesJob:
    """Work off a filled topic with one worker.

    Attributes:
        pipeline: broker, topics, model and settings; `records` is how many there are.
        readings: in them.
        warm: readings after which it is measured; None is `WARM_SHARE` of them.
    """

    pipeline: PipelineJob
    readings: int
    warm: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reached:
    """Sums since the start, at one moment. Times are processor seconds.

    Attributes:
        readings: committed.
        commits: transactions.
        calls: to the scorer.
        sent: records by topic.
        stages: seconds of the main thread by stage.
        main_s: of the main thread, all in all.
        process_s: of all threads.
        resident_bytes: most memory so far.
        sensors: with a window.
    """

    readings: int
    commits: int
    calls: int
    sent: Mapping[str, int]
    stages: Mapping[str, float]
    main_s: float
    process_s: float
    resident_bytes: int
    sensors: int


class _Timer:
    """Adds up the main thread's processor time by stage, and what is sent by topic."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def timed(self, stage: str, work: Callable[..., Result]) -> Callable[..., Result]:
        def run(*args: Any, **named: Any) -> Result:
            self.calls[stage] += 1
            began_s = time.thread_time()
            try:
                return work(*args, **named)
            finally:
                self.stages[stage] += time.thread_time() - began_s

        return run

    def counted(self, send: Callable[..., None]) -> Callable[..., None]:
        def run(topic: str, **named: Any) -> None:
            self.sent[topic] += 1
            send(topic, **named)

        return run


class _Instead:
    """An object with some of its methods replaced."""

    def __init__(self, inner: Any, **methods: Callable[..., Any]) -> None:
        self._inner = inner
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def run_stages(job: StagesJob, gate: Gate) -> tuple[Reached, Reached]:
    """Work off the topic; what was reached when it was warm, and at the end."""
    settings = job.pipeline.settings()
    configure_logging(settings.log)
    torch.set_num_threads(1)
    assert settings.model.path is not None
    detector = load(settings.model.path, device="cpu")
    warm_up(detector)
    actors._spare_the_collector()  # noqa: SLF001 - as the worker does
    timer = _Timer()
    scoring = LocalScoring(detector)
    with (
        source_of(settings, 0).open() as source,
        sink_of(settings, 0).open(source) as sink,
        table_of(settings).open() as table,
    ):
        loop = build_loop(
            slot=0,
            source=_Instead(source, poll=timer.timed("poll", source.poll)),
            sink=_Instead(sink, send=timer.counted(sink.send)),
            table=table,
            scoring=_Instead(scoring, submit=timer.timed("score", scoring.submit)),
            detector=detector,
            settings=settings,
        )
        accept = loop._input.accept  # noqa: SLF001 - the loop builds its own
        loop._input = _Instead(loop._input, accept=timer.timed("decode", accept))  # noqa: SLF001
        gate.wait()
        return _worked_off(loop, timer, job)


def _worked_off(loop: IngestLoop, timer: _Timer, job: StagesJob) -> tuple[Reached, Reached]:
    warm_at = job.warm if job.warm is not None else int(WARM_SHARE * job.readings)
    warm: Reached | None = None
    until_s, seen = time.monotonic() + _LIMIT_S, -1
    while time.monotonic() < until_s:
        loop.step()
        total = loop.health.total
        if total.readings == seen:
            continue
        seen = total.readings
        if warm is None and seen >= warm_at:
            warm = _reached(loop, timer)
        if total.records >= job.pipeline.records:
            if warm is None or loop.health.rewinds:
                raise RuntimeError(f"nothing to measure: {loop.health}")
            return warm, _reached(loop, timer)
    raise RuntimeError(f"{job.pipeline.records} records took longer than {_LIMIT_S:g} s: {seen}")


def _reached(loop: IngestLoop, timer: _Timer) -> Reached:
    health = loop.health
    return Reached(
        readings=health.total.readings,
        commits=health.commits,
        calls=timer.calls["score"],
        sent=dict(timer.sent),
        stages=dict(timer.stages),
        main_s=time.thread_time(),
        process_s=time.process_time(),
        resident_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        sensors=health.sensors,
    )

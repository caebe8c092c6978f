"""The Ray actors: shells of run, stop and heartbeat around plain classes.

What they need travels to them; clients and models are born and die inside `run`.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from detector.artifact import load
from detector.scoring import Detector
from schemas.settings import Settings
from workers.errors import StoppedError
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Sink, Source
from workers.kafka.deadline import Deadline
from workers.kafka.factory import admin_of, connection_of, sink_of, source_of, table_of, verdicts_of
from workers.process import configure_logging
from workers.stream.build import build_loop, warm_up
from workers.stream.health import Health, Phase
from workers.stream.loop import IngestLoop
from workers.stream.repartition.build import (
    Hop,
    build_rekey_loop,
    build_reorder_loop,
    settings_of,
)
from workers.stream.scoring.backend import LocalScoring, Scoring, Work
from workers.stream.sensor_labels import SensorLabels
from workers.stream.tracing import tracing_of
from workers.supervision.launcher import Heartbeat, other_version
from workers.supervision.ray.scoring import Answer, PlacedScorer, RayScoring
from workers.supervision.ray.watchdog import Watchdog

_CONTAINERS_A_LOOK = 100_000


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """A model that travels, as the artifact's files by name: no worker needs the driver's disk."""

    files: Mapping[str, bytes]
    device: str
    threads: int
    settling: bool = False

    @classmethod
    def read(
        cls, folder: Path, *, device: str, threads: int = 1, settling: bool = False
    ) -> ModelFiles:
        """Of an artifact's folder."""
        found = (path for path in sorted(folder.iterdir()) if path.is_file())
        files = {path.name: path.read_bytes() for path in found}
        return cls(files=files, device=device, threads=threads, settling=settling)

    def load(self) -> Detector:
        """Load the model, and have this process compute with its threads.

        Raises:
            ArtifactError: of the detector, when the files do not make a model.
        """
        import torch

        torch.set_num_threads(self.threads)
        with tempfile.TemporaryDirectory(prefix="vigie-model-") as folder:
            for name, content in self.files.items():
                (Path(folder) / name).write_bytes(content)
            detector = load(Path(folder), device=self.device)
        return detector.settling() if self.settling else detector


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a loop works: its slot, and its ways to the broker, which the worker closes."""

    slot: int
    source: Source
    sink: Sink
    stack: ExitStack


class WorkerJob(Protocol):
    """What an ingest worker needs to do its part. Picklable."""

    @property
    def settings(self) -> Settings:
        """Of its source, its sink, its log and its watchdog."""

    def prepare(self, scoring: Scoring | None) -> Callable[[Place], IngestLoop]:
        """Load what has to be loaded, and give what makes the loop.

        Args:
            scoring: where calls to scorers go; None when there are none.
        """


@dataclass(frozen=True, kw_only=True)
class Job:
    """To score; a scorer needs the model alone."""

    settings: Settings
    model: ModelFiles
    labels: SensorLabels = field(default_factory=SensorLabels)
    calendars: Mapping[str, str] = field(default_factory=dict)

    def prepare(self, scoring: Scoring | None) -> Callable[[Place], IngestLoop]:
        """See `WorkerJob`."""
        detector = self.model.load()
        warm_up(detector)

        def make(place: Place) -> IngestLoop:
            return build_loop(
                slot=place.slot,
                source=place.source,
                sink=place.sink,
                table=place.stack.enter_context(table_of(self.settings).open()),
                scoring=scoring or LocalScoring(detector),
                detector=detector,
                settings=self.settings,
                labels_of=self.labels.of,
                wishes=place.stack.enter_context(verdicts_of(self.settings).open()),
                calendars=self.calendars,
                tracer=place.stack.enter_context(
                    tracing_of(self.settings.tracing, slot=place.slot)
                ),
            )

        return make


@dataclass(frozen=True, kw_only=True)
class RepartitionJob:
    """To do one hop of a repartition.

    Attributes:
        whole: the settings of both hops.
        hop: which one.
    """

    whole: Settings
    hop: Hop

    @property
    def settings(self) -> Settings:
        """See `WorkerJob`."""
        return settings_of(self.whole, self.hop)

    def prepare(self, scoring: Scoring | None) -> Callable[[Place], IngestLoop]:  # noqa: ARG002
        """See `WorkerJob`; there is nothing to load."""
        whole, topics = self.whole, self.whole.repartition

        def partitions(topic: str) -> int:
            admin = admin_of(connection_of(whole.kafka))
            return admin.grow_topics([TopicSpec(name=topic, partitions=1)])[0].partitions

        def make(place: Place) -> IngestLoop:
            slot, source, sink = place.slot, place.source, place.sink
            if self.hop is Hop.REORDER:
                return build_reorder_loop(
                    slot=slot,
                    source=source,
                    sink=sink,
                    settings=whole,
                    sources=lambda: partitions(topics.source),
                )
            return build_rekey_loop(
                slot=slot,
                source=source,
                sink=sink,
                settings=whole,
                partitions=partitions(topics.shuffled),
            )

        return make


class ScorerActor:
    """Scores what it is sent. Stateless."""

    def __init__(self, model: ModelFiles) -> None:
        self._detector = model.load()
        self._begun = self._ended = 0
        self._node = current_node()

    def score(self, work: Work) -> Answer:
        """Score samples."""
        self._begun += 1
        sent_s, began_s = time.time(), time.perf_counter()
        try:
            scores = work.scores(self._detector)
            return Answer(scores, sent_s, time.perf_counter() - began_s)
        finally:
            self._ended += 1

    def heartbeat(self) -> Heartbeat:
        """A sign of life; answers while `score` is busy."""
        return Heartbeat(node=self._node, pid=os.getpid(), begun=self._begun, ended=self._ended)


class IngestActor:
    """Runs one `IngestLoop`. `stop` and `heartbeat` answer while `run` is busy."""

    def __init__(self, job: WorkerJob, slot: int, scorers: Sequence[PlacedScorer]) -> None:
        self._job, self._slot, self._scorers = job, slot, scorers
        self._stopping = threading.Event()
        self._loop: IngestLoop | None = None
        self._watchdog: Watchdog | None = None
        self._scoring: RayScoring | None = None
        self._node = current_node()

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self._stopping.set()

    def use_scorers(self, scorers: Sequence[PlacedScorer]) -> None:
        """Send the calls to these scorers from now on."""
        self._scorers = scorers
        if self._scoring is not None:
            self._scoring.use(scorers)

    def heartbeat(self) -> Heartbeat:
        """A sign of life, with how it goes; answers while `run` is busy."""
        return Heartbeat(node=self._node, pid=os.getpid(), health=self._health())

    def run(self, driver: str) -> Health:
        """Poll, score, publish and commit until `stop`; then drain.

        Args:
            driver: the driver's version of Vigie.

        Returns:
            The last health, everything committed.

        Raises:
            OtherVersionError: ours is another one; nothing was opened.
        """
        if (error := other_version(self.heartbeat(), driver)) is not None:
            raise error
        settings = self._job.settings
        configure_logging(settings.log)
        make_loop = self._job.prepare(self._ray_scoring() if self._scorers else None)
        _spare_the_collector()
        try:
            with ExitStack() as stack:
                should_stop = self._stopping.is_set
                source = stack.enter_context(
                    source_of(settings, self._slot).open(should_stop=should_stop)
                )
                sink = stack.enter_context(
                    sink_of(settings, self._slot).open(source, should_stop=should_stop)
                )
                loop = self._loop = make_loop(
                    Place(slot=self._slot, source=source, sink=sink, stack=stack)
                )
                watchdog = self._watchdog = Watchdog(
                    lambda: (loop.progress.count, loop.has_work and not self._waits_for_a_scorer()),
                    stall_timeout_s=settings.workers.stall_timeout_s,
                    sink=sys.__stderr__ or sys.stderr,
                )
                with watchdog.watching():
                    while not self._stopping.is_set():
                        loop.step()
                    loop.drain(Deadline.after(settings.processing.drain_timeout_s))
        except StoppedError:
            return Health(slot=self._slot, phase=Phase.STOPPED)
        return self._health()

    def _health(self) -> Health:
        if self._loop is None:
            return Health(slot=self._slot)
        stalls = self._watchdog.stalls if self._watchdog else 0
        return replace(self._loop.health, stalls=stalls)

    def _waits_for_a_scorer(self) -> bool:
        """To replace this worker would bring no scorer back, and cost another start."""
        return self._scoring is not None and self._scoring.is_waiting

    def _ray_scoring(self) -> RayScoring:
        self._scoring = RayScoring(self._scorers, node=self._node)
        self._scoring.use(self._scorers)  # they may have changed between these two lines
        return self._scoring


def current_node() -> str:
    """The machine that this process runs on, as Ray names it."""
    import ray

    node: str = ray.get_runtime_context().get_node_id()
    return node


def _spare_the_collector() -> None:
    """Let the garbage collector look less often, and never again at what is loaded by now.

    A batch makes tens of thousands of short-lived containers, none of them in cycles: with the
    default of a look each 700 the collector takes a tenth of an ingest worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_CONTAINERS_A_LOOK, 20, 100)

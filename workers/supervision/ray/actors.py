"""The Ray actors: shells of run, stop and health around plain classes.

Everything they need travels in a `Job`: settings and the artifact's files, so that no worker needs
the driver's disk. Clients and models are born and die inside `run`.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.artifact import load
from detector.scoring import Detector, Scores
from schemas.settings import Settings
from workers.errors import StoppedError
from workers.kafka.deadline import Deadline
from workers.kafka.factory import sink_of, source_of, table_of
from workers.process import configure_logging
from workers.stream.build import build_loop
from workers.stream.health import (
    Health,
    Phase,
)
from workers.stream.loop import IngestLoop
from workers.stream.scoring.backend import LocalScoring
from workers.supervision.ray.scoring import RayScoring
from workers.supervision.ray.watchdog import Watchdog
from workers.supervision.status import ScorerPulse

_CONTAINERS_A_LOOK = 100_000


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs to do its part.

    Attributes:
        settings: all settings.
        artifact: the model's files by name.
        device: where this worker's model computes.
    """

    settings: Settings
    artifact: Mapping[str, bytes]
    device: str

    def detector(self) -> Detector:
        """Load the model.

        Raises:
            ArtifactError: of the detector, when the files do not make a model.
        """
        with tempfile.TemporaryDirectory(prefix="vigie-model-") as folder:
            for name, content in self.artifact.items():
                (Path(folder) / name).write_bytes(content)
            return load(Path(folder), device=self.device)


class ScorerActor:
    """Scores what it is sent. Stateless."""

    def __init__(self, job: Job) -> None:
        """Load the model."""
        _use_threads(job.settings.workers.threads)
        self._detector = job.detector()
        self._begun = self._ended = 0
        self._node = current_node()

    def score(
        self, rows: NDArray[np.float64], ends: NDArray[np.int64], groups: NDArray[np.int32]
    ) -> Scores:
        """Score samples; see `Detector.score`."""
        self._begun += 1
        try:
            return self._detector.score(rows, ends, groups)
        finally:
            self._ended += 1

    def pulse(self) -> ScorerPulse:
        """A sign of life; answers while `score` is busy."""
        return ScorerPulse(node=self._node, pid=os.getpid(), begun=self._begun, ended=self._ended)


class IngestActor:
    """Runs one `IngestLoop`. `stop` and `health` answer while `run` is busy."""

    def __init__(self, job: Job, slot: int, scorers: Sequence[Any]) -> None:
        """Note what to do; `run` does it."""
        self._job, self._slot, self._scorers = job, slot, scorers
        self._stopping = threading.Event()
        self._loop: IngestLoop | None = None
        self._watchdog: Watchdog | None = None
        self._scoring: RayScoring | None = None

    def pid(self) -> int:
        """Process id."""
        return os.getpid()

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self._stopping.set()

    def use_scorers(self, scorers: Sequence[Any]) -> None:
        """Send the calls to these scorers from now on."""
        self._scorers = scorers
        if self._scoring is not None:
            self._scoring.use(scorers)

    def health(self) -> Health:
        """How it goes."""
        if self._loop is None:
            return Health(slot=self._slot)
        stalls = self._watchdog.stalls if self._watchdog else 0
        return replace(self._loop.health, stalls=stalls)

    def run(self) -> Health:
        """Poll, score, publish and commit until `stop`; then drain.

        Returns:
            The last health, everything committed.
        """
        settings = self._job.settings
        configure_logging(settings.log)
        _use_threads(settings.workers.threads)
        detector = self._job.detector()
        _spare_the_collector()
        scoring = LocalScoring(detector) if not self._scorers else self._ray_scoring()
        try:
            with ExitStack() as stack:
                should_stop = self._stopping.is_set
                source = stack.enter_context(
                    source_of(settings, self._slot).open(should_stop=should_stop)
                )
                sink = stack.enter_context(
                    sink_of(settings, self._slot).open(source, should_stop=should_stop)
                )
                table = stack.enter_context(table_of(settings).open())
                loop = self._loop = build_loop(
                    slot=self._slot,
                    source=source,
                    sink=sink,
                    table=table,
                    scoring=scoring,
                    detector=detector,
                    settings=settings,
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
        return self.health()

    def _waits_for_a_scorer(self) -> bool:
        """To replace this worker would bring no scorer back, and cost another start."""
        return self._scoring is not None and self._scoring.is_waiting

    def _ray_scoring(self) -> RayScoring:
        self._scoring = RayScoring(self._scorers)
        self._scoring.use(self._scorers)  # they may have changed between these two lines
        return self._scoring


def current_node() -> str:
    """The machine that this process runs on, as Ray names it."""
    import ray

    node: str = ray.get_runtime_context().get_node_id()
    return node


def read_artifact(folder: Path) -> dict[str, bytes]:
    """The files of an artifact's folder, to send along."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _spare_the_collector() -> None:
    """Let the garbage collector look less often, and never again at what is loaded by now.

    A batch makes tens of thousands of short-lived containers, none of them in cycles: with the
    default of a look each 700 the collector takes a tenth of an ingest worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_CONTAINERS_A_LOOK, 20, 100)


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)

"""The whole of `vigie run` on a filled topic with some workers: what a reading costs them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.pipeline import PipelineJob
from benchmarks.processes import Gate
from detector.artifact import load
from workers.process import configure_logging
from workers.stream.health import Health
from workers.supervision.pipeline import run_pipeline

_ROUNDS = 200


@dataclass(frozen=True, kw_only=True)
class WorkersJob:
    """Work a topic off with `pipeline.ingest` workers.

    Attributes:
        pipeline: what, with how many; `records` is how many there are.
        warm: readings after which it is measured.
    """

    pipeline: PipelineJob
    warm: int


@dataclass(frozen=True, kw_only=True)
class Mark:
    """All ingest workers together, at one moment.

    Attributes:
        at_s: of the wall clock.
        cpu_s: processor seconds since they started.
        busy_s: that they were at work.
        readings, commits: done.
        working: workers that have done something.
    """

    at_s: float
    cpu_s: float
    busy_s: float
    readings: int
    commits: int
    working: int


def run_workers(job: WorkersJob, gate: Gate) -> tuple[Mark, Mark]:
    """Run until all is done; the marks when it was warm, and of the last progress."""
    settings = job.pipeline.settings()
    configure_logging(settings.log)
    marks: list[Mark] = []
    done = threading.Event()

    def observe(healths: list[Health]) -> None:
        mark = _mark(healths)
        began = len(healths) == job.pipeline.ingest and mark.readings >= job.warm
        if began and (not marks or mark.readings > marks[-1].readings):
            marks.append(mark)
        if sum(health.total.records for health in healths) >= job.pipeline.records:
            done.set()

    gate.wait()
    run_pipeline(settings, should_stop=done.is_set, observe=observe)
    if len(marks) < 2:
        raise RuntimeError("all was done before it could be measured: more rows")
    return marks[0], marks[-1]


def _mark(healths: list[Health]) -> Mark:
    return Mark(
        at_s=time.time(),
        cpu_s=sum(health.cpu_s for health in healths),
        busy_s=sum(health.busy_s for health in healths),
        readings=sum(health.total.readings for health in healths),
        commits=sum(health.commits for health in healths),
        working=sum(1 for health in healths if health.total.readings),
    )


def run_network(models: dict[int, Path], gate: Gate) -> dict[int, float]:
    """Processor microseconds a window of the bare autoencoder, by the channels of its model."""
    torch.set_num_threads(1)
    gate.wait()
    found = {}
    for channels, folder in models.items():
        view = load(folder, device="cpu").signal
        block = torch.randn(view.tile, view.receptive_field, channels)
        took = []
        with torch.inference_mode():
            for _ in range(_ROUNDS):
                began_s = time.thread_time()
                view.model.reconstruct(block)
                took.append(time.thread_time() - began_s)
        found[channels] = float(np.median(took)) / view.tile * 1e6
    return found

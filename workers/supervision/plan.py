"""How many workers of which kind a run begins with, and between which limits it scales. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from schemas.settings import Settings
from workers.supervision.autoscaler import Limits


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run begins with.

    Attributes:
        ingest: ingest workers.
        scorers: scorer actors; 0 when scoring stays in the ingest workers.
        device: where models compute: "cpu" or "cuda".
        gpus_per_scorer: what each scorer reserves.
        partitions: of the readings, when the plan was made.
        cores: that the workers may use.
        gpus: that the scorers may use.
    """

    ingest: int
    scorers: int
    device: str
    gpus_per_scorer: float
    partitions: int
    cores: int
    gpus: float

    @property
    def cpus(self) -> int:
        """Logical cores that the actors of the beginning use together."""
        return self.ingest + self.scorers


def make_plan(settings: Settings, *, partitions: int, cores: int, gpus: float) -> Plan:
    """Decide placement and numbers.

    Without a GPU scoring stays in the ingest workers: a call to an actor costs more than it saves
    (docs/decisions/). More ingest workers than partitions would stand idle.
    """
    workers = settings.workers
    device = settings.model.device
    if device == "auto":
        device = "cuda" if gpus > 0 else "cpu"
    in_actors = workers.placement == "actors" or (workers.placement == "auto" and device == "cuda")
    wanted = cores if workers.ingest == "auto" else workers.ingest
    limits = ingest_limits(settings, partitions=partitions, cores=cores)
    scorers = workers.min_scorers if workers.scorers == "auto" else max(1, workers.scorers)
    return Plan(
        ingest=limits.clamp(wanted)
        if workers.ingest == "auto"
        else max(1, min(wanted, partitions)),
        scorers=scorers if in_actors else 0,
        device=device,
        gpus_per_scorer=workers.num_gpus_per_scorer if device == "cuda" else 0.0,
        partitions=partitions,
        cores=cores,
        gpus=gpus,
    )


def ingest_limits(settings: Settings, *, partitions: int, cores: int) -> Limits:
    """Between which numbers the ingest workers scale."""
    workers = settings.workers
    auto = max(cores, workers.min_ingest)
    wanted = auto if workers.max_ingest == "auto" else workers.max_ingest
    most = max(1, min(wanted, partitions))
    return Limits(least=min(workers.min_ingest, most), most=most)


def scorer_limits(settings: Settings, plan: Plan) -> Limits:
    """Between which numbers the scorers scale; 0 to 0 when there are none."""
    if plan.scorers == 0:
        return Limits(least=0, most=0)
    workers = settings.workers
    if workers.max_scorers != "auto":
        most = workers.max_scorers
    elif plan.gpus_per_scorer > 0:
        most = int(plan.gpus / plan.gpus_per_scorer)
    else:
        most = plan.cores
    most = max(1, workers.min_scorers, most)
    return Limits(least=workers.min_scorers, most=most)


def scales(settings: Settings, kind: Literal["ingest", "scorers"]) -> bool:
    """Whether the settings let the number of a kind follow the load."""
    workers = settings.workers
    number = workers.ingest if kind == "ingest" else workers.scorers
    return workers.scaling == "auto" and number == "auto"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

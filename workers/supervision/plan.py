"""How many workers of which kind a run begins with, and between which limits it scales. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass

from schemas.settings import WorkerSettings
from workers.supervision.autoscaler import Limits
from workers.supervision.status import Kind, Mode


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the workers may use: logical cores, and GPUs."""

    cpus: int
    gpus: float = 0.0


@dataclass(frozen=True, kw_only=True)
class KindPlan:
    """How many of one kind a run begins with, who decides, and within which limits the load may."""

    mode: Mode
    target: int
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run begins with.

    Attributes:
        ingest: workers; limits are not yet those of the partitions, whose number may change.
        scorers: none when scoring stays in the ingest workers.
        device: where models compute: "cpu" or "cuda".
        is_auto_device: whether the GPUs that there were decided on that.
        gpus_per_scorer: what each scorer reserves.
        resources: what the cluster had when the plan was made.
        topic: of the readings.
        partitions: of the readings, when the plan was made.
    """

    ingest: KindPlan
    scorers: KindPlan
    device: str
    is_auto_device: bool
    gpus_per_scorer: float
    resources: Resources
    topic: str
    partitions: int

    @property
    def kinds(self) -> dict[Kind, KindPlan]:
        """Both of them."""
        return {Kind.INGEST: self.ingest, Kind.SCORERS: self.scorers}


def make_plan(
    workers: WorkerSettings,
    *,
    device: str,
    topic: str,
    partitions: int,
    resources: Resources,
    reserved: bool = False,
) -> Plan:
    """Decide placement, numbers, and who may change them.

    Without a GPU scoring stays in the ingest workers: a call to an actor costs more than it saves
    (docs/decisions/). More ingest workers than partitions would stand idle. The `device` "auto" is
    CUDA where there is a GPU. With `reserved` each worker takes a core of its own, as on a cluster
    that others use too.
    """
    cores, gpus = resources.cpus, resources.gpus
    is_auto_device = device == "auto"
    if is_auto_device:
        device = "cuda" if gpus > 0 else "cpu"
    gpus_per_scorer = workers.num_gpus_per_scorer if device == "cuda" else 0.0
    in_actors = workers.placement == "actors" or (workers.placement == "auto" and device == "cuda")
    carried = _carried(gpus, gpus_per_scorer) if gpus_per_scorer > 0 else cores
    scorers = (
        _kind_plan(
            workers.scorers or 1,
            first=workers.min_scorers,
            least=workers.min_scorers,
            most=carried if workers.max_scorers == "auto" else workers.max_scorers,
            scaling=workers.scaling,
        )
        if in_actors
        else KindPlan(mode=Mode.FIXED, target=0, limits=Limits(least=0, most=0))
    )
    # A scorer of a cluster reserves a core too: no ingest worker may wait for that for ever.
    left = max(cores - scorers.target, 1) if reserved else cores
    return Plan(
        ingest=_kind_plan(
            workers.ingest,
            first=min(left, partitions),
            least=workers.min_ingest,
            most=left if workers.max_ingest == "auto" else workers.max_ingest,
            scaling=workers.scaling,
        ),
        scorers=scorers,
        device=device,
        is_auto_device=is_auto_device,
        gpus_per_scorer=gpus_per_scorer,
        resources=resources,
        topic=topic,
        partitions=partitions,
    )


def _carried(gpus: float, share: float) -> int:
    """How many scorers the GPUs carry; a share of a GPU is of one GPU, whole ones come together."""
    return int(gpus) * int(1 / share) if share <= 1 else int(gpus / share)


def _kind_plan(number: int | str, *, first: int, least: int, most: int, scaling: str) -> KindPlan:
    """The plan of a kind: a number stays, "auto" begins with `first` and follows the load."""
    limits = Limits(least=least, most=max(least, most))
    if isinstance(number, int):
        return KindPlan(mode=Mode.FIXED, target=number, limits=limits)
    mode = Mode.AUTO if scaling == "auto" else Mode.FIXED
    return KindPlan(mode=mode, target=limits.clamp(first), limits=limits)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

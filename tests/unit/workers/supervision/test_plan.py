"""How many workers of which kind a pipeline begins with, and between which limits it scales."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.settings import WorkerSettings
from workers.supervision.autoscaler import Limits
from workers.supervision.plan import Plan, Resources, make_plan
from workers.supervision.status import Mode


def plan(
    *, partitions: int = 4, cores: int = 2, gpus: float = 0, device: str = "auto", **workers: Any
) -> Plan:
    section = WorkerSettings.model_validate(workers)
    resources = Resources(cpus=cores, gpus=gpus)
    return make_plan(section, device=device, topic="r", partitions=partitions, resources=resources)


def numbers(plan: Plan) -> tuple[int, int, str, float]:
    return (plan.ingest.target, plan.scorers.target, plan.device, plan.gpus_per_scorer)


def test_without_a_gpu_scoring_stays_with_the_ingest_workers() -> None:
    assert numbers(plan()) == (2, 0, "cpu", 0.0)


def test_with_a_gpu_scorers_get_it() -> None:
    assert numbers(plan(gpus=1)) == (2, 1, "cuda", 1.0)


def test_no_more_workers_than_partitions() -> None:
    assert plan(partitions=3, cores=16).ingest.target == 3


@pytest.mark.parametrize(("placement", "scorers"), [("actors", 3), ("ingest", 0)])
def test_the_placement_can_be_chosen(placement: str, scorers: int) -> None:
    chosen = plan(placement=placement, scorers=3)
    assert (chosen.scorers.target, chosen.gpus_per_scorer) == (scorers, 0.0)


def test_on_a_cluster_scorers_leave_the_ingest_workers_what_cores_are_left() -> None:
    section = WorkerSettings.model_validate({"placement": "actors", "scorers": 3})
    chosen = make_plan(
        section, device="cpu", topic="r", partitions=8, resources=Resources(cpus=4), reserved=True
    )
    assert (chosen.ingest.target, chosen.ingest.limits.most) == (1, 1)


def test_a_device_that_was_chosen_is_kept() -> None:
    assert plan(gpus=1, device="cpu").device == "cpu"


@pytest.mark.parametrize(
    ("workers", "partitions", "limits"),
    [
        ({}, 8, Limits(least=1, most=4)),
        ({}, 3, Limits(least=1, most=3)),
        ({"max_ingest": 6}, 8, Limits(least=1, most=6)),
        ({"min_ingest": 2, "max_ingest": 6}, 4, Limits(least=2, most=4)),
        ({"min_ingest": 5}, 3, Limits(least=3, most=3)),
    ],
)
def test_ingest_workers_scale_between_the_settings_the_cores_and_the_partitions(
    workers: dict[str, Any], partitions: int, limits: Limits
) -> None:
    chosen = plan(partitions=partitions, cores=4, **workers)
    assert chosen.ingest.limits.at_most(partitions) == limits


@pytest.mark.parametrize("settings", [{}, {"scorers": 2, "placement": "actors"}])
def test_before_any_node_there_is_a_first_worker_of_each_kind_that_can_wait_for_one(
    settings: dict[str, Any],
) -> None:
    section = WorkerSettings.model_validate(settings)
    empty = Resources(cpus=0)
    chosen = make_plan(
        section, device="cuda", topic="r", partitions=8, resources=empty, reserved=True
    )
    assert numbers(chosen) == (1, settings.get("scorers", 1), "cuda", 1.0)
    assert chosen.ingest.limits == chosen.scorers.limits == Limits(least=1, most=1)


def test_the_plan_says_whether_the_gpus_decided_on_the_device() -> None:
    assert plan(gpus=1).is_auto_device
    assert not plan(gpus=1, device="cuda").is_auto_device


def test_an_automatic_beginning_keeps_the_limits() -> None:
    assert plan(cores=4, max_ingest=1).ingest.target == 1
    assert plan(cores=1, min_ingest=3).ingest.target == 3


@pytest.mark.parametrize(
    ("workers", "gpus", "limits"),
    [
        ({"placement": "ingest"}, 0, Limits(least=0, most=0)),
        ({"placement": "actors"}, 0, Limits(least=1, most=2)),
        ({}, 2, Limits(least=1, most=2)),
        ({"num_gpus_per_scorer": 0.25}, 2, Limits(least=1, most=8)),
        ({"num_gpus_per_scorer": 0.6}, 2, Limits(least=1, most=2)),
        ({"num_gpus_per_scorer": 4}, 2, Limits(least=1, most=1)),
        ({"min_scorers": 2, "max_scorers": 5}, 1, Limits(least=2, most=5)),
    ],
)
def test_scorers_scale_with_what_they_run_on(
    workers: dict[str, Any], gpus: float, limits: Limits
) -> None:
    assert plan(gpus=gpus, **workers).scorers.limits == limits


@pytest.mark.parametrize(
    ("workers", "follows"),
    [({}, True), ({"ingest": 3}, False), ({"scaling": "off"}, False), ({"scorers": 3}, True)],
)
def test_a_number_stays_and_auto_follows_the_load(
    workers: dict[str, Any], *, follows: bool
) -> None:
    assert (plan(**workers).ingest.mode is Mode.AUTO) is follows


def test_limits_out_of_order_are_rejected() -> None:
    with pytest.raises(ValueError, match="max_ingest must be at least min_ingest, got 2 < 3"):
        WorkerSettings(min_ingest=3, max_ingest=2)

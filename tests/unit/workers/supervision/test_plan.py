"""How many workers of which kind a pipeline begins with, and between which limits it scales."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.settings import Settings
from workers.supervision.autoscaler import Limits
from workers.supervision.plan import Plan, ingest_limits, make_plan, scales, scorer_limits


def plan(*, partitions: int = 4, cores: int = 2, gpus: float = 0, **sections: Any) -> Plan:
    settings = Settings.model_validate(sections)
    return make_plan(settings, partitions=partitions, cores=cores, gpus=gpus)


def numbers(plan: Plan) -> tuple[int, int, str, float]:
    return (plan.ingest, plan.scorers, plan.device, plan.gpus_per_scorer)


def test_without_a_gpu_scoring_stays_with_the_ingest_workers() -> None:
    assert numbers(plan()) == (2, 0, "cpu", 0.0)


def test_with_a_gpu_scorers_get_it() -> None:
    assert numbers(plan(gpus=1)) == (2, 1, "cuda", 1.0)


def test_no_more_workers_than_partitions() -> None:
    assert plan(partitions=3, cores=16).ingest == 3
    assert plan(partitions=3, workers={"ingest": 8}).ingest == 3


@pytest.mark.parametrize(("placement", "scorers"), [("actors", 3), ("ingest", 0)])
def test_the_placement_can_be_chosen(placement: str, scorers: int) -> None:
    chosen = plan(workers={"placement": placement, "scorers": 3})
    assert (chosen.scorers, chosen.gpus_per_scorer) == (scorers, 0.0)


def test_a_device_that_was_chosen_is_kept() -> None:
    assert plan(gpus=1, model={"device": "cpu"}).device == "cpu"


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
    settings = Settings.model_validate({"workers": workers})
    assert ingest_limits(settings, partitions=partitions, cores=4) == limits


def test_an_automatic_beginning_keeps_the_limits() -> None:
    assert plan(cores=4, workers={"max_ingest": 1}).ingest == 1
    assert plan(cores=1, workers={"min_ingest": 3}).ingest == 3


@pytest.mark.parametrize(
    ("workers", "gpus", "limits"),
    [
        ({"placement": "ingest"}, 0, Limits(least=0, most=0)),
        ({"placement": "actors"}, 0, Limits(least=1, most=2)),
        ({}, 2, Limits(least=1, most=2)),
        ({"num_gpus_per_scorer": 0.25}, 2, Limits(least=1, most=8)),
        ({"num_gpus_per_scorer": 4}, 2, Limits(least=1, most=1)),
        ({"min_scorers": 2, "max_scorers": 5}, 1, Limits(least=2, most=5)),
    ],
)
def test_scorers_scale_with_what_they_run_on(
    workers: dict[str, Any], gpus: float, limits: Limits
) -> None:
    settings = Settings.model_validate({"workers": workers})
    made = make_plan(settings, partitions=4, cores=2, gpus=gpus)
    assert scorer_limits(settings, made) == limits


@pytest.mark.parametrize(
    ("workers", "follows"),
    [({}, True), ({"ingest": 3}, False), ({"scaling": "off"}, False), ({"scorers": 3}, True)],
)
def test_a_number_stays_and_auto_follows_the_load(
    workers: dict[str, Any], *, follows: bool
) -> None:
    assert scales(Settings.model_validate({"workers": workers}), "ingest") is follows


def test_limits_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="max_ingest must be at least min_ingest, got 2 < 3"):
        Settings.model_validate({"workers": {"min_ingest": 3, "max_ingest": 2}})

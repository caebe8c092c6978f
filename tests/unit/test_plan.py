"""How many workers of which kind a pipeline gets."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.settings import Settings
from workers.stream.supervisor import Plan, make_plan


def plan(*, partitions: int = 4, cores: int = 2, has_cuda: bool = False, **sections: Any) -> Plan:
    settings = Settings.model_validate(sections)
    return make_plan(settings, partitions=partitions, cores=cores, has_cuda=has_cuda)


def test_without_a_gpu_scoring_stays_with_the_ingest_workers() -> None:
    assert plan() == Plan(ingest=2, scorers=0, device="cpu", gpus_per_scorer=0.0)


def test_with_a_gpu_scorers_get_it() -> None:
    assert plan(has_cuda=True) == Plan(ingest=2, scorers=1, device="cuda", gpus_per_scorer=1.0)


def test_no_more_workers_than_partitions() -> None:
    assert plan(partitions=3, cores=16).ingest == 3
    assert plan(partitions=3, workers={"ingest": 8}).ingest == 3


@pytest.mark.parametrize(("placement", "scorers"), [("actors", 3), ("ingest", 0)])
def test_the_placement_can_be_chosen(placement: str, scorers: int) -> None:
    chosen = plan(workers={"placement": placement, "scorers": 3})
    assert (chosen.scorers, chosen.gpus_per_scorer) == (scorers, 0.0)


def test_a_device_that_was_chosen_is_kept() -> None:
    assert plan(has_cuda=True, model={"device": "cpu"}).device == "cpu"

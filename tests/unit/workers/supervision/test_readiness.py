"""What a pipeline lacks to be ready, and when its supervisor counts as stuck."""

from __future__ import annotations

import pytest

from workers.stream.health import Health, Phase
from workers.supervision.readiness import LIVE_WITHIN_S, is_live, missing_of
from workers.supervision.status import Mode, ScalingStatus, WorkerCount


def scaling(*, ingest: int, scorers: int = 0, answering: int = 0) -> ScalingStatus:
    def count(target: int, actual: int) -> WorkerCount:
        return WorkerCount(mode=Mode.FIXED, target=target, actual=actual, least=0, most=9)

    return ScalingStatus(
        partitions=4, ingest=count(ingest, ingest), scorers=count(scorers, answering)
    )


def test_a_pipeline_with_every_worker_at_work_lacks_nothing() -> None:
    at_work = [Health(slot=slot, phase=Phase.RUNNING) for slot in range(2)]
    assert missing_of(at_work, scaling(ingest=2, scorers=1, answering=1)) == []


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RUNNING])
def test_a_worker_that_does_not_read_is_named_with_what_it_does(phase: Phase) -> None:
    (said,) = missing_of([Health(slot=3, phase=phase)], scaling(ingest=1))
    assert said.startswith("ingest worker 3 ")


def test_a_worker_that_is_no_longer_wanted_is_not_missed() -> None:
    at_work = [Health(slot=0, phase=Phase.RUNNING), Health(slot=1, phase=Phase.STOPPED)]
    assert missing_of(at_work, scaling(ingest=1)) == []


def test_workers_and_scorers_that_are_not_there_are_counted() -> None:
    assert missing_of([], scaling(ingest=2, scorers=3, answering=1)) == [
        "ingest worker 0 is not there yet",
        "ingest worker 1 is not there yet",
        "2 of 3 scorers do not answer",
    ]


def test_a_supervisor_lives_before_its_first_tick_and_for_a_while_after_each() -> None:
    assert is_live(None)
    assert is_live(LIVE_WITHIN_S)
    assert not is_live(LIVE_WITHIN_S + 0.1)

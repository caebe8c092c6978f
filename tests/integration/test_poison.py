"""A reading that kills the scorer process, with real actors that really die."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.artifact import save
from schemas.settings import Settings
from schemas.wire.dead_letter import read_dead_letter
from schemas.wire.errors import Stage
from tests.support.fakes import make_stream, places
from tests.support.models import encoded, reading_records, small_detector
from tests.support.wait import wait_until
from workers.stream.scoring.backend import Work
from workers.supervision.ray.actors import ModelFiles, ScorerActor
from workers.supervision.ray.scoring import Answer, PlacedScorer, RayScoring
from workers.supervision.ray.session import ray_session

pytestmark = [pytest.mark.ray, pytest.mark.timeout(330)]

READINGS = reading_records(["a", "b"], 30)
VALUES = [record["value"] for record in encoded(READINGS)]


class MortalScorer(ScorerActor):
    """Dies of one value."""

    def __init__(self, model: ModelFiles, wicked: float) -> None:
        super().__init__(model)
        self._wicked = wicked

    def score(self, work: Work) -> Answer:
        if np.isin(work.rows, self._wicked).any():
            os._exit(1)
        return super().score(work)


@pytest.fixture(
    params=[pytest.param(41, id="scored"), pytest.param(5, id="warming up", marks=pytest.mark.slow)]
)
def poison(request: pytest.FixtureRequest) -> int:
    offset: int = request.param
    return offset


@pytest.fixture
def scorers(
    poison: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[PlacedScorer]]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    import ray

    model = ModelFiles.read(save(small_detector(), tmp_path / "model"), device="cpu")
    with ray_session(Settings().ray, cpus=2):
        actor: Any = ray.remote(MortalScorer).options(num_cpus=1, max_restarts=-1)
        poisoned = READINGS[poison][2][0]
        yield [PlacedScorer(actor.remote(model, poisoned), "here") for _ in range(2)]


def test_a_reading_that_kills_scorers_is_found_and_the_stream_goes_on(
    poison: int, scorers: list[PlacedScorer]
) -> None:
    kept = [offset for offset in range(len(VALUES)) if offset != poison]
    undisturbed = make_stream([VALUES[offset] for offset in kept])
    undisturbed.run_to_the_end()

    # Small batches: each halving costs a process its life.
    stream = make_stream(
        VALUES, stream={"max_poll_records": 2}, scoring=RayScoring(scorers, node="here")
    )

    def over() -> bool:
        stream.turn()
        position = stream.source.committed_position
        return position is not None and position.next_offset == len(VALUES)

    wait_until(over, within=270, what="everything scored")

    letters = [
        read_dead_letter(headers)
        for topic, _, headers in stream.sink.sent
        if topic == "vigie.dead-letters"
    ]
    assert [(letter.offset, letter.stage) for letter in letters] == [(poison, Stage.SCORING)]
    wanted = places(undisturbed.sink, "vigie.denoised")
    scored = places(stream.sink, "vigie.denoised")
    assert scored == {kept[offset]: row for offset, row in wanted.items()}

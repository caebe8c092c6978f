"""Where ingest workers start, and which scorer gets a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.supervision.ray.placement import node_beside_scorers
from workers.supervision.ray.scoring import PlacedScorer, RayScoring

NODES = st.sampled_from(["a", "b", "c"])


def test_without_scorers_no_node_is_better_than_another() -> None:
    assert node_beside_scorers([], ["a", "b"]) is None


def test_an_ingest_worker_starts_where_scorers_have_the_fewest_each() -> None:
    assert node_beside_scorers(["a", "a", "b"], ["a", "b"]) == "a", "half a worker each"
    assert node_beside_scorers(["a", "a", "b"], ["a", "a"]) == "b"


def test_a_node_without_a_scorer_is_no_choice() -> None:
    assert node_beside_scorers(["b"], ["b"] * 9) == "b"


def test_a_node_that_is_about_to_go_is_no_choice() -> None:
    assert node_beside_scorers(["a", "b"], ["b"] * 9, {"a"}) == "b"
    assert node_beside_scorers(["a"], [], {"a"}) is None


@given(scorers=st.lists(NODES, min_size=1), count=st.integers(0, 30))
def test_ingest_workers_that_start_one_by_one_are_shared_evenly(
    scorers: list[str], count: int
) -> None:
    ingest: list[str] = []
    for _ in range(count):
        node = node_beside_scorers(scorers, ingest)
        assert node in scorers
        ingest.append(node)
    loads = [ingest.count(node) / scorers.count(node) for node in set(scorers)]
    assert max(loads) - min(loads) <= 1.0


@dataclass(eq=False)
class FakeScorer:
    """Takes calls and never answers."""

    taken: list[Any] = field(default_factory=list)

    @property
    def score(self) -> FakeScorer:
        return self

    def remote(self, work: Any) -> object:
        self.taken.append(work)
        return object()


@pytest.mark.parametrize(("calls", "near_gets"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 4)])
def test_a_near_scorer_comes_first_and_others_get_what_it_does_not_keep_up_with(
    calls: int, near_gets: int
) -> None:
    far, near = FakeScorer(), FakeScorer()
    scoring = RayScoring([PlacedScorer(far, "b"), PlacedScorer(near, "a")], node="a")
    for number in range(calls):
        work: Any = number
        scoring.submit(work)
    assert (len(near.taken), len(far.taken)) == (near_gets, calls - near_gets)


def test_a_scorer_that_ray_started_elsewhere_is_no_longer_near() -> None:
    first, second = FakeScorer(), FakeScorer()
    scoring = RayScoring([PlacedScorer(first, "a"), PlacedScorer(second, "b")], node="a")
    scoring.use([PlacedScorer(first, "b"), PlacedScorer(second, "a")])
    work: Any = 0
    scoring.submit(work)
    assert (len(first.taken), len(second.taken)) == (0, 1)

"""The watch over the cluster: when its head counts as lost."""

from __future__ import annotations

import pytest

from tests.support.clock import FakeClock
from workers.errors import ClusterLostError
from workers.supervision.plan import Resources
from workers.supervision.ray import session
from workers.supervision.ray.watch import ClusterView, ClusterWatch, view_of


class Head:
    """A head that answers as a test says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.view: ClusterView | None = ClusterView(has_us=True)
        self.watch = ClusterWatch(
            self._answer,
            resources=Resources(cpus=1),
            head_timeout_s=30.0,
            monotonic_s=self.clock,
        )

    def _answer(self) -> ClusterView:
        if self.view is None:
            raise RuntimeError("failed to connect\nmany lines more")
        return self.view

    def looks(self, seconds: float, *, asks: bool = True) -> frozenset[str]:
        """Look four times a second, ask once."""
        found: frozenset[str] = frozenset()
        for tick in range(int(seconds * 4)):
            self.clock.advance(0.25)
            if asks and tick % 4 == 0:
                self.watch.ask()
            found = self.watch.look()
        return found


def test_nodes_that_are_drained_are_named() -> None:
    head = Head()
    assert head.looks(1.0) == frozenset()
    head.view = ClusterView(has_us=True, leaving=frozenset({"spot"}))
    assert head.looks(2.0) == {"spot"}


def test_what_the_cluster_has_is_what_the_nodes_that_stay_have_together() -> None:
    totals = {"head": {}, "a": {"CPU": 4.0, "memory": 1e9}, "b": {"CPU": 8.0, "GPU": 2.0}}
    assert view_of(totals, leaving=frozenset(), ours="head") == ClusterView(
        has_us=True, resources=Resources(cpus=12, gpus=2.0)
    )
    assert view_of(totals, leaving=frozenset({"b"}), ours="gone") == ClusterView(
        has_us=False, leaving=frozenset({"b"}), resources=Resources(cpus=4)
    )


def test_a_local_ray_has_what_was_said_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    here = view_of({"here": {"CPU": 64.0}}, leaving=frozenset({"other"}), ours="here")
    monkeypatch.setattr(session, "view_of_ray", lambda: here)
    assert session._view_of_local() == ClusterView(has_us=True, leaving=frozenset({"other"}))


def test_what_the_nodes_have_is_what_it_was_at_the_start_until_the_head_says_more() -> None:
    head = Head()
    head.looks(2.0)
    assert head.watch.resources == Resources(cpus=1)
    head.view = ClusterView(has_us=True, resources=Resources(cpus=4))
    head.looks(2.0)
    assert head.watch.resources == Resources(cpus=4)
    head.view = None
    head.looks(5.0)
    assert head.watch.resources == Resources(cpus=4), "a silent head changes nothing"


def test_a_head_that_comes_back_in_time_is_not_lost() -> None:
    head = Head()
    for _ in range(3):
        head.view = None
        head.looks(29.0)
        head.view = ClusterView(has_us=True)
        head.looks(2.0)


def test_a_silent_head_is_lost_and_the_error_says_what_to_do() -> None:
    head = Head()
    head.looks(5.0)
    head.view = None
    with pytest.raises(ClusterLostError, match=r"ray\.head_timeout_s; failed to connect\).*again"):
        head.looks(32.0)


def test_a_call_that_never_returns_counts_as_silence() -> None:
    head = Head()
    with pytest.raises(ClusterLostError, match="has not answered for 30 s"):
        head.looks(32.0, asks=False)


def test_a_driver_that_was_stopped_itself_does_not_blame_the_head() -> None:
    head = Head()
    head.looks(5.0)
    head.clock.advance(3600.0)
    head.watch.look()
    head.looks(5.0)


def test_a_driver_without_its_node_ends_at_once() -> None:
    head = Head()
    head.view = ClusterView(has_us=False)
    with pytest.raises(ClusterLostError, match="beside this driver is gone"):
        head.looks(2.0)


def test_the_last_words_of_our_own_node_end_the_run() -> None:
    def check_node() -> None:
        raise ClusterLostError("it ended (code 1): out of memory")

    watch = ClusterWatch(
        lambda: ClusterView(has_us=True),
        resources=Resources(cpus=1),
        head_timeout_s=30.0,
        check_node=check_node,
    )
    with pytest.raises(ClusterLostError, match="out of memory"):
        watch.look()

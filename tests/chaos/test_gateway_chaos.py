"""A short run of kills of the gateway in every run of the tests: nobody is left untold."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.gateway.experiment import Plan, run

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.kafka,
    pytest.mark.timeout(600),
    # kafka-python drops the sockets of connections that were refused, without closing them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

PLAN = Plan(kills=6, seed=21)


def test_kills_of_the_gateway_lose_no_notification(tmp_path: Path) -> None:
    report = run(PLAN, tmp_path)
    gc.collect()  # the sockets, while their warning is ignored

    told = "\n".join(report.lines())
    assert report.good, told
    assert report.kills >= PLAN.kills, told
    assert report.counts["notifications told"] > 100, told


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant", ["lose", "position-first", "no-order", "new-ids", "settle-first", "no-lease"]
)
def test_a_bug_that_is_planted_is_found(tmp_path: Path, plant: str) -> None:
    report = run(replace(PLAN, kills=12, plant=plant), tmp_path)
    gc.collect()

    assert not report.good, "\n".join(report.lines())

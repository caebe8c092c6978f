"""A short run in every run of the tests: ten kills and more; nothing lost, doubled, changed."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from schemas.settings import Guarantee
from tests.chaos.experiment import Plan, run
from tests.chaos.nemesis import impossible
from tests.chaos.report import Report
from tests.chaos.schedule import KILLS, Fault, FaultBatch, Kind, short_schedule

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.kafka,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    # kafka-python drops the sockets of connections that were refused, without closing them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def short_run(folder: Path, *, seed: int, guarantee: Guarantee) -> Report:
    """A short run. Its report names the command that brings it, or others, again."""
    plan = Plan(
        seed=seed,
        batches=short_schedule(seed, without=impossible(None, "actors")),
        guarantee=guarantee,
        placement="actors",
        per_s=100.0,
        recovery_s=90.0,
        command=f"python -m tests.chaos --short --seed {seed} --rate 100 --recovery 90 "
        f"--guarantee {guarantee.value}",
    )
    return reported(plan, folder)


def reported(plan: Plan, folder: Path) -> Report:
    """The report of a run."""
    report = run(plan, folder)
    gc.collect()  # the sockets, while their warning is ignored
    return report


def test_a_run_full_of_faults_changes_no_score(tmp_path: Path) -> None:
    report = short_run(tmp_path, seed=11, guarantee=Guarantee.EXACTLY_ONCE)

    told = "\n".join(report.lines())
    assert report.good, told
    assert report.kills >= 8, told  # one or two may meet nobody on a busy machine
    assert {kind for one in report.struck for kind in one.kinds} >= KILLS, told
    assert report.counts["scored"] > 1_000, told
    assert report.counts["deeds"] > 20, told


@pytest.mark.slow
def test_at_least_once_repeats_with_the_same_ids_and_numbers_and_loses_nothing(
    tmp_path: Path,
) -> None:
    report = short_run(tmp_path, seed=12, guarantee=Guarantee.AT_LEAST_ONCE)

    told = "\n".join(report.lines())
    assert report.good, told
    assert report.counts["repeats"] > 0, "a run without a repeat shows nothing"


@pytest.mark.slow
def test_what_acks_1_loses_is_found(tmp_path: Path) -> None:
    faults = [Fault(kind=Kind.PART_BROKER, seconds=15.0, pick=pick) for pick in range(3)]
    if Kind.PART_BROKER in impossible(None, "ingest", nodes=3):
        pytest.skip("a broker is parted from its peers by a namespace: that takes root and ip")
    plan = Plan(
        seed=11,
        batches=tuple(FaultBatch(quiet_s=1.0, faults=(fault,)) for fault in faults),
        guarantee=Guarantee.EXACTLY_ONCE,
        placement="ingest",
        per_s=100.0,
        recovery_s=240.0,
        nodes=3,
        acks=1,
        command="python -m tests.chaos --nodes 3 --only PART_BROKER --acks 1",
    )

    report = reported(plan, tmp_path)

    told = "\n".join(report.lines())
    assert not report.good, told
    assert "acknowledged readings lost" in {one.check for one in report.violations}, told

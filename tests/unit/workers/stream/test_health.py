"""Latency quantiles, and metrics that agree with the healths they are made of."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from detector.calibration.budget import WEEK_S, Allowance
from schemas.wire.errors import Stage
from schemas.wire.incident import EndReason
from tests.support.watched import Watched, exposition
from workers.api.server import status_of
from workers.stream.health import Health, Phase
from workers.stream.histogram import (
    DurationHistogram,
    Histogram,
    LatencyHistogram,
    Measures,
    SizeHistogram,
)
from workers.stream.state.budget_use import BudgetUse, SensorUse
from workers.stream.state.counts import NUMBERS, Counts
from workers.stream.state.restore import ModelVersion
from workers.stream.state.sensor_spans import SensorSpans, Span
from workers.supervision.status import (
    Change,
    Mode,
    ScalingStatus,
    WorkerCount,
)


def test_a_quantile_is_right_within_a_bucket() -> None:
    histogram = LatencyHistogram()
    histogram.observe_all(np.arange(1.0, 1001.0))
    for q in (0.5, 0.9, 0.99):
        assert histogram.quantile(q) == pytest.approx(q * 1000, rel=0.16)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert LatencyHistogram().quantile(0.5) is None


def test_clocks_that_disagree_and_long_waits_are_counted_at_the_ends() -> None:
    histogram = LatencyHistogram()
    histogram.observe(-5.0, 1e9)
    assert histogram.buckets[0] == 1
    assert histogram.buckets[-1] == 1


def test_histograms_add() -> None:
    low, high = LatencyHistogram(), LatencyHistogram()
    low.observe(1.0)
    high.observe(100.0, 100.0)
    both = low + high
    assert (both.buckets.sum(), both.total) == (3, 201.0)
    assert low.buckets.sum() == 1, "a health that was handed over keeps its numbers"


@pytest.mark.parametrize("kind", [LatencyHistogram, DurationHistogram, SizeHistogram])
def test_what_is_shown_of_a_histogram_is_how_many_were_at_most_so_large(
    kind: type[Histogram],
) -> None:
    measures = [edge * factor for edge in kind.SHOWN for factor in (0.99, 1.0, 1.01)]
    histogram = kind()
    histogram.observe(*measures)
    shown = dict(histogram.cumulative())
    assert shown == {le: sum(m <= le for m in measures) for le in (*kind.SHOWN, float("inf"))}


BAD = {Stage.SIZE: 2, Stage.CONTENT_TYPE: 1}


@pytest.fixture
def healths() -> list[Health]:
    latency = LatencyHistogram()
    latency.observe_all(np.array([10.0] * 99 + [500.0]))
    return [
        Health(
            slot=0,
            phase=Phase.RUNNING,
            counts={0: Counts(records=5, readings=5, scored=4, warming_up=1, anomalies=2)},
            lag={0: 7},
            next_offsets={0: 5},
            measures=Measures(latency=latency),
            model=ModelVersion("pumps", "7"),
        ),
        Health(
            slot=1,
            counts={
                1: Counts(records=3, dead_lettered=3, bad={Stage.SIZE: 2, Stage.CONTENT_TYPE: 1})
            },
            lag={1: 1},
        ),
    ]


@pytest.fixture
def scaling() -> ScalingStatus:
    return ScalingStatus(
        partitions=4,
        ingest=WorkerCount(mode=Mode.MANUAL, target=3, actual=2, least=1, most=4),
        scorers=WorkerCount(mode=Mode.FIXED, target=0, actual=0, least=0, most=0),
        replaced={("ingest", "silent"): 2, ("scorers", "died"): 1},
        restarts={0: 2, 1: 0},
        decisions={("ingest", "out"): 1},
        last=Change(
            at="2026-11-22T10:00:00+00:00",
            kind="ingest",
            before=2,
            target=3,
            text="by hand: 2 -> 3 ingest",
        ),
    )


def test_metrics_are_read_from_the_healths_at_scrape_time(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    registry = Watched(healths, scaling).registry()
    text = generate_latest(registry).decode()
    assert 'vigie_scored_total{partition="0"} 4.0' in text
    assert 'vigie_dead_lettered_total{partition="1"} 3.0' in text
    assert 'vigie_bad_records_total{stage="size"} 2.0' in text
    assert 'vigie_bad_records_total{stage="content-type"} 1.0' in text
    assert "bad_size" not in text
    assert 'vigie_lag_records{partition="0"} 7.0' in text
    assert 'vigie_worker_running{worker="1"} 0.0' in text
    healths.pop()
    assert 'vigie_lag_records{partition="1"}' not in generate_latest(registry).decode()


USE = BudgetUse(
    sensors=20, day=3, week=12, open=2, over=1, farthest=(SensorUse("pump-7", 2, 9),),
    allowance=Allowance(sensor_per_s=1 / WEEK_S),
)  # fmt: skip


def test_metrics_tell_incidents_and_what_the_budget_allows_all_sensors_together(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    ended = {EndReason.RECOVERED: 3, EndReason.STALE: 1}
    counts = healths[0].counts[0]
    first = replace(
        healths[0],
        counts={0: replace(counts, incidents_opened=5, resolved=ended)},
        budget_use={0: USE},
    )
    other = replace(healths[1], budget_use={1: replace(USE, sensors=10, open=0)})
    text = exposition([first, other], scaling)
    assert 'vigie_incidents_opened_total{partition="0"} 5.0' in text
    assert 'vigie_incidents_resolved_total{reason="recovered"} 3.0' in text
    assert 'vigie_incidents_resolved_total{reason="stale"} 1.0' in text
    assert "vigie_incidents_open 2.0" in text
    assert 'vigie_budget_incidents{period="day"} 6.0' in text
    assert 'vigie_budget_incidents{period="week"} 24.0' in text
    assert 'vigie_budget_allowed{period="week"} 30.0' in text
    assert 'vigie_budget_allowed{period="day"} 4.285714' in text
    assert "vigie_budget_sensors_over 2.0" in text
    assert "pump-7" not in text
    desk = status_of([first, other])["budget"]
    assert (desk["sensors"], desk["last_week"], desk["allowed_week"]) == (30, 24, 30.0)
    assert desk["farthest_over"][0] == {"sensor": "pump-7", "day": 2, "week": 9}


def test_what_a_budget_allows_is_left_out_where_no_model_says_it(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    text = exposition(healths, scaling)
    assert 'vigie_budget_incidents{period="day"} 0.0' in text
    assert "vigie_budget_allowed{" not in text
    assert status_of(healths)["budget"]["allowed_day"] is None


def test_a_worker_that_is_gone_has_no_part_in_the_budget_but_its_counts_stay(
    healths: list[Health],
) -> None:
    gone = replace(healths[0], counts={0: Counts(incidents_opened=5)}, budget_use={0: USE}).at_rest(
        Phase.STOPPED
    )
    assert status_of([gone])["budget"]["open"] == 0
    assert gone.total.incidents_opened == 5


def test_metrics_tell_what_the_supervisor_did(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    text = exposition(healths, scaling)
    for line in (
        'vigie_desired_workers{kind="ingest"} 3.0',
        'vigie_actual_workers{kind="ingest"} 2.0',
        'vigie_workers_replaced_total{kind="ingest",reason="silent"} 2.0',
        'vigie_workers_replaced_total{kind="scorers",reason="died"} 1.0',
        'vigie_worker_restarts_total{worker="0"} 2.0',
        'vigie_scaling_decisions_total{direction="out",kind="ingest"} 1.0',
    ):
        assert line in text


def test_what_never_happened_is_0_and_not_absent(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    """A counter that appears with its first event shows Prometheus no increase."""
    text = exposition(healths, scaling)
    for line in (
        'vigie_lost_total{partition="3"} 0.0',
        'vigie_bad_records_total{stage="clock"} 0.0',
        'vigie_incidents_resolved_total{reason="stale"} 0.0',
        'vigie_workers_replaced_total{kind="ingest",reason="stalled"} 0.0',
        'vigie_scaling_decisions_total{direction="in",kind="scorers"} 0.0',
    ):
        assert line in text


def test_a_partition_that_moved_goes_on_counting_in_one_series(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    moved = replace(healths[1], counts={0: Counts(scored=3)}, lag={0: 9})
    text = exposition([healths[0], moved], scaling)
    assert 'vigie_scored_total{partition="0"} 7.0' in text
    assert text.count('vigie_lag_records{partition="0"}') == 1
    assert 'vigie_lag_records{partition="0"} 9.0' in text


def test_the_number_of_series_is_bound_by_partitions_and_workers(scaling: ScalingStatus) -> None:
    def series(partitions: int, workers: int) -> int:
        counted = {p: Counts(records=1, bad={Stage.SIZE: 1}) for p in range(partitions)}
        one = Health(
            slot=0, counts=counted, lag=dict.fromkeys(range(partitions), 1),
            model=ModelVersion("m", "1"),
        )  # fmt: skip
        healths = [replace(one, slot=slot) for slot in range(workers)]
        restarts = dict.fromkeys(range(workers), 1)
        text = exposition(healths, replace(scaling, partitions=partitions, restarts=restarts))
        return sum(not line.startswith("#") for line in text.splitlines())

    alone = series(1, 1)
    per_partition, per_worker = series(2, 1) - alone, series(1, 2) - alone
    assert (per_partition, per_worker) == (len(NUMBERS) + 1, 15)
    assert series(10, 20) == alone + 9 * per_partition + 19 * per_worker


def test_times_and_sizes_are_histograms_in_base_units(scaling: ScalingStatus) -> None:
    measures = Measures()
    measures.latency.observe(30.0, 700.0)
    measures.commit.observe(0.02)
    measures.batch.observe(500)
    text = exposition([Health(slot=0, measures=measures)], scaling)
    for line in (
        'vigie_latency_seconds_bucket{le="0.05"} 1.0',
        'vigie_latency_seconds_bucket{le="+Inf"} 2.0',
        "vigie_latency_seconds_sum 0.73",
        'vigie_commit_seconds_bucket{le="0.025"} 1.0',
        'vigie_batch_readings_bucket{le="500"} 1.0',
        "vigie_scoring_device_seconds_count 0.0",
    ):
        assert line in text


def test_the_model_of_each_worker_is_named(healths: list[Health], scaling: ScalingStatus) -> None:
    text = exposition(healths, scaling)
    assert 'vigie_model_info{name="pumps",version="7",worker="0"} 1.0' in text
    assert 'worker="1"' not in "".join(x for x in text.splitlines() if "model_info" in x)


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool: run requirements/peers.sh")
def test_promtool_finds_nothing_to_say_about_the_metrics(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    assert PROMTOOL is not None
    text = exposition(healths, scaling)
    found = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_sensors_that_two_workers_have_parts_of_are_told(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    span = Span(0, 100)
    mine = SensorSpans.of({"pump-1": span, "pump-2": span})
    others = SensorSpans.of({"pump-1": span})
    split = [replace(healths[0], spans={0: mine}), replace(healths[1], spans={1: others})]

    assert status_of(split)["split_sensors"] == {
        "sensors": 1,
        "share": 1,
        "examples": {"pump-1": (0, 1)},
    }
    assert "vigie_split_sensors 1.0" in exposition(split, scaling)
    assert "vigie_split_sensors 0.0" in exposition(healths, scaling)
    at_rest = [split[0], split[1].at_rest(Phase.STOPPED)]
    assert status_of(at_rest)["split_sensors"]["sensors"] == 0, "its partition is another's now"


def test_a_successor_goes_on_where_its_predecessors_counts_ended(healths: list[Health]) -> None:
    past, _ = healths
    carried = Health(slot=0, counts={0: Counts(records=2), 9: Counts(records=1)}, commits=1)
    after = carried.carried(past)
    assert {p: counts.records for p, counts in after.counts.items()} == {0: 7, 9: 1}
    assert after.measures.latency.buckets.sum() == 100
    assert (after.lag, after.phase, after.commits) == ({}, Phase.STARTING, 1)


def test_a_new_number_of_a_health_is_carried_over_unless_it_is_of_the_moment() -> None:
    ones: dict[str, Any] = {
        field.name: 1
        for field in fields(Health)
        if field.name not in {"phase", "counts", "lag", "next_offsets", "measures"}
    }
    one = Health(**{**ones, "slot": 0})
    twice = one.carried(one)
    sums = {name for name in ones if name != "slot" and getattr(twice, name) == 2}
    assert ones.keys() - sums == {
        "slot", "sensors", "never_scored", "held", "spans", "budget_use", "in_flight", "model",
        "resident_bytes",
    }  # fmt: skip


def test_the_status_tells_target_mode_and_the_last_decision(
    healths: list[Health], scaling: ScalingStatus
) -> None:
    shown = status_of(healths, scaling)["scaling"]
    assert shown["ingest"] == {
        "mode": "manual",
        "target": 3,
        "actual": 2,
        "least": 1,
        "most": 4,
        "room": None,
    }
    assert shown["last_decision"]["text"] == "by hand: 2 -> 3 ingest"
    assert {"kind": "ingest", "reason": "silent", "count": 2} in shown["replaced"]


def test_the_status_adds_the_workers_up(healths: list[Health]) -> None:
    status = status_of(healths)
    assert status["counts"]["records"] == 8
    assert status["lag_records"] == 8
    assert status["partitions"]["0"]["next_offset"] == 5
    assert status["latency_ms"]["p99"] == pytest.approx(10, rel=0.16)

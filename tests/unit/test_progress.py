"""Latency quantiles, and metrics that agree with the healths they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from workers.stream.endpoint import status_of
from workers.stream.metrics import PipelineCollector
from workers.stream.partition import Counts
from workers.stream.progress import Health, LatencyHistogram, Phase


def test_a_quantile_is_right_within_a_bucket() -> None:
    histogram = LatencyHistogram()
    histogram.observe(np.arange(1.0, 1001.0))
    for q in (0.5, 0.9, 0.99):
        assert histogram.quantile(q) == pytest.approx(q * 1000, rel=0.16)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert LatencyHistogram().quantile(0.5) is None


def test_clocks_that_disagree_and_long_waits_are_counted_at_the_ends() -> None:
    histogram = LatencyHistogram()
    histogram.observe(np.array([-5.0, 1e9]))
    assert histogram.buckets[0] == 1
    assert histogram.buckets[-1] == 1


def test_histograms_add() -> None:
    low, high = LatencyHistogram(), LatencyHistogram()
    low.observe(np.array([1.0]))
    high.observe(np.array([100.0, 100.0]))
    assert (low + high).buckets.sum() == 3


@pytest.fixture
def healths() -> list[Health]:
    latency = LatencyHistogram()
    latency.observe(np.array([10.0] * 99 + [500.0]))
    return [
        Health(
            slot=0,
            phase=Phase.RUNNING,
            counts={0: Counts(records=5, readings=5, scored=4, warming_up=1, anomalies=2)},
            lag={0: 7},
            next_offsets={0: 5},
            latency=latency,
        ),
        Health(slot=1, counts={1: Counts(records=3, dead_lettered=3)}, lag={1: 1}),
    ]


def test_metrics_are_read_from_the_healths_at_scrape_time(healths: list[Health]) -> None:
    registry = CollectorRegistry()
    registry.register(PipelineCollector(lambda: healths))
    text = generate_latest(registry).decode()
    assert 'vigie_scored_total{partition="0",worker="0"} 4.0' in text
    assert 'vigie_dead_lettered_total{partition="1",worker="1"} 3.0' in text
    assert 'vigie_lag_records{partition="0",worker="0"} 7.0' in text
    assert 'vigie_worker_running{worker="1"} 0.0' in text
    healths.pop()
    assert 'worker="1"' not in generate_latest(registry).decode()


def test_the_status_adds_the_workers_up(healths: list[Health]) -> None:
    status = status_of(healths)
    assert status["counts"]["records"] == 8
    assert status["lag_records"] == 8
    assert status["partitions"]["0"]["next_offset"] == 5
    assert status["latency_ms"]["p99"] == pytest.approx(10, rel=0.16)

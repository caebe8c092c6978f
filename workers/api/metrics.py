"""Prometheus metrics, computed from the workers' health when somebody scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from workers.stream.health import Health, LatencyHistogram, Phase
from workers.stream.state.counts import NUMBERS
from workers.supervision.status import ScalingStatus

_TOLD = {
    "records": "Records read and committed.",
    "readings": "Readings in the decoded records.",
    "scored": "Readings scored.",
    "warming_up": "Readings not scored because their window was not full.",
    "late": "Readings dropped because a later one of their sensor had come.",
    "duplicate": "Readings dropped because one of the same time had come.",
    "dead_lettered": "Records sent to the dead-letter topic.",
    "anomalies": "Readings flagged.",
    "restored": "Records read again to restore windows.",
    "gaps": "Silences that restarted a sensor's warm-up.",
    "forgotten": "Sensors of which something was forgotten, as they were silent for too long.",
    "lost": "Offsets that retention deleted before they were read.",
    "clamped": "Offsets that retention deleted before a restore could read them again.",
    "missing": "Values that were null in the decoded readings.",
}
_QUANTILES = (0.5, 0.9, 0.99)


class PipelineCollector(Collector):
    """Reads the state at scrape time; keeps nothing."""

    def __init__(
        self, healths: Callable[[], Iterable[Health]], scaling: Callable[[], ScalingStatus]
    ) -> None:
        """Read from `healths` and `scaling` at each scrape."""
        self._healths, self._scaling = healths, scaling

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        healths = list(self._healths())
        for name in NUMBERS:
            counter = CounterMetricFamily(
                f"vigie_{name}", _TOLD[name], labels=["worker", "partition"]
            )
            for health in healths:
                for partition, counts in health.counts.items():
                    counter.add_metric([str(health.slot), str(partition)], getattr(counts, name))
            yield counter
        yield _bad_records(healths)
        lag = GaugeMetricFamily(
            "vigie_lag_records",
            "End offset less position, by partition.",
            labels=["worker", "partition"],
        )
        for health in healths:
            for partition, records in health.lag.items():
                lag.add_metric([str(health.slot), str(partition)], records)
        yield lag
        yield from self._per_worker(healths)
        yield _latency(healths)
        yield from _of_scaling(self._scaling())

    def _per_worker(self, healths: list[Health]) -> Iterator[Metric]:
        counters: dict[str, tuple[str, Callable[[Health], float]]] = {
            "vigie_commits": ("Units of work committed.", lambda h: h.commits),
            "vigie_rewinds": (
                "Units of work that failed and were repeated.",
                lambda h: h.rewinds,
            ),
            "vigie_rejected_outputs": (
                "Outputs too large for the broker.",
                lambda h: h.rejected_outputs,
            ),
            "vigie_model_changes": (
                "Partitions taken up where another model had left off.",
                lambda h: h.model_changes,
            ),
            "vigie_recorded_cold_starts": (
                "Partitions of which sensors begin anew although something was recorded of them.",
                lambda h: h.recorded_cold_starts,
            ),
            "vigie_stalls": ("Times a worker stood still with work before it.", lambda h: h.stalls),
            "vigie_worker_cpu_seconds": ("Processor time.", lambda h: h.cpu_s),
            "vigie_worker_busy_seconds": (
                "Time spent on anything but waiting.",
                lambda h: h.busy_s,
            ),
        }
        gauges: dict[str, tuple[str, Callable[[Health], float]]] = {
            "vigie_sensors": ("Sensors seen.", lambda h: h.sensors),
            "vigie_in_flight_calls": ("Scoring calls under way.", lambda h: h.in_flight),
            "vigie_worker_resident_bytes": ("Resident memory.", lambda h: h.resident_bytes),
            "vigie_worker_running": (
                "1 when the worker is reading and scoring.",
                lambda h: float(h.phase is Phase.RUNNING),
            ),
        }
        for kind, metrics in ((CounterMetricFamily, counters), (GaugeMetricFamily, gauges)):
            for name, (told, value) in metrics.items():
                metric = kind(name, told, labels=["worker"])
                for health in healths:
                    metric.add_metric([str(health.slot)], value(health))
                yield metric


def _bad_records(healths: Iterable[Health]) -> Metric:
    counter = CounterMetricFamily(
        "vigie_bad_records",
        "Records sent to the dead-letter topic, by the stage at which they failed.",
        labels=["worker", "partition", "stage"],
    )
    for health in healths:
        for partition, counts in health.counts.items():
            for stage, times in counts.bad.items():
                counter.add_metric([str(health.slot), str(partition), stage], times)
    return counter


def _latency(healths: Iterable[Health]) -> Metric:
    latency = sum((health.latency for health in healths), LatencyHistogram())
    gauge = GaugeMetricFamily(
        "vigie_latency_milliseconds",
        "From a record's timestamp to the hand-over of its outputs, since the start.",
        labels=["quantile"],
    )
    for q in _QUANTILES:
        value = latency.quantile(q)
        if value is not None:
            gauge.add_metric([str(q)], value)
    return gauge


def _of_scaling(scaling: ScalingStatus) -> Iterator[Metric]:
    desired = GaugeMetricFamily(
        "vigie_desired_workers", "How many workers there should be.", labels=["kind"]
    )
    actual = GaugeMetricFamily(
        "vigie_actual_workers", "How many workers there are and answer.", labels=["kind"]
    )
    for kind, count in (("ingest", scaling.ingest), ("scorers", scaling.scorers)):
        desired.add_metric([kind], count.target)
        actual.add_metric([kind], count.actual)
    yield desired
    yield actual
    counters: dict[str, tuple[str, list[str], Mapping[Any, int]]] = {
        "vigie_workers_replaced": (
            "Workers found dead or hung.",
            ["kind", "reason"],
            scaling.replaced,
        ),
        "vigie_worker_restarts": (
            "Ingest workers started again.",
            ["worker"],
            {(str(slot),): times for slot, times in scaling.restarts.items()},
        ),
        "vigie_scaling_decisions": (
            "Changes of the number of workers.",
            ["kind", "direction"],
            scaling.decisions,
        ),
    }
    for name, (text, names, found) in counters.items():
        counter = CounterMetricFamily(name, text, labels=names)
        for labels, times in found.items():
            counter.add_metric(labels, times)
        yield counter

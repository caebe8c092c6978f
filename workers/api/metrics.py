"""Prometheus metrics, computed from the workers' health when somebody scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from schemas.wire.errors import Stage
from schemas.wire.incident import EndReason
from workers.stream.health import Health, Phase, budget_use_of, measures_of, split_sensors_of
from workers.stream.histogram import Histogram, Measures
from workers.stream.state.budget_use import BudgetUse
from workers.stream.state.counts import NUMBERS, Counts
from workers.supervision.managed_actor import Reason
from workers.supervision.status import Kind, ScalingStatus
from workers.version import own_version

_TOLD = {
    "records": "Records read and committed.",
    "readings": "Readings in the decoded records.",
    "scored": "Readings scored.",
    "scored_partially": "Readings scored by a window shorter than the model's receptive field.",
    "warming_up": "Readings not scored because their window was too short.",
    "late": "Readings dropped because a later one of their sensor had come.",
    "duplicate": "Readings dropped because one of the same time had come.",
    "dead_lettered": "Records sent to the dead-letter topic.",
    "anomalies": "Readings flagged.",
    "restored": "Records read again to restore windows.",
    "gaps": "Silences that restarted a sensor's warm-up.",
    "forgotten": "Sensors of which something was forgotten, as they were silent for too long.",
    "lost": "Offsets that retention deleted before they were read.",
    "clamped": "Offsets that retention deleted before a restore could read them again.",
    "written": "Records written on, by vigie repartition.",
    "early": "Records written on before their time, as too many were held.",
    "missing": "Values that were null in the decoded readings.",
    "held_back": "Readings over their bar that a rule beside the model held back.",
    "off": "Readings scored and not judged, as their sensor was off.",
    "incidents_opened": "Incidents that opened, drifts too.",
}
_HISTOGRAMS: Mapping[str, tuple[str, float, Callable[[Measures], Histogram]]] = {
    "latency_seconds": (
        "From a record's timestamp to the hand-over of its outputs.",
        1e-3,
        lambda m: m.latency,
    ),
    "batch_readings": ("Readings in a call to a scorer.", 1.0, lambda m: m.batch),
    "scoring_queue_seconds": ("How long a call waited for its scorer.", 1.0, lambda m: m.queue),
    "scoring_device_seconds": ("How long a scorer computed a call.", 1.0, lambda m: m.device),
    "commit_seconds": ("How long a commit took.", 1.0, lambda m: m.commit),
}
"""Of all workers together: what it says, the unit in seconds, where it is."""
_WORKER_COUNTERS: Mapping[str, tuple[str, Callable[[Health], float]]] = {
    "commits": ("Checkpoints committed.", lambda h: h.commits),
    "rewinds": ("Checkpoints that failed and were repeated.", lambda h: h.rewinds),
    "rejected_outputs": ("Outputs too large for the broker.", lambda h: h.rejected_outputs),
    "model_changes": (
        "Partitions taken up where another model had left off.",
        lambda h: h.model_changes,
    ),
    "recorded_cold_starts": (
        "Partitions of which sensors begin anew although something was recorded of them.",
        lambda h: h.recorded_cold_starts,
    ),
    "stalls": ("Times a worker stood still with work before it.", lambda h: h.stalls),
    "worker_cpu_seconds": ("Processor time.", lambda h: h.cpu_s),
    "worker_busy_seconds": ("Time spent on anything but waiting.", lambda h: h.busy_s),
}
_WORKER_GAUGES: Mapping[str, tuple[str, Callable[[Health], float]]] = {
    "sensors": ("Sensors seen.", lambda h: h.sensors),
    "sensors_never_scored": (
        "Sensors that never filled a window: new, or slower than stream.max_gap_s.",
        lambda h: h.never_scored,
    ),
    "in_flight_calls": ("Scoring calls under way.", lambda h: h.in_flight),
    "worker_resident_bytes": ("Resident memory.", lambda h: h.resident_bytes),
    "worker_running": (
        "1 when the worker is reading and scoring.",
        lambda h: float(h.phase is Phase.RUNNING),
    ),
}


class Driver(Protocol):
    """A driver as it is watched; every property may be asked from any thread."""

    @property
    def healths(self) -> Sequence[Health]:
        """Of its ingest workers, by slot."""

    @property
    def scaling(self) -> ScalingStatus | None:
        """How many workers there are; None before there is a supervisor."""

    @property
    def tick_age_s(self) -> float | None:
        """How long ago the supervisor last looked after its workers; None before it did."""

    @property
    def missing(self) -> Sequence[str]:
        """What it lacks to do its work."""


class PipelineCollector(Collector):
    """Reads the state at scrape time; keeps nothing."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        healths, scaling = list(self._driver.healths), self._driver.scaling
        yield from _of_driver(self._driver)
        partitions = 0 if scaling is None else scaling.partitions
        yield from _of_partitions(healths, partitions)
        for kind, metrics in (
            (CounterMetricFamily, _WORKER_COUNTERS),
            (GaugeMetricFamily, _WORKER_GAUGES),
        ):
            for name, (told, value) in metrics.items():
                found = [((str(health.slot),), value(health)) for health in healths]
                yield _metric(kind, name, told, "worker", found)
        yield from _of_measures(measures_of(healths))
        yield _info(
            "model",
            "Models that workers score with: 1.",
            [
                {"worker": str(h.slot), "name": h.model.name, "version": h.model.version}
                for h in healths
                if h.model is not None
            ],
        )
        yield _metric(
            GaugeMetricFamily,
            "split_sensors",
            "Sensors that come in several partitions at once: each has a part of their windows.",
            "",
            [((), split_sensors_of(healths).sensors)],
        )
        yield from _of_budget(budget_use_of(healths))
        if scaling is not None:
            yield from _of_scaling(scaling)


def _of_driver(driver: Driver) -> Iterator[Metric]:
    yield _info("build", "The version of Vigie that runs: 1.", [{"version": own_version()}])
    yield _metric(
        GaugeMetricFamily,
        "ready",
        "1 when every worker that is wanted reads and scores; /readyz says what is missing.",
        "",
        [((), float(not driver.missing))],
    )
    if (age_s := driver.tick_age_s) is not None:
        yield _metric(
            GaugeMetricFamily,
            "supervisor_tick_age_seconds",
            "How long ago the supervisor last looked after its workers.",
            "",
            [((), age_s)],
        )


def _metric(
    kind: type[Any], name: str, told: str, labels: str, found: Iterable[tuple[Any, float]]
) -> Metric:
    """One metric: its label names with blanks between, and the values by labels."""
    metric: Metric = kind(f"vigie_{name}", told, labels=labels.split())
    for values, number in found:
        metric.add_metric(values, number)  # type: ignore[attr-defined]
    return metric


def _info(name: str, told: str, found: Iterable[Mapping[str, str]]) -> Metric:
    family = InfoMetricFamily(f"vigie_{name}", told)
    for labels in found:
        family.add_metric([], dict(labels))
    return family


def _of_measures(measures: Measures) -> Iterator[Metric]:
    for name, (told, unit, of) in _HISTOGRAMS.items():
        histogram = of(measures)
        family = HistogramMetricFamily(f"vigie_{name}", told)
        buckets = [(f"{le * unit:g}".replace("inf", "+Inf"), n) for le, n in histogram.cumulative()]
        family.add_metric([], buckets, histogram.total * unit)
        yield family


def _of_partitions(healths: list[Health], partitions: int) -> Iterator[Metric]:
    """By partition, whichever workers have or had it: workers times partitions is no bound.

    What never happened is 0, not absent: Prometheus sees no increase in a series that begins at 1.
    """
    counts = {number: Counts() for number in range(partitions)}
    lag: dict[int, int] = {}
    for health in healths:
        for number, own in health.counts.items():
            counts[number] = counts.get(number, Counts()) + own
        for number, behind in health.lag.items():
            lag[number] = max(lag.get(number, 0), behind)
    for name in NUMBERS:
        found = [((str(number),), getattr(own, name)) for number, own in sorted(counts.items())]
        yield _metric(CounterMetricFamily, name, _TOLD[name], "partition", found)
    total = sum(counts.values(), Counts())
    yield _metric(
        CounterMetricFamily,
        "bad_records",
        "Records sent to the dead-letter topic, by the stage at which they failed.",
        "stage",
        [((stage,), total.bad.get(stage, 0)) for stage in Stage],
    )
    yield _metric(
        CounterMetricFamily,
        "incidents_resolved",
        "Incidents that ended, by the reason.",
        "reason",
        [((why,), total.resolved.get(why, 0)) for why in EndReason],
    )
    yield _metric(
        GaugeMetricFamily,
        "lag_records",
        "End offset less position, of the partitions that a worker has.",
        "partition",
        [((str(number),), behind) for number, behind in sorted(lag.items())],
    )


def _of_budget(use: BudgetUse) -> Iterator[Metric]:
    """Of all sensors together; which sensors they are has no place in metrics."""
    yield _metric(
        GaugeMetricFamily,
        "incidents_open",
        "Incidents that go on, drifts too.",
        "",
        [((), use.open)],
    )
    yield _metric(
        GaugeMetricFamily,
        "budget_incidents",
        "Incidents that opened in the last day and week of event time, true ones too.",
        "period",
        [(("day",), use.day), (("week",), use.week)],
    )
    allowed = (("day", use.desk_day), ("week", use.desk_week))
    yield _metric(
        GaugeMetricFamily,
        "budget_allowed",
        "False incidents that the budget allows all sensors together.",
        "period",
        [((period,), number) for period, number in allowed if number is not None],
    )
    yield _metric(
        GaugeMetricFamily,
        "budget_sensors_over",
        "Sensors with more incidents in the last day or week than the budget allows one.",
        "",
        [((), use.over)],
    )


def _of_scaling(scaling: ScalingStatus) -> Iterator[Metric]:
    kinds = {Kind.INGEST: scaling.ingest, Kind.SCORERS: scaling.scorers}
    partitions = [((), scaling.partitions)]
    yield _metric(GaugeMetricFamily, "partitions", "Partitions of the readings.", "", partitions)
    for name, told, number in (
        ("desired_workers", "How many workers there should be.", attrgetter("target")),
        ("actual_workers", "How many workers there are and answer.", attrgetter("actual")),
        (
            "max_workers",
            "How many workers there can be: by the limits, a number that is set, or the room.",
            attrgetter("possible"),
        ),
    ):
        found = [((kind,), number(count)) for kind, count in kinds.items()]
        yield _metric(GaugeMetricFamily, name, told, "kind", found)
    yield _metric(
        CounterMetricFamily,
        "workers_replaced",
        "Workers found dead or hung.",
        "kind reason",
        [
            ((kind, reason), scaling.replaced.get((kind, reason), 0))
            for kind in Kind
            for reason in Reason
        ],
    )
    yield _metric(
        CounterMetricFamily,
        "worker_restarts",
        "Ingest workers started again.",
        "worker",
        [((str(slot),), times) for slot, times in scaling.restarts.items()],
    )
    yield _metric(
        CounterMetricFamily,
        "scaling_decisions",
        "Changes of the number of workers.",
        "kind direction",
        [
            ((kind, direction), scaling.decisions.get((kind, direction), 0))
            for kind in Kind
            for direction in ("out", "in")
        ],
    )

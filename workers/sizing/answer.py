"""The answer for a fleet: numbers, what limits them, what was assumed, ready-made settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from workers.sizing.fleet import WEEK_S, Fleet
from workers.sizing.measured import Encoding, Measured
from workers.sizing.model import (
    BROKER_MB_PER_S,
    EVENTS_PER_INCIDENT,
    MARGIN,
    MOST_WORKERS,
    CostPerReading,
    KafkaNeeds,
    Observed,
    Workers,
    cost_per_reading,
    crowding,
    kafka_for,
    partitions_for,
    workers_for,
)

SCORERS_PER_GPU: Final = 4
"""Assumed: a scorer is busy with its own core for most of the time, so four share a GPU."""
DELIVERIES_PER_EVENT: Final = 2
"""Assumed: of what is opened or ends, to two subscribers."""
_GATEWAY_BUSY: Final = 0.7
_BUSY_ENOUGH: Final = 0.5
_DEFAULT_RESTORE_RECORDS: Final = 4_000_000
_LONGEST_RESTORE_RECORDS: Final = 1_000_000_000
_LONGEST_RESTORE_AGE_S: Final = 1e9
_FRAME: Final = "application/vnd.vigie.frame.v1+json"


@dataclass(frozen=True, kw_only=True)
class ScorerNeeds:
    """Scorer actors; on GPUs they are extrapolated, see docs/scaling.md. Without, gpus is 0."""

    scorers: int
    gpus: int


@dataclass(frozen=True, kw_only=True)
class GatewayNeeds:
    """The alert gateway and its database."""

    processes: int
    cores: float
    database: str
    database_gb_per_year: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a fleet needs.

    Attributes:
        fleet: it.
        cost: of a reading, by stage; None when a running pipeline told the sum alone.
        us_per_reading: of an ingest worker.
        workers, partitions: see `workers.sizing.model`.
        runs: `vigie run`, each with at most a thousand ingest workers, and as many scorers.
        scorers: None when the ingest workers score.
        cores: of ingest workers, scorers and drivers together, one each.
        memory_gb: of the same.
        worker_mb: of an ingest worker.
        kafka, gateway: see there.
        limited_by: what decides the number of workers.
        restore_records: the least `stream.max_restore_records` with which no window is cut.
        restore_age_s: the same for `stream.max_restore_age_s`.
        assumptions: sentences.
        warnings: sentences: what the operator should look at.
    """

    fleet: Fleet
    cost: CostPerReading | None
    us_per_reading: float
    workers: Workers
    partitions: int
    runs: int
    scorers: ScorerNeeds | None
    cores: int
    memory_gb: float
    worker_mb: float
    kafka: KafkaNeeds
    gateway: GatewayNeeds
    limited_by: str
    restore_records: int
    restore_age_s: float
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]


def size(fleet: Fleet, measured: Measured, observed: Observed | None = None) -> Answer:
    """What a fleet needs, by measured figures or by those of a running pipeline.

    Raises:
        TooMuchError: no number of workers does it; says why and what would.
    """
    if observed:
        cost, us = None, observed.us_per_reading
    else:
        cost = cost_per_reading(fleet, measured)
        us = _ingest_us(fleet, measured, cost)
    workers = workers_for(fleet, measured, us_per_reading=us, start_s=measured.start_s)
    partitions = partitions_for(fleet, workers.needed)
    scored_apart = fleet.gpu or (observed is not None and observed.scorers > 0)
    scorers = _scorers(fleet, measured, observed) if scored_apart else None
    apart = scorers.scorers if scorers else 0
    runs = math.ceil(max(workers.needed, apart) / MOST_WORKERS)
    worker_mb = _worker_mb(fleet, measured, workers, observed)
    total_mb = workers.needed * worker_mb + apart * measured.memory.worker_mb
    total_mb += runs * measured.memory.driver_mb
    records, age_s = _restore_limits(fleet, partitions)
    return Answer(
        fleet=fleet,
        cost=cost,
        us_per_reading=us,
        workers=workers,
        partitions=partitions,
        runs=runs,
        scorers=scorers,
        cores=workers.needed + apart + runs,
        memory_gb=total_mb / 1e3,
        worker_mb=worker_mb,
        kafka=kafka_for(fleet, measured, partitions=partitions),
        gateway=_gateway(fleet, measured),
        limited_by=_limit(workers),
        restore_records=records,
        restore_age_s=age_s,
        assumptions=_assumptions(fleet, measured, observed),
        warnings=_warnings(fleet, observed, records=records, age_s=age_s),
    )


def settings_of(answer: Answer) -> dict[str, dict[str, Any]]:
    """Settings for `vigie.toml` that carry the answer, by section; what is default is left out."""
    fleet, per_run = answer.fleet, math.ceil(answer.workers.needed / answer.runs)
    most_ingest = max(math.ceil(answer.partitions / answer.runs), per_run)
    found: dict[str, dict[str, Any]] = {
        "topics": {
            "partitions": answer.partitions,
            "replication_factor": fleet.replication,
        },
        "processing": {"guarantee": fleet.guarantee.value},
        "workers": {
            "ingest": "auto",
            "min_ingest": per_run,
            "max_ingest": min(most_ingest, MOST_WORKERS),
        },
    }
    if fleet.encoding is Encoding.FRAME:
        found["stream"] = {"content_type": _FRAME}
    limits: dict[str, Any] = {}
    if answer.restore_records > _DEFAULT_RESTORE_RECORDS:
        limits["max_restore_records"] = min(answer.restore_records, _LONGEST_RESTORE_RECORDS)
    if answer.restore_age_s > WEEK_S:
        limits["max_restore_age_s"] = min(answer.restore_age_s, _LONGEST_RESTORE_AGE_S)
    if limits:
        found["stream"] = {**found.get("stream", {}), **limits}
    if answer.scorers:
        scorers_per_run = math.ceil(answer.scorers.scorers / answer.runs)
        found["workers"] |= {
            "placement": "actors",
            "scorers": "auto",
            "min_scorers": scorers_per_run,
            "max_scorers": min(2 * scorers_per_run, MOST_WORKERS),
        }
    if fleet.gpu:
        found["workers"]["num_gpus_per_scorer"] = 1 / SCORERS_PER_GPU
        found["model"] = {"device": "cuda"}
    return found


def _ingest_us(fleet: Fleet, measured: Measured, cost: CostPerReading) -> float:
    return cost.total - cost.score + measured.processor.ship if fleet.gpu else cost.total


def _scorers(fleet: Fleet, measured: Measured, observed: Observed | None) -> ScorerNeeds:
    """Of a score the network alone gets free on a GPU; all else stays on the scorer's core."""
    costs = measured.processor
    if observed and observed.scorers:
        each_per_s = observed.readings_per_s / observed.scorers
        needed = fleet.readings_per_s / each_per_s
    else:
        score = costs.score[fleet.detector].at(fleet.channels)
        stays = max(score - costs.network.at(fleet.channels), 0.0) + costs.ship
        needed = fleet.readings_per_s * stays / 1e6 / fleet.busy
    scorers = max(math.ceil(needed), 1)
    return ScorerNeeds(
        scorers=scorers, gpus=math.ceil(scorers / SCORERS_PER_GPU) if fleet.gpu else 0
    )


def _worker_mb(
    fleet: Fleet, measured: Measured, workers: Workers, observed: Observed | None
) -> float:
    memory = measured.memory
    window = fleet.restored_readings * (fleet.channels + 1) * 8
    if observed is None:
        return memory.worker_mb + workers.sensors * (memory.sensor_bytes + window) / 1e6
    more = max(workers.sensors - observed.sensors_per_worker, 0)
    return observed.worker_mb + more * (memory.sensor_bytes + window) / 1e6


def _restore_limits(fleet: Fleet, partitions: int) -> tuple[int, float]:
    """Records and seconds that a restore reads again at most, with a margin.

    What is remembered is cut twice within each limit, so half of it has to hold every window.
    """
    sensors = fleet.sensors / partitions * crowding(partitions, fleet.sensors)
    readings = fleet.restored_readings + fleet.readings_per_record
    records = sensors * readings / fleet.readings_per_record
    age_s = readings * fleet.every_s
    return math.ceil(2 * MARGIN * records), math.ceil(2 * MARGIN * age_s)


def _gateway(fleet: Fleet, measured: Measured) -> GatewayNeeds:
    incidents = fleet.sensors * fleet.incidents_per_week / WEEK_S
    costs = measured.gateway
    each_ms = EVENTS_PER_INCIDENT * costs.event_ms + 2 * DELIVERIES_PER_EVENT * costs.delivery_ms
    cores = incidents * each_ms / 1e3
    processes = max(math.ceil(cores / _GATEWAY_BUSY), 1)
    stored = incidents * 365 * 86_400 * EVENTS_PER_INCIDENT * measured.sizes.incident
    return GatewayNeeds(
        processes=processes,
        cores=cores,
        database="PostgreSQL" if processes > 1 or fleet.replication > 1 else "SQLite",
        database_gb_per_year=stored / 1e9,
    )


def _limit(workers: Workers) -> str:
    if workers.needed == 1:
        return "nothing: one worker is enough"
    if workers.by_recovery > workers.by_processor:
        return (
            f"recovery: the load needs {workers.by_processor:,} workers; reading the windows of "
            f"one that crashed again in time needs {workers.by_recovery:,}"
        )
    return f"processor time: reading windows again in time needs {workers.by_recovery:,} workers"


def _assumptions(fleet: Fleet, measured: Measured, observed: Observed | None) -> tuple[str, ...]:
    source = (
        f"cost of a reading: of the running pipeline, {observed.busy:.0%} busy".replace("%", " %")
        if observed
        else f"cost of a reading: measured {measured.at}, {measured.machine}"
    )
    found = [
        source,
        f"workers {fleet.busy:.0%} busy at this load; the rest is head-room".replace("%", " %"),
        "sensors of equal rate, spread over partitions by the hash of their key",
        f"a broker moves {BROKER_MB_PER_S:g} MB/s in and out together; nothing is compressed",
    ]
    told = f"{DELIVERIES_PER_EVENT} subscribers"
    found.append(
        f"incidents per sensor and week: {fleet.incidents_per_week:g}, each told to {told}"
    )
    if fleet.gpu:
        found.append(
            "GPUs are extrapolated, none was measured: the network costs nothing there, all else "
            f"of a score as on a CPU, and {SCORERS_PER_GPU} scorers share a GPU"
        )
    return tuple(found)


def _warnings(
    fleet: Fleet, observed: Observed | None, *, records: int, age_s: float
) -> tuple[str, ...]:
    found = []
    if observed and observed.busy < _BUSY_ENOUGH:
        found.append(
            f"the pipeline was {observed.busy:.0%} busy: ".replace("%", " %")
            + "a busier worker takes larger batches and less time a reading, so this is too many "
            "workers rather than too few"
        )
    if records > _LONGEST_RESTORE_RECORDS:
        found.append("windows are cut at a restart: stream.max_restore_records cannot be so large")
    if age_s > _LONGEST_RESTORE_AGE_S:
        found.append("windows are cut at a restart: stream.max_restore_age_s cannot be so long")
    if age_s > fleet.retention_s:
        found.append(
            f"a window spans {age_s / 2 / MARGIN / 86_400:.1f} days: keep the readings for "
            f"{age_s / 86_400:.1f} days or more, or a restart cannot read it again"
        )
    return tuple(found)

"""Vigie under a steady load for as long as it is told: does it hold?

A producer sends readings of 200 sensors, and now and then a record that is no JSON; an outside
reader follows the outputs. At the end:

* every reading is denoised once (but the first 31 of each sensor), every bad record is a dead
  letter, the workers' counts agree and add up;
* resident memory has not grown from the first quarter of the time to the last;
* no watchdog has seen a worker stand still, no unit of work was given up.

The exit status is 1 when one of these does not hold.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from pydantic_core import from_json

from benchmarks import latency, pipeline, processes
from benchmarks.table import parser, show, write_json
from benchmarks.workload import SENSORS, WINDOW, Topics, make_topics, train_model
from workers.broker.embedded import BrokerConfig
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import consumer_options
from workers.stream.health import Health
from workers.stream.state.counts import Counts

BAD_EVERY = 1_000
GROWTH_FACTOR = 1.1
GROWTH_BYTES = 100e6
_QUIET_S = 5.0
_REPORT_EVERY_S = 60.0
_RETAINED = {"retention.bytes": str(256 * 2**20), "segment.bytes": str(64 * 2**20)}


@dataclass(frozen=True, kw_only=True)
class FollowJob:
    """Follow the outputs for some time, then have the producer halt, then the pipeline stop."""

    connection: Connection
    topics: Topics
    seconds: float
    ready: Any
    halt: Any
    stop: Any


@dataclass(kw_only=True)
class Followed:
    """What came out.

    Attributes:
        denoised: readings of each sensor.
        disordered: readings that were not later than the one before of their sensor: repeats.
    """

    denoised: Counter[str]
    disordered: int = 0
    anomalies: int = 0
    dead_letters: int = 0


def run_follow(job: FollowJob, gate: processes.Gate) -> Followed:
    """Count what comes out until the time is over and nothing comes any more."""
    consumer = KafkaConsumer(**consumer_options(job.connection))
    topics, seen = job.topics, Followed(denoised=Counter())
    try:
        partitions = [
            TopicPartition(topic, partition)
            for topic in (topics.denoised, topics.anomalies, topics.dead_letters)
            for partition in consumer.partitions_for_topic(topic)
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        gate.wait()
        if not job.ready.wait(latency.FIRST_WITHIN_S):
            raise RuntimeError("the pipeline is not ready")
        until_s = time.monotonic() + job.seconds
        heard_s = report_s = time.monotonic()
        latest: dict[str, int] = {}
        while (now_s := time.monotonic()) < max(until_s, heard_s + _QUIET_S):
            if now_s >= until_s:
                job.halt.set()
            if now_s >= report_s:
                report_s += _REPORT_EVERY_S
                left = max(until_s - now_s, 0.0)
                done = sum(seen.denoised.values())
                print(f"{done:,} readings denoised, {left:.0f} s to go", file=sys.stderr)
            for tp, records in consumer.poll(timeout_ms=200).items():
                heard_s = now_s
                _count(tp.topic, records, topics, seen, latest)
        return seen
    finally:
        job.halt.set()
        job.stop.set()
        consumer.close()


def _count(
    topic: str, records: Sequence[Any], topics: Topics, seen: Followed, latest: dict[str, int]
) -> None:
    if topic == topics.anomalies:
        seen.anomalies += len(records)
    elif topic == topics.dead_letters:
        seen.dead_letters += len(records)
    else:
        for record in records:
            item = from_json(record.value)
            sensor = item["sensor_id"]
            seen.denoised[sensor] += len(item["ts"])
            for ts in item["ts"]:
                seen.disordered += ts <= latest.get(sensor, 0)
                latest[sensor] = ts


def soak(connection: Connection, model: Path, *, seconds: float, rate: int) -> dict[str, Any]:
    """Run it all; the figures and what they have to be."""
    topics = make_topics(connection, "soak", configs=_RETAINED)
    context = get_context("spawn")
    ready, halt, stop = context.Event(), context.Event(), context.Event()
    outcome = processes.run(
        (
            pipeline.run_vigie,
            pipeline.PipelineJob(
                bootstrap=connection.bootstrap, topics=topics, model=model, ready=ready, stop=stop
            ),
        ),
        (
            latency.run_pace,
            latency.PaceJob(
                connection=connection,
                topic=topics.readings,
                rate=rate,
                ready=ready,
                stop=halt,
                bad_every=BAD_EVERY,
            ),
        ),
        (
            run_follow,
            FollowJob(
                connection=connection,
                topics=topics,
                seconds=seconds,
                ready=ready,
                halt=halt,
                stop=stop,
            ),
        ),
        counted=1,
        within_s=seconds + 300.0,
    )
    healths, paced, seen = outcome.results
    return judge(healths, paced, seen, outcome.footprint, seconds=seconds)


def judge(
    healths: list[Health],
    paced: dict[str, Any],
    seen: Followed,
    footprint: processes.Footprint,
    *,
    seconds: float,
) -> dict[str, Any]:
    """Each figure, what it has to be, and whether it is."""
    total = sum((health.total for health in healths), Counts())
    denoised = sum(seen.denoised.values())
    warming_up = len(SENSORS) * (WINDOW - 1)
    first, last = _quarters(footprint, seconds)
    checks = {
        "readings counted": (total.readings, paced["sent"]),
        "records counted": (total.records, paced["sent"] + paced["bad"]),
        "readings accounted for": (total.reconciled, True),
        "warming up": (total.warming_up, warming_up),
        "dropped as late or duplicate": (total.late + total.duplicate, 0),
        "readings denoised": (denoised, paced["sent"] - warming_up),
        "out of order or twice": (seen.disordered, 0),
        "anomalies published": (seen.anomalies, total.anomalies),
        "dead letters published": (seen.dead_letters, paced["bad"]),
        "stalls": (sum(health.stalls for health in healths), 0),
        "rewinds": (sum(health.rewinds for health in healths), 0),
    }
    rows: list[dict[str, Any]] = [
        {"what": what, "found": found, "expected": expected, "good": found == expected}
        for what, (found, expected) in checks.items()
    ]
    limit = max(first * GROWTH_FACTOR, first + GROWTH_BYTES)
    rows.append(
        {
            "what": "resident MB, last quarter",
            "found": round(last / 1e6),
            "expected": f"at most {limit / 1e6:,.0f} (first quarter {first / 1e6:,.0f})",
            "good": last <= limit,
        }
    )
    return {"checks": rows, "peak_bytes": footprint.peak_bytes, "readings": paced["sent"]}


def _quarters(footprint: processes.Footprint, seconds: float) -> tuple[float, float]:
    """Median resident memory in the first and in the last quarter of the load."""
    over_s = footprint.wall_s[-1]
    samples = [
        (at_s - (over_s - seconds), resident)
        for at_s, resident in zip(footprint.wall_s, footprint.resident_bytes, strict=True)
    ]
    first = [resident for at_s, resident in samples if 0 <= at_s < seconds / 4]
    last = [resident for at_s, resident in samples if 0.75 * seconds <= at_s < 0.95 * seconds]
    return median(first), median(last)


def main(argv: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    options.add_argument("--rate", type=int, default=2_000, help="readings a second (2,000)")
    given = options.parse_args(argv)
    seconds = 20.0 if given.quick else given.minutes * 60.0
    with (
        tempfile.TemporaryDirectory(prefix="vigie-soak-") as folder,
        BrokerConfig().open() as broker,
    ):
        connection = Connection(bootstrap=broker.bootstrap)
        model = train_model(Path(folder) / "model")
        figures = soak(connection, model, seconds=seconds, rate=given.rate)
    show(f"Soak: {seconds:.0f} s at {given.rate:,} readings/s", figures["checks"])
    if given.json:
        write_json(given.json, benchmark="soak", figures=figures)
    if not all(check["good"] for check in figures["checks"]):
        sys.exit(1)


if __name__ == "__main__":
    main()

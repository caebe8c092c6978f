"""How fast Vigie is, beside a plain loop and the ceilings: one machine, one go, one table.

Several rounds, contestants in turn within each, medians. A contestant reads a filled topic; its
outputs are stamped by the broker, read back and checked complete after each round (untimed).

  readings/s   from 5 % of the outputs to the last one, so without the start of Ray
  CPU us       of all processes but the broker and this one, over the same stretch, a reading
  peak MB      resident memory of the same processes, pages that they share counted once (PSS)
  RSS MB       the same with shared pages counted for each process
  start s      from the start of the process to the first output
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from benchmarks import ceilings, latency, pipeline, plain, processes
from benchmarks.outputs import read_outputs
from benchmarks.table import parser, show, write_json
from benchmarks.workload import (
    PARTITIONS,
    SENSORS,
    fill,
    make_topics,
    train_model,
)
from schemas.codec import FRAME_JSON, READING_JSON
from workers.kafka.embedded import BrokerConfig
from workers.kafka.kafka_python import Connection

RATE = 2_000


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything.

    Attributes:
        rows: readings of each sensor in the topic of JSON readings.
        slow_rows: as many in the one for contestants that take long.
        frame_rows: as many in the one of frames.
        rounds: of all contestants.
        score_s: length of a score-only run.
        paced_s: length of the paced load.
    """

    rows: int = 5_000
    slow_rows: int = 1_000
    frame_rows: int = 20_000
    rounds: int = 3
    score_s: float = 5.0
    paced_s: float = 20.0


QUICK = Scale(
    rows=500,
    slow_rows=200,
    frame_rows=2_000,
    rounds=1,
    score_s=1.0,
    paced_s=6.0,
)


@dataclass(kw_only=True)
class Bench:
    """A broker with filled topics, and the contestants."""

    connection: Connection
    model: Path
    scale: Scale
    runs: int = 0
    rows: dict[str, int] = field(default_factory=dict)

    def fill(self) -> None:
        """Fill the topics that contestants read."""
        for topic, rows, content_type in (
            ("json", self.scale.rows, READING_JSON),
            ("json-short", self.scale.slow_rows, READING_JSON),
            ("frames", self.scale.frame_rows, FRAME_JSON),
        ):
            print(f"filling {topic}: {rows * len(SENSORS):,} readings", file=sys.stderr)
            fill(self.connection, topic, rows=rows, content_type=content_type)
            self.rows[topic] = rows

    def vigie(self, topic: str, *, ingest: int = 2) -> dict[str, float]:
        """The whole pipeline on a filled topic."""
        topics = make_topics(self.connection, self._name("vigie"), readings=topic)
        job = pipeline.PipelineJob(
            bootstrap=self.connection.bootstrap,
            topics=topics,
            model=self.model,
            records=sum(self._ends(topic).values()),
            ingest=ingest,
        )
        return self._measured(topics, topic, processes.run((pipeline.run_vigie, job)))

    def plain(self, topic: str, output: plain.Output, *, members: int = 1) -> dict[str, float]:
        """The plain loop in one process or more."""
        topics = make_topics(self.connection, self._name("plain"), readings=topic)
        job = plain.PlainJob(
            connection=self.connection, topics=topics, ends=self._ends(topic), output=output
        )
        return self._measured(topics, topic, processes.run(*[(plain.run_plain, job)] * members))

    def consume(self, topic: str, *, members: int) -> dict[str, float]:
        """Reading alone."""
        ends = self._ends(topic)
        jobs = [
            ceilings.ConsumeJob(
                connection=self.connection,
                topic=topic,
                ends={p: end for p, end in ends.items() if p % members == nth},
            )
            for nth in range(members)
        ]
        return _stretched(processes.run(*((ceilings.run_consume, job) for job in jobs)))

    def score(self, *, members: int) -> dict[str, float]:
        """Scoring alone."""
        job = ceilings.ScoreJob(model=self.model, seconds=self.scale.score_s)
        return _stretched(processes.run(*[(ceilings.run_score, job)] * members))

    def latency(self) -> dict[str, Any]:
        """Vigie under a paced load, watched from outside."""
        topics = make_topics(self.connection, self._name("latency"))
        context = get_context("spawn")
        ready, stop = context.Event(), context.Event()
        vigie = pipeline.PipelineJob(
            bootstrap=self.connection.bootstrap,
            topics=topics,
            model=self.model,
            ready=ready,
            stop=stop,
        )
        pace = latency.PaceJob(
            connection=self.connection, topic=topics.readings, rate=RATE, ready=ready, stop=stop
        )
        watch = latency.WatchJob(
            connection=self.connection,
            topics=topics,
            ignored_s=self.scale.paced_s / 4,
            seconds=self.scale.paced_s,
            stop=stop,
        )
        outcome = processes.run(
            (pipeline.run_vigie, vigie),
            (latency.run_pace, pace),
            (latency.run_watch, watch),
            counted=1,
        )
        _, paced, seen = outcome.results
        cpu_s = outcome.footprint.cpu_between(seen["from_s"], seen["to_s"])
        return {
            "readings/s": seen["readings"] / (seen["to_s"] - seen["from_s"]),
            "CPU us": cpu_s / seen["readings"] * 1e6,
            **_memory(outcome),
            "p50 ms": seen["p50_ms"],
            "p99 ms": seen["p99_ms"],
            "max ms": seen["max_ms"],
            "producer late ms": paced["producer_late_ms"],
        }

    def _name(self, contestant: str) -> str:
        self.runs += 1
        return f"{contestant}-{self.runs}"

    def _ends(self, topic: str) -> dict[int, int]:
        consumer = KafkaConsumer(**self.connection.consumer_options())
        try:
            ends = consumer.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)])
            return {tp.partition: end for tp, end in ends.items()}
        finally:
            consumer.close()

    def _measured(self, topics: Any, topic: str, outcome: processes.Outcome) -> dict[str, float]:
        published = read_outputs(self.connection, topics, rows=self.rows[topic])
        cpu_s = outcome.footprint.cpu_between(published.from_s, published.to_s)
        return {
            "readings/s": published.rate,
            "CPU us": cpu_s / published.steady * 1e6,
            **_memory(outcome),
            "start s": published.first_s - outcome.started_s,
            "flagged %": 100 * published.anomalies / published.readings,
            "repeats": float(published.repeats),
        }


def _memory(outcome: processes.Outcome) -> dict[str, float]:
    footprint = outcome.footprint
    return {"peak MB": footprint.peak_bytes / 1e6, "RSS MB": footprint.peak_summed_bytes / 1e6}


def _stretched(outcome: processes.Outcome) -> dict[str, float]:
    """Together, from the first one's start to the last one's end."""
    stretches = outcome.results
    from_s, to_s = min(s.from_s for s in stretches), max(s.to_s for s in stretches)
    readings = sum(stretch.readings for stretch in stretches)
    return {
        "readings/s": readings / (to_s - from_s),
        "CPU us": outcome.footprint.cpu_between(from_s, to_s) / readings * 1e6,
        **_memory(outcome),
    }


CONTESTANTS: Mapping[str, Callable[[Bench], Mapping[str, float]]] = {
    "vigie, JSON readings": lambda bench: bench.vigie("json"),
    "plain packed, 1 process": lambda bench: bench.plain("json", plain.Output.PACKED),
    "plain packed, 2 processes": lambda bench: bench.plain("json", plain.Output.PACKED, members=2),
    "plain, a record a reading": lambda bench: bench.plain("json-short", plain.Output.SINGLE),
    "vigie, frames of 100": lambda bench: bench.vigie("frames"),
    "consume only, 1 process": lambda bench: bench.consume("json", members=1),
    "consume only, 2 processes": lambda bench: bench.consume("json", members=2),
    "score only, 1 core": lambda bench: bench.score(members=1),
    "score only, 2 cores": lambda bench: bench.score(members=2),
    "vigie, 2,000 readings/s": lambda bench: bench.latency(),
}
AIMS = (
    ("JSON, readings/s", "vigie, JSON readings", None, 65_000.0),
    ("JSON over plain packed", "vigie, JSON readings", "plain packed, 1 process", 1.5),
    ("frames over score only", "vigie, frames of 100", "score only, 2 cores", 0.5),
)


def measure(bench: Bench, *, only: str) -> dict[str, dict[str, float]]:
    """Run all rounds; the median of each figure of each contestant."""
    seen: dict[str, list[Mapping[str, float]]] = {}
    for number in range(bench.scale.rounds):
        for name, run in CONTESTANTS.items():
            if any(part in name for part in only.split("|")):
                print(f"round {number + 1}/{bench.scale.rounds}: {name}", file=sys.stderr)
                seen.setdefault(name, []).append(run(bench))
    return {
        name: {figure: median(one[figure] for one in rounds) for figure in rounds[0]}
        for name, rounds in seen.items()
    }


def judge(medians: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """The aims that could be measured, beside what was."""
    found = []
    for what, mine, other, aim in AIMS:
        if mine in medians and (other is None or other in medians):
            rate = medians[mine]["readings/s"]
            value = rate / medians[other]["readings/s"] if other else rate
            found.append({"aim": what, "at least": aim, "measured": value})
    for figure, aim in (("p50 ms", 30.0), ("p99 ms", 150.0)):
        paced = medians.get("vigie, 2,000 readings/s")
        if paced:
            found.append({"aim": f"latency {figure}", "at most": aim, "measured": paced[figure]})
    peaks = [figures["peak MB"] for name, figures in medians.items() if name.startswith("vigie")]
    if peaks:
        found.append({"aim": "peak MB", "at most": 2_500.0, "measured": max(peaks)})
    return found


def main(argv: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, help="instead of 3")
    options.add_argument("--only", default="", metavar="TEXT|TEXT", help="contestants named so")
    given = options.parse_args(argv)
    scale = QUICK if given.quick else Scale()
    if given.rounds:
        scale = replace(scale, rounds=given.rounds)
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder,
        BrokerConfig().open() as broker,
    ):
        bench = Bench(
            connection=Connection(bootstrap=broker.bootstrap),
            model=train_model(Path(folder) / "model"),
            scale=scale,
        )
        bench.fill()
        medians = measure(bench, only=given.only)
    aims = judge(medians)
    show(
        "Throughput: 4 partitions, 200 sensors x 8 channels, window 32, dense 256-128-32-128-256",
        [{"contestant": name, **figures} for name, figures in medians.items()],
        notes=[
            f"medians of {scale.rounds} round(s); the plain loop parses with {plain.JSON_LIBRARY}"
        ],
    )
    show("Aims (2 cores, broker included)", aims)
    if given.json:
        write_json(given.json, benchmark="throughput", figures={"medians": medians, "aims": aims})


if __name__ == "__main__":
    main()

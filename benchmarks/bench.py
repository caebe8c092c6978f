"""A broker with filled topics, and one method a contestant: each gives one row of figures."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from benchmarks import ceilings, latency, pipeline, plain, processes, transactional
from benchmarks.outputs import read_outputs
from benchmarks.replaying import ends_of
from benchmarks.table import parser
from benchmarks.workload import SENSORS, Content, fill, make_topics, train_model
from detector.artifact import load, save
from detector.scoring import Detector
from detector.training.pyramid import PyramidTraining
from schemas.codec import FRAME_JSON, READING_JSON
from schemas.settings import Guarantee
from workers.broker.embedded import BrokerConfig
from workers.kafka.client import Connection

RATE = 2_000

Sections = Mapping[str, Mapping[str, Any]]
"""Settings by section and name."""
NO_SECTIONS: Sections = MappingProxyType({})


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


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks of a benchmark with contestants.

    Attributes:
        scale: how much.
        quick: small and fast, for CI.
        only: texts, one of which the name of a contestant holds.
        json: where to write the figures.
    """

    scale: Scale
    quick: bool
    only: tuple[str, ...]
    json: Path | None

    def wants(self, name: str) -> bool:
        """Whether a contestant of this name is asked for."""
        return any(text in name for text in self.only)


def read_options(
    description: str | None, names: Collection[str], argv: Sequence[str] | None
) -> Options:
    """Read the command line.

    Args:
        description: of the benchmark.
        names: of all its contestants.
        argv: the arguments; None takes the process's own.

    Raises:
        SystemExit: wrong options; or nothing here is asked for, which is no failure.
    """
    made = parser(description)
    made.add_argument("--rounds", type=int, help="instead of 3")
    made.add_argument(
        "--only", default="", metavar="TEXT|TEXT", help="what holds one of the texts in its name"
    )
    given = made.parse_args(argv)
    scale = QUICK if given.quick else Scale()
    if given.rounds:
        scale = replace(scale, rounds=given.rounds)
    options = Options(
        scale=scale, quick=given.quick, only=tuple(given.only.split("|")), json=given.json
    )
    if not any(options.wants(name) for name in names):
        print(f"nothing here is named so; there is: {'; '.join(names)}", file=sys.stderr)
        raise SystemExit(0)
    return options


@dataclass(kw_only=True)
class Bench:
    """A broker with filled topics, and the contestants."""

    connection: Connection
    model: Path
    scale: Scale
    runs: int = 0
    rows: dict[str, int] = field(default_factory=dict)

    def fill(self, *topics: str) -> None:
        """Fill topics that contestants read: json, json-short, frames."""
        contents = {
            "json": (self.scale.rows, READING_JSON),
            "json-short": (self.scale.slow_rows, READING_JSON),
            "frames": (self.scale.frame_rows, FRAME_JSON),
        }
        for topic in topics:
            rows, content_type = contents[topic]
            print(f"filling {topic}: {rows * len(SENSORS):,} readings", file=sys.stderr)
            fill(self.connection, topic, rows=rows, content=Content(content_type=content_type))
            self.rows[topic] = rows

    def full_model(self) -> Path:
        """The detector that `vigie train` makes by default; trained when it is first asked for."""
        folder = self.model.with_name("full")
        if not folder.exists():
            train_model(folder, further_views=(PyramidTraining(),))
        return folder

    def model_without_alarms(self) -> Path:
        """The plain detector without alarm rule and drift watch: flags by a fixed threshold."""
        folder = self.model.with_name("without-alarms")
        if not folder.exists():
            whole = load(self.model)
            head = replace(whole.head, alarms=None, drift=None)
            save(Detector(whole.identity, whole.views, head), folder)
        return folder

    def vigie(
        self,
        topic: str,
        guarantee: Guarantee,
        sections: Sections = NO_SECTIONS,
        model: Path | None = None,
    ) -> dict[str, float]:
        """The whole pipeline on a filled topic."""
        topics = make_topics(self.connection, self.name("vigie"), readings=topic)
        job = pipeline.PipelineJob(
            bootstrap=self.connection.bootstrap,
            topics=topics,
            model=model or self.model,
            records=sum(ends_of(self.connection, topic).values()),
            sections=_with(sections, guarantee),
        )
        return self._measured(topics, topic, processes.run((pipeline.run_vigie, job)))

    def plain(self, topic: str, output: plain.Output, *, members: int = 1) -> dict[str, float]:
        """The plain loop in one process or more."""
        topics = make_topics(self.connection, self.name("plain"), readings=topic)
        job = plain.PlainJob(
            connection=self.connection,
            topics=topics,
            ends=ends_of(self.connection, topic),
            output=output,
        )
        return self._measured(topics, topic, processes.run(*[(plain.run_plain, job)] * members))

    def transactional(self, topic: str) -> dict[str, float]:
        """The plain loop, exactly once."""
        topics = make_topics(self.connection, self.name("transactional"), readings=topic)
        job = plain.PlainJob(
            connection=self.connection, topics=topics, ends=ends_of(self.connection, topic)
        )
        outcome = processes.run((transactional.run_transactional, job))
        return self._measured(topics, topic, outcome)

    def consume(self, topic: str, *, members: int) -> dict[str, float]:
        """Reading alone."""
        ends = ends_of(self.connection, topic)
        jobs = [
            ceilings.ConsumeJob(
                connection=self.connection,
                topic=topic,
                ends={p: end for p, end in ends.items() if p % members == nth},
            )
            for nth in range(members)
        ]
        return stretched(processes.run(*((ceilings.run_consume, job) for job in jobs)))

    def score(self, *, members: int) -> dict[str, float]:
        """Scoring alone."""
        job = ceilings.ScoreJob(model=self.model, seconds=self.scale.score_s)
        return stretched(processes.run(*[(ceilings.run_score, job)] * members))

    def latency(self, guarantee: Guarantee, sections: Sections = NO_SECTIONS) -> dict[str, Any]:
        """Vigie under a paced load, watched from outside."""
        context = get_context("spawn")
        job = pipeline.PipelineJob(
            bootstrap=self.connection.bootstrap,
            topics=make_topics(self.connection, self.name("latency")),
            model=self.model,
            ready=context.Event(),
            stop=context.Event(),
            sections=_with(sections, guarantee),
        )
        return self._paced(pipeline.run_vigie, job)

    def transactional_latency(self) -> dict[str, Any]:
        """The plain loop, exactly once, under the same load."""
        context = get_context("spawn")
        job = plain.PlainJob(
            connection=self.connection,
            topics=make_topics(self.connection, self.name("transactional")),
            ready=context.Event(),
            stop=context.Event(),
            transaction_s=0.0,
        )
        return self._paced(transactional.run_transactional, job)

    def _paced(self, work: processes.Work, job: Any) -> dict[str, Any]:
        pace = latency.PaceJob(
            connection=self.connection,
            topic=job.topics.readings,
            rate=RATE,
            ready=job.ready,
            stop=job.stop,
        )
        watch = latency.WatchJob(
            connection=self.connection,
            topics=job.topics,
            ignored_s=self.scale.paced_s / 4,
            seconds=self.scale.paced_s,
            stop=job.stop,
        )
        outcome = processes.run(
            (work, job), (latency.run_pace, pace), (latency.run_watch, watch), counted=1
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

    def name(self, contestant: str) -> str:
        """Name the topics of one run of a contestant."""
        self.runs += 1
        return f"{contestant}-{self.runs}"

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


def _with(sections: Sections, guarantee: Guarantee) -> dict[str, dict[str, Any]]:
    processing = {**sections.get("processing", {}), "guarantee": guarantee}
    return {**{name: dict(one) for name, one in sections.items()}, "processing": processing}


def _memory(outcome: processes.Outcome) -> dict[str, float]:
    footprint = outcome.footprint
    return {"peak MB": footprint.peak_bytes / 1e6, "RSS MB": footprint.peak_summed_bytes / 1e6}


def stretched(outcome: processes.Outcome) -> dict[str, float]:
    """Together, from the first one's start to the last one's end."""
    stretches = outcome.results
    from_s, to_s = min(s.from_s for s in stretches), max(s.to_s for s in stretches)
    readings = sum(stretch.readings for stretch in stretches)
    return {
        "readings/s": readings / (to_s - from_s),
        "CPU us": outcome.footprint.cpu_between(from_s, to_s) / readings * 1e6,
        **_memory(outcome),
    }


@contextmanager
def open_bench(scale: Scale) -> Iterator[Bench]:
    """Start a broker, train a model; no topic is filled yet."""
    with TemporaryDirectory(prefix="vigie-bench-") as folder, BrokerConfig().open() as broker:
        yield Bench(
            connection=Connection(bootstrap=broker.bootstrap),
            model=train_model(Path(folder) / "model"),
            scale=scale,
        )

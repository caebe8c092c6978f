"""The runs behind the constants of `workers.sizing`: each a fleet, its topic, its model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import processes, replaying
from benchmarks.pipeline import PipelineJob
from benchmarks.stages import Reached, StagesJob, run_stages
from benchmarks.workload import PARTITIONS, Content, Shape, Topics, fill, make_topics, train_model
from detector.training.pyramid import PyramidTraining
from schemas.codec import FRAME_JSON, READING_JSON
from workers.broker.embedded import EmbeddedBroker
from workers.kafka.client import Connection
from workers.sizing.measured import DetectorKind, Encoding

_TRAINED_ON = 20
_LIMIT_S = 1_800.0
_CONTENT_TYPES = {Encoding.READING: READING_JSON, Encoding.FRAME: FRAME_JSON}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fleet.

    Attributes:
        sensors, channels: of it.
        rows: readings of each sensor in the topic.
        encoding: how they come; frames of `frame_readings`.
        detector: what scores them.
        sections: further settings.
    """

    sensors: int = 200
    channels: int = 8
    rows: int = 1_000
    encoding: Encoding = Encoding.READING
    frame_readings: int = 100
    detector: DetectorKind = DetectorKind.PLAIN
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def readings(self) -> int:
        """In the topic."""
        return self.sensors * self.rows

    @property
    def records(self) -> int:
        """In the topic."""
        per_record = 1 if self.encoding is Encoding.READING else self.frame_readings
        return self.sensors * -(-self.rows // per_record)

    @property
    def content(self) -> Content:
        """Of the topic."""
        return Content(
            content_type=_CONTENT_TYPES[self.encoding],
            sensors=self.sensors,
            channels=self.channels,
            frame_readings=self.frame_readings,
        )

    @property
    def warm(self) -> int:
        """Readings after which every window is full, and some more."""
        full = self.detector.receptive_field / self.rows
        return int(self.readings * min(max(0.3, full + 0.05), 0.9))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a case cost one worker while it was warm, in processor microseconds a reading.

    Attributes:
        read, score, publish, wire: of the stages: polled and decoded; scored; the rest of the main
            thread; the client's threads.
        records, calls, sensors, states, commits: a reading: records read, calls to the scorer,
            sensors published of, documents of recorded state, transactions.
        broker: the broker's own time.
        resident_bytes: most memory of the worker.
    """

    read: float
    score: float
    publish: float
    wire: float
    records: float
    calls: float
    sensors: float
    states: float
    commits: float
    broker: float
    resident_bytes: int

    @property
    def total(self) -> float:
        """All stages."""
        return self.read + self.score + self.publish + self.wire


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was measured of a case.

    Attributes:
        case: which.
        cost: of one worker.
        restore: processor microseconds a reading when the topic is read again; None if not asked.
        bytes: in the log, a reading of the topic: readings, cleaned signal, state, incidents.
        sent: records by topic, as many as `bytes` are of.
    """

    case: Case
    cost: Cost
    restore: float | None
    bytes: Mapping[str, int]
    sent: Mapping[str, int]


class Laboratory:
    """A broker with a topic and a model for every case, made when first asked for."""

    def __init__(self, broker: EmbeddedBroker, folder: Path) -> None:
        self.connection = Connection(bootstrap=broker.bootstrap)
        self._broker, self._folder = broker, folder
        self._filled: set[str] = set()

    def model(self, case: Case) -> Path:
        """The trained model of a case."""
        folder = self._folder / f"{case.detector}-{case.channels}"
        if not folder.exists():
            further = (PyramidTraining(),) if case.detector is DetectorKind.FULL else ()
            train_model(folder, Shape(sensors=_TRAINED_ON, channels=case.channels), further)
        return folder

    def readings(self, case: Case) -> str:
        """The filled topic of a case."""
        parts = (case.encoding, case.sensors, case.channels, case.rows, case.frame_readings)
        topic = "-".join(map(str, parts))
        if topic not in self._filled:
            fill(self.connection, topic, rows=case.rows, content=case.content)
            self._filled.add(topic)
        return topic

    def job(self, case: Case, name: str, *, ingest: int = 1) -> PipelineJob:
        """The pipeline of a case, with outputs of its own."""
        return PipelineJob(
            bootstrap=self.connection.bootstrap,
            topics=make_topics(self.connection, name, readings=self.readings(case)),
            model=self.model(case),
            records=case.records,
            ingest=ingest,
            sections={section: dict(values) for section, values in case.sections.items()},
        )

    def see(self, case: Case, name: str) -> Seen:
        """Run one worker through a case, and have it read all of it again."""
        pipeline = self.job(case, name)
        job = StagesJob(pipeline=pipeline, readings=case.readings, warm=case.warm)
        broker_s = self._broker_cpu_s()
        outcome = processes.run((run_stages, job), within_s=_LIMIT_S)
        broker_s = self._broker_cpu_s() - broker_s
        ((warm, end),) = outcome.results
        topics = pipeline.topics
        outputs = (topics.denoised, topics.sensor_state, topics.incidents)
        return Seen(
            case=case,
            cost=cost_between(warm, end, topics=topics, case=case, broker_s=broker_s),
            restore=None if case.sections else self.restore(case, f"{name}-again"),
            bytes={topic: self.bytes_of(topic) for topic in (topics.readings, *outputs)},
            sent={topics.readings: case.records, **end.sent},
        )

    def restore(self, case: Case, name: str) -> float:
        """Processor microseconds a reading for reading the whole topic of a case again."""
        job, ends = self.job(case, name), replaying.ends_of(self.connection, self.readings(case))
        settings = job.settings()
        replaying.commit_ends(
            self.connection,
            topic=self.readings(case),
            group=settings.kafka.group,
            ends=ends,
            receptive_field=case.detector.receptive_field,
        )
        replay = replaying.ReplayJob(
            settings=settings,
            slot=0,
            ends=ends,
            held=PARTITIONS,
            readings=case.rows * case.sensors // case.records,
        )
        outcome = processes.run((replaying.run_replay, replay), within_s=_LIMIT_S)
        (stretch,) = outcome.results
        cpu_s = outcome.footprint.cpu_between(stretch.from_s, stretch.to_s)
        return cpu_s / case.readings * 1e6

    def records_of(self, topic: str) -> int:
        """Of a topic, up to its ends; a transaction's marks count as well."""
        return sum(replaying.ends_of(self.connection, topic).values())

    def bytes_of(self, topic: str) -> int:
        """Of a topic in the broker's log."""
        segments = self._broker.data.rglob(f"{topic}-[0-9]*/*.log")
        return sum(segment.stat().st_size for segment in segments)

    def _broker_cpu_s(self) -> float:
        assert self._broker.pid is not None
        family = psutil.Process(self._broker.pid)
        seconds = 0.0
        for process in (family, *family.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds += times.user + times.system
        return seconds


def cost_between(
    warm: Reached, end: Reached, *, topics: Topics, case: Case, broker_s: float
) -> Cost:
    """The cost a reading between two moments; the broker's over the whole run."""
    readings = end.readings - warm.readings

    def us(seconds: float) -> float:
        return seconds / readings * 1e6

    def sent(topic: str) -> float:
        return (end.sent.get(topic, 0) - warm.sent.get(topic, 0)) / readings

    stages = {stage: us(end.stages[stage] - warm.stages[stage]) for stage in end.stages}
    main, process = us(end.main_s - warm.main_s), us(end.process_s - warm.process_s)
    read = stages["poll"] + stages["decode"]
    handled = case.records + sum(end.sent.values())
    return Cost(
        read=read,
        score=stages["score"],
        publish=main - read - stages["score"],
        wire=process - main,
        records=case.records / case.readings,
        calls=(end.calls - warm.calls) / readings,
        sensors=sent(topics.denoised),
        states=sent(topics.sensor_state),
        commits=(end.commits - warm.commits) / readings,
        broker=broker_s / handled * 1e6,
        resident_bytes=end.resident_bytes,
    )

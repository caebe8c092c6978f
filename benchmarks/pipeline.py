"""Contestant: Vigie as `vigie run` runs it, Ray actors and all."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import Gate
from benchmarks.workload import PARTITIONS, Topics
from schemas.settings import Settings
from workers.process import configure_logging
from workers.stream.health import Health
from workers.supervision.pipeline import run_pipeline


@dataclass(frozen=True, kw_only=True)
class PipelineJob:
    """What Vigie has to do.

    Attributes:
        bootstrap: the broker.
        topics: where to read and write.
        model: the artifact.
        ready: set when every worker has its partitions, if it is there.
        stop: set from outside to drain; or
        records: drain when that many records are committed; 0 waits for `stop`.
        ingest: ingest workers.
        sections: further settings.
    """

    bootstrap: str
    topics: Topics
    model: Path
    records: int = 0
    ingest: int = 2
    ready: Any = None
    stop: Any = None
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settings(self) -> Settings:
        """The settings of the run."""
        topics = self.topics
        sections: dict[str, dict[str, Any]] = {
            "kafka": {"bootstrap": self.bootstrap, "group": topics.denoised},
            "topics": {
                "readings": topics.readings,
                "denoised": topics.denoised,
                "anomalies": topics.anomalies,
                "dead_letters": topics.dead_letters,
                "sensor_state": topics.sensor_state,
                "incidents": topics.incidents,
                "verdicts": topics.verdicts,
            },
            "model": {"path": self.model, "device": "cpu"},
            "workers": {"ingest": self.ingest},
            "log": {"level": "warning"},
        }
        for name, section in self.sections.items():
            sections[name] = {**sections.get(name, {}), **section}
        return Settings.model_validate(sections)


def run_vigie(job: PipelineJob, gate: Gate) -> list[Health]:
    """Run the whole pipeline until the job is done; return the workers' last health."""
    settings = job.settings()
    configure_logging(settings.log)
    done = threading.Event()

    def observe(healths: list[Health]) -> None:
        if job.ready is not None and sum(len(health.lag) for health in healths) == PARTITIONS:
            job.ready.set()
        if job.records and sum(health.total.records for health in healths) >= job.records:
            done.set()

    def should_stop() -> bool:
        return done.is_set() or (job.stop is not None and bool(job.stop.is_set()))

    gate.wait()
    return run_pipeline(settings, should_stop=should_stop, observe=observe)

"""A whole run: start everything, strike, let it recover, read what came out, check it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from detector.artifact import save
from schemas.settings import Guarantee, Settings
from tests.chaos import checkers
from tests.chaos.checkers import Violations
from tests.chaos.cluster import Cluster, open_cluster
from tests.chaos.hooks.switches import Switches
from tests.chaos.judge import GROUP, RECEPTIVE_FIELD, Judge, outcome, outputs_of
from tests.chaos.load import Load, LoadJob, Sensors, read_acknowledged
from tests.chaos.nemesis import Nemesis
from tests.chaos.outcome import Outcome
from tests.chaos.pipeline import Pipeline
from tests.chaos.reader import LiveReader, following
from tests.chaos.report import Report, Struck
from tests.chaos.schedule import FaultBatch
from tests.chaos.wisher import Wisher
from tests.support.models import small_detector
from tests.support.wait import wait_until
from workers.errors import VigieError
from workers.kafka.admin import TopicSpec
from workers.kafka.factory import admin_of, topic_specs
from workers.verdicts.writer import open_wish_writer

_PARTITIONS: Final = 3
_FIRST_WITHIN_S: Final = 300.0
_CALM_WITHIN_S: Final = 1200.0  # for the log of hours
_FIRST_RECORDS: Final = 50
_GIVEN_UP_S: Final = 240.0
_FLOWS_WITHIN_S: Final = 60.0  # longer than the producer of readings needs to notice a failure
_LOOK_S: Final = 0.3
_HEARD_S: Final = 5.0  # of readings behind the last wishes, and the last fault

log = structlog.get_logger("chaos")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do.

    Attributes:
        seed: of the load; the schedule has its own.
        batches: the faults.
        guarantee: what is promised, and so what is checked.
        placement: "ingest" or "actors", of the scorers.
        per_s: records a second.
        nodes: brokers; from 3 on with as many copies of everything, of which two must have it.
        properties: lines for each broker's ``server.properties``; they win.
        acks: how many brokers must have a reading, for its producer.
        recovery_s: a batch that the pipeline has not got over by then was not survived.
        command: reproduces the run.
    """

    seed: int
    batches: tuple[FaultBatch, ...]
    guarantee: Guarantee
    placement: str
    per_s: float
    recovery_s: float
    command: str
    nodes: int = 1
    properties: Mapping[str, str] = field(default_factory=dict)
    acks: str | int = "all"


def settings_of(plan: Plan, bootstrap: str, group: str) -> dict[str, str]:
    """The settings of a pipeline, by dotted name; its outputs are named after the group."""
    return {
        "kafka.bootstrap": bootstrap,
        "kafka.group": group,
        "kafka.client.metadata_max_age_ms": "3000",
        "topics.readings": "readings",
        "topics.anomalies": f"{group}-anomalies",
        "topics.denoised": f"{group}-denoised",
        "topics.dead_letters": f"{group}-dead-letters",
        "topics.sensor_state": f"{group}-sensor-state",
        "topics.incidents": f"{group}-incidents",
        "topics.verdicts": f"{group}-verdicts",
        "processing.guarantee": plan.guarantee.value,
        "processing.flush_timeout_s": "5",
        "processing.drain_timeout_s": "20",
        "workers.placement": plan.placement,
        "workers.ingest": "2",
        "workers.scorers": "1",
        "workers.stall_timeout_s": "15",
        # A run kills more than any crash loop.
        "workers.max_restarts": "1000",
        # Small, so that a run meets many stretches.
        "stream.max_restore_records": "4000",
        # Sensors fall silent for longer now and then.
        "stream.max_stale_s": "4",
    }


def run(plan: Plan, folder: Path) -> Report:
    """Carry it out; everything that it starts ends with it.

    Args:
        plan: what to do.
        folder: for data and logs.
    """
    detector = small_detector(RECEPTIVE_FIELD)
    model = save(detector, folder / "model")
    began_s = time.monotonic()
    with ExitStack() as stack:
        cluster = stack.enter_context(
            open_cluster(folder / "kafka", nodes=plan.nodes, properties=plan.properties)
        )
        chaos = _Run(plan, cluster, folder, model, stack)
        chaos.strike()
        violations = chaos.end()
        undisturbed, counted = chaos.undisturbed()
        violations += chaos.check(undisturbed, counted)
        return Report(
            command=plan.command,
            seconds=time.monotonic() - began_s,
            struck=tuple(chaos.struck),
            violations=tuple(violations),
            counts=chaos.counts,
        )


class _Run:
    """One experiment under way."""

    def __init__(
        self, plan: Plan, cluster: Cluster, folder: Path, model: Path, stack: ExitStack
    ) -> None:
        self.struck: list[Struck] = []
        self.counts: dict[str, int] = {}
        self._plan, self._cluster, self._folder, self._model = plan, cluster, folder, model
        self._stack = stack
        self._settings = Settings.model_validate(_nested(self._assignments(cluster.proxied, GROUP)))
        self._violations: Violations = []
        self._make_topics(GROUP)
        switches = Switches(str(folder / "switches"))
        stack.callback(switches.close)
        topics = self._settings.topics
        outputs = outputs_of(topics)
        self._reader: LiveReader = stack.enter_context(
            following(cluster.direct, outputs, denoised=topics.denoised, kept=topics.incidents)
        )
        self._load = Load(
            LoadJob(
                connection=cluster.direct,
                topic=topics.readings,
                seed=plan.seed,
                per_s=plan.per_s,
                acknowledged=folder / "acknowledged",
                acks=plan.acks,
            )
        )
        self._nemesis = Nemesis(
            cluster=cluster,
            pipeline=self._make_pipeline(GROUP, cluster.proxied, switches=folder / "switches"),
            load=self._load,
            switches=switches,
            settings=self._settings,
            make_rival=lambda: self._make_pipeline(
                GROUP, cluster.proxied, switches=folder / "switches"
            ),
            partitions=_PARTITIONS,
        )

        self._wisher: Wisher | None = None
        if plan.guarantee is Guarantee.EXACTLY_ONCE:  # else a repeat may heed them elsewhere
            # The last sensor is forgotten now and then, and a backtest that is told of the deeds
            # of all its lives does not know which is which.
            names = Sensors(plan.seed).names[:-1]
            self._wisher = Wisher(
                partial(open_wish_writer, cluster.direct, topics.verdicts),
                self._reader.kept,
                names,
                seed=plan.seed,
            )

    def strike(self) -> None:
        """Start, then one batch after the other, each when the one before is got over."""
        self._nemesis.pipeline.start()
        self._load.start()
        self._stack.callback(self._load.halt)
        wait_until(lambda: min(self._ends().values()) > _FIRST_RECORDS, within=_FIRST_WITHIN_S)
        if not self._recovered(within_s=_FIRST_WITHIN_S) or self._violations:
            raise RuntimeError(
                f"the pipeline does not work at all:\n{self._nemesis.pipeline.log_tail()}"
            )
        if self._wisher is not None:
            self._wisher.start()
            self._stack.callback(self._wisher.finish)
        for number, batch in enumerate(self._plan.batches):
            time.sleep(batch.quiet_s)
            names = ", ".join(fault.kind.value for fault in batch.faults)
            began_s = time.monotonic()
            missed = self._nemesis.strike(batch)
            struck_s = time.monotonic()
            survived = self._recovered(within_s=self._plan.recovery_s)
            over_s = time.monotonic()
            one = Struck(
                batch=batch,
                missed=tuple(missed),
                survived=survived,
                recovery_s=over_s - struck_s,
                outage_s=self._reader.outage_s(began_s, over_s),
            )
            self.struck.append(one)
            log.info(
                "batch", number=number + 1, of=len(self._plan.batches), faults=names,
                survived=survived, outage_s=round(one.outage_s, 1), missed=missed,
            )  # fmt: skip
            if not survived:
                self._violations += checkers.found("batches not survived", [self._told(names)])
                if not self._recovered(within_s=_GIVEN_UP_S):
                    self._violations += checkers.found("given up", [names])
                    return
            if not self._flows():
                self._violations += checkers.found("runs without readings", [names])
                return

    def end(self) -> Violations:
        """Stop the load, let everything be done, stop the pipeline."""
        if self._wisher is not None:
            self._wisher.finish()
            self.counts |= {"wishes": self._wisher.said}
            time.sleep(_HEARD_S)
        self.counts |= {"bytes lost with the power": self._nemesis.brokers.lost_bytes}
        self._load.halt()
        pipeline = self._nemesis.pipeline
        if not self._recovered(within_s=self._plan.recovery_s):
            self._violations += checkers.found("never done", [self._told("the end")])
        code = pipeline.drain(within_s=60.0)
        if code != 0:
            self._violations += checkers.found(
                "drains that failed", [f"exit code {code}\n{pipeline.log_tail()}"]
            )
        for one in (pipeline, *self._nemesis.rivals):
            self._violations += checkers.found("processes left behind", one.close())
        return self._violations

    def undisturbed(self) -> tuple[Outcome, Mapping[str, int]]:
        """The same log, scored by a pipeline that nobody harms, into topics of its own; and its
        counts."""
        self._make_topics("calm")
        # Hooked as well, for the poison alone: nobody sets its switches.
        pipeline = self._make_pipeline(
            "calm", self._cluster.direct.bootstrap, switches=self._folder / "calm-switches"
        )
        pipeline.start()
        if not self._recovered(within_s=_CALM_WITHIN_S, pipeline=pipeline, group="calm"):
            raise RuntimeError(f"the undisturbed run did not end:\n{pipeline.log_tail()}")
        code = pipeline.drain(within_s=60.0)
        if code != 0:
            raise RuntimeError(f"the undisturbed run ended with {code}:\n{pipeline.log_tail()}")
        settings = Settings.model_validate(
            _nested(self._assignments(self._cluster.proxied, "calm"))
        )
        return outcome(self._cluster, settings), pipeline.counts()

    def check(self, undisturbed: Outcome, counted: Mapping[str, int]) -> Violations:
        """Read everything back, and compare."""
        judge = Judge(
            cluster=self._cluster,
            settings=self._settings,
            guarantee=self._plan.guarantee,
            reader=self._reader,
            partitions=self._nemesis.partitions,
            acknowledged=read_acknowledged(self._folder / "acknowledged"),
            counts=self.counts,
        )
        return judge.check(undisturbed, counted)

    def _recovered(
        self, *, within_s: float, pipeline: Pipeline | None = None, group: str = GROUP
    ) -> bool:
        """Wait until every partition is committed past what lies in it now; revive what is dead."""
        until_s = time.monotonic() + within_s
        target: Mapping[int, int] | None = None
        while time.monotonic() < until_s:
            try:
                if pipeline is None:
                    self._look_after()
                elif not pipeline.is_running():
                    return False
                if target is None:
                    # Orphans of a dead driver work on for a moment: they prove nothing.
                    if self._nemesis.pipeline.orphans():
                        time.sleep(_LOOK_S)
                        continue
                    target = self._ends()
                committed = (
                    admin_of(self._cluster.direct)
                    .describe_group(group, self._settings.topics.readings)
                    .committed
                )
            except VigieError:  # the broker is coming up
                continue
            done = {p: c.next_offset for p, c in committed.items()}
            if all(done.get(p, 0) >= end for p, end in target.items()):
                return True
            time.sleep(_LOOK_S)
        return False

    def _flows(self) -> bool:
        """Wait for new readings: a run over a log that stands still proves nothing."""
        before, until_s = None, time.monotonic() + _FLOWS_WITHIN_S
        while time.monotonic() < until_s:
            with suppress(VigieError):  # a leader has moved
                now = sum(self._ends().values())
                before = now if before is None else before
                if now > before:
                    return True
            time.sleep(_LOOK_S)
        return False

    def _look_after(self) -> None:
        """Start a broker that is down; note a pipeline that ended by itself, and restart it."""
        nemesis = self._nemesis
        nemesis.brokers.heal()
        if nemesis.pipeline.is_running():
            return
        ending = nemesis.pipeline.endings[-1]
        if not ending.asked:
            self._violations += checkers.found(
                "runs that ended by themselves", [f"exit code {ending.code}\n{ending.tail}"]
            )
            if not self.struck:
                raise RuntimeError(f"the pipeline does not work at all:\n{ending.tail}")
        nemesis.revive()

    def _ends(self) -> Mapping[int, int]:
        topic = self._settings.topics.readings
        bounds = admin_of(self._cluster.direct).topic_bounds({topic: self._nemesis.partitions})
        return {partition: end for (_, partition), (_, end) in bounds.items()}

    def _told(self, what: str) -> str:
        return f"{what}; the end of the log:\n{self._nemesis.pipeline.log_tail()}"

    def _assignments(self, bootstrap: str, group: str) -> dict[str, str]:
        return settings_of(self._plan, bootstrap, group)

    def _make_topics(self, group: str) -> None:
        settings = Settings.model_validate(_nested(self._assignments("localhost:1", group)))
        names = settings.topics
        tables = {spec.name: spec for spec in topic_specs(names)}
        admin_of(self._cluster.direct).create_topics(
            [
                replace(spec, replication_factor=self._plan.nodes)
                for spec in (
                    TopicSpec(name=names.readings, partitions=_PARTITIONS),
                    TopicSpec(name=names.denoised, partitions=2),
                    TopicSpec(name=names.anomalies, partitions=2),
                    replace(tables[names.dead_letters], partitions=1),
                    TopicSpec(name=names.incidents, partitions=2),
                    replace(tables[names.sensor_state], partitions=_PARTITIONS),
                    tables[names.verdicts],
                )
            ],
        )

    def _make_pipeline(
        self, group: str, bootstrap: str, *, switches: Path | None = None
    ) -> Pipeline:
        number = sum(1 for _ in self._folder.glob("pipeline-*"))
        assignments = {**self._assignments(bootstrap, group), "model.path": str(self._model)}
        pipeline = Pipeline(assignments, self._folder / f"pipeline-{number}", switches=switches)
        self._stack.callback(pipeline.close)
        return pipeline


def _nested(assignments: Mapping[str, str]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in assignments.items():
        *sections, key = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = int(value) if value.isdecimal() else value
    return nested

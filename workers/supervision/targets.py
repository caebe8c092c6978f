"""How many workers of each kind there should be: by the settings, by hand, or by the load.

The supervisor shows it the load and reads the targets; `ask` comes from another thread, from the
endpoint. Each change is one line in the log.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import structlog

from schemas.settings import WorkerSettings
from workers.errors import VigieError
from workers.stream.health import Health, Phase
from workers.supervision.autoscaler import Autoscaler, Decision, Limits, Load
from workers.supervision.plan import Plan, Resources
from workers.supervision.status import Change, Kind, Mode, ScaleRequest, WorkerCount

MOST_BY_HAND: Final = 1000


class ScaleRejectedError(VigieError):
    """There cannot be as many workers as were asked for, or as few."""


@dataclass(kw_only=True)
class _Target:
    kind: Kind
    mode: Mode
    wanted: int
    limits: Limits
    autoscaler: Autoscaler
    room: int | None = None
    busy_s: float = 0.0
    cpu_s: float = 0.0


class Targets:
    """See the module's text. Every method may be called from any thread."""

    def __init__(
        self,
        plan: Plan,
        workers: WorkerSettings,
        *,
        max_in_flight: int,
        monotonic_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        self._plan, self._max_in_flight = plan, max_in_flight
        self._monotonic_s, self._wall_s = monotonic_s, wall_s
        self._lock = threading.RLock()
        self._targets = {
            kind: _Target(
                kind=kind,
                mode=begin.mode,
                wanted=begin.target,
                limits=begin.limits,
                autoscaler=Autoscaler(kind, workers),
            )
            for kind, begin in plan.kinds.items()
        }
        self._resources = plan.resources
        self._partitions = plan.partitions
        self._looked_at_s: float | None = None
        self._log = structlog.get_logger("vigie.supervisor")
        self.decisions: Counter[tuple[str, str]] = Counter()
        self.last: Change | None = None

    def of(self, kind: Kind) -> int:
        """How many workers there should be; never more ingest workers than partitions."""
        with self._lock:
            wanted = self._targets[kind].wanted
            return min(wanted, self._partitions) if kind is Kind.INGEST else wanted

    @property
    def partitions(self) -> int:
        """Of the readings, as last looked up."""
        with self._lock:
            return self._partitions

    @partitions.setter
    def partitions(self, count: int) -> None:
        with self._lock:
            before, self._partitions = self._partitions, count
            if count != before:
                self._targets[Kind.INGEST].autoscaler.interrupted()
                self._log.info("partitions_changed", before=before, now=count)

    def ask(self, request: ScaleRequest) -> None:
        """Change numbers by hand, all or none.

        Raises:
            ScaleRejectedError: there cannot be so many, or so few; nothing was changed.
        """
        with self._lock:
            self._check(request)
            for kind, wanted in ((Kind.INGEST, request.ingest), (Kind.SCORERS, request.scorers)):
                if wanted is not None:
                    self._by_hand(self._targets[kind], wanted)

    def follow(self, plan: Plan) -> None:
        """Keep to the limits of a plan that was made for what the cluster has by now.

        Nobody leaves for a limit that falls with the cluster: workers that are there have room.
        """
        with self._lock:
            for kind, planned in plan.kinds.items():
                target = self._targets[kind]
                most = max(planned.limits.most, min(target.limits.most, target.wanted))
                target.limits = Limits(least=planned.limits.least, most=most)
            before, self._resources = self._resources, plan.resources
            if plan.resources != before:
                self._cluster_changed(before, plan.resources)

    def no_room(self, kind: Kind) -> None:
        """The cluster has no room for the last one: it is no longer wanted."""
        with self._lock:
            before = self.of(kind)
            if before > 1:
                self._targets[kind].room = before - 1
                reason = "the cluster has no room for one more"
                self._set(Decision(kind=kind, before=before, target=before - 1, reason=reason))

    def look(
        self,
        healths: Sequence[Health],
        *,
        ready_scorers: int,
        waiting: Mapping[Kind, int],
        undisturbed: bool,
    ) -> None:
        """Show the load, every second or so.

        Args:
            healths: of the ingest workers.
            ready_scorers: how many can be called.
            waiting: how many wait for a place, by kind: meanwhile none more is asked for.
            undisturbed: no other worker starts, ends or is missing.
        """
        with self._lock:
            now_s = self._monotonic_s()
            passed_s = 0.0 if self._looked_at_s is None else now_s - self._looked_at_s
            self._looked_at_s = now_s
            ingest, scorers = self._targets[Kind.INGEST], self._targets[Kind.SCORERS]
            working = [health for health in healths if health.phase is Phase.RUNNING]
            calls = sum(health.in_flight for health in working)
            room = max(len(working) * self._max_in_flight, 1)
            ingest.busy_s = sum(health.busy_s for health in healths)
            ingest.cpu_s = sum(health.cpu_s for health in healths)
            # Scorers have no time sheet: the share of the calls allowed that are open stands in.
            scorers.busy_s += min(calls / room, 1.0) * ready_scorers * passed_s
            scorers.cpu_s = scorers.busy_s
            lag = sum(sum(health.lag.values()) for health in working)
            done = sum(health.total.records for health in healths)
            for target, present in ((ingest, len(working)), (scorers, ready_scorers)):
                if target.room is not None and present > target.room:
                    target.room = None
                if target.mode is not Mode.AUTO or target.limits.most == 0:
                    continue
                if not undisturbed:
                    target.autoscaler.interrupted()
                    continue
                load = Load(
                    now_s=now_s,
                    workers=present,
                    lag_records=lag,
                    done_records=done,
                    busy_s=target.busy_s,
                    cpu_s=target.cpu_s,
                )
                limits = self._limits(target)
                if waiting[target.kind]:
                    limits = limits.at_most(present)
                decision = target.autoscaler.look(load, limits)
                if decision is not None:
                    self._set(decision)

    def count(self, kind: Kind, *, actual: int) -> WorkerCount:
        """The numbers of a kind, with how many there are."""
        with self._lock:
            target = self._targets[kind]
            limits = self._limits(target)
            return WorkerCount(
                mode=target.mode,
                target=self.of(kind),
                actual=actual,
                least=limits.least,
                most=limits.most,
                room=target.room,
            )

    def _cluster_changed(self, before: Resources, now: Resources) -> None:
        self._log.info(
            "cluster_changed",
            cpus_before=before.cpus,
            cpus=now.cpus,
            gpus_before=before.gpus,
            gpus=now.gpus,
            **{f"max_{kind}": self._limits(one).most for kind, one in self._targets.items()},
        )
        for target in self._targets.values():
            target.room = None
        if self._plan.is_auto_device and self._plan.device == "cpu" and now.gpus > before.gpus:
            self._log.warning(
                "gpus_unused",
                gpus=now.gpus,
                reason="there was none at the start, so that model.device = auto took the CPU",
                fix='set model.device = "cuda" and start vigie run again',
            )

    def _limits(self, target: _Target) -> Limits:
        is_ingest = target.kind is Kind.INGEST
        return target.limits.at_most(self._partitions) if is_ingest else target.limits

    def _check(self, request: ScaleRequest) -> None:
        ingest, scorers = request.ingest, request.scorers
        if isinstance(ingest, int):
            if ingest < 1:
                raise ScaleRejectedError(f"ingest must be at least 1, got {ingest}")
            if ingest > self._partitions:
                raise ScaleRejectedError(
                    f"ingest must be at most {self._partitions}, got {ingest}: {self._plan.topic} "
                    f"has {self._partitions} partitions, and each is read by one worker"
                )
        if scorers is None:
            return
        if self._plan.scorers.target == 0:
            raise ScaleRejectedError(
                "there are no scorers: scoring runs in the ingest workers (workers.placement)"
            )
        if scorers != "auto" and not 1 <= scorers <= MOST_BY_HAND:
            raise ScaleRejectedError(f"scorers must be in 1..{MOST_BY_HAND}, got {scorers}")

    def _by_hand(self, target: _Target, wanted: int | Literal["auto"]) -> None:
        target.autoscaler.changed(self._monotonic_s())
        before = self.of(target.kind)
        if wanted == "auto":
            target.mode, target.wanted = Mode.AUTO, before
            self._log.info("scaling_by_load", kind=target.kind.value, now=before)
            return
        target.mode = Mode.MANUAL
        self._set(Decision(kind=target.kind, before=before, target=wanted, reason="by hand"))

    def _set(self, decision: Decision) -> None:
        changed = self._targets[decision.kind]
        changed.wanted = decision.target
        # The other kind's workers meet another world now.
        for target in self._targets.values():
            target.autoscaler.interrupted()
        if decision.target == decision.before:
            return
        changed.autoscaler.changed(self._monotonic_s())
        direction = "out" if decision.target > decision.before else "in"
        self.decisions[decision.kind, direction] += 1
        self.last = Change(
            at=datetime.fromtimestamp(self._wall_s(), UTC).isoformat(timespec="seconds"),
            kind=decision.kind,
            before=decision.before,
            target=decision.target,
            text=decision.text,
        )
        self._log.info("scaled", kind=decision.kind.value, decision=decision.text)

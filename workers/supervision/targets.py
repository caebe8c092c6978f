"""How many workers of each kind there should be: by the settings, by hand, or by the load.

The supervisor shows it the load and reads the targets; `ask` comes from another thread, from the
endpoint. Each change is one line in the log.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import structlog

from schemas.settings import Settings
from workers.errors import VigieError
from workers.stream.health import (
    Health,
    Phase,
)
from workers.supervision.autoscaler import Autoscaler, Decision, Limits, Load, ScalingRules
from workers.supervision.plan import Plan, ingest_limits, scales, scorer_limits
from workers.supervision.status import (
    Change,
    Headcount,
    Mode,
)

INGEST: Final = "ingest"
SCORERS: Final = "scorers"
MOST_BY_HAND: Final = 1000

Wish = int | Literal["auto"]
"""What somebody asks for: a number that stays, or that the load decides."""


class ScaleRefusedError(VigieError):
    """Somebody asked for a number of workers that there cannot be."""


@dataclass(kw_only=True)
class _Kind:
    name: str
    mode: Mode
    wanted: int
    limits: Limits
    scaler: Autoscaler
    busy_s: float = 0.0


class Targets:
    """See the module's text. Every method may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        *,
        monotonic_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        """Begin with the numbers of the plan."""
        self._settings, self._plan = settings, plan
        self._monotonic_s, self._wall_s = monotonic_s, wall_s
        self._lock = threading.RLock()
        workers = settings.workers
        rules = ScalingRules(
            scale_out_after_s=workers.scale_out_after_s,
            scale_in_after_s=workers.scale_in_after_s,
            pause_s=workers.scaling_pause_s,
        )
        # A fixed number is kept even where the topic has fewer partitions yet.
        wanted = plan.ingest if workers.ingest == "auto" else workers.ingest
        self._ingest = _Kind(
            name=INGEST,
            mode=Mode.AUTO if scales(settings, INGEST) else Mode.FIXED,
            wanted=wanted,
            limits=ingest_limits(settings, partitions=plan.partitions, cores=plan.cores),
            scaler=Autoscaler(INGEST, rules),
        )
        self._scorers = _Kind(
            name=SCORERS,
            mode=Mode.AUTO if scales(settings, SCORERS) and plan.scorers else Mode.FIXED,
            wanted=plan.scorers,
            limits=scorer_limits(settings, plan),
            scaler=Autoscaler(SCORERS, rules),
        )
        self._partitions = plan.partitions
        self._looked_at_s: float | None = None
        self._log = structlog.get_logger("vigie.supervisor")
        self.decisions: Counter[tuple[str, str]] = Counter()
        self.last: Change | None = None

    @property
    def ingest(self) -> int:
        """How many ingest workers there should be; never more than partitions."""
        with self._lock:
            return min(self._ingest.wanted, self._partitions)

    @property
    def scorers(self) -> int:
        """How many scorers there should be."""
        with self._lock:
            return self._scorers.wanted

    @property
    def partitions(self) -> int:
        """Of the readings, as last looked up."""
        with self._lock:
            return self._partitions

    @partitions.setter
    def partitions(self, count: int) -> None:
        with self._lock:
            before, self._partitions = self._partitions, count
            if count == before:
                return
            kind = self._ingest
            kind.limits = ingest_limits(self._settings, partitions=count, cores=self._plan.cores)
            kind.scaler.interrupted()
            self._log.info("partitions_changed", before=before, now=count)

    def ask(self, *, ingest: Wish | None = None, scorers: Wish | None = None) -> None:
        """Change numbers by hand, all or none; None leaves one as it is.

        Raises:
            ScaleRefusedError: there cannot be so many, or so few; nothing was changed.
        """
        with self._lock:
            self._check(ingest, scorers)
            for kind, wish in ((self._ingest, ingest), (self._scorers, scorers)):
                if wish is not None:
                    self._by_hand(kind, wish)

    def no_room(self, kind: str) -> None:
        """The cluster has no room for the last one: it is no longer wanted."""
        with self._lock:
            one = self._ingest if kind == INGEST else self._scorers
            before = self.ingest if kind == INGEST else one.wanted
            if before <= 1:
                return
            self._set(
                one,
                Decision(
                    kind=kind,
                    before=before,
                    target=before - 1,
                    reason="the cluster has no room for one more",
                ),
            )

    def look(self, healths: Sequence[Health], *, undisturbed: bool) -> None:
        """Show the load, every second or so.

        Args:
            healths: of the ingest workers, with the counts of those before them.
            undisturbed: nobody starts, ends or is missing.
        """
        with self._lock:
            now_s = self._monotonic_s()
            passed_s = 0.0 if self._looked_at_s is None else now_s - self._looked_at_s
            self._looked_at_s = now_s
            working = [health for health in healths if health.phase is Phase.RUNNING]
            calls = sum(health.in_flight for health in working)
            room = max(len(working) * self._settings.processing.max_in_flight, 1)
            self._ingest.busy_s = sum(health.busy_s for health in healths)
            # Scorers have no time sheet: the share of the calls allowed that are open stands in.
            self._scorers.busy_s += min(calls / room, 1.0) * self._scorers.wanted * passed_s
            lag = sum(sum(health.lag.values()) for health in working)
            done = sum(health.total.records for health in healths)
            for kind, present in ((self._ingest, len(working)), (self._scorers, self.scorers)):
                if kind.mode is not Mode.AUTO or kind.limits.most == 0:
                    continue
                if not undisturbed:
                    kind.scaler.interrupted()
                    continue
                load = Load(
                    now_s=now_s,
                    workers=present,
                    lag_records=lag,
                    done_records=done,
                    busy_s=kind.busy_s,
                )
                decision = kind.scaler.look(load, kind.limits)
                if decision is not None:
                    self._set(kind, decision)

    def headcount(self, kind: str, actual: int) -> Headcount:
        """A kind as it is told."""
        with self._lock:
            one = self._ingest if kind == INGEST else self._scorers
            return Headcount(
                mode=one.mode,
                target=self.ingest if kind == INGEST else one.wanted,
                actual=actual,
                least=one.limits.least,
                most=one.limits.most,
            )

    def _check(self, ingest: Wish | None, scorers: Wish | None) -> None:
        if ingest is not None and ingest != "auto":
            if ingest < 1:
                raise ScaleRefusedError(f"ingest must be at least 1, got {ingest}")
            if ingest > self._partitions:
                raise ScaleRefusedError(
                    f"ingest must be at most {self._partitions}, got {ingest}: "
                    f"{self._settings.topics.readings} has {self._partitions} partitions, and each "
                    "is read by one worker"
                )
        if scorers is None:
            return
        if self._plan.scorers == 0:
            raise ScaleRefusedError(
                "there are no scorers: scoring runs in the ingest workers (workers.placement)"
            )
        if scorers != "auto" and not 1 <= scorers <= MOST_BY_HAND:
            raise ScaleRefusedError(f"scorers must be in 1..{MOST_BY_HAND}, got {scorers}")

    def _by_hand(self, kind: _Kind, wish: Wish) -> None:
        kind.scaler.changed(self._monotonic_s())
        before = self.ingest if kind is self._ingest else kind.wanted
        if wish == "auto":
            kind.mode, kind.wanted = Mode.AUTO, before
            self._log.info("scaling_by_load", kind=kind.name, now=before)
            return
        kind.mode = Mode.MANUAL
        self._set(kind, Decision(kind=kind.name, before=before, target=wish, reason="by hand"))

    def _set(self, kind: _Kind, decision: Decision) -> None:
        kind.wanted = decision.target
        # The other kind's workers meet another world now.
        for one in (self._ingest, self._scorers):
            one.scaler.interrupted()
        if decision.target == decision.before:
            return
        kind.scaler.changed(self._monotonic_s())
        direction = "out" if decision.target > decision.before else "in"
        self.decisions[kind.name, direction] += 1
        self.last = Change(
            at=datetime.fromtimestamp(self._wall_s(), UTC).isoformat(timespec="seconds"),
            kind=kind.name,
            before=decision.before,
            target=decision.target,
            text=decision.text,
        )
        self._log.info("scaled", kind=kind.name, decision=decision.text)

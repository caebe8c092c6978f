"""How many workers the load wants. Pure: no clock, no cluster, no broker.

A `Autoscaler` is shown the load every second or so and now and then answers with a `Decision`:

* one worker more, when all are busy and what waits would take longer than `scale_out_after_s`;
* one fewer, when for `scale_in_after_s` the load would have fitted in one fewer, with room: by what
  one worker did when it was last at its limit, or, before any was, by their processor time. The
  share of the time that they are busy does not tell: a worker with little to do commits after each
  few records, and is busy with waiting for the broker's answers;
* never twice within `scaling_pause_s`, never beyond the limits, and only after a look of
  `scale_out_after_s` at the present workers: a start, a death or a rebalance begins it anew.

What keeps it from flapping: after a step in, the others are at most `ROOM_SHARE` busy, well below
the `BUSY_SHARE` of a step out; and where a step out follows a step in all the same (the histories
that moved had to be restored), the next step in takes twice the patience.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from schemas.settings import WorkerSettings
from workers.supervision.status import Kind

BUSY_SHARE: Final = 0.8
"""Workers that are busy for at least this share of the time are at their limit."""
ROOM_SHARE: Final = 0.6
"""One worker fewer must leave the others at most this busy."""
NOTICEABLE_S: Final = 1.0
"""Less work than this is the ordinary contents of the pipeline, not a backlog."""
MAX_PATIENCE: Final = 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Fewest and most workers of a kind."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most:
            raise ValueError(f"limits must be 0 <= least <= most, got {self.least}..{self.most}")

    def clamp(self, wanted: int) -> int:
        """The allowed number nearest to `wanted`."""
        return min(max(wanted, self.least), self.most)

    def at_most(self, bound: int) -> Limits:
        """These limits, with nothing above `bound` but the 1 that is always allowed."""
        most = max(1, min(self.most, bound))
        return Limits(least=min(self.least, most), most=most)


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load at one moment.

    Attributes:
        now_s: a clock that never goes back.
        workers: at work now.
        lag_records: records not yet read.
        done_records: records committed since the start; never less than before.
        busy_s: seconds that the workers together spent busy since the start; never less.
        cpu_s: of these, on a processor; as many where that is not known.
    """

    now_s: float
    workers: int
    lag_records: int
    done_records: int
    busy_s: float
    cpu_s: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A change of the number of workers of one kind, and why."""

    kind: Kind
    before: int
    target: int
    reason: str

    @property
    def text(self) -> str:
        """In one line, such as "lag 120,000 and rising, workers 97 % busy: 2 -> 3 ingest"."""
        return f"{self.reason}: {self.before} -> {self.target} {self.kind}"


@dataclass(frozen=True, kw_only=True)
class _Trend:
    """What the samples of one look say together."""

    span_s: float
    workers: int
    share: float
    cpu_share: float
    rate: float
    lag_per_s: float
    lag: int

    @property
    def backlog_s(self) -> float:
        """Seconds of work that wait, at the present rate; infinite when nothing gets done."""
        if self.lag == 0:
            return 0.0
        return self.lag / self.rate if self.rate > 0 else math.inf

    @property
    def caught_up_in_s(self) -> float:
        """Seconds until nothing waits, as the lag moves now."""
        return self.lag / -self.lag_per_s if self.lag_per_s < 0 else float("inf")

    @property
    def is_at_limit(self) -> bool:
        """All workers are busy, get something done, and yet something waits."""
        return self.rate > 0 and self.share >= BUSY_SHARE and self.backlog_s > NOTICEABLE_S

    @property
    def lag_text(self) -> str:
        moved = abs(self.lag_per_s) * self.span_s > 0.05 * max(self.lag, 1)
        how = "steady" if not moved else "rising" if self.lag_per_s > 0 else "falling"
        return f"lag {self.lag:,} and {how}"


class Autoscaler:
    """Watches the load of one kind of worker."""

    def __init__(self, kind: Kind, rules: WorkerSettings) -> None:
        self._kind, self._rules = kind, rules
        self._samples: deque[Load] = deque()
        self._roomy_since_s: float | None = None
        self._changed_at_s = self._stepped_in_at_s = -math.inf
        self._patience = 1
        self._most_per_worker: float | None = None

    def interrupted(self) -> None:
        """The workers are not all at work: what was seen so far says nothing about them."""
        self._samples.clear()
        self._roomy_since_s = None

    def changed(self, now_s: float) -> None:
        """Somebody changed the number of workers: begin anew, after the pause."""
        self.interrupted()
        self._changed_at_s = now_s

    def look(self, load: Load, limits: Limits) -> Decision | None:
        """Take in the load; give the change that it calls for, None for none.

        A decision counts as carried out: the pause begins.
        """
        allowed = limits.clamp(load.workers)
        if allowed != load.workers:
            bound = "most" if allowed < load.workers else "least"
            return self._decide(load, allowed, f"{allowed} is the {bound} that the limits allow")
        self._take(load)
        trend = self._trend()
        if trend is None:
            return None
        if trend.is_at_limit:  # the latest: records may have grown
            self._most_per_worker = trend.rate / load.workers
        used = self._used(trend)
        if not self._roomy(trend, used, limits):
            self._roomy_since_s = None
        elif self._roomy_since_s is None:
            self._roomy_since_s = self._samples[0].now_s
        if load.now_s - self._changed_at_s < self._rules.scaling_pause_s:
            return None
        if load.workers < limits.most and self._behind(trend):
            reason = f"{trend.lag_text}, workers {trend.share:.0%} busy".replace("%", " %")
            return self._decide(load, load.workers + 1, reason)
        patience_s = self._rules.scale_in_after_s * self._patience
        if self._roomy_since_s is not None and load.now_s - self._roomy_since_s >= patience_s:
            reason = f"workers {used:.0%} busy for {patience_s:g} s".replace("%", " %")
            return self._decide(load, load.workers - 1, reason)
        return None

    def _take(self, load: Load) -> None:
        samples = self._samples
        if samples and samples[-1].workers != load.workers:
            self.interrupted()
        samples.append(load)
        begins_s = load.now_s - self._rules.scale_out_after_s
        while samples[0] is not load and samples[1].now_s <= begins_s:
            samples.popleft()

    def _trend(self) -> _Trend | None:
        first, last = self._samples[0], self._samples[-1]
        span_s = last.now_s - first.now_s
        if span_s < self._rules.scale_out_after_s:
            return None
        whole_s = span_s * max(last.workers, 1)
        return _Trend(
            span_s=span_s,
            workers=last.workers,
            share=min(max(last.busy_s - first.busy_s, 0.0) / whole_s, 1.0),
            cpu_share=min(max(last.cpu_s - first.cpu_s, 0.0) / whole_s, 1.0),
            rate=max(last.done_records - first.done_records, 0) / span_s,
            lag_per_s=(last.lag_records - first.lag_records) / span_s,
            lag=last.lag_records,
        )

    def _behind(self, trend: _Trend) -> bool:
        # Nothing done in all this time is a restore, or trouble: more workers would only add to it.
        return trend.is_at_limit and trend.caught_up_in_s > self._rules.scale_out_after_s

    def _used(self, trend: _Trend) -> float:
        """The share of what the workers can do that the load takes: at most what they are busy."""
        if self._most_per_worker is None:
            return min(trend.share, trend.cpu_share)
        return min(trend.share, trend.rate / max(trend.workers, 1) / self._most_per_worker)

    @staticmethod
    def _roomy(trend: _Trend, used: float, limits: Limits) -> bool:
        workers = trend.workers
        if workers <= max(limits.least, 1):
            return False
        return trend.backlog_s <= NOTICEABLE_S and used * workers / (workers - 1) <= ROOM_SHARE

    def _decide(self, load: Load, target: int, reason: str) -> Decision:
        if target < load.workers:
            self._stepped_in_at_s = load.now_s
        else:
            soon = load.now_s - self._stepped_in_at_s <= self._rules.scale_in_after_s
            self._patience = min(self._patience * 2, MAX_PATIENCE) if soon else 1
        self.changed(load.now_s)
        return Decision(kind=self._kind, before=load.workers, target=target, reason=reason)

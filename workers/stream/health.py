"""What a worker says of itself when asked: counts, lag, latency. Plain values that pickle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from workers.stream.histogram import Measures
from workers.stream.state.budget_use import BudgetUse
from workers.stream.state.counts import Counts
from workers.stream.state.restore import ModelVersion
from workers.stream.state.sensor_spans import SensorSpans, SplitSensors, split_sensors


class Phase(StrEnum):
    """What an ingest worker is doing."""

    STARTING = "starting"
    """Loading the model, connecting."""
    RUNNING = "running"
    """Reading, scoring, publishing."""
    REWINDING = "rewinding"
    """A checkpoint failed: going back to the committed offsets."""
    WAITING = "waiting"
    """The schema registry is away: nothing is read before it is back, and nothing lost."""
    DRAINING = "draining"
    """Finishing what is in flight, then leaving the group."""
    INCOMPLETE = "incomplete"
    """Stopped with something left undone: the next start does it."""
    STOPPED = "stopped"
    """Everything is committed and closed."""


class ProgressTicks:
    """Counts signs of progress: whoever has work and gives none stands still."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.count = 0

    def tick(self) -> None:
        """Something was done."""
        self.count += 1


@dataclass(frozen=True, kw_only=True)
class Health:
    """The state of one ingest worker at one moment.

    Counts are of committed work only, so they agree with the topics. An actor's begin at 0; the
    supervisor adds those of its predecessors (`carried`). `busy_s` is the time spent on anything
    but waiting. `model_changes` are partitions whose committed work another model had done;
    `recorded_cold_starts` those of which sensors begin anew although something was recorded.
    `never_scored` are sensors that never filled a window, such as those whose steps are longer than
    the gap. `held` are records, by partition, that were read and wait to be written on; see
    `held_by`. `spans` tell, by partition, when its sensors came; see `split_sensors_of`.
    `budget_use` is, by partition, what its sensors made of their alarm budget. `model` is the one
    that it scores with, None when it scores nothing.
    """

    slot: int
    phase: Phase = Phase.STARTING
    counts: Mapping[int, Counts] = field(default_factory=dict)
    lag: Mapping[int, int] = field(default_factory=dict)
    next_offsets: Mapping[int, int] = field(default_factory=dict)
    sensors: int = 0
    never_scored: int = 0
    held: Mapping[int, int] = field(default_factory=dict)
    spans: Mapping[int, SensorSpans] = field(default_factory=dict)
    budget_use: Mapping[int, BudgetUse] = field(default_factory=dict)
    in_flight: int = 0
    commits: int = 0
    rewinds: int = 0
    rejected_outputs: int = 0
    model_changes: int = 0
    recorded_cold_starts: int = 0
    stalls: int = 0
    measures: Measures = field(default_factory=Measures)
    model: ModelVersion | None = None
    resident_bytes: int = 0
    cpu_s: float = 0.0
    busy_s: float = 0.0

    @property
    def total(self) -> Counts:
        """Counts over all partitions."""
        return sum(self.counts.values(), Counts())

    def carried(self, past: Health) -> Health:
        """This health with the counts of a predecessor that is gone, so that none goes back."""
        counts = dict(past.counts)
        for partition, own in self.counts.items():
            counts[partition] = counts.get(partition, Counts()) + own
        sums = {name: getattr(past, name) + getattr(self, name) for name in _RUNNING_SUMS}
        return replace(self, counts=counts, **sums)

    def at_rest(self, phase: Phase) -> Health:
        """The same counts of a worker that is no more."""
        return replace(
            self,
            phase=phase,
            lag={},
            sensors=0,
            never_scored=0,
            spans={},
            budget_use={},
            in_flight=0,
            model=None,
            resident_bytes=0,
        )


def measures_of(healths: Iterable[Health]) -> Measures:
    """What was measured of all workers together."""
    return sum((health.measures for health in healths), Measures())


def held_by(healths: Iterable[Health]) -> int:
    """The records that wait to be written on, whichever workers have or had them.

    Of a partition that moved, the word of who committed last counts.
    """
    latest: dict[int, tuple[int, int]] = {}
    for health in healths:
        for partition, held in health.held.items():
            said = (health.next_offsets.get(partition, -1), held)
            latest[partition] = max(latest.get(partition, said), said)
    return sum(held for _, held in latest.values())


def split_sensors_of(healths: Iterable[Health]) -> SplitSensors:
    """The sensors that come in several partitions at once, whichever workers have these."""
    return split_sensors(one for health in healths for one in health.spans.items())


def budget_use_of(healths: Iterable[Health]) -> BudgetUse:
    """What the sensors of all partitions made of their alarm budget."""
    return sum((use for health in healths for use in health.budget_use.values()), BudgetUse())


_OF_THE_MOMENT = {
    "slot",
    "phase",
    "counts",
    "lag",
    "next_offsets",
    "sensors",
    "never_scored",
    "held",
    "spans",
    "budget_use",
    "in_flight",
    "model",
    "resident_bytes",
}
_RUNNING_SUMS = tuple(f.name for f in fields(Health) if f.name not in _OF_THE_MOMENT)
"""What only grows while a worker lives: a new field counts as such unless named above."""

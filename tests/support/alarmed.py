"""Partitions whose levels are what their readings say, so that a test can open what it likes.

A reading has three values: the long level, the short one, and a speed that no score depends on. The
bars stand at about 4.1, half of the short one at 1.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from detector.calibration.alarm_rule import AlarmRule
from detector.calibration.drift import REFERENCES, DriftWatch
from detector.calibration.likeness import Likeness
from detector.scoring import Scores
from schemas.columns import Readings
from schemas.settings import Guarantee
from schemas.wire.deed import Deed
from schemas.wire.sensor_state import SensorState
from tests.support.alarm_rules import make_rule
from workers.stream.state.alarm_model import AlarmModel, AlarmPolicy
from workers.stream.state.history import Samples
from workers.stream.state.incident import IncidentChange, incident_id
from workers.stream.state.partition import Batch, PartitionConfig, PartitionState, Request
from workers.stream.state.piece import Judged
from workers.stream.state.recorded import Judge, RecordedState
from workers.stream.state.restore import ModelVersion, plan_restore
from workers.stream.state.state_ttl import UNLIMITED, StateTtl
from workers.stream.state.wishes import WishBoard

CHANNELS = ("long", "short", "speed")
SECOND_NS = 10**9
TOPIC = AlarmPolicy().topic
QUIET, LOUD, LOUDER = 0.0, 8.0, 12.0


class Reading(NamedTuple):
    """Event time in seconds, and the values."""

    at_s: float
    long: float
    short: float
    speed: float = 50.0

    @property
    def ts_ns(self) -> int:
        return round(self.at_s * SECOND_NS)


class Entry(NamedTuple):
    """A record: None as its sensor is a bad one."""

    sensor: str | None
    readings: tuple[Reading, ...]
    stamp_ms: int = -1


def loud(at_s: float, level: float = LOUD, speed: float = 50.0) -> Reading:
    return Reading(at_s, level, level, speed)


def one(sensor: str, reading: Reading, stamp_ms: int = -1) -> Entry:
    return Entry(sensor, (reading,), stamp_ms)


def entries(levels: Sequence[float], sensor: str = "a", start_s: int = 0) -> list[Entry]:
    """A reading a second, both of its levels as given."""
    return [one(sensor, loud(start_s + i, level)) for i, level in enumerate(levels)]


def make_watch(epoch_rows: int = 4, limit: float = 3.0, references: int = 16) -> DriftWatch:
    """Reference medians from -1 to 1; with none there is never a verdict."""
    medians = np.full((2, REFERENCES), np.inf)
    medians[:, :references] = np.linspace(-1.0, 1.0, references)
    return DriftWatch(
        medians=medians,
        count=np.full(2, references),
        power=np.ones(2),
        epoch_rows=epoch_rows,
        limit=limit,
    )


def make_model(
    rule: AlarmRule | None = None, *, watch: DriftWatch | None = None, **policy: Any
) -> AlarmModel:
    """A model whose published score is exp(level - threshold)."""
    return AlarmModel(
        version="1",
        channels=CHANNELS,
        rule=rule or make_rule(closes_after=3, merge_gap=4),
        watch=watch,
        likeness=Likeness(latent_scale=np.ones((2, 2)), radius_profile=0.3, radius_latent=0.5),
        totals=np.ones(2),
        thresholds=np.ones((2, 2)),
        bands=np.ones((2, 3)),
        policy=AlarmPolicy(**policy),
    )


def group_of(sensor: str) -> int:
    return int(sensor in {"a", "b"})


def scores_of(samples: Samples, receptive_field: int) -> Scores:
    """What the readings say; of windows that are not full the short level alone.

    Expected is 0, the shares are those of the levels; a missing level is none at all.
    """
    rows = samples.rows[samples.ends]
    n = len(rows)
    partial = samples.lengths < receptive_field
    levels = rows[:, :2].copy()
    levels[partial, 0] = np.nan
    ranked = np.where(partial, rows[:, 1], rows[:, 0])
    ranked = np.nan_to_num(ranked, posinf=50.0, neginf=-50.0)
    score = np.round(np.exp(ranked), 6)
    weights = np.nan_to_num(np.abs(rows), posinf=1e30, neginf=1e30) * [1, 1, 0] + 1e-3
    return Scores(
        score=score,
        raw=score.astype(np.float32),
        p_value=np.full(n, 0.5, np.float32),
        expected=np.zeros((n, 3)),
        denoised=np.nan_to_num(rows),
        flagged=np.flatnonzero(score >= 1.0),
        contribution=(weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
        levels=levels,
        partial=partial,
        latent=np.nan_to_num(rows[:, [0, 2]], posinf=1e9, neginf=-1e9).astype(np.float32),
    )


class Outcome(NamedTuple):
    """What is published of one scored reading."""

    sensor: str
    score: float
    bar: float
    flagged: bool
    alarm: bool
    off: bool
    incident: tuple[int, int] | None


Place = tuple[int, int]
"""Offset and number in the record."""


def plain(what: Outcome | IncidentChange) -> object:
    """In a form that is equal to its like also where there are NaN."""
    if isinstance(what, Outcome):
        return what
    return replace(what, incident=None), what.incident.document()  # type: ignore[arg-type]


@dataclass
class Published:
    """What a reader has: what comes again has to be equal.

    Attributes:
        outcomes: by place of the reading.
        events: of each event id, what happened and the incident then.
        deeds: in order.
        twice: how many came again.
    """

    outcomes: dict[Place, Outcome] = field(default_factory=dict)
    events: dict[str, IncidentChange] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)
    twice: int = 0

    def add(self, other: Published) -> None:
        """Read on."""
        both: list[tuple[dict[Any, Any], dict[Any, Any]]]
        both = [(self.outcomes, other.outcomes), (self.events, other.events)]
        for mine, more in both:
            for key, value in more.items():
                self.twice += key in mine
                assert plain(mine.setdefault(key, value)) == plain(value), f"{key} differs"
        self.deeds += other.deeds

    def told(self, sensor: str | None = None) -> list[IncidentChange]:
        """What happened to incidents, of a sensor or of all, in order of the sensor's time."""
        found = [e for e in self.events.values() if sensor in {None, e.sensor}]
        return sorted(found, key=lambda e: (e.sensor, e.incident.first, e.incident.sequence))


def published(samples: Samples, judged: Judged) -> Published:
    """What the outputs of a request say, as `workers.stream.outputs` writes them."""
    found = Published(deeds=list(judged.deeds))
    skipped = dict(judged.skipped)
    for run in samples.runs:
        for row in range(run.start, run.stop):
            if skipped.get(run.sensor, 0):
                skipped[run.sensor] -= 1
                assert not judged.flagged[row]
                continue
            first = judged.incident.get(row)
            assert (first is not None) == bool(judged.flagged[row])
            found.outcomes[int(samples.offsets[row]), int(samples.indices[row])] = Outcome(
                run.sensor,
                float(judged.score[row]),
                float(judged.bar[row]),
                bool(judged.flagged[row]),
                bool(judged.alarm[row]),
                judged.off is not None and bool(judged.off[row]),
                None if first is None else first[:2],
            )
    for change in judged.changes:
        key = f"{incident_id(TOPIC, 0, change.incident)}-{change.incident.sequence}"
        assert key not in found.events, "an event comes once"
        found.events[key] = change
    return found


@dataclass
class World:
    """A log of one partition, what is committed of it, and a worker that may be killed.

    Attributes:
        model: that judges.
        receptive_field, warm_up: of the windows.
        ttl: when sensors are forgotten.
        board: what people wish; None where nobody can.
        deeds: to be done again.
        documents, committed: of the last commit.
        seen: what a `read_committed` reader has.
    """

    log: Sequence[Entry]
    model: AlarmModel = field(default_factory=make_model)
    receptive_field: int = 1
    warm_up: int = 1
    ttl: StateTtl = field(default_factory=StateTtl)
    board: WishBoard | None = None
    deeds: Sequence[Deed] = ()
    guarantee: Guarantee = Guarantee.EXACTLY_ONCE
    version: str = "1"
    documents: dict[bytes, bytes] = field(default_factory=dict)
    committed: tuple[int, str] | None = None
    seen: Published = field(default_factory=Published)
    state: PartitionState = field(init=False)
    at: int = field(init=False)
    _last: Request = field(init=False)
    pending: Published = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Kill the worker, and take the partition up again."""
        plan = plan_restore(
            self.committed,
            beginning=0,
            end=len(self.log),
            fresh="earliest",
            receptive_field=self.receptive_field,
        )
        version = ModelVersion("m", self.version)
        recorded = RecordedState.restored(
            self.documents,
            next_offset=plan.next_offset,
            recorded=plan.recorded,
            cold=plan.cold,
            guarantee=self.guarantee,
            judge=Judge(model=self.model, group_of=group_of, board=self.board, deeds=self.deeds),
            same_model=plan.model in {None, version},
        )
        assert not recorded.cold or self.guarantee is Guarantee.AT_LEAST_ONCE
        config = PartitionConfig(
            partition=0,
            channels=3,
            receptive_field=self.receptive_field,
            max_gap_ns=10**18,
            warm_up=self.warm_up,
            state_ttl=self.ttl,
            model=version,
        )
        self.state = PartitionState(config, plan, group_of=group_of, recorded=recorded)
        self.at, self.pending = plan.read_from, Published()

    def poll(self, records: int, *, commit: bool = True) -> Published:
        """Read on, judge and publish; what that gave."""
        if self.at < self.state.next_offset:  # the windows, first
            self._polled(self.state.next_offset - self.at)
        given = self._polled(records)
        self.pending.add(given)
        if commit:
            self.commit()
        return given

    def _polled(self, records: int) -> Published:
        start, self.at = self.at, min(self.at + records, len(self.log))
        if start == self.at:
            return Published()
        request = self.state.polled(batch_of(self.log[start : self.at], start))
        if request is None:
            return Published()
        scores = scores_of(request.samples, self.receptive_field)
        answered = self.state.scored(request.number, scores)
        self._last = answered.request
        return published(answered.request.samples, answered.judged)

    def commit(self) -> None:
        """Outputs, documents and offsets in one."""
        self.seen.add(self.pending)
        self.pending = Published()
        if self.state.next_offset == (self.committed or (-1, ""))[0]:
            return
        self.write(len(self.log))
        self.state.recorded.committed()
        self.committed = (self._last.next_offset, self._last.restore_point.encode())

    def write(self, most: int) -> None:
        """Write documents, up to so many of them."""
        for key, value in list(self.state.recorded.changes())[:most]:
            self.documents.pop(key, None)
            if value is not None:
                self.documents[key] = value

    def lose_the_commit(self, written: int) -> None:
        """At least once: outputs are there, some of the documents, not the offsets."""
        self.seen.add(self.pending)
        self.pending = Published()
        self.write(written)
        self.restart()

    def run(self, polls: Sequence[int] = ()) -> Published:
        """Read to the end, by so many records at a time, then one by one; what was published."""
        for records in polls:
            self.poll(records)
        while self.at < len(self.log) or self.at < self.state.next_offset:
            self.poll(1)
        self.commit()
        return self.seen

    def recorded(self) -> Mapping[str, SensorState]:
        """The documents that are committed."""
        return {
            key.decode(): SensorState.model_validate_json(value)
            for key, value in self.documents.items()
        }


def batch_of(records: Sequence[Entry], start: int) -> Batch:
    """Records as they were polled."""
    good = [(at, entry) for at, entry in enumerate(records) if entry.sensor is not None]
    found = [reading for _, entry in good for reading in entry.readings]
    return Batch(
        offsets=np.arange(start, start + len(records)),
        stamps_ms=np.array([entry.stamp_ms for entry in records], np.int64),
        readings=Readings(
            positions=np.array([at for at, _ in good], np.int64),
            sensors=[entry.sensor or "" for _, entry in good],
            counts=np.array([len(entry.readings) for _, entry in good], np.int64),
            ts_ns=np.array([reading.ts_ns for reading in found], np.int64),
            values=np.array([reading[1:] for reading in found], np.float64).reshape(-1, 3),
        ),
        failures=(),
    )


def told(world: World, sensor: str | None = None) -> list[tuple[str, int, str | None]]:
    """What a reader was told of incidents: what, second of event time, why it ended."""
    return [
        (e.what, e.at_ns // SECOND_NS, None if e.reason is None else e.reason.value)
        for e in world.seen.told(sensor)
    ]


def make_ttl(records: int = UNLIMITED, age_ms: int = UNLIMITED) -> StateTtl:
    return StateTtl(max_restore_records=records, max_restore_age_ms=age_ms)

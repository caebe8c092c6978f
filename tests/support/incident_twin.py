"""Alarms and incidents by the definition: one reading after the other, as plain as can be.

Nothing here is shared with `workers.stream.state`: the alarm rule is advanced by one reading a
call, an incident keeps every reading that it took, and what is told of it is looked up in that
list. So it says the same as the stream only if the stream's sums, cuts and recorded numbers are
right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from detector.calibration import alarm_rule
from detector.calibration.alarm_states import end_incidents
from schemas.wire.event import IncidentEvent
from schemas.wire.incident import EndReason, Incident, SeenBy
from tests.support.drift_twin import DriftTwin
from tests.support.incident_terms import Terms, ToldChannel, short, shown

_MINUTE_NS: Final = 60 * 10**9
_QUARTER_NS: Final = 6 * 3600 * 10**9
_DAY, _WEEK = 4, 28
_POINTS: Final = 12
_MOST_LATENT: Final = 32
_SEEN_BY = {alarm_rule.Fired.LONG: SeenBy.LONG, alarm_rule.Fired.SHORT: SeenBy.SHORT}
_REASONS = {
    alarm_rule.EndReason.RECOVERED: EndReason.RECOVERED,
    alarm_rule.EndReason.NEW_NORMAL: EndReason.NEW_NORMAL,
    alarm_rule.EndReason.MAXIMUM_DURATION: EndReason.MAXIMUM_DURATION,
}
_ONE: Final = np.array([1])


class Answer(NamedTuple):
    """What the model says of a scored reading; `long` is NaN while its sensor warms up."""

    score: float
    long: float
    short: float
    expected: tuple[float, ...]
    shares: tuple[float, ...]
    latent: tuple[float, ...] = ()
    partial: bool = False


class Heard(NamedTuple):
    """A reading: "s" scored, "w" accepted and not scored, "d" dropped."""

    ts_ns: int
    values: tuple[float, ...]
    fate: str
    answer: Answer | None = None


class Logged(NamedTuple):
    """A record; no `sensor` if it could not be read, but it has a time all the same."""

    offset: int
    stamp_ms: int
    sensor: str = ""
    readings: tuple[Heard, ...] = ()


class Spot(NamedTuple):
    """Where a reading lies in its partition, and its event time."""

    offset: int
    nth: int
    ts_ns: int


class Taken(NamedTuple):
    """A reading that an incident took."""

    spot: Spot
    score: float
    strength: float
    flagged: bool
    values: tuple[float, ...]
    answer: Answer


@dataclass
class Judged:
    """What becomes of a scored reading."""

    score: float
    bar: float
    incident: str | None


@dataclass
class Defined:
    """What a partition's whole log gives.

    Attributes:
        judged: by offset and number.
        events: in order.
        causes: by the id of an event, the offset of the record that brought it about.
        documents: by sensor.
    """

    judged: dict[tuple[int, int], Judged] = field(default_factory=dict)
    events: list[IncidentEvent] = field(default_factory=list)
    causes: dict[str, int] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    at: int = -1


def defined(
    terms: Terms, records: Iterable[Logged], cuts: Collection[int], *, beginning: int = 0
) -> Defined:
    """Go through a log.

    Args:
        terms: of the model and the partition.
        records: all of them, in order.
        cuts: offsets at which a window of the state's time to live begins.
        beginning: of the first of them.
    """
    found = Defined()
    sensors: dict[str, _Sensor] = {}
    clock_ms, begun, begins = -1, beginning, set(cuts)
    for record in records:
        found.at = record.offset
        if record.offset in begins:
            for name in [name for name, one in sensors.items() if one.last < begun]:
                sensors.pop(name).leave(EndReason.FORGOTTEN)
            begun = record.offset
        clock_ms = max(clock_ms, record.stamp_ms)
        if record.sensor:
            if record.sensor not in sensors:
                sensors[record.sensor] = _Sensor(terms, record.sensor, record.offset, found)
            sensors[record.sensor].take(record, clock_ms)
        for one in sensors.values():
            if one.incident is not None and one.is_silent(clock_ms):
                one.leave(EndReason.STALE)
    found.documents = {name: one.document() for name, one in sensors.items()}
    return found


class _Sensor:
    """One sensor since its first record."""

    def __init__(self, terms: Terms, name: str, since: int, found: Defined) -> None:
        self.terms, self.name, self.since, self.last = terms, name, since, since
        self.group = np.array([terms.group_of(name)])
        self.rule = terms.rule.start(self.group)
        self.drift = DriftTwin(terms, name)
        self.counts: Counter[str] = Counter()
        self.last_ns, self.last_ms = np.iinfo(np.int64).min, -1
        self.first = Spot(0, 0, 0)  # of the latest run of flagged readings
        self.run = 0
        self.last_flagged = 0
        self.openings: list[int] = []
        self.incident: _Incident | None = None
        self._found = found

    def take(self, record: Logged, clock_ms: int) -> None:
        for nth, heard in enumerate(record.readings):
            if heard.fate == "d":
                self.counts["dropped"] += 1
                continue
            if self.is_silent(clock_ms):
                self.leave(EndReason.STALE)
            self._hear(Spot(record.offset, nth, heard.ts_ns), heard)
            self.last_ns, self.last_ms = heard.ts_ns, clock_ms
        self.last = record.offset

    def is_silent(self, clock_ms: int) -> bool:
        return self.last_ms >= 0 and clock_ms - self.last_ms >= self.terms.max_stale_ms

    def leave(self, reason: EndReason) -> None:
        """What is open ends between two readings."""
        self.rule = end_incidents(self.rule)
        if self.incident is not None:
            self._resolve(reason, self.last_ns)
        if reason is not EndReason.STALE:
            self._tell(self.drift.leave(reason, self.last_ns))

    def _tell(self, events: Iterable[IncidentEvent]) -> None:
        for event in events:
            self._found.events.append(event)
            self._found.causes[event.id] = self._found.at

    def _hear(self, spot: Spot, heard: Heard) -> None:
        answer = heard.answer
        long, short = (math.nan, math.nan) if answer is None else (answer.long, answer.short)
        number = int(alarm_rule.rows_seen(self.rule)[0])
        told = self.terms.rule.advance(np.array([[long, short]]), _ONE, self.group, self.rule)
        self.rule = told.states
        self._tell(self.drift.hear(spot, long))
        # What recovered is over when nothing has taken it up again; all else ends by this reading.
        for end in told.ended:
            if end.ended is not None and end.last < end.ended:
                self._end(end, spot)
        if answer is not None:
            bar = self.terms.bar(float(told.threshold[0]), int(self.group[0]), answer.partial)
            score = float(np.round(answer.score / bar, 6))
            strength = float(told.strength[0])
            taken = Taken(
                spot,
                score,
                strength if score >= 1.0 else min(strength, 0.0),
                score >= 1.0,
                heard.values,
                answer,
            )
            self.counts["scored"] += 1
            self.counts["flagged"] += taken.flagged
            incident = self._follow(taken, number, told)
            self._found.judged[spot[:2]] = Judged(score, bar, incident)
        for end in told.ended:
            if end.last == end.ended:
                self._end(end, spot)

    def _end(self, end: alarm_rule.Incident, spot: Spot) -> None:
        assert end.reason is not None
        self._resolve(_REASONS[end.reason], spot.ts_ns, end.charge)

    def _follow(self, taken: Taken, number: int, told: alarm_rule.Advanced) -> str | None:
        """Note a scored reading; the id of the incident that it belongs to, if it is flagged."""
        if taken.flagged:
            dials = self.terms.rule.dials
            far = number - self.last_flagged >= max(dials.opens_within, dials.shortest)
            if self.incident is None and (far or not self.run):
                self.first, self.run = taken.spot, 0
            self.run, self.last_flagged = self.run + 1, number
        alarm = bool(told.alarm[0])
        if told.opened:
            self._open(taken, told.opened[0])
        if self.incident is not None and (taken.flagged or alarm):
            self.incident.taken.append(taken)
            if told.opened:
                self._publish("opened", taken.spot.ts_ns)
            elif alarm and self.incident.is_due:
                self._publish("updated", taken.spot.ts_ns)
        if not taken.flagged:
            return None
        first = self.first if self.incident is None else self.incident.first
        return str(self.terms.incident_id(first))

    def _open(self, taken: Taken, event: alarm_rule.Incident) -> None:
        quarter = max([taken.spot.ts_ns // _QUARTER_NS, *self.openings])
        self.openings.append(quarter)
        before = self.run - taken.flagged
        self.incident = _Incident(
            self.terms,
            self.name,
            first=self.first if self.run else taken.spot,
            opened_ns=taken.spot.ts_ns,
            seen_by=_SEEN_BY[event.fired],
            flagged_before=before,
        )

    def _resolve(self, reason: EndReason, end_ns: int, charge: float = 0.0) -> None:
        assert self.incident is not None
        self.incident.charge = charge
        self._publish("resolved", end_ns, reason)
        self.incident, self.run = None, 0

    def _publish(self, what: str, at_ns: int, reason: EndReason | None = None) -> None:
        assert self.incident is not None
        self.incident.sequence += 1
        self.incident.told_ns, self.incident.told_severity = at_ns, self.incident.severity
        ages = [at_ns // _QUARTER_NS - quarter for quarter in self.openings]
        opened = sum(age < _DAY for age in ages), sum(age < _WEEK for age in ages)
        data = self.incident.data(opened, reason, at_ns)
        sequence = self.incident.sequence
        self._tell([self.terms.event(data, what, at_ns, sequence)])

    def document(self) -> dict[str, Any]:
        """What is recorded of it, unpacked."""
        latest = self.openings[-1:]
        return {
            "next_offset": self.last + 1,
            "since": self.since,
            **{name: self.counts[name] for name in ("scored", "flagged", "dropped")},
            "rule": shown(self.rule[0].tolist()),
            **self.drift.document(),
            "last": (self.last_ns, self.last_ms),
            "run": (*self.first, self.last_flagged, self.run),
            "openings": {
                quarter: count
                for quarter, count in Counter(self.openings).items()
                if latest[0] - quarter < _WEEK
            },
            "incident": None if self.incident is None else self.incident.recorded(),
            "wishes": None,
        }


class _Incident:
    """An incident, with every reading that it took."""

    def __init__(
        self,
        terms: Terms,
        sensor: str,
        *,
        first: Spot,
        opened_ns: int,
        seen_by: SeenBy,
        flagged_before: int,
    ) -> None:
        self.sensor = sensor
        self.terms, self.first, self.opened_ns, self.seen_by = terms, first, opened_ns, seen_by
        self.flagged_before = flagged_before
        self.taken: list[Taken] = []
        self.sequence = self.told_ns = self.told_severity = 0
        self.charge = 0.0

    @property
    def farthest(self) -> Taken:
        """The first of the readings that were farthest beyond the bar."""
        return max(self.taken, key=lambda one: one.strength)

    @property
    def severity(self) -> int:
        return self.terms.severity(self.farthest.strength)

    @property
    def is_due(self) -> bool:
        late = self.taken[-1].spot.ts_ns - self.told_ns >= _MINUTE_NS
        return late or self.severity > self.told_severity

    @property
    def last_ns(self) -> int:
        flagged = [one.spot.ts_ns for one in self.taken if one.flagged]
        return flagged[-1] if flagged else self.opened_ns

    @property
    def flagged(self) -> int:
        return self.flagged_before + sum(one.flagged for one in self.taken)

    @property
    def total(self) -> float:
        total = 0.0
        for one in self.taken:  # `sum` is too exact
            total += one.score
        return total

    @property
    def peak(self) -> float:
        return max(one.score for one in self.taken)

    @property
    def latent(self) -> list[float]:
        """Of the farthest; a cut one would be like nothing."""
        latent = self.farthest.answer.latent
        return [short(value) for value in latent] if len(latent) <= _MOST_LATENT else []

    @property
    def points(self) -> tuple[int, int, list[tuple[float, ...]]]:
        """The main channel when it opened, the stride, and a reading for each stride."""
        channel = self._told(self.taken[0])[0].channel
        stride = 1
        while math.ceil(len(self.taken) / stride) > _POINTS:
            stride *= 2
        line = [
            (
                one.spot.ts_ns,
                *_singles(one.values[channel], one.answer.expected[channel], one.score),
            )
            for one in self.taken[::stride]
        ]
        return channel, stride, line

    def data(self, opened: tuple[int, int], reason: EndReason | None, at_ns: int) -> Incident:
        """As it is told now."""
        farthest = self.farthest
        return self.terms.incident(
            self.sensor,
            told=self._told(farthest),
            strength=farthest.strength,
            points=(self.points[0], self.points[2]),
            opened=opened,
            first=self.first,
            until=self.taken[-1].spot,
            opened_ns=self.opened_ns,
            last_ns=self.last_ns,
            end_ns=None if reason is None else at_ns,
            end_reason=reason,
            readings=len(self.taken),
            flagged=self.flagged,
            peak=self.peak,
            mean=self.total / len(self.taken),
            seen_by=self.seen_by,
            charge=self.charge,
            latent=self.latent,
        )

    def _told(self, taken: Taken) -> list[ToldChannel]:
        return self.terms.told(self.sensor, taken.values, taken.answer)

    def recorded(self) -> dict[str, Any]:
        """What is recorded of it while it is open."""
        farthest = self.farthest
        channel, stride, line = self.points
        return {
            "kind": "anomaly",
            "seen_by": self.seen_by.value,
            "first": list(self.first),
            "opened_ns": self.opened_ns,
            "last_ns": self.last_ns,
            "until": list(self.taken[-1].spot),
            "readings": len(self.taken),
            "flagged": self.flagged,
            "total": self.total,
            "peak": self.peak,
            "strength": farthest.strength,
            "severity": self.severity,
            "told": [list(one) for one in self._told(farthest)],
            "latent": self.latent,
            "points": [channel, stride, len(self.taken), [shown(point) for point in line]],
            "rules": 0,
            "suppressed": None,
            "change": None,
            "charge": 0.0,
            "sequence": self.sequence,
            "told_ns": self.told_ns,
            "told_severity": self.told_severity,
        }


def _singles(*values: float) -> tuple[float, ...]:
    with np.errstate(over="ignore"):
        singles = [float(np.float32(value)) for value in values]
    return tuple(single if math.isfinite(single) else math.nan for single in singles)

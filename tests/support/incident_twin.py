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
from typing import Any, Final

import numpy as np

from detector.calibration import alarm_rule
from detector.calibration.alarm_rule import Ruling
from detector.calibration.alarm_states import end_incidents
from schemas.wire.deed import Deed
from schemas.wire.event import IncidentEvent
from schemas.wire.incident import EndReason, SeenBy
from tests.support.drift_twin import DriftTwin
from tests.support.incident_life import Heard, IncidentLife, Logged, Spot, Taken
from tests.support.incident_terms import Terms, shown
from tests.support.wish_twin import DeedsToDo, Wishes

_QUARTER_NS: Final = 6 * 3600 * 10**9
_DAY, _WEEK = 4, 28
_SEEN_BY = {alarm_rule.Fired.LONG: SeenBy.LONG, alarm_rule.Fired.SHORT: SeenBy.SHORT}
_REASONS = {
    alarm_rule.EndReason.RECOVERED: EndReason.RECOVERED,
    alarm_rule.EndReason.NEW_NORMAL: EndReason.NEW_NORMAL,
    alarm_rule.EndReason.MAXIMUM_DURATION: EndReason.MAXIMUM_DURATION,
    alarm_rule.EndReason.OFF: EndReason.OFF,
}
_ONE: Final = np.array([1])


@dataclass
class Judged:
    """What becomes of a scored reading."""

    score: float
    bar: float
    incident: str | None
    off: bool = False


@dataclass
class Defined:
    """What a partition's whole log gives.

    Attributes:
        judged: by offset and number.
        events: in order.
        causes: by the id of an event, the offset of the record that brought it about.
        documents: by sensor.
        deeds: those that were done...
        strays: ...and what is wrong with them.
    """

    judged: dict[tuple[int, int], Judged] = field(default_factory=dict)
    events: list[IncidentEvent] = field(default_factory=list)
    causes: dict[str, int] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    at: int = -1


def defined(
    terms: Terms,
    records: Iterable[Logged],
    cuts: Collection[int],
    *,
    beginning: int = 0,
    deeds: Iterable[Deed] = (),
) -> Defined:
    """Go through a log.

    Args:
        terms: of the model and the partition.
        records: all of them, in order.
        cuts: offsets at which a window of the state's time to live begins.
        beginning: of the first of them.
        deeds: about wishes, in order; those of other partitions are left over.
    """
    found, to_do = Defined(), DeedsToDo(deeds, terms.partition)
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
                sensors[record.sensor] = _Sensor(terms, record.sensor, record.offset, found, to_do)
            sensors[record.sensor].take(record, clock_ms)
        for one in sensors.values():
            if one.incident is not None and one.is_silent(clock_ms):
                one.leave(EndReason.STALE)
    found.documents = {name: one.document() for name, one in sensors.items()}
    return found


class _Sensor:
    """One sensor since its first record."""

    def __init__(
        self, terms: Terms, name: str, since: int, found: Defined, deeds: DeedsToDo
    ) -> None:
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
        self.incident: IncidentLife | None = None
        self.wishes = Wishes(terms, name, self.group)
        self._found, self._deeds = found, deeds

    def take(self, record: Logged, clock_ms: int) -> None:
        for nth, heard in enumerate(record.readings):
            if heard.fate == "d":
                self.counts["dropped"] += 1
                continue
            if self.is_silent(clock_ms):
                self.leave(EndReason.STALE)
            for deed in self._deeds.take(self.name, record.offset, self.last_ns, heard.ts_ns):
                self._do(deed)
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

    def _do(self, deed: Deed) -> None:
        """A wish holds from here on, or holds no more."""
        open_ = None if self.incident is None else self.terms.incident_id(self.incident.first)
        self.rule, stray = self.wishes.do(deed, self.rule, self.last_ns, open_)
        self._found.strays += [stray] if stray else []
        self._found.deeds.append(deed)
        what = "withdrawn" if deed.withdrawn else "heeded"
        self._found.causes[f"{deed.wish_id}-{what}-{self.name}-{deed.partition}-{deed.offset}"] = (
            self._found.at
        )

    def _hear(self, spot: Spot, heard: Heard) -> None:
        answer = heard.answer
        long, short = (math.nan, math.nan) if answer is None else (answer.long, answer.short)
        number = int(alarm_rule.rows_seen(self.rule)[0])
        ruling = self.wishes.ruling(spot.ts_ns)
        told = self.terms.rule.advance(
            np.array([[long, short]]),
            _ONE,
            self.group,
            self.rule,
            np.array([ruling], np.int8) if ruling else None,
        )
        self.rule = told.states
        off = bool(ruling & Ruling.OFF)
        self._tell(self.drift.hear(spot, math.nan if ruling else long))
        # What recovered is over when nothing has taken it up again; all else ends by this reading.
        for end in told.ended:
            if end.ended is not None and end.last < end.ended:
                self._end(end, spot)
        if answer is not None:
            bar = self.terms.bar(float(told.threshold[0]), int(self.group[0]), answer.partial)
            score = float(np.round(answer.score / bar, 6))
            strength = float(told.strength[0])
            flagged = score >= 1.0 and not off
            taken = Taken(
                spot,
                score,
                strength if flagged else min(strength, 0.0),
                flagged,
                heard.values,
                answer,
            )
            self.counts["scored"] += 1
            self.counts["flagged"] += taken.flagged
            incident = self._follow(taken, number, told)
            self._found.judged[spot[:2]] = Judged(score, bar, incident, off)
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
            self.incident.take(taken, self.wishes.false_alarms)
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
        self.incident = IncidentLife(
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
            "wishes": self.wishes.document(),
        }

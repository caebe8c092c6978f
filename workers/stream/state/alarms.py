"""From scores to flags and incidents: the alarm rule over the readings of a partition. Pure.

Scores depend on the last R readings alone; what is a flag, what the published score is and what
is an incident depends on everything the rule has learnt of the sensor since its first reading. So
this is the part whose state is recorded (`workers.stream.state.recorded`), and every step of it is
a function of the sensor's own readings, in their order, and of nothing else: no clock, no other
sensor, no cut into requests.

The only thing told by the log's time is silence: a sensor with an open incident that brings no
reading for `AlarmModel.max_stale_ms` of it has a *stale* incident. It ends at the sensor's last
reading, whether the sensor's next one tells, or the others' readings do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from detector.calibration import alarm_rule
from detector.calibration.alarm_rule import Fired
from detector.calibration.alarm_states import end_incidents
from detector.calibration.severity import Severity, tail_p_value
from detector.scoring import Scores
from schemas.wire.incident import MAX_INCIDENT_CHANNELS, MAX_LATENT, EndReason, IncidentKind, SeenBy
from workers.stream.state.alarm_model import AlarmModel
from workers.stream.state.alarm_table import AlarmTable
from workers.stream.state.incident import (
    IncidentChange,
    OpenIncident,
    Place,
    Points,
    Row,
    Told,
    What,
    rounded,
)

_SCORE_DECIMALS = 6
_SEEN_BY = {Fired.LONG: SeenBy.LONG, Fired.SHORT: SeenBy.SHORT}
_REASONS = {
    alarm_rule.EndReason.RECOVERED: EndReason.RECOVERED,
    alarm_rule.EndReason.NEW_NORMAL: EndReason.NEW_NORMAL,
    alarm_rule.EndReason.MAXIMUM_DURATION: EndReason.MAXIMUM_DURATION,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Accepted readings of u sensors, sensor by sensor, in their order.

    Attributes:
        sensors: names, none twice.
        rows: of each in the table.
        sizes: readings of each, at least 1.
        ts_ns, offsets, indices: event time, record, number in the record of each reading.
        clock_ms: log time at each.
        values: [k, C].
        at: which sample of the request each reading is; -1 is none, it was not scored.
    """

    sensors: Sequence[str]
    rows: Int64[np.ndarray, " u"]
    sizes: Int64[np.ndarray, " u"]
    ts_ns: Int64[np.ndarray, " k"]
    offsets: Int64[np.ndarray, " k"]
    indices: Int64[np.ndarray, " k"]
    clock_ms: Int64[np.ndarray, " k"]
    values: Float64[np.ndarray, "k channels"]
    at: Int64[np.ndarray, " k"]

    def part(self, start: int, stop: int) -> Piece:
        """Readings `start` to `stop`, with the sensors that they are of."""
        ends = np.cumsum(self.sizes)
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(ends, stop, side="left")) + 1
        begins = np.maximum(ends - self.sizes, start)[first:last]
        rows = slice(start, stop)
        return Piece(
            sensors=self.sensors[first:last],
            rows=self.rows[first:last],
            sizes=np.minimum(ends, stop)[first:last] - begins,
            ts_ns=self.ts_ns[rows],
            offsets=self.offsets[rows],
            indices=self.indices[rows],
            clock_ms=self.clock_ms[rows],
            values=self.values[rows],
            at=self.at[rows],
        )

    def place(self, row: int) -> Place:
        """Where a reading lies."""
        return Place(int(self.offsets[row]), int(self.indices[row]), int(self.ts_ns[row]))


@dataclass(slots=True)
class Judged:
    """What becomes of the n samples of a request.

    Attributes:
        score: published; 1.0 is the threshold of the sensor as it was at the reading.
        bar: that threshold, as a score of the sensor's first day.
        strength: tail slopes beyond it; NaN where the rule does not know.
        alarm: whether each is in an incident.
        flagged: whether each is an anomaly.
        incident: of each flagged one the first reading of the incident that it belongs to, if it
            becomes one.
        skipped: how many of a sensor's first samples have been published before; by name.
        changes: what happened to incidents, sensor by sensor in order.
    """

    score: Float64[np.ndarray, " n"]
    bar: Float64[np.ndarray, " n"]
    strength: Float64[np.ndarray, " n"]
    alarm: Bool[np.ndarray, " n"]
    flagged: Bool[np.ndarray, " n"]
    incident: dict[int, Place] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    changes: list[IncidentChange] = field(default_factory=list)

    @classmethod
    def of(cls, scores: Scores) -> Judged:
        """By the bars of the first day, before anything else is known."""
        n = len(scores.score)
        flagged = np.zeros(n, np.bool_)
        flagged[scores.flagged] = True
        return cls(
            score=scores.score.copy(),
            bar=np.ones(n),
            strength=np.full(n, np.nan),
            alarm=np.zeros(n, np.bool_),
            flagged=flagged,
        )


class SensorAlarms:
    """The alarms of the sensors of one partition: `table`, and by name the incidents `open` now."""

    def __init__(self, model: AlarmModel, capacity: int) -> None:
        """Room for so many sensors."""
        self.model = model
        self.table = AlarmTable(model, capacity)
        self.open: dict[str, OpenIncident] = {}

    def judge(self, piece: Piece, scores: Scores, judged: Judged) -> None:
        """Take readings in, whose scores these are; fills `judged` for their samples."""
        rule = self.model.rule
        if rule is None or not len(piece.at):
            return
        for start, stop, silent in self._parts(piece):
            part = piece.part(start, stop)
            if silent:
                judged.changes += self._end(part.sensors[0], int(part.rows[0]), EndReason.STALE)
            self._judge(part, scores, judged)

    def silent(self, rows: dict[str, int], clock_ms: int) -> Iterator[IncidentChange]:
        """End the incidents of sensors that have brought nothing for so long.

        Args:
            rows: of sensors in the table.
            clock_ms: log time now.
        """
        for sensor in list(self.open):
            last_ms = int(self.table.rows[rows[sensor]]["last_ms"])
            if 0 <= last_ms <= clock_ms - self.model.max_stale_ms:
                yield from self._end(sensor, rows[sensor], EndReason.STALE)

    def standing(self, rows: dict[str, int]) -> Iterator[IncidentChange]:
        """What is open of these sensors, as it is: nothing happens to it."""
        for sensor, incident in self.open.items():
            at_ns = incident.until.ts_ns
            day, week = self.table.opened(rows[sensor], at_ns)
            yield IncidentChange(
                sensor=sensor,
                what=What.UPDATED,
                at_ns=at_ns,
                incident=incident.copy(),
                opened_day=day,
                opened_week=week,
            )

    def forget(self, sensor: str, row: int, reason: EndReason) -> Iterator[IncidentChange]:
        """End what is open of a sensor of which nothing is known from now on."""
        if sensor in self.open:
            yield from self._end(sensor, row, reason)

    def _parts(self, piece: Piece) -> Iterator[tuple[int, int, bool]]:
        """Where readings come after a silence in which an incident has ended: start, stop, so."""
        before = np.empty_like(piece.clock_ms)
        before[1:] = piece.clock_ms[:-1]
        before[np.cumsum(piece.sizes) - piece.sizes] = self.table.rows["last_ms"][piece.rows]
        silent = (before >= 0) & (piece.clock_ms - before >= self.model.max_stale_ms)
        borders = np.flatnonzero(silent).tolist()
        starts = sorted({0, *borders})
        stops = [*starts[1:], len(silent)]
        for start, stop in zip(starts, stops, strict=True):
            yield start, stop, bool(silent[start])

    def _judge(self, piece: Piece, scores: Scores, judged: Judged) -> None:
        model, table = self.model, self.table
        assert model.rule is not None
        is_sample = piece.at >= 0
        samples = piece.at[is_sample]
        levels = np.full((len(piece.at), 2), np.nan)
        levels[is_sample] = scores.levels[samples, :2]
        groups = table.groups[piece.rows]
        of = table.rows[piece.rows]
        before = alarm_rule.rows_seen(np.ascontiguousarray(of["rule"]))
        told = model.rule.advance(levels, piece.sizes, groups, of["rule"])
        of["rule"] = told.states
        if model.watch is not None:
            watched = model.watch.advance(levels[:, 0], piece.sizes, groups, of["drift"])
            of["drift"] = watched.states
        lasts = np.cumsum(piece.sizes) - 1
        of["last_ns"], of["last_ms"] = piece.ts_ns[lasts], piece.clock_ms[lasts]
        table.rows[piece.rows] = of

        partial = np.isnan(levels[is_sample, 0])
        bar = model.bars(
            told.threshold[is_sample], partial, np.repeat(groups, piece.sizes)[is_sample]
        )
        score = np.round(scores.score[samples] / bar, _SCORE_DECIMALS)
        judged.bar[samples], judged.score[samples] = bar, score
        judged.strength[samples] = told.strength[is_sample]
        judged.alarm[samples] = told.alarm[is_sample]
        judged.flagged[samples] = score >= 1.0
        flagged = np.zeros(len(piece.at), np.bool_)
        flagged[is_sample] = score >= 1.0
        self._follow(_Followed(piece, flagged, told, before, scores, judged))

    def _follow(self, all_: _Followed) -> None:
        """Go through the readings of sensors of which there is something to tell."""
        piece, told = all_.piece, all_.told
        ends = np.cumsum(piece.sizes)
        busy = set(np.searchsorted(ends, np.flatnonzero(all_.flagged), side="right").tolist())
        busy.update(event.sensor for event in (*told.opened, *told.ended))
        if self.open:
            busy.update(i for i, name in enumerate(piece.sensors) if name in self.open)
        for place in sorted(busy):
            stop = int(ends[place])
            self._follow_one(all_, place, stop - int(piece.sizes[place]), stop)

    def _follow_one(self, all_: _Followed, sensor: int, start: int, stop: int) -> None:
        """Go through one sensor's readings; what ended before a reading comes before it."""
        piece, told = all_.piece, all_.told
        shift = start - int(all_.before[sensor])
        opened = {e.opened + shift: e for e in told.opened if e.sensor == sensor}
        ended: dict[int, list[alarm_rule.Incident]] = {}
        for event in told.ended:
            if event.sensor == sensor and event.ended is not None:
                ended.setdefault(event.ended + shift, []).append(event)
        one = _One(piece.sensors[sensor], int(piece.rows[sensor]), sensor)
        for at in range(start, stop):
            ends = ended.get(at, [])
            if ends and one.name in self.open and not told.alarm[at]:
                self._resolve(all_, one, at, ends.pop(0))
            self._reading(all_, one, at, opened.get(at), number=at - shift)
            for event in ends:
                self._resolve(all_, one, at, event)

    def _reading(
        self,
        all_: _Followed,
        one: _One,
        at: int,
        opens: alarm_rule.Incident | None,
        *,
        number: int,
    ) -> None:
        """Take one reading into the run of flagged ones and into the incident."""
        piece, flagged = all_.piece, bool(all_.flagged[at])
        alarm = bool(all_.told.alarm[at])
        if flagged:
            self._run_on(one, piece.place(at), number)
        if opens is not None:
            self._open(all_, one, at, opens)
        incident = self.open.get(one.name)
        if incident is not None and (flagged or alarm):
            self._take(all_, incident, one, at)
            if opens is not None:
                self._tell(all_, one, What.OPENED, incident)
            elif alarm and incident.is_due:
                self._tell(all_, one, What.UPDATED, incident)
        if flagged:
            first = self._run(one.row) if incident is None else incident.first
            all_.judged.incident[int(piece.at[at])] = first

    def _run(self, row: int) -> Place:
        of = self.table.rows[row]
        return Place(int(of["first_offset"]), int(of["first_index"]), int(of["first_ns"]))

    def _run_on(self, one: _One, place: Place, number: int) -> None:
        """Note a flagged reading: it begins a run, or goes on with one that is near enough."""
        rule, of = self.model.rule, self.table.rows[one.row]
        assert rule is not None
        far = number - int(of["last_flagged"]) >= rule.dials.opens_within
        if one.name not in self.open and (far or not of["flagged"]):
            of["first_offset"], of["first_index"], of["first_ns"] = place
            of["flagged"] = 0
        of["last_flagged"] = number
        of["flagged"] += 1

    def _open(self, all_: _Followed, one: _One, at: int, event: alarm_rule.Incident) -> None:
        """An incident opens; its first reading is that of the run of flagged ones."""
        place, of = all_.piece.place(at), self.table.rows[one.row]
        self.open[one.name] = OpenIncident(
            kind=IncidentKind.ANOMALY,
            seen_by=_SEEN_BY[event.fired],
            first=self._run(one.row) if of["flagged"] else place,
            opened_ns=place.ts_ns,
            last_ns=place.ts_ns,
            until=place,
            flagged=max(int(of["flagged"]) - int(all_.flagged[at]), 0),
        )
        self.table.count_opening(one.row, place.ts_ns)

    def _take(self, all_: _Followed, incident: OpenIncident, one: _One, at: int) -> None:
        """Add a reading to an open incident."""
        piece, scores, rate = all_.piece, all_.scores, self._rate
        sample = int(piece.at[at])
        strength, score = float(all_.told.strength[at]), float(all_.judged.score[sample])
        severity = Severity.of(tail_p_value(strength, rate), rate)
        row = Row(piece.place(at), score, strength, int(severity), bool(all_.flagged[at]))
        if incident.take(row):
            incident.told = self._told(all_, one, at)
            latent = getattr(scores, "latent", np.empty((0, 0)))
            if len(latent):
                incident.latent = tuple(map(rounded, latent[sample, :MAX_LATENT].tolist()))
        if incident.points is None:
            incident.points = Points(incident.told[0].channel)
        channel = incident.points.channel
        incident.points.add(
            row.place.ts_ns,
            float(piece.values[at, channel]),
            float(scores.expected[sample, channel]),
            score,
        )

    def _told(self, all_: _Followed, one: _One, at: int) -> tuple[Told, ...]:
        piece, sample = all_.piece, int(all_.piece.at[at])
        band = self.model.bands[self.table.groups[one.row]]
        shares = all_.scores.contribution[sample].astype(np.float64)
        order = np.argsort(-shares, kind="stable")[:MAX_INCIDENT_CHANNELS].tolist()
        observed, expected = piece.values[at], all_.scores.expected[sample]
        return tuple(
            Told(
                channel,
                rounded(float(shares[channel])),
                rounded(float(observed[channel])) if np.isfinite(observed[channel]) else None,
                rounded(float(expected[channel])),
                rounded(float(band[channel])),
            )
            for channel in order
        )

    @property
    def _rate(self) -> float:
        assert self.model.rule is not None
        return self.model.rule.rate

    def _tell(self, all_: _Followed, one: _One, what: What, incident: OpenIncident) -> None:
        all_.judged.changes.append(self._change(one.name, one.row, what, incident))

    def _resolve(self, all_: _Followed, one: _One, at: int, event: alarm_rule.Incident) -> None:
        """An incident of the rule's has ended, for certain at this reading."""
        incident = self.open.pop(one.name, None)
        if incident is not None and event.reason is not None:
            self.table.rows[one.row]["flagged"] = 0
            end = (_REASONS[event.reason], int(all_.piece.ts_ns[at]))
            changed = self._change(one.name, one.row, What.RESOLVED, incident, end)
            all_.judged.changes.append(changed)

    def _end(self, name: str, row: int, reason: EndReason) -> Iterator[IncidentChange]:
        """End an incident between two readings, at the last one; nothing if none is open."""
        of = self.table.rows[row : row + 1]
        of["rule"] = end_incidents(np.ascontiguousarray(of["rule"]))
        incident = self.open.pop(name, None)
        if incident is not None:
            of["flagged"] = 0
            end = (reason, int(of["last_ns"][0]))
            yield self._change(name, row, What.RESOLVED, incident, end)

    def _change(
        self,
        name: str,
        row: int,
        what: What,
        incident: OpenIncident,
        end: tuple[EndReason, int] | tuple[None, None] = (None, None),
    ) -> IncidentChange:
        """The next event of an incident; `end` is why and when it ended."""
        reason, end_ns = end
        at_ns = incident.until.ts_ns if end_ns is None else end_ns
        incident.sequence += 1
        incident.told_ns, incident.told_severity = at_ns, incident.severity
        day, week = self.table.opened(row, at_ns)
        return IncidentChange(
            sensor=name,
            what=what,
            at_ns=at_ns,
            incident=incident.copy(),
            reason=reason,
            end_ns=end_ns,
            opened_day=day,
            opened_week=week,
        )


class _One(NamedTuple):
    """A sensor of a piece: its name, its row in the table, its place among the piece's."""

    name: str
    row: int
    place: int


@dataclass(frozen=True, slots=True)
class _Followed:
    """A piece with what the rule says of it; `before`: readings that its sensors had before."""

    piece: Piece
    flagged: NDArray[np.bool_]
    told: alarm_rule.Advanced
    before: NDArray[np.int64]
    scores: Scores
    judged: Judged

"""The incidents of a partition's sensors: what the alarm rule opens and ends, with its readings.

Pure. The rule says at which reading an incident opens and ends; here stands what is told of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.calibration import alarm_rule
from detector.calibration.alarm_rule import Fired
from detector.calibration.severity import Severity, tail_p_value
from detector.scoring import Scores
from schemas.wire.incident import MAX_INCIDENT_CHANNELS, MAX_LATENT, EndReason, IncidentKind, SeenBy
from schemas.wire.verdict import FalseAlarm
from workers.stream.state.alarm_model import AlarmModel
from workers.stream.state.alarm_table import AlarmTable
from workers.stream.state.heeding import Heeding
from workers.stream.state.incident import (
    IncidentChange,
    OpenIncident,
    Place,
    Points,
    Told,
    What,
    rounded,
)
from workers.stream.state.piece import Judged, Piece

_SEEN_BY: Final = {Fired.LONG: SeenBy.LONG, Fired.SHORT: SeenBy.SHORT, Fired.RULE: SeenBy.RULE}
_REASONS: Final = {
    alarm_rule.EndReason.RECOVERED: EndReason.RECOVERED,
    alarm_rule.EndReason.NEW_NORMAL: EndReason.NEW_NORMAL,
    alarm_rule.EndReason.MAXIMUM_DURATION: EndReason.MAXIMUM_DURATION,
    alarm_rule.EndReason.OFF: EndReason.OFF,
}


@dataclass(frozen=True, slots=True)
class Followed:
    """A piece with what the rule says of it.

    Attributes:
        piece: readings.
        flagged: whether each is an anomaly.
        told: by the alarm rule.
        before: readings that each sensor had before the piece.
        by: bit set of the rules that held or raised each; None where there are none.
        scores: of the request.
        judged: filled in.
    """

    piece: Piece
    flagged: NDArray[np.bool_]
    told: alarm_rule.Advanced
    before: NDArray[np.int64]
    by: NDArray[np.int64] | None
    scores: Scores
    judged: Judged


class _One(NamedTuple):
    """A sensor of a piece: its name, its row in the table, what it remembers of false alarms."""

    name: str
    row: int
    remembered: list[FalseAlarm]


class IncidentBook:
    """The incidents that are `open` now, by sensor."""

    def __init__(self, model: AlarmModel, table: AlarmTable) -> None:
        """None is open."""
        self._model, self._table = model, table
        self.open: dict[str, OpenIncident] = {}

    def follow(self, all_: Followed, heeding: Heeding) -> None:
        """Go through the readings of sensors of which there is something to tell."""
        piece, told = all_.piece, all_.told
        shifts = piece.starts - all_.before
        opened = {event.opened + int(shifts[event.sensor]): event for event in told.opened}
        ended: dict[int, list[alarm_rule.Incident]] = {}
        for event in told.ended:
            assert event.ended is not None
            ended.setdefault(event.ended + int(shifts[event.sensor]), []).append(event)
        # Nothing happens to an incident at any other reading.
        rows = np.flatnonzero(all_.flagged | told.alarm).tolist()
        if ended:
            rows = sorted({*rows, *ended})
        if not rows:
            return
        places = np.searchsorted(np.cumsum(piece.sizes), rows, side="right").tolist()
        for place, own in groupby(zip(places, rows, strict=True), itemgetter(0)):
            name = piece.sensors[place]
            one = _One(name, int(piece.rows[place]), heeding.false_alarms(name))
            for _, at in own:
                self._at(all_, one, at, opened.get(at), ended.get(at, ()), int(shifts[place]))

    def end(self, name: str, row: int, reason: EndReason, end_ns: int) -> Iterator[IncidentChange]:
        """End a sensor's incident between two readings; nothing if none is open."""
        incident = self.open.pop(name, None)
        if incident is not None:
            self._table.rows[row]["flagged"] = 0
            yield self._change(name, row, What.RESOLVED, incident, (reason, end_ns))

    def _at(  # noqa: PLR0917 - of one reading, thousands a second
        self,
        all_: Followed,
        one: _One,
        at: int,
        opens: alarm_rule.Incident | None,
        ends: Sequence[alarm_rule.Incident],
        shift: int,
    ) -> None:
        """Take one reading in, with what begins and ends at it.

        The next one may open at the very reading at which the end of one is certain.
        """
        for event in ends:
            if event.ended is not None and event.last < event.ended:
                self._resolve(all_, one, at, event)
        self._reading(all_, one, at, opens, number=at - shift)
        for event in ends:
            if event.last == event.ended:
                self._resolve(all_, one, at, event)

    def _reading(
        self,
        all_: Followed,
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
        of = self._table.rows[row]
        return Place(int(of["first_offset"]), int(of["first_index"]), int(of["first_ns"]))

    def _run_on(self, one: _One, place: Place, number: int) -> None:
        """Note a flagged reading: it begins a run, or goes on with one that is near enough."""
        rule, of = self._model.rule, self._table.rows[one.row]
        assert rule is not None
        # Within `shortest`, the rule may have an incident that it has not reported yet.
        near = max(rule.dials.opens_within, rule.dials.shortest)
        far = number - int(of["last_flagged"]) >= near
        if one.name not in self.open and (far or not of["flagged"]):
            of["first_offset"], of["first_index"], of["first_ns"] = place
            of["flagged"] = 0
        of["last_flagged"] = number
        of["flagged"] += 1

    def _open(self, all_: Followed, one: _One, at: int, event: alarm_rule.Incident) -> None:
        """An incident opens; its first reading is that of the run of flagged ones."""
        place, of = all_.piece.place(at), self._table.rows[one.row]
        self.open[one.name] = OpenIncident(
            kind=IncidentKind.ANOMALY,
            seen_by=_SEEN_BY[event.fired],
            first=self._run(one.row) if of["flagged"] else place,
            opened_ns=place.ts_ns,
            last_ns=place.ts_ns,
            until=place,
            flagged=max(int(of["flagged"]) - int(all_.flagged[at]), 0),
        )
        self._table.count_opening(one.row, place.ts_ns)

    def _take(self, all_: Followed, incident: OpenIncident, one: _One, at: int) -> None:
        """Add a reading to an open incident."""
        piece, scores, rate = all_.piece, all_.scores, self._model.rate
        sample, flagged = int(piece.at[at]), bool(all_.flagged[at])
        score, strength = float(all_.judged.score[sample]), float(all_.told.strength[at])
        if isnan(strength):  # raised by a rule, and without a level
            strength = 0.0
        by = 0 if all_.by is None else int(all_.by[at])
        if not flagged:  # a reading that a rule holds back may lie over the bar
            strength = min(strength, 0.0)
        place = piece.place(at)
        was_raised = bool(incident.raised_by)
        if by:
            named = self._model.policy.rules.named(by)
            name = "raised_by" if flagged else "held_back_by"
            setattr(incident, name, tuple(sorted({*getattr(incident, name), *named})))
        is_limit = bool(by) and flagged
        is_farthest = incident.take(place, score, strength, flagged=flagged)
        if is_farthest:
            severity = Severity.of(tail_p_value(strength, rate), rate)
            incident.severity = max(incident.severity, int(severity))
        if is_limit:  # what a person has called a limit is no matter of chance
            incident.severity = int(Severity.HIGH)
        if is_farthest or (is_limit and not was_raised):
            incident.told = self._told(all_, one, at, by if is_limit else 0)
            latent = scores.latent[sample]
            if len(latent) <= MAX_LATENT:  # a part of it is like nothing
                incident.latent = tuple(map(rounded, latent.tolist()))
            self._suppress(incident, one, scores.contribution[sample], latent)
        if incident.points is None:
            incident.points = Points(incident.told[0].channel)
        if incident.points.is_turn():
            channel = incident.points.channel
            incident.points.add(
                place.ts_ns,
                float(piece.values[at, channel]),
                float(scores.expected[sample, channel]),
                score,
            )

    def _told(self, all_: Followed, one: _One, at: int, by: int) -> tuple[Told, ...]:
        """The channels beyond a limit of the rules `by`, then those with the largest shares."""
        piece, sample = all_.piece, int(all_.piece.at[at])
        band = self._model.bands[self._table.groups[one.row]]
        shares = all_.scores.contribution[sample].astype(np.float64)
        observed, expected = piece.values[at], all_.scores.expected[sample]
        order = np.argsort(-shares, kind="stable").tolist()
        if by:
            beyond = self._model.policy.rules.beyond(by, observed)
            order = [*beyond, *(channel for channel in order if channel not in beyond)]
        return tuple(
            Told.of(
                channel,
                float(shares[channel]),
                float(observed[channel]),
                float(expected[channel]),
                float(band[channel]),
            )
            for channel in order[:MAX_INCIDENT_CHANNELS]
        )

    def _suppress(
        self,
        incident: OpenIncident,
        one: _One,
        profile: NDArray[np.float32],
        latent: NDArray[np.float32],
    ) -> None:
        """Whether it looks like a false alarm that was called one: at its opening, and as long as.

        Once it has been told of as one to look at, it stays so; a hard limit always alarms.
        """
        if incident.raised_by:
            if incident.suppressed:
                incident.suppressed, incident.told_severity = None, 0
            return
        is_first = incident.readings == 1
        likeness = self._model.likeness
        if likeness is None or not (is_first or incident.suppressed):
            return
        group = int(self._table.groups[one.row])
        known = [
            wish
            for wish in one.remembered
            if len(wish.latent) == len(latent) and wish.model in {"", self._model.version}
        ]
        profiles = np.array(
            [[wish.profile.get(name, 0.0) for name in self._model.channels] for wish in known]
        ).reshape(len(known), len(profile))
        latents = np.array([wish.latent for wish in known]).reshape(len(known), len(latent))
        nearest = likeness.alike(
            profile.astype(np.float64), latent.astype(np.float64), profiles, latents, group
        )
        if nearest is not None:
            incident.suppressed = (str(known[nearest].id), str(known[nearest].incident))
        elif incident.suppressed:
            incident.suppressed, incident.told_severity = None, 0

    def _tell(self, all_: Followed, one: _One, what: What, incident: OpenIncident) -> None:
        all_.judged.changes.append(self._change(one.name, one.row, what, incident))

    def _resolve(self, all_: Followed, one: _One, at: int, event: alarm_rule.Incident) -> None:
        """An incident of the rule's has ended, for certain at this reading."""
        incident = self.open.pop(one.name, None)
        if incident is not None and event.reason is not None:
            self._table.rows[one.row]["flagged"] = 0
            incident.charge = event.charge
            end = (_REASONS[event.reason], int(all_.piece.ts_ns[at]))
            changed = self._change(one.name, one.row, What.RESOLVED, incident, end)
            all_.judged.changes.append(changed)

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
        day, week = self._table.opened(row, at_ns)
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

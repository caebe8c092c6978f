"""From scores to flags and incidents: the alarm rule over the readings of a partition. Pure.

Scores depend on the last R readings alone; what is a flag, what the published score is and what
is an incident depends on everything the rule has learnt of the sensor since its first reading, and
on what people said of it. So this is the part whose state is recorded
(`workers.stream.state.recorded`), and every step of it is a function of the sensor's own readings,
in their order, and of wishes that hold from a reading on: no clock, no other sensor, no cut into
requests.

The only thing told by the log's time is silence: a sensor with an open incident that brings no
reading for `AlarmPolicy.max_stale_ms` of it has a *stale* incident. It ends at the sensor's last
reading, whether the sensor's next one tells, or the others' readings do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.calibration import alarm_rule, alarm_wishes
from detector.calibration.alarm_records import QUIET, STATE
from detector.calibration.alarm_rule import Ruling
from detector.calibration.alarm_states import end_incidents
from detector.scoring import Scores
from schemas.wire.anomaly import anomaly_id
from schemas.wire.incident import EndReason
from schemas.wire.sensor_state import SensorState
from schemas.wire.verdict import Fault, Forget, NewNormal
from workers.stream.state.alarm_model import AlarmModel
from workers.stream.state.alarm_table import AlarmTable
from workers.stream.state.drift_book import DriftBook
from workers.stream.state.heeding import Due, Heeded, Heeding, deed_of
from workers.stream.state.incident import IncidentChange, OpenIncident, What, incident_id
from workers.stream.state.incident_book import Followed, IncidentBook
from workers.stream.state.off import UntilNs
from workers.stream.state.piece import Judged, Piece
from workers.stream.state.rulings import Ruled, ruled

_SCORE_DECIMALS: Final = 6
_CHARGED: Final = (STATE.names or ()).index("charged")
_PHASE: Final = (STATE.names or ()).index("phase")
_NEVER: Final = np.iinfo(np.int64).min


class SensorAlarms:
    """The alarms of the sensors of one partition.

    Attributes:
        table: the numbers that are recorded, a row per sensor.
        book: the incidents.
        drifts: the drifts; None for a model that does not watch.
        heeding: the wishes that hold.
        settling: by sensor, until when conditions put it off.
    """

    def __init__(
        self,
        model: AlarmModel,
        capacity: int,
        heeding: Heeding,
        *,
        partition: int = 0,
    ) -> None:
        """Room for so many sensors.

        Args:
            model: what judges.
            capacity: sensors.
            heeding: of wishes.
            partition: of the readings, for the ids of incidents.
        """
        self.model = model
        self.table = AlarmTable(model, capacity)
        self.book = IncidentBook(model, self.table)
        self.drifts = None if model.watch is None else DriftBook(model.watch, self.table)
        self.heeding = heeding
        self.settling: dict[str, UntilNs] = {}
        self._partition = partition

    def look(self, sensors: Collection[str]) -> None:
        """Take note of what people have said since the last look; it holds from readings on."""
        self.heeding.look(sensors)

    def judge(self, piece: Piece, scores: Scores, judged: Judged) -> None:
        """Take readings in, whose scores these are; fills `judged` for their samples."""
        if self.model.rule is None or not len(piece.at):
            return
        silent = self._silences(piece)
        # Between two sensors, nothing has to be cut.
        inside = {*self._due(piece), *np.flatnonzero(silent).tolist()}
        starts = sorted({0, *inside.difference(piece.starts.tolist())})
        for start, stop in zip(starts, [*starts[1:], len(piece.at)], strict=True):
            part = piece.part(start, stop)
            for place in np.flatnonzero(silent[start:stop][part.starts]).tolist():
                judged.changes += self.end(
                    part.sensors[place], int(part.rows[place]), EndReason.STALE
                )
            self._heed(part, judged)
            self._judge(part, scores, judged)

    def silent(self, rows: dict[str, int], clock_ms: int) -> Iterator[IncidentChange]:
        """End the incidents of sensors that have brought nothing for so long.

        Args:
            rows: of sensors in the table.
            clock_ms: log time now.
        """
        for sensor in list(self.book.open):
            if self.is_silent(rows[sensor], clock_ms):
                yield from self.end(sensor, rows[sensor], EndReason.STALE)

    def standing(self, rows: dict[str, int]) -> Iterator[IncidentChange]:
        """What is open of these sensors, as it is: nothing happens to it."""
        drifts = {} if self.drifts is None else self.drifts.open
        for sensor, incident in [*self.book.open.items(), *drifts.items()]:
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

    def is_silent(self, row: int, clock_ms: int) -> bool:
        """Whether a sensor has brought nothing for so long that its incident is stale."""
        last_ms = int(self.table.rows[row]["last_ms"])
        return 0 <= last_ms <= clock_ms - self.model.policy.max_stale_ms

    def restore(self, sensor: str, document: SensorState) -> None:
        """Go on with what was recorded of a sensor beside its row: all of it, or nothing.

        Raises:
            ValueError, TypeError, KeyError, IndexError: it is not what `more` gave.
        """
        more: Mapping[str, Any] = document.more or {}
        incident = None if document.incident is None else OpenIncident.of(document.incident)
        drift = OpenIncident.of(more["drift"]) if "drift" in more else None
        settling = {str(name): int(at) for name, at in more.get("off", {}).items()}
        if "wishes" in more:
            self.heeding.by_sensor[sensor] = Heeded.of(more["wishes"])
        if incident is not None:
            self.book.open[sensor] = incident
        if drift is not None and self.drifts is not None:
            self.drifts.open[sensor] = drift
        if settling:
            self.settling[sensor] = settling

    def forget(self, sensor: str, row: int, clock_ms: int) -> Iterator[IncidentChange]:
        """Nothing is known of a sensor from log time `clock_ms` on; what is open of it ends."""
        if self.is_silent(row, clock_ms):
            yield from self.end(sensor, row, EndReason.STALE)
        yield from self.end(sensor, row, EndReason.FORGOTTEN)
        self.heeding.forget(sensor)
        self.settling.pop(sensor, None)

    @property
    def open_incidents(self) -> int:
        """Incidents that go on, drifts too."""
        return len(self.book.open) + (0 if self.drifts is None else len(self.drifts.open))

    def more(self, sensor: str) -> dict[str, Any] | None:
        """What is to be recorded of a sensor beside its row and its incident, if anything."""
        heeded, settling = self.heeding.by_sensor.get(sensor), self.settling.get(sensor)
        document: dict[str, Any] = {}
        if heeded is not None:
            document["wishes"] = heeded.document()
        if settling:
            document["off"] = dict(settling)
        if self.drifts is not None and sensor in self.drifts.open:
            document["drift"] = self.drifts.open[sensor].document()
        return document or None

    # -- between readings ------------------------------------------------------------------------

    def _silences(self, piece: Piece) -> NDArray[np.bool_]:
        """The readings that come after a silence in which an incident has ended."""
        before = np.empty_like(piece.clock_ms)
        before[1:] = piece.clock_ms[:-1]
        before[piece.starts] = self.table.rows["last_ms"][piece.rows]
        max_stale_ms = self.model.policy.max_stale_ms
        silent: NDArray[np.bool_]
        silent = (before >= 0) & (piece.clock_ms - before >= max_stale_ms)
        if silent[piece.starts].any():
            silent[piece.starts] &= self.table.rows["rule"][piece.rows, _PHASE] != QUIET
        return silent

    def _due(self, piece: Piece) -> set[int]:
        """Where wishes begin to hold."""
        found: set[int] = set()
        starts = piece.starts
        for place in self.heeding.is_due(piece.sensors):
            start = int(starts[place])
            rows = slice(start, start + int(piece.sizes[place]))
            last_ns = int(self.table.rows["last_ns"][piece.rows[place]])
            for row in self.heeding.borders(
                piece.sensors[place], last_ns, piece.ts_ns[rows].tolist()
            ):
                found.add(start + row)
        return found

    def _heed(self, piece: Piece, judged: Judged) -> None:
        """Have the wishes hold that are due before the first readings of the piece."""
        starts = piece.starts
        for place in self.heeding.is_due(piece.sensors):
            sensor, at = piece.sensors[place], int(starts[place])
            row, next_ns = int(piece.rows[place]), int(piece.ts_ns[at])
            last_ns = int(self.table.rows["last_ns"][row])
            # Of a sensor that begins anew: the readings of its life before are not meant.
            after_ns = max(next_ns - 1, _NEVER + 1) if last_ns == _NEVER else last_ns
            for due in self.heeding.take(sensor, next_ns):
                self._apply(sensor, row, due, last_ns)
                judged.deeds.append(
                    deed_of(
                        sensor,
                        due,
                        after_ns=after_ns,
                        partition=self._partition,
                        offset=int(piece.offsets[at]),
                    )
                )

    def _apply(self, sensor: str, row: int, due: Due, last_ns: int) -> None:
        """What a wish does to the sensor's state at once."""
        rule, of = self.model.rule, self.table.rows[row : row + 1]
        assert rule is not None
        states = np.ascontiguousarray(of["rule"])
        groups = self.table.groups[row : row + 1]
        if due.withdrawn:
            before = self.heeding.withdraw(sensor, due)
            if before is not None:
                of["rule"] = alarm_wishes.revert(states, np.array([before]))
            return
        before = None
        if isinstance(due.wish, NewNormal):
            states, reference = alarm_wishes.begin_anew(states, rule, groups)
            before = tuple(reference[0].tolist())
        elif isinstance(due.wish, Forget) and due.wish.start_ns <= last_ns:
            states = alarm_wishes.forget(states, rule, groups)
        elif isinstance(due.wish, Fault) and last_ns != _NEVER:  # else nothing was charged
            incident = self.book.open.get(sensor)
            policy = self.model.policy
            if incident is not None and due.wish.incident == incident_id(
                policy.topic, self._partition, incident
            ):
                states = alarm_wishes.mark_fault(states, rule)
            else:
                charge = self._charged(row, due.wish)
                states = alarm_wishes.forgive(states, rule, np.array([charge]))
        of["rule"] = states
        self.heeding.heed(sensor, due, before)

    def _charged(self, row: int, wish: Fault) -> float:
        """What an incident that is over lifted the bar by.

        It may have been open still when it was called a fault: of the last one, the row knows.
        """
        of, topic = self.table.rows[row], self.model.policy.topic
        first = (int(of["first_offset"]), int(of["first_index"]))
        if wish.incident == anomaly_id(topic, self._partition, *first):
            return float(of["rule"][_CHARGED])
        return wish.charge

    def end(self, name: str, row: int, reason: EndReason) -> Iterator[IncidentChange]:
        """End an incident between two readings, at the last one; nothing if none is open."""
        of = self.table.rows[row : row + 1]
        of["rule"] = end_incidents(np.ascontiguousarray(of["rule"]))
        end_ns = int(of["last_ns"][0])
        yield from self.book.end(name, row, reason, end_ns)
        if self.drifts is not None and reason is not EndReason.STALE:
            yield from self.drifts.end(name, reason, end_ns)

    # -- readings --------------------------------------------------------------------------------

    def _judge(self, piece: Piece, scores: Scores, judged: Judged) -> None:
        model, table, first = self.model, self.table, len(judged.changes)
        assert model.rule is not None
        is_sample = piece.at >= 0
        samples = piece.at[is_sample]
        levels = np.full((len(piece.at), 2), np.nan)
        levels[is_sample] = scores.levels[samples, :2]
        groups = table.groups[piece.rows]
        said = self._ruled(piece, groups, scores)
        of = table.rows[piece.rows]
        before = alarm_rule.rows_seen(np.ascontiguousarray(of["rule"]))
        told = model.rule.advance(
            levels, piece.sizes, groups, np.ascontiguousarray(of["rule"]), said.ruling
        )
        of["rule"] = told.states
        lasts = np.cumsum(piece.sizes) - 1
        of["last_ns"], of["last_ms"] = piece.ts_ns[lasts], piece.clock_ms[lasts]
        table.rows[piece.rows] = of
        drifts: list[IncidentChange] = []
        if self.drifts is not None:
            unheard = said.has(Ruling.OFF | Ruling.FORGOTTEN)
            drifts = list(self.drifts.take(piece, levels[:, 0], unheard))

        flagged = np.zeros(len(piece.at), np.bool_)
        flagged[is_sample] = self._publish(piece, said, told, scores, judged)
        self.book.follow(
            Followed(piece, flagged, told, before, said.by, scores, judged),
            self.heeding,
        )
        if drifts:
            # Of each sensor in the order of its readings, wherever the log was cut.
            own = sorted([*drifts, *judged.changes[first:]], key=attrgetter("at_ns"))
            judged.changes[first:] = own

    def _ruled(self, piece: Piece, groups: NDArray[np.int64], scores: Scores) -> Ruled:
        policy = self.model.policy
        if not (policy.rules or policy.off or self.heeding.by_sensor):
            return Ruled(None, None)
        return ruled(
            piece,
            groups,
            scores,
            model=self.model,
            heeding=self.heeding,
            settling=self.settling,
        )

    def _publish(
        self,
        piece: Piece,
        said: Ruled,
        told: alarm_rule.Advanced,
        scores: Scores,
        judged: Judged,
    ) -> NDArray[np.bool_]:
        """Fill in what is published of the samples; which of them are flagged."""
        is_sample = piece.at >= 0
        samples = piece.at[is_sample]
        groups = np.repeat(self.table.groups[piece.rows], piece.sizes)[is_sample]
        threshold = told.threshold[is_sample]
        bar = self.model.bars(threshold, scores.partial[samples], groups)
        score = np.round(scores.score[samples] / bar, _SCORE_DECIMALS)
        flagged: NDArray[np.bool_] = score >= 1.0
        if said.ruling is not None:
            ruling = said.ruling[is_sample]
            off = (ruling & Ruling.OFF) != 0
            raised = ((ruling & Ruling.RAISED) != 0) & ~off
            held = ((ruling & Ruling.HELD) != 0) & ~raised & ~off
            judged.held += int((flagged & held).sum())
            score[raised] = np.maximum(score[raised], 1.0)
            flagged = (flagged | raised) & ~held & ~off
            if off.any():
                if judged.off is None:
                    judged.off = np.zeros(len(judged.score), np.bool_)
                judged.off[samples] = off
        judged.bar[samples], judged.score[samples] = bar, score
        judged.flagged[samples] = flagged
        judged.alarm[samples] = told.alarm[is_sample]
        judged.strength[samples] = told.strength[is_sample]
        return flagged

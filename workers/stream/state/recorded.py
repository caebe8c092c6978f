"""What is recorded of each sensor, because reading the last R readings again cannot tell it. Pure.

Counts since a sensor's first reading (scored, flagged, dropped), and the state of its alarms: what
the rule has learnt, and the incident that is open. They are kept in a compacted topic, one document
per sensor (`schemas.wire.sensor_state`), written in the transaction that commits the offsets they
are counted up to.

**Invariant.** A document is a function of the log alone: of the sensor's records from `since` to
before `next_offset`. It holds however polls cut the log and wherever a process is killed, because

* a request is counted when its scores are published, and its documents go with its offsets;
* a record that a document has counted already (`next_offset` lies behind it) is not counted again,
  and nothing of it is published again: at least once, documents can be ahead of the committed
  offset, but never of the outputs (`Sink.settle`);
* at least once, a sensor that is forgotten keeps its last document for one commit more: who reads
  the records behind the committed offset again must find that they were counted;
* a sensor is forgotten by a rule of the log: when a TTL window begins
  (`workers.stream.state.state_ttl`), every sensor goes whose last record, scored or not, lies
  before the beginning of the window that ended. Its next record begins it anew. So there are at
  most as many documents as sensors in two TTL windows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from detector.scoring import Scores
from schemas.settings import Guarantee
from schemas.wire.deed import Deed
from schemas.wire.incident import EndReason
from schemas.wire.sensor_state import SensorState, encode_sensor_state
from workers.stream.state.alarm_model import AlarmModel
from workers.stream.state.alarm_table import ROW_VERSION, groups_of, packed, unpacked
from workers.stream.state.alarms import SensorAlarms
from workers.stream.state.arrivals import Arrivals
from workers.stream.state.budget_use import BudgetUse, budget_use
from workers.stream.state.heeding import Heeding
from workers.stream.state.incident import IncidentChange
from workers.stream.state.piece import Judged, Piece
from workers.stream.state.wishes import WishBoard

_NEXT, _SINCE, _SCORED, _FLAGGED, _DROPPED = range(5)
_COLUMNS: Final = 5
_SMALLEST: Final = 64
_NO_TIMES: Final = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Met:
    """The readings of one piece of a batch, all within one TTL window.

    Args:
        kept_from: where the TTL window before that one begins: who was not met since is forgotten
            before anything of this piece is counted.
        sensors: u names, none twice.
        sizes: readings of each, at least 1.
        offsets: the record of each reading, sensor by sensor, in arrival order.
        scored, dropped: what became of each; neither is warming up.
        kept: the readings that were not dropped, in the same order (for alarms alone)...
        kept_sensors: ...of these sensors...
        clock_ms: ...and log time at each; -1 is unknown.
        before_ms: log time before the piece: whether what is forgotten was stale by then.
    """

    kept_from: int
    sensors: Sequence[str]
    sizes: Int64[np.ndarray, " u"]
    offsets: Int64[np.ndarray, " k"]
    scored: Bool[np.ndarray, " k"]
    dropped: Bool[np.ndarray, " k"]
    kept: Arrivals | None = None
    kept_sensors: Sequence[str] = ()
    clock_ms: Int64[np.ndarray, " a"] = field(default_factory=lambda: _NO_TIMES)
    before_ms: int = -1


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What judges the scores of a partition.

    Args:
        model: that decides.
        group_of: the calibration group of a sensor.
        partition: of the readings.
        board: what people wish; None where nobody can.
        deeds: what was done about wishes before, to be done again; for readings from a file.
    """

    model: AlarmModel
    group_of: Callable[[str], int]
    partition: int = 0
    board: WishBoard | None = None
    deeds: Sequence[Deed] = ()

    def alarms(self, capacity: int) -> SensorAlarms:
        """The alarms, with room for so many sensors."""
        heeding = Heeding(self.board, self.deeds)
        return SensorAlarms(self.model, capacity, heeding, partition=self.partition)


class RecordedState:
    """The documents of one partition, and which of them changed since the last commit."""

    def __init__(self, judge: Judge | None = None) -> None:
        """Begin without a document; `judge` judges scores, None where there are none."""
        self.cold = ""
        """Why sensors begin anew although something was recorded of them; empty if none does."""
        self.cold_sensors = 0
        """How many do."""
        self._rows: dict[str, int] = {}
        self._names: list[str] = []  # by row: a commit must not list every sensor
        self._table = np.zeros((_SMALLEST, _COLUMNS), np.int64)
        self._changed = np.zeros(_SMALLEST, np.bool_)
        # To remove with the next commit; at least once, with the one after it.
        self._removed: set[bytes] = set()
        self._forgotten: set[bytes] = set()
        self._last_documents: dict[bytes, bytes] = {}
        self._is_exact = True
        self._group_of = judge.group_of if judge is not None else lambda _: 0
        self._alarms = judge.alarms(_SMALLEST) if judge is not None else None
        # Incidents that ended with what was known of their sensors, to publish with the next work.
        self._ended: list[IncidentChange] = []

    @classmethod
    def restored(
        cls,
        found: Mapping[bytes, bytes],
        *,
        next_offset: int,
        recorded: int | None,
        cold: str,
        guarantee: Guarantee,
        judge: Judge | None = None,
        same_model: bool = True,
    ) -> "RecordedState":
        """Go on with the documents that a partition of the topic holds, or say why not.

        Args:
            found: value of each key.
            next_offset: first offset that will be scored.
            recorded: how many documents there were at the commit; None when it does not say.
            cold: why the windows begin empty; empty when they do not. Then nothing is gone on with:
                what was recorded belongs to another past than what will be read.
            guarantee: exactly once, documents and offsets are of one transaction. At least once,
                documents may be ahead, and some of a commit's may be there and others not.
            judge: as for the constructor.
            same_model: whether the model that judges is the commit's: what the rule has learnt is
                in the numbers of one model.
        """
        state = cls(judge)
        documents, unknown = _decoded(found)
        state._is_exact = is_exact = guarantee is Guarantee.EXACTLY_ONCE
        ahead = sum(document.next_offset > next_offset for document in documents.values())
        if cold and found:
            state.cold = cold
        elif is_exact and ahead:
            state.cold = (
                f"{ahead} documents count records behind the committed offset {next_offset}: the "
                "offsets were reset, or the run before was at least once"
            )
        elif recorded is None and found:
            state.cold = "the commit is of a version of Vigie that recorded nothing"
        if state.cold:
            state.cold_sensors, state._removed = len(found), set(found)
            return state
        state._take(documents, same_model=same_model)
        state._removed = set(unknown)
        if unknown:
            state.cold_sensors = len(unknown)
            state.cold = f"{len(unknown)} documents are of a version that is not known here"
        # At least once, a commit that half happened may have removed or added some.
        if recorded is not None and recorded != len(found) and (is_exact or not found):
            state.cold_sensors += max(recorded - len(found), 0)
            state.cold = (
                f"{len(found)} documents were found, the commit counted {recorded}: the topic was "
                "purged or made anew"
            )
        return state

    @property
    def sensors(self) -> int:
        """Number of documents."""
        return len(self._rows)

    @property
    def never_scored(self) -> int:
        """Sensors that never filled a window, since they are recorded."""
        return int(np.count_nonzero(self._table[: self.sensors, _SCORED] == 0))

    @property
    def budget_use(self) -> BudgetUse:
        """What its sensors made of their alarm budget: some milliseconds for 10,000 of them."""
        if self._alarms is None:
            return BudgetUse()
        rows, allowance = self._alarms.table.rows[: self.sensors], self._alarms.model.allowance
        return budget_use(self._names, rows, allowance, self._alarms.open_incidents)

    def judge(self, pieces: Iterable[Met], scores: Scores, *, clock_ms: int) -> Judged:
        """Judge the scores of a request, and count its readings.

        Args:
            pieces: what was read, in order.
            scores: of the scored readings, piece by piece, in their order.
            clock_ms: log time behind the request; -1 is unknown.
        """
        judged = Judged.of(scores)
        judged.changes, self._ended = self._ended, []
        if self._alarms is not None:
            self._alarms.look(self._rows)
        start = 0
        for met in pieces:
            stop = start + int(met.scored.sum())
            self._judge(met, scores, judged, slice(start, stop))
            start = stop
        if self._alarms is not None:
            for change in self._alarms.silent(self._rows, clock_ms):
                judged.changes.append(change)
                self._changed[self._rows[change.sensor]] = True
        return judged

    def standing(self) -> Iterator[IncidentChange]:
        """The incidents that are open now, as they are; to look at."""
        if self._alarms is not None:
            yield from self._alarms.standing(self._rows)

    def changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Key and value of what has to be written with the next commit; None removes a sensor.

        Removals come last: whatever part of it is there after a crash, something is.
        """
        written = dict(self._documents(np.flatnonzero(self._changed[: self.sensors])))
        written = self._last_documents | written
        yield from written.items()
        yield from ((key, None) for key in sorted(self._removed.difference(written)))

    def committed(self) -> None:
        """The changes are written."""
        self._changed[:] = False
        self._removed, self._forgotten = self._forgotten, set()
        self._last_documents.clear()

    def _documents(self, rows: NDArray[np.int64]) -> Iterator[tuple[bytes, bytes]]:
        names = [self._names[row] for row in rows.tolist()]
        states = self._states(rows)
        for name, columns, state in zip(names, self._table[rows].tolist(), states, strict=True):
            yield (
                name.encode(),
                encode_sensor_state(
                    *columns,
                    state_version=ROW_VERSION if state else 0,
                    state=state,
                    incident=self._incident(name),
                    more=None if self._alarms is None else self._alarms.more(name),
                ),
            )

    def _states(self, rows: NDArray[np.int64]) -> Sequence[bytes]:
        if self._alarms is None:
            return [b""] * len(rows)
        return packed(self._alarms.table.rows[rows])

    def _incident(self, name: str) -> Sequence[Any] | None:
        found = None if self._alarms is None else self._alarms.book.open.get(name)
        return None if found is None else found.document()

    def _judge(self, met: Met, scores: Scores, judged: Judged, of: slice) -> None:
        judged.changes += self._forget_before(met.kept_from, met.before_ms)
        if not len(met.sensors):
            return
        rows = self._rows_of(met.sensors)
        firsts = np.cumsum(met.sizes) - met.sizes
        seen = self._table[rows, _NEXT]
        is_counted = met.offsets[firsts] < seen
        if is_counted.any():  # once after a restart, if at all
            is_counted = met.offsets < np.repeat(seen, met.sizes)
        else:
            is_counted = np.zeros(len(met.offsets), np.bool_)
        if self._alarms is not None and len(met.kept_sensors):
            self._fold(self._alarms, met, is_counted, (scores, judged), of)
        marks = np.zeros((len(met.offsets), 3), np.int64)
        marks[:, 0], marks[:, 2] = met.scored, met.dropped
        marks[met.scored, 1] = judged.flagged[of]
        marks[is_counted] = 0
        lasts = met.offsets[firsts + met.sizes - 1] + 1
        is_new = seen == 0
        self._table[rows[is_new], _SINCE] = met.offsets[firsts[is_new]]
        self._table[rows, _SCORED:] += np.add.reduceat(marks, firsts)
        self._table[rows, _NEXT] = np.maximum(seen, lasts)
        self._changed[rows] |= lasts > seen

    def _fold(
        self,
        alarms: SensorAlarms,
        met: Met,
        is_counted: NDArray[np.bool_],
        results: tuple[Scores, Judged],
        of: slice,
    ) -> None:
        """Have the alarms go on with the readings that they do not know yet."""
        kept, names = met.kept, list(met.kept_sensors)
        assert kept is not None
        at = np.full(len(kept.ts_ns), -1, np.int64)
        at[met.scored[~met.dropped]] = np.arange(of.start, of.stop)
        fresh = ~is_counted[~met.dropped]
        clock_ms = met.clock_ms
        if not fresh.all():
            judged = results[1]
            judged.flagged[at[~fresh & (at >= 0)]] = False
            known = np.add.reduceat((~fresh & (at >= 0)).astype(np.int64), kept.firsts)
            for name, skipped in zip(names, known.tolist(), strict=True):
                judged.skipped[name] = judged.skipped.get(name, 0) + skipped
            left = np.add.reduceat(fresh.astype(np.int64), kept.firsts) > 0
            names = [name for name, is_left in zip(names, left.tolist(), strict=True) if is_left]
            kept, at, clock_ms = kept.where(fresh), at[fresh], clock_ms[fresh]
        piece = Piece(
            sensors=names,
            rows=self._rows_of(names),
            sizes=kept.sizes,
            ts_ns=kept.ts_ns,
            offsets=kept.offsets,
            indices=kept.indices,
            clock_ms=clock_ms,
            values=kept.values,
            at=at,
        )
        alarms.judge(piece, *results)

    def _take(self, documents: Mapping[str, SensorState], *, same_model: bool) -> None:
        self._names = list(documents)
        self._rows = {sensor: row for row, sensor in enumerate(documents)}
        self._allocate(max(_SMALLEST, 2 * len(documents)), kept=np.empty(0, np.int64))
        for row, of in enumerate(documents.values()):
            self._table[row] = of.next_offset, of.since, of.scored, of.flagged, of.dropped
        if self._alarms is not None:
            self._take_alarms(self._alarms, documents, same_model=same_model)

    def _take_alarms(
        self, alarms: SensorAlarms, documents: Mapping[str, SensorState], *, same_model: bool
    ) -> None:
        rows = np.arange(len(documents))
        alarms.table.begin(rows, groups_of(self._names, self._group_of))
        states, is_known = unpacked((of.state_version, of.state) for of in documents.values())
        known = np.flatnonzero(is_known)
        anew = len(is_known) - len(known)
        names = list(documents)
        for row in known.tolist():
            try:
                alarms.restore(names[row], documents[names[row]])
            except (ValueError, TypeError, KeyError, IndexError, AttributeError):
                anew += 1
            else:
                alarms.table.rows[row] = states[row]
        if anew:
            self.cold_sensors += anew
            self.cold = (
                f"the alarm states of {anew} documents are of another version of Vigie, or damaged"
            )
        if not same_model:
            self._changed[rows] = True
            for name in self._names:
                if (incident := alarms.book.open.get(name)) is not None:
                    incident.forget_model()
                self._ended += alarms.end(name, self._rows[name], EndReason.MODEL_CHANGED)
            kept = alarms.table.rows[rows][["quarter", "openings"]].copy()
            alarms.table.begin(rows, groups_of(self._names, self._group_of))
            for column in ("quarter", "openings"):
                alarms.table.rows[column][rows] = kept[column]
            alarms.heeding.forget_references()

    def _forget_before(self, offset: int, clock_ms: int) -> Sequence[IncidentChange]:
        """Forget sensors whose last record lies before an offset; what of theirs was open ends.

        As stale if it was by then: a request that ended here would have said so.

        Args:
            offset: where the TTL window before the current one begins.
            clock_ms: log time before the current one.
        """
        used = self._table[: self.sensors]
        kept = used[:, _NEXT] > offset
        if kept.all():
            return ()
        names, slots = self._names, np.flatnonzero(kept)
        gone = [(names[row], row) for row in np.flatnonzero(~kept).tolist()]
        ended = [
            change
            for name, row in gone
            if self._alarms is not None
            for change in self._alarms.forget(name, row, clock_ms)
        ]
        keys = {name.encode() for name, _ in gone}
        if self._is_exact:
            self._removed |= keys
        else:
            ending = {change.sensor for change in ended}
            rows = [row for name, row in gone if self._changed[row] or name in ending]
            self._last_documents |= dict(self._documents(np.array(rows, np.int64)))
            self._forgotten |= keys
        self._names = [names[row] for row in slots.tolist()]
        self._rows = {name: row for row, name in enumerate(self._names)}
        self._allocate(max(_SMALLEST, len(slots) + len(slots) // 4), kept=slots)
        return ended

    def _allocate(self, capacity: int, *, kept: NDArray[np.int64]) -> None:
        """Room for `capacity` sensors; these rows of before come first."""
        table, changed = self._table[kept], self._changed[kept]
        self._table = np.zeros((capacity, _COLUMNS), np.int64)
        self._changed = np.zeros(capacity, np.bool_)
        self._table[: len(kept)], self._changed[: len(kept)] = table, changed
        if self._alarms is not None:
            self._alarms.table.resize(kept, capacity)

    def _rows_of(self, sensors: Sequence[str]) -> NDArray[np.int64]:
        """The row of each sensor, a new one for a sensor not met before."""
        known, before = self._rows, len(self._rows)
        for sensor in sensors:
            if sensor not in known:
                known[sensor] = len(known)
                self._names.append(sensor)
                if self._removed or self._forgotten:
                    self._removed.discard(sensor.encode())
                    self._forgotten.discard(sensor.encode())
        if len(known) > len(self._table):
            self._allocate(2 * len(known), kept=np.arange(len(self._table)))
        if self._alarms is not None and len(known) > before:
            groups = groups_of(self._names[before:], self._group_of)
            self._alarms.table.begin(np.arange(before, len(known)), groups)
            for sensor in self._names[before:]:
                self._alarms.heeding.meet(sensor)
        return np.fromiter(map(known.__getitem__, sensors), np.int64, len(sensors))


def _decoded(found: Mapping[bytes, bytes]) -> tuple[dict[str, SensorState], list[bytes]]:
    """The documents by sensor, and the keys of those that this version does not know."""
    documents, unknown = {}, []
    for key, value in found.items():
        try:
            documents[key.decode()] = SensorState.model_validate_json(value)
        except ValueError:
            unknown.append(key)
    return documents, unknown

"""What is recorded of each sensor, because reading the last R readings again cannot tell it. Pure.

Counts since a sensor's first reading: scored, flagged, dropped. They are kept in a compacted topic,
one document per sensor (`schemas.wire.sensor_state`), written in the transaction that commits the
offsets they are counted up to.

**Invariant.** A document is a function of the log alone: of the sensor's records from `since` to
before `next_offset`. It holds however polls cut the log and wherever a process is killed, because

* a request is counted when its scores are published, and its documents go with its offsets;
* a record that a document has counted already (`next_offset` lies behind it) is not counted again:
  at least once, documents can be ahead of the committed offset;
* a sensor is forgotten by a rule of the log: when a TTL window begins
  (`workers.stream.state.state_ttl`), every sensor goes whose last record, scored or not, lies
  before the beginning of the window that ended. Its next record begins it anew. So there are at
  most as many documents as sensors in two TTL windows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from schemas.settings import Guarantee
from schemas.wire.sensor_state import SensorState, encode_sensor_state

_NEXT, _SINCE, _SCORED, _FLAGGED, _DROPPED = range(5)
_COLUMNS: Final = 5
_SMALLEST: Final = 64


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
    """

    kept_from: int
    sensors: Sequence[str]
    sizes: Int64[np.ndarray, " u"]
    offsets: Int64[np.ndarray, " k"]
    scored: Bool[np.ndarray, " k"]
    dropped: Bool[np.ndarray, " k"]


class RecordedState:
    """The documents of one partition, and which of them changed since the last commit."""

    def __init__(self) -> None:
        """Begin without a document."""
        self.cold = ""
        """Why sensors begin anew although something was recorded of them; empty if none does."""
        self.cold_sensors = 0
        """How many do."""
        self._rows: dict[str, int] = {}
        self._names: list[str] = []  # by row: a commit must not list every sensor
        self._table = np.zeros((_SMALLEST, _COLUMNS), np.int64)
        self._changed = np.zeros(_SMALLEST, np.bool_)
        self._removed: set[bytes] = set()

    @classmethod
    def restored(
        cls,
        found: Mapping[bytes, bytes],
        *,
        next_offset: int,
        recorded: int | None,
        cold: str,
        guarantee: Guarantee,
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
        """
        state = cls()
        documents, unknown = _decoded(found)
        is_exact = guarantee is Guarantee.EXACTLY_ONCE
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
        state._take(documents)
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

    def count(self, pieces: Iterable[Met], flagged: Bool[np.ndarray, " n"]) -> None:
        """Count the readings of a request whose scores are published.

        Args:
            pieces: what was read, in order.
            flagged: of the scored readings, piece by piece, in their order.
        """
        start = 0
        for met in pieces:
            stop = start + int(met.scored.sum())
            self._count(met, flagged[start:stop])
            start = stop

    def changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Key and value of what has to be written with the next commit; None removes a sensor.

        Removals come last: whatever part of it is there after a crash, something is.
        """
        rows = np.flatnonzero(self._changed[: self.sensors])
        keys = [self._names[row].encode() for row in rows.tolist()]
        for key, columns in zip(keys, self._table[rows].tolist(), strict=True):
            yield key, encode_sensor_state(*columns)
        yield from ((key, None) for key in sorted(self._removed.difference(keys)))

    def committed(self) -> None:
        """The changes are written."""
        self._changed[:] = False
        self._removed.clear()

    def _count(self, met: Met, flagged: NDArray[np.bool_]) -> None:
        self._forget_before(met.kept_from)
        if not len(met.sensors):
            return
        rows = self._rows_of(met.sensors)
        marks = np.zeros((len(met.offsets), 3), np.int64)
        marks[:, 0], marks[:, 2] = met.scored, met.dropped
        marks[met.scored, 1] = flagged
        firsts = np.cumsum(met.sizes) - met.sizes
        seen = self._table[rows, _NEXT]
        is_counted = met.offsets[firsts] < seen
        if is_counted.any():  # once after a restart, if at all
            is_counted = met.offsets < np.repeat(seen, met.sizes)
            marks[is_counted] = 0
        lasts = met.offsets[firsts + met.sizes - 1] + 1
        is_new = seen == 0
        self._table[rows[is_new], _SINCE] = met.offsets[firsts[is_new]]
        self._table[rows, _SCORED:] += np.add.reduceat(marks, firsts)
        self._table[rows, _NEXT] = np.maximum(seen, lasts)
        self._changed[rows] |= lasts > seen

    def _take(self, documents: Mapping[str, SensorState]) -> None:
        self._names = list(documents)
        self._rows = {sensor: row for row, sensor in enumerate(documents)}
        self._allocate(max(_SMALLEST, 2 * len(documents)))
        for row, of in enumerate(documents.values()):
            self._table[row] = of.next_offset, of.since, of.scored, of.flagged, of.dropped

    def _forget_before(self, offset: int) -> None:
        """Forget sensors whose last record lies before an offset."""
        used = self._table[: self.sensors]
        kept = used[:, _NEXT] > offset
        if kept.all():
            return
        names, slots = self._names, np.flatnonzero(kept)
        self._removed |= {names[row].encode() for row in np.flatnonzero(~kept).tolist()}
        self._names = [names[row] for row in slots.tolist()]
        self._rows = {name: row for row, name in enumerate(self._names)}
        table, changed = used[slots], self._changed[slots]
        self._allocate(max(_SMALLEST, len(slots) + len(slots) // 4))
        self._table[: len(slots)], self._changed[: len(slots)] = table, changed

    def _allocate(self, capacity: int) -> None:
        self._table = np.zeros((capacity, _COLUMNS), np.int64)
        self._changed = np.zeros(capacity, np.bool_)

    def _rows_of(self, sensors: Sequence[str]) -> NDArray[np.int64]:
        """The row of each sensor, a new one for a sensor not met before."""
        known = self._rows
        for sensor in sensors:
            if sensor not in known:
                known[sensor] = len(known)
                self._names.append(sensor)
        if len(known) > len(self._table):
            table, changed = self._table, self._changed
            self._allocate(2 * len(known))
            self._table[: len(table)], self._changed[: len(table)] = table, changed
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

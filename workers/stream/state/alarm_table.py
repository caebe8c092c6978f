"""The numbers that alarms of a partition's sensors hang on, a row per sensor. Pure."""

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numpy.typing import NDArray

from detector.calibration import alarm_rule, drift
from workers.stream.state.alarm_model import AlarmModel

QUARTER_NS: Final = 6 * 3600 * 10**9
"""Openings are counted by quarters of a day of event time..."""
QUARTERS: Final = 28
"""...for a week."""
MARKS: Final = 5
MARK_EPOCHS: Final = drift.WINDOW // (MARKS - 1)
"""The offsets at which every so many epochs of the drift watch began: of one more than fit into its
window, because one of them begins before it."""
_DAY: Final = 4

ROW_VERSION: Final = 10_000 * alarm_rule.STATE_VERSION + 100 * drift.STATE_VERSION + 2
"""Of what `ROW` means."""
_PACKED: Final = ("rule", "drift")
ROW: np.dtype[Any] = np.dtype(
    [
        ("rule", np.float64, (alarm_rule.STATE_SIZE,)),
        ("drift", np.float64, (drift.STATE_SIZE,)),
        ("last_ns", np.int64),
        ("last_ms", np.int64),
        ("first_offset", np.int64),
        ("first_index", np.int64),
        ("first_ns", np.int64),
        ("last_flagged", np.int64),
        ("flagged", np.int64),
        ("marks", np.int64, (MARKS,)),
        ("quarter", np.int64),
        ("openings", np.uint8, (QUARTERS,)),
    ]
)
"""State of rule and drift watch; event time of the last reading and log time then; the run of
flagged readings that goes on or went on last (its first reading, the number of its last, how
many); where epochs of the drift watch began; the incidents that opened, in the last of a sensor's
quarters of a day first."""
_TAIL: Final = np.dtype([(name, ROW[name]) for name in ROW.names or () if name not in _PACKED])

Rows = Int64[np.ndarray, " u"]


class AlarmTable:
    """`ROW` of each sensor."""

    def __init__(self, model: AlarmModel, capacity: int) -> None:
        """Room for so many sensors; none has begun."""
        self._model = model
        self.groups = np.zeros(capacity, np.int64)
        self.rows = np.zeros(capacity, ROW)

    def begin(self, rows: Rows, groups: Rows) -> None:
        """Sensors that have had no reading."""
        fresh = np.zeros(len(rows), ROW)
        fresh["last_ns"] = np.iinfo(np.int64).min
        fresh["last_ms"] = -1
        if self._model.rule is not None:
            fresh["rule"] = self._model.rule.start(groups)
        if self._model.watch is not None:
            fresh["drift"] = self._model.watch.start(len(rows))
        self.groups[rows], self.rows[rows] = groups, fresh

    def resize(self, kept: Rows, capacity: int) -> None:
        """Keep these rows, in this order, with room for `capacity`."""
        for name in ("groups", "rows"):
            old = getattr(self, name)
            new = np.zeros(capacity, old.dtype)
            new[: len(kept)] = old[kept]
            setattr(self, name, new)

    def mark(self, rows: Rows, number: int, offset: int) -> None:
        """Note where an epoch of the drift watch begins, whose number is MARK_EPOCHS * `number`."""
        self.rows["marks"][rows, number % MARKS] = offset

    def count_opening(self, row: int, ts_ns: int) -> None:
        """Count an incident that opens in the quarter of an hour of its event time."""
        of, quarter = self.rows[row], ts_ns // QUARTER_NS
        later = min(int(quarter - of["quarter"]), QUARTERS)
        if later > 0:
            of["openings"][later:] = of["openings"][: QUARTERS - later].copy()
            of["openings"][:later] = 0
            of["quarter"] = quarter
        if of["openings"][0] < np.iinfo(np.uint8).max:
            of["openings"][0] += 1

    def opened(self, row: int, ts_ns: int) -> tuple[int, int]:
        """How many incidents of a sensor opened in the day and the week before an event time."""
        day, week = openings(self.rows[row : row + 1], ts_ns)
        return int(day[0]), int(week[0])


def pack_rows(rows: NDArray[Any]) -> UInt8[np.ndarray, "n bytes"]:
    """Rows as bytes to be recorded, exact to the bit."""
    tail = np.empty(len(rows), _TAIL)
    for name in _TAIL.names or ():
        tail[name] = rows[name]
    return np.concatenate(
        [
            alarm_rule.pack_states(rows["rule"]),
            drift.pack_states(rows["drift"]),
            tail.view(np.uint8).reshape(len(rows), _TAIL.itemsize),
        ],
        axis=1,
    )


PACKED_BYTES: Final = pack_rows(np.zeros(1, ROW)).shape[1]
"""Of a packed row."""


def unpack_rows(packed: UInt8[np.ndarray, "n bytes"]) -> NDArray[Any]:
    """What `pack_rows` was given.

    Raises:
        ValueError: the bytes are not those of rows of this version.
    """
    if packed.shape[1] != PACKED_BYTES:
        raise ValueError(f"a row has {PACKED_BYTES} bytes, got {packed.shape[1]}")
    rows = np.empty(len(packed), ROW)
    rule = 8 * alarm_rule.STATE_SIZE
    rows["rule"] = alarm_rule.unpack_states(packed[:, :rule])
    rows["drift"] = drift.unpack_states(packed[:, rule : -_TAIL.itemsize])
    tail = np.ascontiguousarray(packed[:, -_TAIL.itemsize :]).view(_TAIL)[:, 0]
    for name in _TAIL.names or ():
        rows[name] = tail[name]
    return rows


def packed(rows: NDArray[Any]) -> list[bytes]:
    """Rows as they are recorded: base64."""
    return [b2a_base64(row, newline=False) for row in pack_rows(rows)]


def unpacked(states: Iterable[tuple[int, str]]) -> tuple[NDArray[Any], Bool[np.ndarray, " n"]]:
    """The rows that documents hold.

    Args:
        states: of n sensors, the version of each and its packed row.

    Returns:
        The n rows, and which of them are known: the others, of another version or damaged, are
        zeros.
    """
    nothing, parts, known = bytes(PACKED_BYTES), [], []
    for version, state in states:
        row = _row(state) if version == ROW_VERSION else None
        known.append(row is not None)
        parts.append(nothing if row is None else row)
    table = np.frombuffer(b"".join(parts), np.uint8).reshape(len(parts), PACKED_BYTES)
    return unpack_rows(table), np.array(known, np.bool_)


def _row(state: str) -> bytes | None:
    try:
        row = a2b_base64(state, strict_mode=True)
    except ValueError:
        return None
    return row if len(row) == PACKED_BYTES else None


def openings(rows: NDArray[Any], ts_ns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Incidents of sensors that opened in the day and in the week before an event time."""
    ages = ts_ns // QUARTER_NS - rows["quarter"][:, None] + np.arange(QUARTERS)
    counts = rows["openings"].astype(np.int64)
    return (
        np.where(ages < _DAY, counts, 0).sum(axis=1),
        np.where(ages < QUARTERS, counts, 0).sum(axis=1),
    )


def groups_of(sensors: Sequence[str], group_of: Any) -> NDArray[np.int64]:
    """The calibration group of each sensor."""
    return np.fromiter(map(group_of, sensors), np.int64, len(sensors))

"""Columns that look like the sensor of each row, and those of the clock that look like it. Pure.

Where rows repeat a time, some column may tell them apart. Two things tell a sensor's number from a
channel with whole values: rows of one time differ in it, and the rows of each of its values are
steady in time, or there are as many values as rows of one time. A valve's position passes neither,
a coarse reading fails the second. The milliseconds of a time pass both: they rise within each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.data.file.rows import FileRows
from workers.data.finding import Finding, Kind
from workers.data.history import History
from workers.data.layout import Layout
from workers.data.nice import resampled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SAMPLE_ROWS = 200_000
_MAX_SENSORS = 10_000
_ROWS_EACH = 5
_MOST_REPEATS_LEFT = 0.02
_HALF = 0.5
_MOST_CANDIDATES, _MOST_TOGETHER = 6, 3
_DAY_NS, _HOURS = 86_400 * 10**9, 24
_NAMED = re.compile(
    r"((machine|device|sensor|asset|pump|motor|engine|turbine|station|node|equipment|unit|meter)s?)"
    r"([ _-]?(id|no|nr|num|number))?",
    re.IGNORECASE,
)
_HOUR = re.compile(r"(.*[ _-])?(hours?|hr|hh|h|stunde)", re.IGNORECASE)
_CLOCK = re.compile(
    r"(.*[ _-])?(m(illi)?s(ec(onds?)?)?|millis|u(s(ec)?)?|micro(s(ec(onds?)?)?)?|ns|"
    r"nano(s(econds?)?)?|sub[ _-]?sec(onds?)?|frac(tion)?|min(utes?)?|mm|sec(onds?)?|ss?|sekunde|"
    r"hours?|hr|hh|h|stunde)",
    re.IGNORECASE,
)
_CLOCK_ROUNDS = (24, 60, 1_000, 1_000_000, 1_000_000_000)


@dataclass(frozen=True)
class _Column:
    """A column of few whole values: the position of each row's among them."""

    name: str
    values: FloatArray
    place: IntArray


def sensor_column_findings(
    one: FileRows, history: History, layout: Layout, *, repeated: bool
) -> Iterator[Finding]:
    """Columns of a file that look like the sensor of each row: by their values, or by their name.

    Args:
        one: its rows, in its order.
        history: what was made of all files.
        layout: how they were read.
        repeated: whether many rows repeat a time.
    """
    columns = list(_whole(one))
    rows = _Rows(one) if repeated and len(one) else None
    found = list(_by_values(rows, columns, one, history, layout)) if rows else []
    yield from found
    if not found:
        yield from (_by_name(column) for column in columns if _looks_named(column))


def _whole(one: FileRows) -> Iterator[_Column]:
    for number, channel in enumerate(one.channels):
        values = one.values[:_SAMPLE_ROWS, number]
        if not np.isfinite(values).all() or not (values == np.rint(values)).all():
            continue
        names, place = np.unique(values, return_inverse=True)
        if 1 < len(names) <= min(_MAX_SENSORS, len(values) // _ROWS_EACH):
            yield _Column(one.columns.channels.get(channel, channel), values, place)


class _Rows:
    """The times of a file, in its order."""

    def __init__(self, one: FileRows) -> None:
        self.ts_ns, self.codes = one.ts_ns[:_SAMPLE_ROWS], one.codes[:_SAMPLE_ROWS]
        self.per_time = len(self.ts_ns) / len(
            np.unique(np.stack([self.codes, self.ts_ns]), axis=1)[0]
        )

    def tells_apart(self, place: IntArray) -> bool:
        """Whether rows of one time hardly ever have the same of these values."""
        steps = self._steps(place)
        repeats = np.count_nonzero(steps == 0)
        return len(steps) > 0 and bool(repeats <= _MOST_REPEATS_LEFT * len(self.ts_ns))

    def is_steady(self, place: IntArray) -> bool:
        """Whether the rows of each value come at one interval."""
        steps = self._steps(place)
        return bool(np.count_nonzero(steps == np.median(steps)) >= _HALF * len(steps))

    def _steps(self, place: IntArray) -> IntArray:
        order = np.lexsort((self.ts_ns, place, self.codes))
        same = (np.diff(self.codes[order]) == 0) & (np.diff(place[order]) == 0)
        return np.asarray(np.diff(self.ts_ns[order])[same])

    def rises_within_a_time(self, values: FloatArray) -> bool:
        """Whether it goes up from each row to the next of the same time."""
        order = np.argsort(self.codes, kind="stable")
        within = (np.diff(self.codes[order]) == 0) & (np.diff(self.ts_ns[order]) == 0)
        return bool(within.any() and (np.diff(values[order])[within] > 0).all())


def _by_values(
    rows: _Rows, columns: Sequence[_Column], one: FileRows, history: History, layout: Layout
) -> Iterator[Finding]:
    found = [
        column
        for column in columns
        if rows.tells_apart(column.place)
        and (len(np.unique(column.place)) <= 2 * rows.per_time or rows.is_steady(column.place))
    ]
    rising = {column.name for column in found if rows.rises_within_a_time(column.values)}
    clocks = [column for column in found if column.name in rising and _is_clock(column)]
    yield from (_clock(column, one, history, layout) for column in clocks)
    if clocks:
        return
    for column in found:
        yield Finding(
            kind=Kind.SENSOR_COLUMN,
            text=f"{column.name!r} looks like the sensor of each row: it has "
            f"{len(np.unique(column.place)):,} whole values, and rows of one time differ in it",
            keys={"sensor": column.name},
            # What rises within each time could be a part of the time, too.
            certain=len(found) == 1
            and (column.name not in rising or _NAMED.fullmatch(column.name) is not None),
            channel=column.name,
        )
    if not found:
        yield from _together(rows, columns)


def _together(rows: _Rows, columns: Sequence[_Column]) -> Iterator[Finding]:
    """The fewest columns that tell rows of one time apart together, such as a line and a cell."""
    few = [one for one in columns if len(np.unique(one.place)) <= 2 * rows.per_time]
    for size in range(2, _MOST_TOGETHER + 1):
        found = []
        for some in combinations(few[:_MOST_CANDIDATES], size):
            names, place = np.unique(
                np.stack([one.place for one in some]), axis=1, return_inverse=True
            )
            if names.shape[1] <= 2 * rows.per_time and rows.tells_apart(place.ravel()):
                found.append((tuple(one.name for one in some), names.shape[1]))
        for together, count in found:
            yield Finding(
                kind=Kind.SENSOR_COLUMN,
                text=f"{' and '.join(map(repr, together))} together look like the sensor of each "
                f"row: they have {count:,} combinations of values, and rows of one time differ in "
                "them",
                keys={"sensor": together},
                channel=together[0],
            )
        if found:
            return


def _is_clock(column: _Column) -> bool:
    """Whether a column that rises within each time is a part of it, by its name or its values."""
    if _NAMED.fullmatch(column.name):
        return False
    names = np.unique(column.values)
    step = names[1] - names[0]
    even = names[0] == 0 and bool((np.diff(names) == step).all())
    return _CLOCK.fullmatch(column.name) is not None or (
        even and step * len(names) in _CLOCK_ROUNDS
    )


def _clock(column: _Column, one: FileRows, history: History, layout: Layout) -> Finding:
    text = f"{column.name!r} looks like a part of the time: it rises from row to row of one time"
    forms = layout.time_format or ("%Y-%m-%d",)
    days = one.time_form.startswith("ISO 8601, without") or bool(layout.time_format)
    of_day = np.unique(one.ts_ns[:_SAMPLE_ROWS] % _DAY_NS)
    is_hour = _HOUR.fullmatch(column.name) is not None and column.values.max() < _HOURS
    keys: dict[str, Any]
    if days and is_hour and column.values.min() >= 0 and len(of_day) == 1:
        keys = {
            "time": (*one.columns.time, column.name),
            "time_format": tuple(f"{form} %H" for form in forms),
        }
    else:
        text += ". Without it, make one row of those of a time"
        step_ns = history.repeating_step_ns
        keys = resampled(step_ns) if step_ns else {}
    return Finding(kind=Kind.CLOCK_COLUMN, text=text, keys=keys, channel=column.name)


def _looks_named(column: _Column) -> bool:
    found = _NAMED.fullmatch(column.name)
    if found is None or found[3]:
        return found is not None
    # A pump of 0 and 1, or one of few stages, is no sensor: those of sensors take turns.
    turns = np.count_nonzero(np.diff(column.values)) >= _HALF * len(column.values)
    return bool(turns) and not set(np.unique(column.values)) <= {0.0, 1.0}


def _by_name(column: _Column) -> Finding:
    return Finding(
        kind=Kind.SENSOR_COLUMN,
        text=f"{column.name!r} is called as the sensor of each row would be, and is read as a "
        "channel of one",
        keys={"sensor": column.name},
        channel=column.name,
    )

"""The times of a table: read, or named by row and column; and put in UTC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from schemas.wire.time_form import SPREADSHEET_DAYS
from workers.data.errors import FileFormatError
from workers.data.file import advice, sql, ways_out
from workers.data.file.local_time import NonexistentTimeError, to_utc
from workers.data.file.raw import RawTable
from workers.data.layout import Layout

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_FIRST_SENSIBLE_NS = dict.fromkeys(("s", "ms", "us"), 315_532_800 * 10**9)
_FIRST_SENSIBLE_NS["ns"] = 946_684_800 * 10**9
"""1980, 2000: numbers of an unknown unit that come to lie before it are no such times."""
_LOOKED_AT = 1_000
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_SECONDS_PER_DAY = 86_400
_DAYS_ROUND_TO_S = 0.1
_SECONDS_PER_YEAR = 31_556_952


class Times:
    """The times of the rows of a table, in its order.

    Attributes:
        ns: nanoseconds since 1970: of UTC where `zoned`, else of the clock on the wall; 0 where
            there is none; [n].
        present: whether there is one, [n].
    """

    def __init__(self, table: RawTable, names: Sequence[str], layout: Layout) -> None:
        """Read the column, or several whose texts are joined.

        Raises:
            FileFormatError: one is there but cannot be read; or numbers of an unknown unit.
        """
        self._table, self._names, self._layout = table, tuple(names), layout
        self._unit_found = self._unit()
        ns, zoned = self._expressions(self._unit_found)
        found = table.arrow(f"SELECT {ns} AS t, {zoned} AS z FROM raw")  # noqa: S608
        column = found.column("t")
        self.present: BoolArray = np.asarray(pc.is_valid(column)).astype(np.bool_)
        if column.null_count:
            self._check(ns)
        self.ns: IntArray = np.asarray(column.fill_null(0)).astype(np.int64)
        self._zoned = np.asarray(found.column("z").fill_null(True)).astype(np.bool_)  # noqa: FBT003

    @property
    def form(self) -> str:
        """How they are written and in which zone they were read, for people."""
        kind = self._table.type_of(self._names[0]) if len(self._names) == 1 else "VARCHAR"
        zoned, local = bool(self._zoned.any()), not self._zoned.all()
        if self._layout.time_format:
            form = " or ".join(self._layout.time_format)
        elif kind.startswith(("TIMESTAMP", "DATE")):
            form = "times of the file"
        elif self._unit_found == "excel":
            form = "day numbers of a spreadsheet"
        elif self._are_numbers():
            form = f"{_UNIT_NAMES[self._unit_found]} since 1970"
        else:
            form = "ISO 8601"
        without = f"without a zone, read as {self._layout.timezone}"
        zone = f"some with, some {without}" if zoned and local else without
        return f"{form}, {zone if local else 'with a zone'}"

    def _are_numbers(self) -> bool:
        value = _as_number(self._table.column(self._names[0]))
        return len(self._names) == 1 and bool(
            self._table.query(f"SELECT 1 FROM (SELECT {value} AS v FROM raw LIMIT 1) WHERE v = v")  # noqa: S608
        )

    def in_utc(self, rows: IntArray, series: IntArray) -> IntArray:
        """Times of some rows, in UTC.

        Args:
            rows: their positions, [k].
            series: which of them belong together, in their order, [k].

        Raises:
            FileFormatError: a time that its zone skips.
        """
        ns = self.ns[rows]
        local = np.flatnonzero(~self._zoned[rows])
        try:
            ns[local] = to_utc(ns[local], self._layout.timezone, series[local])
        except NonexistentTimeError as error:
            row = int(rows[local[error.index]]) + 1
            raise FileFormatError(
                f"{self._table.path}: row {row}, column {self._shown_names}: {error} (--timezone)"
            ) from error
        return ns

    @property
    def _shown_names(self) -> str:
        return " and ".join(map(repr, self._names))

    def _expressions(self, unit: str) -> tuple[str, str]:
        kind = self._table.type_of(self._names[0]) if len(self._names) == 1 else "VARCHAR"
        columns = [self._table.column(name) for name in self._names]
        if kind == "FLOAT":
            raise FileFormatError(
                f"{self._table.path}: column {self._names[0]!r} holds times in single precision, "
                "which are wrong by a minute: write them as whole numbers or in double precision"
            )
        return sql.time(columns, kind, self._layout, unit=unit)

    def _unit(self) -> str:
        """Unit of times given as numbers; by the size of the first where nobody says it."""
        table, name, told = self._table, self._names[0], self._layout.epoch
        if told != "auto":
            return told
        kind = table.type_of(name)
        if (
            len(self._names) > 1
            or self._layout.time_format
            or not (sql.is_number(kind) or kind == "VARCHAR")
        ):
            return "s"
        column = table.column(name)
        value = _as_number(column)
        found = table.query(
            f"SELECT v, r FROM (SELECT {value} AS v, rowid + 1 AS r FROM raw "  # noqa: S608
            f"WHERE {column} IS NOT NULL ORDER BY rowid LIMIT {_LOOKED_AT}) "
            "WHERE isfinite(v) ORDER BY r LIMIT 1"
        )
        if not found:
            return "s"
        size, row = abs(float(found[0][0])), int(found[0][1])
        limits = (("s", 1e11), ("ms", 1e14), ("us", 1e17), ("ns", float("inf")))
        unit = next(unit for unit, limit in limits if size < limit)
        if size * sql.EPOCH_NS[unit] < _FIRST_SENSIBLE_NS[unit]:
            day = "a day number of a spreadsheet (--epoch excel)"
            counter = "a count of seconds from a beginning of its own (--epoch s)"
            year = 1970 + int(size * sql.EPOCH_NS[unit] / 1e9 / _SECONDS_PER_YEAR)
            is_day = int(size) in SPREADSHEET_DAYS
            maybe = f"{day} or {counter}" if is_day else counter
            said = (
                f"{table.path}: row {row}, column {name!r}: {size:.10g} would be a time in {year}"
            )
            if unit == "ns":
                raise FileFormatError(
                    f"{said}. It may be a count of 100 ns since the year 1 or 1601, as Windows "
                    "has, which is not read: write times such as 2026-01-31T12:00:00Z"
                )
            ways = [{"epoch": "s"}]
            if is_day:
                ways = [{"epoch": "excel"}, *([] if self._are_days(value) else ways)]
            raise FileFormatError(
                f"{said}. Is it {maybe}? Say the unit with --epoch", ways_out=ways
            )
        return unit

    def _are_days(self, value: str) -> bool:
        """Whether steps of the numbers are whole seconds, if they are days: no seconds are that."""
        found = self._table.query(
            f"SELECT median(step) FROM (SELECT {value} - lag({value}) OVER (ORDER BY rowid) "  # noqa: S608
            "AS step FROM raw) WHERE step > 0"
        )
        seconds = (found[0][0] or 0) * _SECONDS_PER_DAY
        whole = abs(seconds - round(seconds)) < _DAYS_ROUND_TO_S
        return whole and 1 <= round(seconds) < _SECONDS_PER_DAY

    def _check(self, ns: str) -> None:
        """Raise for the first time that is there and cannot be read; none at all is no error."""
        columns = [sql.trimmed(self._table.column(name)) for name in self._names]
        shown = " || ' ' || ".join(f"coalesce({column}, '')" for column in columns)
        # From all of the file: on its first days a day may be a month.
        every = len(self.present) // 1000 + 1
        # The first thousand, and some of the others: to find the form that all of them have.
        wrong = self._table.query(
            "SELECT r, shown FROM (SELECT r, shown, row_number() OVER (ORDER BY r) AS k FROM ("  # noqa: S608
            f"SELECT row_number() OVER (ORDER BY rowid) AS r, trim({shown}) AS shown, {ns} AS t "
            f"FROM raw) WHERE t IS NULL AND NOT {sql.is_no_time('shown', self._layout)}) "
            f"WHERE k <= 1000 OR k % {every} = 0 ORDER BY r LIMIT 2000"
        )
        if wrong:
            row, text = wrong[0]
            samples = [str(one) for _, one in wrong]
            raise FileFormatError(
                f"{self._table.path}: row {row}, column {self._shown_names}: "
                + advice.unreadable_time(str(text), samples, self._layout),
                ways_out=ways_out.for_times(samples, self._layout),
            )


def _as_number(column: str) -> str:
    return f"TRY_CAST(replace({sql.trimmed(column)}, ',', '.') AS DOUBLE)"

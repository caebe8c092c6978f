"""The times of a table: read, or named by row and column; and put in UTC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from workers.data import advice, sql
from workers.data.errors import FileFormatError
from workers.data.layout import Layout
from workers.data.local_time import NonexistentTimeError, to_utc
from workers.data.table import RawTable

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_FIRST_SENSIBLE_NS = dict.fromkeys(("s", "ms", "us"), 315_532_800 * 10**9)
_FIRST_SENSIBLE_NS["ns"] = 946_684_800 * 10**9
"""1980, 2000: numbers of an unknown unit that come to lie before it are no such times."""
_LOOKED_AT = 1_000
_SPREADSHEET_DAYS = range(20_000, 80_000)
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
        ns, zoned = self._expressions(self._unit())
        found = table.arrow(f"SELECT {ns} AS t, {zoned} AS z FROM raw")  # noqa: S608
        column = found.column("t")
        self.present: BoolArray = np.asarray(pc.is_valid(column)).astype(np.bool_)
        if column.null_count:
            self._check(ns)
        self.ns: IntArray = np.asarray(column.fill_null(0)).astype(np.int64)
        self._zoned = np.asarray(found.column("z").fill_null(True)).astype(np.bool_)  # noqa: FBT003

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
        value = f"TRY_CAST(replace({sql.trimmed(column)}, ',', '.') AS DOUBLE)"
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
            maybe = f"{day} or {counter}" if int(size) in _SPREADSHEET_DAYS else counter
            if unit == "ns":
                maybe = "a count of 100 ns since the year 1 or 1601, as Windows has (not read)"
            raise FileFormatError(
                f"{table.path}: row {row}, column {name!r}: {size:.10g} would be a time in {year}. "
                f"Is it {maybe}? Say the unit with --epoch"
            )
        return unit

    def _check(self, ns: str) -> None:
        """Raise for the first time that is there and cannot be read; none at all is no error."""
        columns = [sql.trimmed(self._table.column(name)) for name in self._names]
        shown = " || ' ' || ".join(f"coalesce({column}, '')" for column in columns)
        wrong = self._table.query(
            f"SELECT r, shown FROM (SELECT row_number() OVER (ORDER BY rowid) AS r, "  # noqa: S608
            f"trim({shown}) AS shown, {ns} AS t FROM raw) "
            f"WHERE t IS NULL AND NOT {sql.is_no_time('shown', self._layout)} "
            "ORDER BY r LIMIT 1000"
        )
        if wrong:
            row, text = wrong[0]
            raise FileFormatError(
                f"{self._table.path}: row {row}, column {self._shown_names}: "
                + advice.unreadable_time(str(text), [str(one) for _, one in wrong], self._layout)
            )

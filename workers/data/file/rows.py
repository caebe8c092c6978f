"""The rows of one file: every value is read, or its row and column are named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from workers.data.errors import FileFormatError, listed
from workers.data.file import advice, sql, ways_out
from workers.data.file.columns import NO_VALUES, Columns, find_columns
from workers.data.file.raw import RawTable
from workers.data.file.suspects import text_findings, words_of
from workers.data.file.times import Times
from workers.data.finding import Finding
from workers.data.layout import Layout, Quality

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


_PARTED = r"[+-]?[1-9]\d{0,2}(,\d{3})+"
_MIN_PARTED = 5
_UNIT = re.compile(r"[\[(]([^\[\]()]{1,20})[\])]$")


class Reason(StrEnum):
    """Why a row is left out."""

    FIELDS = "too few or too many fields"
    NO_TIME = "no time"
    NO_SENSOR = "no sensor id"
    QUALITY = "not of good quality"
    TAG = "a tag that is no channel"
    REPEATED = "a time that repeats"
    LABELLED = "labelled anomalous"
    FAULT = "of an incident that was a fault"
    FORGOTTEN = "of a period to forget"
    NOT_ASKED = "of a sensor that --only does not name"


LeftOut = Counter[tuple[str, str]]
"""How many rows or records are left out, by reason and sensor; "" is one of no known sensor."""


@dataclass(frozen=True, kw_only=True)
class FileRows:
    """The rows of a file that have a time and a sensor, in its order.

    Attributes:
        columns: what was understood.
        sensors: names that `codes` points into.
        codes: the sensor of each row, [n].
        tags: in a long file, the channel of each row as a position in `channels`, [n]; else None.
        values: NaN = missing, [n, C]; in a long file [n, 1].
        labels: True where the file calls the row anomalous, [n].
        units: of the channels.
        read: rows of the file, all of them.
        left_out: how many rows are not here.
        told_missing: how many values of a channel were one of `layout.missing`.
        poor_values: how many values of a channel its quality took.
        names: of all columns and, in a long file, of all its tags.
        notes: what was found and may surprise.
        findings: what looks wrong with the text.
        time_form: how times are written, and in which zone they were read.
        places: of these rows among the rows of the file that can be read, from 0, [n].
    """

    path: Path
    columns: Columns
    channels: tuple[str, ...]
    sensors: tuple[str, ...]
    codes: npt.NDArray[np.int32]
    tags: npt.NDArray[np.int32] | None
    ts_ns: IntArray
    values: FloatArray
    labels: BoolArray | None
    units: Mapping[str, str]
    read: int
    left_out: LeftOut
    told_missing: Counter[str]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    time_form: str = ""
    poor_values: Counter[str] = field(default_factory=Counter)
    names: tuple[str, ...] = ()
    places: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.ts_ns)


def read_rows(table: RawTable, layout: Layout) -> FileRows:
    """Read every row of a file.

    Raises:
        FileFormatError: see `find_columns`; or a value cannot be read: its row and column, and the
            option that helps.
    """
    return _Reader(table, layout, find_columns(table, layout)).rows()


class _Reader:
    """One reading of a table."""

    def __init__(self, table: RawTable, layout: Layout, columns: Columns) -> None:
        self._table, self._layout, self._columns = table, layout, columns
        self._long = layout.long
        names = columns.channels
        self._tag_names: tuple[str, ...] = ()
        self._sources = {"value": self._long.value} if self._long else dict(names)
        self._quality = _by_column(layout.quality)

    def rows(self) -> FileRows:
        """All of them."""
        table, times = self._table, Times(self._table, self._columns.time, self._layout)
        found = self._select()
        n = found.num_rows
        sensors, codes = self._sensors(found)
        tags, channels = self._tags(found)
        left_out: LeftOut = Counter({(Reason.FIELDS, ""): len(table.unreadable)})
        keep = np.ones(n, np.bool_)
        for reason, good in (
            (Reason.NO_TIME, times.present),
            (Reason.NO_SENSOR, codes >= 0),
            (Reason.QUALITY, self._good_rows(found)),
            (Reason.TAG, keep.copy() if tags is None else tags >= 0),
        ):
            for code, count in zip(
                *np.unique(codes[keep & ~good], return_counts=True), strict=True
            ):
                left_out[reason, "" if code < 0 else sensors[code]] += int(count)
            keep &= good
        values, poor_values = self._values(found, keep)
        labels, rows = self._labels(found), np.flatnonzero(keep)
        values = values if len(rows) == n else values[rows]
        series = codes[rows].astype(np.int64)
        if tags is not None:
            series = series * len(channels) + tags[rows]
        return FileRows(
            path=table.path,
            columns=self._columns,
            channels=channels,
            sensors=sensors,
            codes=codes[rows],
            tags=None if tags is None else tags[rows],
            ts_ns=times.in_utc(rows, series),
            values=values,
            labels=None if labels is None else labels[rows],
            units=_units(table, self._columns),
            read=n + len(table.unreadable),
            left_out=+left_out,
            told_missing=self._told_missing(),
            notes=(*table.notes, *self._unused()),
            findings=text_findings(table, self._columns, self._layout),
            time_form=times.form,
            poor_values=poor_values,
            names=(*table.names, *self._tag_names),
            places=rows,
        )

    # -- the query -----------------------------------------------------------------------------

    def _select(self) -> Any:
        table, layout, columns = self._table, self._layout, self._columns
        picks = {}
        for number, name in enumerate(self._sources.values()):
            kind = table.type_of(name)
            if not (sql.is_number(kind) or kind in {"VARCHAR", "BOOLEAN", "NULL"}):
                raise FileFormatError(
                    f"{table.path}: column {name!r} holds {kind}, no numbers: leave it out with "
                    f"--ignore {name!r}",
                    ways_out=[{"ignore": (name,)}],
                )
            picks[f"v{number}"] = sql.number(table.column(name), kind, layout)
        if columns.sensor:
            picks["s"] = _joined([sql.trimmed(table.column(one)) for one in columns.sensor])
        if self._long is not None:
            picks["g"] = sql.trimmed(table.column(self._long.tag))
        if columns.label is not None:
            picks["l"] = self._label_expression(columns.label)
        for number, (_, words) in enumerate(self._quality.items()):
            column = table.column(words[0].column)
            good = [f"coalesce({sql.same(column, one.good)}, false)" for one in words]
            picks[f"q{number}"] = " OR ".join(good)
        found: dict[str, Any] = {}
        for some in sql.in_parts(list(picks)):
            expressions = ", ".join(f"{picks[name]} AS {name}" for name in some)
            part = table.arrow(f"SELECT {expressions} FROM raw")  # noqa: S608 - columns are ours, words quoted
            found.update(zip(part.column_names, part.columns, strict=True))
        return pa.table(found)

    def _label_expression(self, name: str) -> str:
        column, kind = self._table.column(name), self._table.type_of(name)
        if self._layout.label is not None and self._layout.label.words:
            same = " OR ".join(sql.same(column, word) for word in self._layout.label.words)
            return f"coalesce({same}, false)"
        value = sql.number(column, kind, self._layout)
        # NaN is missing: not anomalous. NULL cannot be read: an error.
        return f"CASE WHEN isnan({value}) THEN false ELSE {value} <> 0 END"

    # -- the other columns ---------------------------------------------------------------------

    def _values(self, found: Any, keep: BoolArray) -> tuple[FloatArray, Counter[str]]:
        """Of each channel, and how many of them its quality took."""
        values, poor = np.empty((found.num_rows, len(self._sources))), Counter[str]()
        for number, (channel, name) in enumerate(self._sources.items()):
            column, good = found.column(f"v{number}"), keep
            for at, (_, judged) in enumerate(self._quality):
                if judged is not None and judged in {channel, name}:
                    good = good & _bools(found.column(f"q{at}"))
            # A value of bad quality may be anything, such as the word Bad.
            if column.null_count and (wrong := np.asarray(pc.is_null(column)) & good).any():
                self._refuse_value(name, wrong)
            values[:, number] = column.fill_null(np.nan).to_numpy()
            if good is not keep:
                taken = keep & ~good
                there = np.asarray(pc.is_null(column)) | ~np.isnan(values[:, number])
                poor[channel] += int(np.count_nonzero(there & taken))
                values[taken, number] = np.nan
        return values, +poor

    def _refuse_value(self, name: str, wrong: BoolArray) -> None:
        index, table = int(np.argmax(wrong)), self._table
        ((text,),) = table.query(
            f"SELECT CAST({table.column(name)} AS VARCHAR) FROM raw ORDER BY rowid LIMIT 1 "  # noqa: S608
            f"OFFSET {index}"
        )
        kinds = table.query(
            f"SELECT {sql.trimmed(table.column(name))} AS word, count(*) FROM raw "  # noqa: S608
            f"WHERE {sql.number(table.column(name), table.type_of(name), self._layout)} IS NULL "
            "GROUP BY word ORDER BY 2 DESC, 1 LIMIT 20"
        )
        ways, further = self._ways_out(name, [str(word) for word, _ in kinds], wrong)
        raise FileFormatError(
            f"{table.path}: row {index + 1}, column {name!r}: "
            + advice.unreadable_value(
                str(text), [(str(w), int(c)) for w, c in kinds], [*ways, *further],
                wrong=int(wrong.sum()), rows=len(wrong),
            ),
            ways_out=ways,
        )  # fmt: skip

    def _ways_out(
        self, name: str, words: Sequence[str], wrong: BoolArray
    ) -> tuple[Sequence[ways_out.Keys], Sequence[ways_out.Keys]]:
        """Keys of a layout with which a column may be read; and some for people to know."""
        if ways := ways_out.for_marks(words, self._layout, point=self._point(name)):
            return ways, ()
        table, columns, count = self._table, self._columns, int(wrong.sum())
        if count * 2 <= len(wrong):
            alone = count == 1 and bool(wrong[0])
            return ways_out.for_some_words(words, alone_in_first_row=alone), ()
        owners = [*columns.time, *columns.sensor]
        key = ", ".join(table.column(one) for one in owners)
        ((rows, times, together),) = table.query(
            f"SELECT count(*), count(DISTINCT ({key})), "  # noqa: S608
            f"count(DISTINCT ({key}, {table.column(name)})) FROM raw"
        )
        column = ways_out.Words(
            name=name,
            words=words,
            tells_apart=times * 1.2 < rows and together > 0.95 * rows,
            numbers=[one for one in self._sources.values() if one != name],
            has_sensor=bool(columns.sensor),
            good=self._good_words(name),
        )
        ways = ways_out.for_column_of_words(column)
        return ways, ways_out.further(column, ways)

    def _good_words(self, but: str) -> dict[str, str]:
        """The word of good quality of each other column that has one."""
        found = {
            one: ways_out.good_word(one, words_of(self._table, one))
            for one in self._sources.values()
            if one != but
        }
        return {name: word for name, word in found.items() if word}

    def _point(self, name: str) -> ways_out.Point:
        """What the points in the values are, as far as these tell.

        Three digits behind every comma, beside whole values of three digits at most: a decimal
        comma would have other numbers of digits behind it, or be in every value.
        """
        table, found = self._table, []
        value = sql.trimmed(table.column(name))
        ((parted, whole, other),) = table.query(
            f"SELECT count(DISTINCT v) FILTER (regexp_full_match(v, {sql.text(_PARTED)})), "  # noqa: S608
            r"count(*) FILTER (regexp_full_match(v, '[+-]?\d{1,3}')), "
            f"count(*) FILTER (v <> '' AND NOT regexp_full_match(v, {sql.text(_PARTED)}) "
            rf"AND NOT regexp_full_match(v, '[+-]?\d{{1,3}}')) FROM (SELECT {value} AS v FROM raw)"
        )
        if parted >= _MIN_PARTED and whole and not other:
            return ways_out.Point.DECIMAL
        for pattern in (r"[+-]?\d*\.(\d{1,2}|\d{4,})", r"[+-]?[1-9]\d{0,2}(\.\d{3})+"):
            matches = " OR ".join(
                f"regexp_full_match({sql.trimmed(table.column(one))}, {sql.text(pattern)})"
                for one in self._sources.values()
            )
            found.append(bool(table.query(f"SELECT 1 FROM raw WHERE {matches} LIMIT 1")))  # noqa: S608
        decimal, grouping = found
        if decimal:
            return ways_out.Point.DECIMAL
        # Who writes a comma in numbers parts columns by a semicolon.
        grouping = grouping or table.delimiter == ";"
        return ways_out.Point.GROUPING if grouping else ways_out.Point.UNKNOWN

    def _sensors(self, found: Any) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
        if not self._columns.sensor:
            return (self._columns.sensor_id,), np.zeros(found.num_rows, np.int32)
        return _coded(found.column("s"))

    def _tags(self, found: Any) -> tuple[npt.NDArray[np.int32] | None, tuple[str, ...]]:
        """In a long file, the channel of each row, -1 for none; and the channels."""
        if self._long is None:
            return None, tuple(self._columns.channels)
        names, codes = _coded(found.column("g"))
        self._tag_names = names
        ignored = self._layout.ignore
        wanted = dict(self._columns.channels) or {n: n for n in names if n not in ignored}
        if missing := [tag for tag in wanted.values() if tag not in names]:
            raise FileFormatError(
                f"{self._table.path}: no row has the tag {missing[0]!r} in column "
                f"{self._long.tag!r}; there are {listed(names)}"
            )
        place = {tag: number for number, tag in enumerate(wanted.values())}
        lookup = np.array([place.get(name, -1) for name in names] + [-1], np.int32)
        return lookup[codes], tuple(wanted)

    def _good_rows(self, found: Any) -> BoolArray:
        good = np.ones(found.num_rows, np.bool_)
        for number, (_, channel) in enumerate(self._quality):
            if channel is None:
                good &= _bools(found.column(f"q{number}"))
        return good

    def _labels(self, found: Any) -> BoolArray | None:
        if self._columns.label is None:
            return None
        column, table, name = found.column("l"), self._table, self._columns.label
        if column.null_count:
            words = table.query(
                f"SELECT {sql.trimmed(table.column(name))}, count(*) FROM raw "  # noqa: S608
                "GROUP BY 1 ORDER BY 2 DESC LIMIT 12"
            )
            shown = listed(str(word) for word, _ in words)
            raise FileFormatError(
                f"{table.path}: the label column {name!r} holds words, {shown}: say which means "
                f"anomalous, as --label {name}={words[-1][0]}; or leave it out, --ignore {name}",
                ways_out=[
                    {"label": f"{name}={words[-1][0]}"},
                    *([] if len(words) == 2 else [{"ignore": (name,)}]),  # noqa: PLR2004 - normal or not
                ],
            )
        return _bools(column)

    def _unused(self) -> list[str]:
        return [
            f"column {name!r} was left out: {why}"
            for name, why in self._columns.unused.items()
            if why != NO_VALUES
        ]

    def _told_missing(self) -> Counter[str]:
        if not self._layout.missing:
            return Counter()
        table, found = self._table, Counter[str]()
        for some in sql.in_parts(list(self._sources.items())):
            counts = ", ".join(
                "count(*) FILTER ("
                + sql.is_told_missing(table.column(name), table.type_of(name), self._layout)
                + ")"
                for _, name in some
            )
            (row,) = table.query(f"SELECT {counts} FROM raw")  # noqa: S608 - columns are ours, words quoted
            found.update({one: int(n) for (one, _), n in zip(some, row, strict=True)})
        return +found


def _units(table: RawTable, columns: Columns) -> dict[str, str]:
    """Units of channels, from a row of units or from brackets behind the name."""
    units = {}
    for channel, name in columns.channels.items():
        below = table.units[table.names.index(name)] if name in table.names else ""
        behind = _UNIT.search(name)
        if unit := below or (behind[1] if behind else ""):
            units[channel] = unit
    return units


def _by_column(quality: Sequence[Quality]) -> dict[tuple[str, str | None], list[Quality]]:
    """The good words of each column, for rows or for a channel."""
    grouped: dict[tuple[str, str | None], list[Quality]] = {}
    for one in quality:
        grouped.setdefault((one.column, one.channel), []).append(one)
    return grouped


def _joined(parts: Sequence[str]) -> str:
    """An id of its parts; a row that lacks one of them has none."""
    lacking = " OR ".join(f"{part} = ''" for part in parts)
    together = " || '/' || ".join(parts)
    return f"CASE WHEN {lacking} THEN '' ELSE {together} END"


def _coded(column: Any) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Distinct names in order of appearance, and the position of each row's, -1 for none."""
    empty = pc.equal(column, "")
    names = pc.dictionary_encode(pc.if_else(empty, pa.scalar(None, column.type), column))
    names = names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names
    codes = names.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return tuple(names.dictionary.to_pylist()), codes


def _bools(column: Any) -> BoolArray:
    return np.asarray(pc.fill_null(column, pa.scalar(value=False))).astype(np.bool_)

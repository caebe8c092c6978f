"""Values of a file's columns as expressions of DuckDB.

A number that cannot be read is NULL, a missing one is NaN: so one pass gives the values and where
they are wrong. A time is a pair: nanoseconds, and whether it names its zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from workers.data.layout import Layout

MISSING = ("", "nan", "null", "na", "n/a", "none", "-", "#n/a", "nil")
_BLANKS = "' ' || chr(9) || chr(160) || chr(8239)"
_NO_TIMES = (*MISSING, "nat", "(null)")
NUMBERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
    "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE",
)  # fmt: skip
_ISO = (
    r"^(\d{4}[-/]\d{1,2}[-/]\d{1,2})"
    r"(?:[Tt ]\s*(\d{1,2}:\d{2})(?:(:\d{2})(?:[.,](\d{1,9})\d*)?)?)?"
    r"\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)
_CLOCK = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?"
_OFFSET = r"[+-]\d\d(:?\d\d)?"
# Days between 1899-12-30, where spreadsheets begin to count, and 1970-01-01.
_EXCEL_DAYS = 25_569
_COLUMNS_AT_ONCE = 16
EPOCH_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


T = TypeVar("T")


def in_parts(columns: Sequence[T]) -> Iterator[Sequence[T]]:
    """So many columns as one query takes: its planning takes the square of its expressions."""
    for start in range(0, len(columns), _COLUMNS_AT_ONCE):
        yield columns[start : start + _COLUMNS_AT_ONCE]


def text(literal: str) -> str:
    """A string literal."""
    return "'" + literal.replace("'", "''") + "'"


def trimmed(column: str) -> str:
    """Text without blanks around it."""
    return f"trim(CAST({column} AS VARCHAR), {_BLANKS})"


def is_number(kind: str) -> bool:
    """Whether a type of DuckDB holds numbers."""
    return kind in NUMBERS or kind.startswith("DECIMAL")


def number(column: str, kind: str, layout: Layout) -> str:
    """A value as DOUBLE: NaN where it is missing, NULL where it cannot be read."""
    if kind == "BOOLEAN":
        value = f"CAST(CAST({column} AS INTEGER) AS DOUBLE)"
    elif kind == "VARCHAR":
        value = _parsed(column, layout)
    else:
        value = f"CAST({column} AS DOUBLE)"
    finite = f"CASE WHEN isinf({value}) THEN NULL ELSE {value} END"
    found = is_missing(column, kind, layout)
    slow = f"WHEN {found} THEN 'nan'::DOUBLE ELSE {finite}"
    return f"CASE {_plain_number(column, kind, layout)} {slow} END"


def _plain_number(column: str, kind: str, layout: Layout) -> str:
    """The case of a number as DuckDB reads it by itself: fifty times as fast as the rules below."""
    if kind != "VARCHAR":
        return ""
    value, but = column, "[_]"
    if layout.decimal == ",":
        value, but = f"replace({column}, ',', '.')", "[_.]"
    plain = f"TRY_CAST({value} AS DOUBLE)"
    told = [_double(word) for word in layout.missing if _is_float(word)]
    other = f" AND {plain} NOT IN ({', '.join(told)})" if told else ""
    good = f"isfinite({plain}) AND NOT regexp_matches({column}, '{but}'){other}"
    return f"WHEN {column} IS NULL THEN 'nan'::DOUBLE WHEN {good} THEN {plain}"


def is_missing(column: str, kind: str, layout: Layout) -> str:
    """Whether a value is missing, by itself or because the user says so."""
    told = is_told_missing(column, kind, layout)
    usual = f"{column} IS NULL"
    if kind == "VARCHAR":
        words = ", ".join(map(text, MISSING))
        usual = f"({usual} OR lower({trimmed(column)}) IN ({words}))"
    return f"({usual} OR {told})" if layout.missing else usual


def is_told_missing(column: str, kind: str, layout: Layout) -> str:
    """Whether a value is one of `layout.missing`: a word as it is written, a number by its size."""
    numbers = [word for word in layout.missing if _is_float(word)]
    words = ", ".join(map(text, layout.missing)) or "NULL"
    found = [f"coalesce({trimmed(column)} IN ({words}), false)"] if kind == "VARCHAR" else []
    if numbers and kind != "BOOLEAN":
        value = _parsed(column, layout) if kind == "VARCHAR" else f"CAST({column} AS DOUBLE)"
        sizes = ", ".join(map(_double, numbers))
        if kind == "FLOAT":  # a sentinel such as -9999.9 has another value in single precision
            sizes += ", " + ", ".join(f"{_double(word)}::FLOAT::DOUBLE" for word in numbers)
        found.append(f"coalesce({value} IN ({sizes}), false)")
    return f"({' OR '.join(found)})" if found else "false"


def _double(word: str) -> str:
    # Quoted: bare, inf would be a column.
    return f"'{float(word)!r}'::DOUBLE"


def _is_float(word: str) -> bool:
    try:
        return float(word) == float(word)
    except ValueError:
        return False


def same(column: str, word: str) -> str:
    """Whether a cell holds a word; a number may be written in another way."""
    equal = f"{trimmed(column)} = {text(word)}"
    if not _is_float(word):
        return equal
    return f"({equal} OR TRY_CAST({trimmed(column)} AS DOUBLE) = {_double(word)})"


def is_no_time(shown: str, layout: Layout) -> str:
    """Whether the text in a column of times says that there is none."""
    words = ", ".join(map(text, _NO_TIMES))
    told = ", ".join(map(text, layout.missing)) or "NULL"
    return f"(lower({shown}) IN ({words}) OR coalesce({shown} IN ({told}), false))"


def _parsed(column: str, layout: Layout) -> str:
    """Text as a number, NULL where it is none."""
    # Text from word processors and some spreadsheets has the minus sign of typography.
    value, mark = f"translate({trimmed(column)}, '\u2212', '-')", layout.decimal
    point = r"\." if mark == "." else ","
    plain = rf"[+-]?(\d+({point}\d*)?|{point}\d+)([eE][+-]?\d+)?"
    digits = value
    if layout.thousands is not None:
        groups = _thousands(layout.thousands)
        # A mark that does not part groups of three is no thousands mark: 1.04 stays unreadable.
        grouped = rf"[+-]?\d{{1,3}}({groups}\d{{3}})+({point}\d*)?"
        digits = (
            f"CASE WHEN regexp_full_match({value}, {text(grouped)}) "
            f"THEN regexp_replace({value}, {text(groups)}, '', 'g') ELSE {value} END"
        )
    converted = f"replace({digits}, ',', '.')" if mark == "," else digits
    return (
        f"CASE WHEN lower({value}) = 'true' THEN 1.0 WHEN lower({value}) = 'false' THEN 0.0 "
        f"WHEN regexp_full_match({digits}, {text(plain)}) "
        f"THEN TRY_CAST({converted} AS DOUBLE) END"
    )


def _thousands(mark: str) -> str:
    """A pattern for the mark; a blank is any of those that spreadsheets write."""
    if mark in {" ", "\u00a0", "\u202f"}:
        return "[ \u00a0\u202f]"
    # The engine knows a backslash before punctuation of ASCII only.
    return rf"\{mark}" if mark.isascii() and not mark.isalnum() else mark


def time(columns: Sequence[str], kind: str, layout: Layout, *, unit: str) -> tuple[str, str]:
    """Nanoseconds as BIGINT, NULL where there is none or none can be read; and if it is in UTC.

    Args:
        columns: of the table; the texts of several are joined by a blank.
        kind: the type of the only one, VARCHAR of several.
        layout: the forms of a time.
        unit: of times given as numbers: s, ms, us, ns or excel.
    """
    if len(columns) > 1:
        # Not `concat_ws`: of a row that lacks its clock it would make midnight.
        return _text_time(" || ' ' || ".join(map(trimmed, columns)), layout, unit)
    (column,) = columns
    if kind == "VARCHAR":
        return _text_time(trimmed(column), layout, unit)
    if kind in {"TIMESTAMP_NS", "TIMESTAMPTZ_NS"}:
        return f"epoch_ns({column})", str(kind == "TIMESTAMPTZ_NS").lower()
    if kind == "TIMESTAMP WITH TIME ZONE":
        return _nanoseconds(f"epoch_us({column})"), "true"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return _nanoseconds(f"epoch_us(CAST({column} AS TIMESTAMP))"), "false"
    return _epoch(column, unit, exact=kind not in {"FLOAT", "DOUBLE"})


def _nanoseconds(microseconds: str) -> str:
    return f"TRY_CAST(CAST({microseconds} AS HUGEINT) * 1000 AS BIGINT)"


def _text_time(value: str, layout: Layout, unit: str) -> tuple[str, str]:
    if layout.time_format:
        return _formatted(value, layout.time_format)
    parts = f"regexp_extract({value}, {text(_ISO)}, ['d', 'hm', 's', 'f', 'z'])"
    day = f"replace({parts}.d, '/', '-')"
    clock = f"CASE WHEN {parts}.hm = '' THEN '00:00' ELSE {parts}.hm END"
    seconds = f"CASE WHEN {parts}.s = '' THEN ':00' ELSE {parts}.s END"
    local = f"epoch_us(TRY_CAST({day} || ' ' || {clock} || {seconds} AS TIMESTAMP))"
    fraction = f"CAST(rpad({parts}.f, 9, '0') AS BIGINT)"
    digits = f"rpad(replace({parts}.z[2:], ':', ''), 4, '0')"
    behind = (
        f"CASE WHEN {parts}.z[1] IN ('+', '-') THEN (CASE {parts}.z[1] WHEN '-' THEN -1 ELSE 1 END)"
        f" * (CAST({digits}[1:2] AS BIGINT) * 3600 + CAST({digits}[3:4] AS BIGINT) * 60) ELSE 0 END"
    )
    exact = f"CAST({local} AS HUGEINT) * 1000 + {fraction} - ({behind}) * 1000000000"
    nanoseconds = f"TRY_CAST({exact} AS BIGINT)"
    number_ns, number_zoned = _epoch(value, unit, exact=True)
    is_epoch = rf"regexp_full_match({value}, '[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?')"
    plain, plain_zoned = _plain_time(value)
    slow = f"WHEN {is_epoch} THEN {number_ns} WHEN {parts}.d <> '' THEN {nanoseconds}"
    return (
        f"CASE {plain} {slow} END",
        f"CASE {plain_zoned} WHEN {is_epoch} THEN {number_zoned} ELSE {parts}.z <> '' END",
    )


def _plain_time(value: str) -> tuple[str, str]:
    """The cases of the usual forms, which DuckDB reads by itself: ten times as fast.

    But for the offset: a cast to TIMESTAMP_NS passes over it without a word.
    """
    local = f"regexp_full_match({value}, {text(_CLOCK + 'Z?')})"
    with_offset = f"regexp_full_match({value}, {text(_CLOCK + _OFFSET)})"
    read = f"epoch_ns(TRY_CAST({value} AS TIMESTAMP_NS))"
    digits = f"replace(regexp_extract({value}, {text(_OFFSET + '$')}), ':', '')"
    minutes = (
        f"(CAST({digits}[1:3] AS HUGEINT) * 60 "
        f"+ CAST({digits}[1:1] || rpad({digits}[4:5], 2, '0') AS HUGEINT))"
    )
    exact = f"TRY_CAST({read} - {minutes} * 60000000000 AS BIGINT)"
    return (
        f"WHEN {local} THEN {read} WHEN {with_offset} THEN {exact}",
        f"WHEN {local} THEN suffix({value}, 'Z') WHEN {with_offset} THEN true",
    )


def _formatted(value: str, forms: Sequence[str]) -> tuple[str, str]:
    times, zoned = [], []
    for form in forms:
        parsed = f"try_strptime({value}, {text(form)})"
        has_zone = "%z" in form or "%Z" in form
        if "%n" in form and not has_zone:
            times.append(f"epoch_ns({parsed})")
        else:
            times.append(_nanoseconds(f"epoch_us({parsed})"))
        zoned.append(f"WHEN {parsed} IS NOT NULL THEN {str(has_zone).lower()}")
    return f"coalesce({', '.join(times)})", f"CASE {' '.join(zoned)} END"


def _epoch(column: str, unit: str, *, exact: bool) -> tuple[str, str]:
    """Numbers since 1970, in UTC; days of a spreadsheet are local, to the millisecond."""
    amount = column
    if exact:
        amount = f"TRY_CAST(replace(CAST({column} AS VARCHAR), ',', '.') AS DECIMAL(38, 12))"
    if unit == "excel":
        days = f"(CAST({amount} AS DOUBLE) - {_EXCEL_DAYS})"
        return (
            f"TRY_CAST(CAST(round({days} * 86400000) AS HUGEINT) * 1000000 AS BIGINT)",
            "false",
        )
    factor = EPOCH_NS[unit]
    if exact:
        return f"TRY_CAST(TRY_CAST({amount} AS DECIMAL(28, 9)) * {factor} AS BIGINT)", "true"
    microseconds = f"TRY_CAST(round(CAST({column} AS DOUBLE) * {factor / 1e3!r}) AS HUGEINT)"
    return f"TRY_CAST({microseconds} * 1000 AS BIGINT)", "true"

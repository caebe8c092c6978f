"""How a text file is written: delimiter, comments, the line with the names, a row of units.

Found by fixed rules over the first lines rather than by a sniffer: one truncated line made DuckDB's
choose another delimiter, and skip rows without a word. Whatever is found beyond a comma and a first
line of names is noted, for people. Pure.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workers.data.errors import FileFormatError
from workers.data.layout import Layout

DELIMITERS = (";", "\t", "|", ",")
"""The comma last: a decimal comma parts columns as well as any delimiter does."""
_SHOWN = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma"}
_LINES = 200
_OPEN_QUOTE = re.compile(r'(?:^|[,;\t|]) *"[^"]*$')
_HEADER_LINES = 10
_UNIT_ROWS = 3
_NUMBER = re.compile(r"[+-]?(\d[\d.,' ]*|[.,]\d+)([eE][+-]?\d+)?")
_TOLD = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""A first line by which spreadsheets tell each other the delimiter."""
_TIME = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """What it takes to read a text file.

    Attributes:
        names: of the columns, without blanks around them.
        data_line: lines before the first row of data.
        comment: character that the user says begins a comment; "" for none.
        units: of the columns, from a row below their names.
        notes: what was found and may surprise.
    """

    delimiter: str
    names: tuple[str, ...]
    data_line: int
    comment: str = ""
    units: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_dialect(text: str, layout: Layout, given: Sequence[str] = ()) -> Dialect:
    """Look at the first lines of a file.

    Args:
        text: its beginning; whole lines.
        layout: what is known already.
        given: the names of the columns, where the file has no line of them.

    Raises:
        FileFormatError: empty, or no line of names; without the name of the file.
    """
    lines, comment, told, rows = _looked_at(text, layout)
    found = told or _delimiter([line for _, line in rows])
    delimiter = layout.delimiter or found
    if given:
        return Dialect(
            delimiter=delimiter, names=tuple(given), data_line=rows[0][0], comment=comment
        )
    fields = [_split(line, delimiter) for _, line in rows]
    at = _header(fields)
    first, names, notes = rows[at][0], list(fields[at]), []
    if comment and (hidden := _commented_header(lines, rows, fields, comment, delimiter)):
        first, names = hidden
        at = next((n for n, (line, _) in enumerate(rows) if line > first), len(rows)) - 1
        notes.append(f"the names of the columns stand behind the comment mark {comment!r}")
    elif is_data(names):
        raise FileFormatError(
            f"line {first + 1} holds data where the names of the columns belong: put a line of "
            "names before it, such as time,sensor_id,flow"
        )
    _end_alike(names, fields[at + 1 :])
    comments = sum(line.startswith(comment) for line in lines[:first]) if comment else 0
    if comments:
        notes.append(
            f"{counted(comments, 'line')} of comments ({comment}) before the names of the columns"
        )
    if at > 0:
        were = "was" if at == 1 else "were"
        notes.append(f"{counted(at, 'line')} before the names of the columns {were} left out")
    if len(names) == 1 and layout.delimiter is None:
        _check_blanks([line for _, line in rows[at:]])
    if delimiter != "," and layout.delimiter is None:
        notes.append(f"columns are parted by a {_SHOWN.get(delimiter, repr(delimiter))}")
    units, count = find_units(fields[at + 1 : at + 2 + _UNIT_ROWS], layout)
    if units and layout.units_row is None:
        notes.append("the row below the names holds units")
    if count > 1:
        notes.append(f"{count} rows below the names were left out: units, types and the like")
    last = rows[at + count][0] if units else first
    return Dialect(
        delimiter=delimiter,
        names=tuple(" ".join(name.split()) for name in names),
        data_line=last + 1,
        comment=layout.comment or "",
        units=units,
        notes=tuple(notes),
    )


def _looked_at(text: str, layout: Layout) -> tuple[list[str], str, str, list[tuple[int, str]]]:
    """The first lines, their comment mark, a delimiter that they tell; and those that count."""
    # Not `splitlines`, which parts at form feeds and the like as well.
    lines = text.split("\n", _LINES + layout.skip_rows)[: _LINES + layout.skip_rows]
    comment = layout.comment or _comment(lines[layout.skip_rows :])
    told = _TOLD.fullmatch(lines[layout.skip_rows]) if len(lines) > layout.skip_rows else None
    first_line = layout.skip_rows + (1 if told else 0)
    # Below the names a # that nobody told of begins a value: #N/A, or an id such as #1.
    until = len(lines) if layout.comment else _first_row(lines, layout.skip_rows, comment)
    rows = [
        (number, line)
        for number, line in _records(lines)
        if number >= first_line
        and line.strip()
        and not (comment and number < until and line.startswith(comment))
    ]
    if not rows:
        raise FileFormatError("the file is empty")
    return lines, comment, told[1] if told else "", rows


def _end_alike(names: list[str], rows: Sequence[Sequence[str]]) -> None:
    """Give or take a name without letters, where lines end with a delimiter."""
    widest = max(map(len, rows), default=len(names))
    if widest == len(names) + 1 and all(not row[-1] for row in rows):
        names.append("")  # each line of data does
    elif len(names) == widest + 1 and not names[-1]:
        del names[-1]  # only the line of names does


def _check_blanks(lines: Sequence[str]) -> None:
    """Raise if columns are parted by blanks, of which a name or a time may hold some as well."""
    words = {len(line.split()) for line in lines}
    if len(lines) > 1 and len(words) == 1 and words != {1}:
        one_each = not any("  " in line.strip() for line in lines)
        raise FileFormatError(
            "columns seem to be parted by blanks: --delimiter space if there is one each; else "
            "write another mark in their place",
            ways_out=[{"delimiter": " "}] if one_each else [],
        )


def _comment(lines: Sequence[str]) -> str:
    first = next((line for line in lines if line.strip()), "")
    return "#" if first.startswith("#") else ""


def _first_row(lines: Sequence[str], skipped: int, comment: str) -> int:
    """The first line that holds something other than a comment."""
    return next(
        (
            number
            for number, line in enumerate(lines)
            if number >= skipped and line.strip() and not (comment and line.startswith(comment))
        ),
        len(lines),
    )


def counted(count: int, noun: str) -> str:
    """A number and its noun, in the plural if need be."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _records(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; those that a quoted name runs over as one, under the last number.

    Spreadsheets break the lines of names. A quote that nothing closes nearby is only a quote.
    """
    number = 0
    while number < len(lines):
        line = lines[number]
        if _OPEN_QUOTE.search(line) and line.count('"') % 2:
            for end in range(number + 1, min(number + _HEADER_LINES, len(lines))):
                if lines[end].count('"') % 2:
                    line, number = " ".join(lines[number : end + 1]), end
                    break
        yield number, line
        number += 1


def _split(line: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a field of more than 128 kB
        row = line.split(delimiter)
    return [field.strip() for field in row]


def _delimiter(lines: Sequence[str]) -> str:
    """The one that gives most lines the same number of fields, and more than one."""

    def fit(delimiter: str) -> tuple[float, int]:
        counts = Counter(len(_split(line, delimiter)) for line in lines)
        fields, times = max(counts.items(), key=lambda item: (item[1], item[0]))
        return (times / len(lines) if fields > 1 else 0.0), fields

    return max(DELIMITERS, key=fit)


def _header(fields: Sequence[Sequence[str]]) -> int:
    """The row of the names: the first as wide as most, or the one before it that is one less."""
    widths = Counter(map(len, fields))
    width = max(widths, key=lambda one: (widths[one], one))
    at = next(n for n, row in enumerate(fields) if len(row) == width)
    if at and is_data(fields[at]) and len(fields[at - 1]) in {width - 1, width + 1}:
        return at - 1
    return at


def is_data(row: Sequence[str]) -> bool:
    """Whether a row looks like values: it has a time, or begins with a number.

    Names may be numbers (`time,0,1,2`), but the first of them seldom is.
    """
    return bool(_NUMBER.fullmatch(row[0])) or any(_TIME.fullmatch(field) for field in row)


def _commented_header(
    lines: Sequence[str],
    rows: Sequence[tuple[int, str]],
    fields: Sequence[Sequence[str]],
    comment: str,
    delimiter: str,
) -> tuple[int, list[str]] | None:
    """Line and names, where the last comment before data has a field for each of its columns."""
    first = rows[0][0]
    if not first or not is_data(fields[0]) or not lines[first - 1].startswith(comment):
        return None
    names = _split(lines[first - 1].lstrip(comment), delimiter)
    return (first - 1, names) if len(names) == len(fields[0]) > 1 else None


def find_units(below: Sequence[Sequence[str]], layout: Layout) -> tuple[tuple[str, ...], int]:
    """The units below the names, and of how many rows they and their like are (types, ...).

    Args:
        below: the first rows below the names.
        layout: whether units are there; else they are where rows without a number or a time stand
            before a row of data.
    """
    bare = next((n for n, row in enumerate(below) if _has_values(row)), len(below))
    if layout.units_row is False or not below:
        return (), 0
    if layout.units_row is None:
        looks_like_units = bare < len(below) and any(map(any, below[:bare])) and bare
        if not looks_like_units or not is_data(below[bare]):
            return (), 0
    return tuple(below[0]), max(bare if bare < len(below) else 1, 1)


def _has_values(row: Sequence[str]) -> bool:
    return any(_NUMBER.fullmatch(field) or _TIME.fullmatch(field) for field in row)

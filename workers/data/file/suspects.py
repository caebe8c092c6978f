"""What looks wrong with the text of a file's columns, before it is read as numbers."""

from __future__ import annotations

from collections.abc import Iterator

from workers.data.errors import listed
from workers.data.file import sql
from workers.data.file.columns import Columns
from workers.data.file.raw import RawTable
from workers.data.finding import Finding, Kind
from workers.data.layout import Layout

_SAMPLE_ROWS = 100_000
_MIN_POINTED = 5
_GROUPED = r"[+-]?[1-9]\d{0,2}(\.\d{3})+"


def text_findings(table: RawTable, columns: Columns, layout: Layout) -> tuple[Finding, ...]:
    """What looks wrong with the words and the marks in a table."""
    return (
        *_thousands(table, columns, layout),
        *_label_word(table, columns, layout),
        *_quality_words(table, layout),
    )


def _thousands(table: RawTable, columns: Columns, layout: Layout) -> Iterator[Finding]:
    """Points that part groups of three: three digits behind each of them, beside whole values.

    Who writes a fraction with three digits writes them all (1.000), and who leaves out the last
    zeros writes 1.5 somewhere. A whole value of four digits has no thousands mark, so there are
    none.
    """
    if layout.decimal != "." or layout.thousands is not None:
        return
    names = [layout.long.value] if layout.long else list(columns.channels.values())
    names = [name for name in names if table.type_of(name) == "VARCHAR"]
    for some in sql.in_parts(names):
        picks = ", ".join(
            f"{sql.trimmed(table.column(name))} AS v{number}" for number, name in enumerate(some)
        )
        counts = ", ".join(
            f"{count} FILTER (regexp_full_match(v{number}, {sql.text(pattern)}))"
            for number in range(len(some))
            for count, pattern in (
                ("count(*)", _GROUPED),
                ("count(*)", r"[+-]?(\d*\.\d*|\d{4,}).*"),
                (f"any_value(v{number})", _GROUPED),
                (f"any_value(v{number})", r"[+-]?\d{1,3}"),
            )
        )
        (found,) = table.query(
            f"SELECT {counts} FROM (SELECT {picks} FROM raw LIMIT {_SAMPLE_ROWS})"  # noqa: S608 - columns are ours, patterns quoted
        )
        for number, name in enumerate(some):
            grouped, other, pointed, whole = found[4 * number : 4 * number + 4]
            if grouped >= _MIN_POINTED and whole is not None and grouped == other:
                yield Finding(
                    kind=Kind.THOUSANDS,
                    text=f"{name!r} holds {pointed} beside {whole}: a point with three digits "
                    "behind it wherever there is one, as a thousands mark has",
                    keys={"thousands": ".", "decimal": ","},
                    channel=name,
                )


def _label_word(table: RawTable, columns: Columns, layout: Layout) -> Iterator[Finding]:
    """A word that says which rows are anomalous, in a column that holds others only."""
    if layout.label is None or columns.label is None:
        return
    words = words_of(table, columns.label)
    told = layout.label.words
    unknown = [word for word in told if not _is_held(table, columns.label, word)]
    if len(words) <= 1 or not unknown:
        return
    word, others = unknown[0], tuple(one for one in told if one not in unknown)
    likely = next((one for one in words if one.casefold() == word.casefold()), words[-1])
    yield Finding(
        kind=Kind.LABEL_WORD,
        text=f"no row of {columns.label!r} holds {word!r}, so none counts as anomalous"
        + (" by that word" if others else "")
        + f"; it holds {listed(words)}",
        keys={"label": f"{columns.label}={likely}"} if not others else {},
    )


def _quality_words(table: RawTable, layout: Layout) -> Iterator[Finding]:
    """A column of which no row is good."""
    for column in dict.fromkeys(one.column for one in layout.quality):
        good = [one for one in layout.quality if one.column == column]
        words = words_of(table, column)
        if not words or any(_is_held(table, column, one.good) for one in good):
            continue
        wanted = good[0].good
        likely = next((one for one in words if one.casefold() == wanted.casefold()), words[0])
        yield Finding(
            kind=Kind.QUALITY_WORD,
            text=f"no row of {column!r} holds {wanted!r}, so none is good; it holds "
            f"{listed(words)}",
            keys={"quality": (str(good[0]._replace(good=likely)),)},
        )


def words_of(table: RawTable, column: str) -> list[str]:
    """The words of a column, the most frequent first, twelve at most."""
    found = table.query(
        f"SELECT {sql.trimmed(table.column(column))} AS w, count(*) FROM raw "  # noqa: S608
        "WHERE w IS NOT NULL AND w <> '' GROUP BY w ORDER BY 2 DESC, 1 LIMIT 12"
    )
    return [str(word) for word, _ in found]


def _is_held(table: RawTable, column: str, word: str) -> bool:
    """Whether a cell holds a word, by the rule that reads it."""
    same = sql.same(table.column(column), word)
    return bool(table.query(f"SELECT 1 FROM raw WHERE {same} LIMIT 1"))  # noqa: S608 - words are quoted

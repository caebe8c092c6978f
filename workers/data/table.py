"""One file as a table of an embedded DuckDB: CSV, Parquet or Excel, whatever its name is.

DuckDB does the reading and the typing. What is ours: finding out how a text file is written
(`dialect`), and never letting a value pass that cannot be read. Nothing is fetched at run time:
extensions that are not part of the package stay off, so encodings other than UTF-8 are Python's.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import itertools
import lzma
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workers.data.dialect import Dialect, find_dialect, find_units
from workers.data.errors import FileFormatError
from workers.data.layout import Layout

MAX_COLUMNS = 4_096
_NAMES_COMPARED = 64
_PIECE_BYTES = 4 * 2**20
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PACKED: Mapping[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda raw: pa.CompressedInputStream(raw, "zstd"),
}
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """A file as DuckDB's table `raw`, with one column for each of the file's, in its order.

    Attributes:
        names: of the columns in the file, without blanks around them.
        columns: their names in the table: c0, c1, ...
        types: as DuckDB calls them; VARCHAR where nothing is known.
        units: of columns, from a row of units; `""` where there is none.
        notes: what was found and may surprise.
        unreadable: number and text of each line that has too few or too many fields.
    """

    path: Path
    database: duckdb.DuckDBPyConnection
    names: tuple[str, ...]
    types: tuple[str, ...]
    units: tuple[str, ...]
    notes: tuple[str, ...]
    unreadable: tuple[tuple[int, str], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in the table."""
        return tuple(f"c{number}" for number in range(len(self.names)))

    def column(self, name: str) -> str:
        """The table's name of a file's column."""
        return f"c{self.names.index(name)}"

    def type_of(self, name: str) -> str:
        """The type of a file's column, as DuckDB calls it."""
        return self.types[self.names.index(name)]

    def arrow(self, sql: str) -> Any:
        """The result of a query as an Arrow table; raises as `query`."""
        with reading(self.path):
            return self.database.sql(sql).to_arrow_table()

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query.

        Raises:
            FileFormatError: DuckDB's reason, with the file.
        """
        with reading(self.path):
            return self.database.execute(sql, list(parameters)).fetchall()


@contextmanager
def open_raw(path: Path, layout: Layout) -> Iterator[RawTable]:
    """Read a file into a table on disk that is gone when the block is left.

    Raises:
        FileFormatError: no such file, an unknown format or encoding, no names of columns, one name
            twice, or too many columns.
    """
    if not path.is_file():
        what = "not a file, which is read twice" if path.exists() else "no such file"
        raise FileFormatError(f"{path}: {what}")
    with tempfile.TemporaryDirectory(prefix="vigie-data-") as scratch, reading(path):
        # Under a name of ours: in the user's, DuckDB would take [ ] * ? for a pattern.
        link = Path(scratch) / "input"
        link.symlink_to(path.resolve())
        database = duckdb.connect(str(Path(scratch) / "table.db"), config=dict(_SETTINGS))
        try:
            database.execute("SET TimeZone = 'UTC'")
            table = _fill(path, link, database, layout)
            _check_names(path, table.names)
            yield table
        finally:
            database.close()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong while it is read."""
    try:
        yield
    except duckdb.Error as error:
        first = re.sub(r"'[^']*/vigie-data-[^']*'", "", str(error).partition("\n")[0]).strip()
        raise FileFormatError(f"{path}: {first}") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise FileFormatError(f"{path}: {error}") from error


def _fill(path: Path, link: Path, database: duckdb.DuckDBPyConnection, layout: Layout) -> RawTable:
    with link.open("rb") as stream:
        magic = stream.read(8)
    if magic.startswith(b"PAR1"):
        return _parquet(path, link, database)
    if magic.startswith(_EXCEL):
        return _excel(path, link, database, layout)
    return _text(path, link, database, layout)


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet(path: Path, link: Path, database: duckdb.DuckDBPyConnection) -> RawTable:
    found = database.execute(
        "DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(link)]
    ).fetchall()
    # Told apart by case and repeated as in the file; DuckDB gives such columns names of its own.
    names = pq.read_schema(link).names
    picked = ", ".join(
        f"{_as_text(_quoted(name)) if kind == 'BLOB' else _quoted(name)} AS c{number}"
        for number, (name, kind, *_) in enumerate(found)
    )
    database.execute(
        f"CREATE TABLE raw AS SELECT {picked} FROM read_parquet(?, hive_partitioning = false)",  # noqa: S608 - names are quoted
        [str(link)],
    )
    return RawTable(
        path=path,
        database=database,
        names=_named(names),
        types=tuple("VARCHAR" if k == "BLOB" else str(k).strip('"') for _, k, *_ in found),
        units=("",) * len(names),
        notes=(),
    )


def _as_text(column: str) -> str:
    # Spark, Impala and others write text as bytes without saying that it is text.
    return f"coalesce(TRY(decode({column})), CAST({column} AS VARCHAR))"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# -- text ------------------------------------------------------------------------------------------


def _text(path: Path, link: Path, database: duckdb.DuckDBPyConnection, layout: Layout) -> RawTable:
    data = link.with_name("data")
    dialect, lines = _plain_rows(path, link, data, layout)
    columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(len(dialect.names)))
    database.execute(
        "CREATE TABLE raw AS SELECT * FROM read_csv(?, auto_detect = false, header = false, "  # noqa: S608 - only numbers of columns are put in
        f"columns = {{{columns}}}, delim = ?, quote = '\"', escape = '\"', comment = '', skip = 0, "
        "new_line = '\\n', store_rejects = true, rejects_limit = 0, max_line_size = 16777216, "
        "buffer_size = 33554432, "
        "nullstr = '', allow_quoted_nulls = true)",
        [str(data), dialect.delimiter],
    )
    rejected = [
        (int(line) + dialect.data_line, str(text), str(kind))
        for line, text, kind in database.execute(
            "SELECT line, any_value(csv_line), min(error_type) FROM reject_errors GROUP BY line "
            "ORDER BY line"
        ).fetchall()
    ]
    cut_off = dialect.data_line + lines.filled + lines.empty
    for line, text, kind in rejected:
        if "\n" in text.rstrip("\n") or ("QUOTE" in kind and line != cut_off):
            raise FileFormatError(
                f"{path}: line {line}: a quoted field is not closed, or goes on behind its closing "
                f"quote: {text[:60]!r}"
            )
    units = dialect.units + ("",) * (len(dialect.names) - len(dialect.units))
    notes = _check_lines(path, database, lines, dialect, len(rejected))
    notes += _drop_repeated_names(database, dialect.names)
    return RawTable(
        path=path,
        database=database,
        names=_named(dialect.names),
        types=("VARCHAR",) * len(dialect.names),
        units=units,
        notes=(*dialect.notes, *notes),
        unreadable=tuple((line, text) for line, text, _ in rejected),
    )


def _drop_repeated_names(database: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
    """Delete rows that repeat the names: files were put one behind the other."""
    compared = names[:_NAMES_COMPARED]
    same = " AND ".join(f"coalesce(trim(c{n}), '') = ?" for n in range(len(compared)))
    ((count,),) = database.execute(
        f"DELETE FROM raw WHERE {same}",  # noqa: S608 - only numbers of columns are put in
        list(compared),
    ).fetchall()
    return [f"{count:,} lines that repeat the names of the columns were left out"] if count else []


def _check_lines(
    path: Path, database: duckdb.DuckDBPyConnection, lines: Lines, dialect: Dialect, rejected: int
) -> list[str]:
    """Account for every line of the data: each is a row, or rejected, or goes on inside quotes.

    Raises:
        FileFormatError: lines are in no row, which must never happen.
    """
    ((rows,),) = database.execute("SELECT count(*) FROM raw").fetchall()
    if rows + rejected == lines.filled:
        return []
    breaks = " + ".join(
        f"coalesce(sum(length(c{n}) - length(replace(c{n}, chr(10), ''))), 0)"
        for n in range(len(dialect.names))
    )
    ((inside,),) = database.execute(f"SELECT {breaks} FROM raw").fetchall()  # noqa: S608 - only numbers of columns are put in
    if not lines.filled <= rows + rejected + inside <= lines.filled + lines.empty:
        raise FileFormatError(
            f"{path}: of {lines.filled:,} lines of data, {rows + rejected + int(inside):,} were "
            "read: is a quoted field not closed?"
        )
    return [f"{int(inside):,} ends of lines stand inside quoted fields"]


class Lines:
    """Counts the lines of a text that goes through it.

    Attributes:
        filled: how many hold something.
        empty: how many do not.
    """

    def __init__(self) -> None:
        self.filled = self.empty = 0

    def count(self, pieces: Iterable[str]) -> Iterator[str]:
        """The pieces as they are."""
        before = "\n"
        for piece in pieces:
            if piece:
                ends = piece.count("\n")
                empty = int(before == piece[0] == "\n")
                if "\n\n" in piece:
                    empty += len(re.findall(r"\n(?=\n)", piece))
                self.empty += empty
                self.filled += ends - empty
                before = piece[-1]
            yield piece
        self.filled += before != "\n"


def _plain_rows(path: Path, link: Path, data: Path, layout: Layout) -> tuple[Dialect, Lines]:
    """Write the rows of data, unpacked, in UTF-8 and with line feeds; and how they are written.

    DuckDB then sees rows only. With the other ends of lines and with comments before the names, its
    reader (2.0) drops rows without a word when it is told the dialect rather than guessing it.
    """
    with link.open("rb") as stream:
        magic = stream.read(8)
    opener: Any = next((o for mark, o in _PACKED.items() if magic.startswith(mark)), None)
    with link.open("rb") as raw, opener(raw) if opener else raw as stream:
        piece = stream.read(_PIECE_BYTES)
        encoding = layout.encoding or _encoding(piece)
        pieces = _decoded(path, piece, stream, encoding)
        head = next(pieces, "").removeprefix("\ufeff")
        if "\x00" in head:
            raise FileFormatError(
                f"{path}: neither text nor Parquet nor Excel (it holds zero bytes); if it is text "
                "in UTF-16: --encoding utf-16-le"
            )
        try:
            dialect = find_dialect(head[: head.rfind("\n") + 1] or head, layout)
        except FileFormatError as error:
            raise FileFormatError(f"{path}: {error}") from error
        lines, at = Lines(), 0
        for _ in range(dialect.data_line):
            at = head.find("\n", at) + 1 or len(head)
        with data.open("w", encoding="utf-8", newline="") as plain:
            rest = itertools.chain([head[at:]], pieces)
            told = _blanked(rest, dialect.comment) if dialect.comment else rest
            plain.writelines(lines.count(told))
    return dialect, lines


def _blanked(pieces: Iterable[str], comment: str) -> Iterator[str]:
    """The text with empty lines for comments: DuckDB would cut what follows a # in a value too."""
    of_comment, begun = re.compile(f"^{re.escape(comment)}.*", re.MULTILINE), ""
    for piece in pieces:
        text = begun + piece
        whole = text.rfind("\n") + 1
        yield of_comment.sub("", text[:whole])
        begun = text[whole:]
    yield of_comment.sub("", begun)


def _encoding(head: bytes) -> str:
    return next((name for mark, name in _BOMS.items() if head.startswith(mark)), "utf-8")


def _decoded(path: Path, piece: bytes, stream: IO[bytes], encoding: str) -> Iterator[str]:
    """The text of a stream whose first piece was read, with line feeds at the ends of lines."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)  # rejects codecs that are not of text
        plain = codecs.getincrementaldecoder(encoding)()
    except LookupError as error:
        raise FileFormatError(
            f"{path}: there is no encoding {encoding!r}; known are utf-8, utf-16, cp1252, latin-1, "
            "shift_jis, gb18030 and the others of Python"
        ) from error
    decoder, at = io.IncrementalNewlineDecoder(plain, translate=True), 0
    try:
        while piece:
            yield decoder.decode(piece)
            at += len(piece)
            piece = stream.read(_PIECE_BYTES)
        yield decoder.decode(b"", final=True)
    except UnicodeError as error:
        if not isinstance(error, UnicodeDecodeError):
            raise FileFormatError(f"{path}: {error}: --encoding utf-16-le or utf-16-be") from error
        byte = error.object[error.start : error.start + 1].hex()
        raise FileFormatError(
            f"{path}: not {encoding.upper()} text at byte {at + error.start} (0x{byte}): name the "
            "encoding with --encoding, for instance cp1252 (Windows in the West), latin-1 or utf-16"
        ) from error


# -- Excel -----------------------------------------------------------------------------------------


def _excel(path: Path, link: Path, database: duckdb.DuckDBPyConnection, layout: Layout) -> RawTable:
    try:
        import python_calamine as calamine
    except ImportError as error:
        raise FileFormatError(
            f"{path}: an Excel file; to read it: pip install 'vigie[excel]'"
        ) from error
    try:
        book = calamine.CalamineWorkbook.from_path(str(link))
        sheets = book.sheet_names
        if layout.sheet is not None and layout.sheet not in sheets:
            raise FileFormatError(
                f"{path}: there is no sheet {layout.sheet!r}; the file has {', '.join(sheets)}"
            )
        rows = book.get_sheet_by_name(layout.sheet or sheets[0]).to_python()
    except (calamine.CalamineError, IndexError) as error:
        raise FileFormatError(
            f"{path}: not an Excel file that can be read ({error}); unpack a zip archive first"
        ) from error
    rows = [row for row in rows[layout.skip_rows :] if any(cell != "" for cell in row)]
    if not rows:
        raise FileFormatError(f"{path}: the sheet is empty")
    width = max(map(len, rows))
    # The first row that is as wide as most begins the table: titles above it are narrower.
    filled = [sum(cell != "" for cell in row) for row in rows]
    at = next(n for n, count in enumerate(filled) if count * 2 > max(filled))
    names = [_cell(cell) or "" for cell in rows[at]] + [""] * (width - len(rows[at]))
    mark = layout.decimal
    body = [
        [_cell(cell, mark) for cell in row] + [None] * (width - len(row)) for row in rows[at + 1 :]
    ]
    units = find_units([[cell or "" for cell in row] for row in body[:2]], layout)
    body = body[1:] if units else body
    text = pa.table(
        {f"c{n}": pa.array([row[n] for row in body], pa.string()) for n in range(width)}
    )
    database.register("sheet", text)
    database.execute("CREATE TABLE raw AS SELECT * FROM sheet")
    database.unregister("sheet")
    notes = [f"{at} rows above the names of the columns were left out"] if at else []
    if len(sheets) > 1 and layout.sheet is None:
        notes.append(f"read the sheet {sheets[0]!r} of {len(sheets)}")
    return RawTable(
        path=path,
        database=database,
        names=_named(names),
        types=("VARCHAR",) * width,
        units=units or ("",) * width,
        notes=tuple(notes),
    )


def _cell(value: Any, decimal: str = ".") -> str | None:
    """A cell as text: what a CSV file with that decimal mark would hold."""
    if value == "" or value is None:
        return None
    if isinstance(value, float):
        return repr(value).replace(".", decimal)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)


def _named(names: Sequence[str]) -> tuple[str, ...]:
    """Names without blanks around them; a column without one has its number, as pandas has it."""
    return tuple(name.strip() or f"Unnamed: {number}" for number, name in enumerate(names))


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise FileFormatError(f"{path}: {len(names)} columns, at most {MAX_COLUMNS} are read")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileFormatError(
            f"{path}: column name {twice[0]!r} appears more than once: rename one of them"
        )

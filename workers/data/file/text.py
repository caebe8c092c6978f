"""Text files: unpacked, decoded, and the rows given to DuckDB."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import itertools
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa

from workers.data.errors import FileFormatError
from workers.data.file.dialect import Dialect, counted, find_dialect
from workers.data.file.raw import EXCEL, PARQUET, RawTable, named
from workers.data.layout import Layout

_NAMES_COMPARED = 64
_PIECE_BYTES = 4 * 2**20
_SHOWN_BYTES, _SHOWN_LINES = 4_000, 4
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UNDEFINED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
"""Bytes that cp1252 gives no meaning."""
_C1 = set(range(0x80, 0xA0)) - {0x80, 0x85, 0x91, 0x92, 0x93, 0x94, 0x96, 0x97, 0x99}
"""Bytes that hardly any text of the West holds."""
_EASTERN = ("cp932", "gb18030", "cp1251")
_ASCII, _BYTES_TRIED = 0x7F, 65_536
_PACKED: Mapping[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda raw: pa.CompressedInputStream(raw, "zstd"),
}


def read_text(
    path: Path,
    link: Path,
    database: duckdb.DuckDBPyConnection,
    layout: Layout,
    given: Sequence[str] = (),
) -> RawTable:
    """Put the rows of a text file into the table `raw`, as text.

    Raises:
        FileFormatError: another encoding, no names of columns, or a line that cannot be parted.
    """
    data = link.with_name("data")
    dialect, lines = _plain_rows(path, link, data, layout, given)
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
        if "\n" in text.strip("\n") or ("QUOTE" in kind and line != cut_off):
            raise FileFormatError(
                f"{path}: line {line}: a quoted field is not closed, or goes on behind its closing "
                f"quote: {text[:60]!r}"
            )
    hashed = sum(text.startswith("#") for _, text, _ in rejected)
    units = dialect.units + ("",) * (len(dialect.names) - len(dialect.units))
    notes = []
    if lines.comments:
        shown = counted(lines.comments, "line")
        notes.append(f"left out: {shown} of comments ({dialect.comment}) below the names")
    if hashed:
        shown = counted(hashed, "line")
        notes.append(f"{shown} with too few or too many fields begin with #: --comment '#'?")
    notes += _check_lines(path, database, lines, dialect, len(rejected))
    notes += _drop_repeated_names(database, dialect.names)
    return RawTable(
        path=path,
        database=database,
        names=named(dialect.names),
        types=("VARCHAR",) * len(dialect.names),
        units=units,
        notes=(*dialect.notes, *notes),
        unreadable=tuple((line, text) for line, text, _ in rejected),
        delimiter=dialect.delimiter,
    )


def _drop_repeated_names(database: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
    """Delete rows that repeat the names: files were put one behind the other."""
    compared = names[:_NAMES_COMPARED]
    same = " AND ".join(f"coalesce(trim(c{n}), '') = ?" for n in range(len(compared)))
    ((count,),) = database.execute(
        f"DELETE FROM raw WHERE {same}",  # noqa: S608 - only numbers of columns are put in
        list(compared),
    ).fetchall()
    if not count:
        return []
    return [f"left out: {counted(count, 'line')} with the names of the columns again"]


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
        comments: how many of the empty ones were comments.
    """

    def __init__(self) -> None:
        self.filled = self.empty = self.comments = 0

    def without(self, comment: str, pieces: Iterable[str]) -> Iterator[str]:
        """The pieces with empty lines for comments.

        DuckDB would cut what follows a # in a value too.
        """
        of_comment, begun = re.compile(f"^{re.escape(comment)}.*", re.MULTILINE), ""
        for piece in itertools.chain(pieces, ("",)):
            text = begun + piece
            whole = text.rfind("\n") + 1 if piece else len(text)
            kept, count = of_comment.subn("", text[:whole])
            self.comments += count
            yield kept
            begun = text[whole:]

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


def _plain_rows(
    path: Path, link: Path, data: Path, layout: Layout, given: Sequence[str]
) -> tuple[Dialect, Lines]:
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
            dialect = find_dialect(head[: head.rfind("\n") + 1] or head, layout, given)
        except FileFormatError as error:
            raise FileFormatError(f"{path}: {error}", ways_out=error.ways_out) from error
        lines, at = Lines(), 0
        for _ in range(dialect.data_line):
            at = head.find("\n", at) + 1 or len(head)
        with data.open("w", encoding="utf-8", newline="") as plain:
            rest = itertools.chain([head[at:]], pieces)
            told = lines.without(dialect.comment, rest) if dialect.comment else rest
            plain.writelines(lines.count(told))
    return dialect, lines


def beginning(path: Path, layout: Layout) -> tuple[str, ...]:
    """The first lines of a text file, for people: what cannot be decoded is replaced."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(8)
        if magic.startswith((PARQUET, *EXCEL)):
            return ()
        opener: Any = next((o for mark, o in _PACKED.items() if magic.startswith(mark)), open)
        with opener(path, "rb") as stream:
            piece = stream.read(_SHOWN_BYTES)
        text = piece.decode(layout.encoding or _encoding(piece), errors="replace")
    except (OSError, EOFError, LookupError, lzma.LZMAError):
        return ()
    return tuple(text.splitlines()[:_SHOWN_LINES])


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
            "encoding with --encoding, for instance cp1252 (Windows in the West), latin-1, cp932 "
            "(Japan), gb18030 (China), cp1251 (Cyrillic), utf-16",
            ways_out=[{"encoding": name} for name in _likely_encodings(error.object)],
        ) from error


def _likely_encodings(piece: bytes) -> list[str]:
    """Those in which bytes are text, the likeliest first; nobody can be certain.

    In the West a letter beyond ASCII stands among others; elsewhere such bytes come in rows.
    """
    piece = piece[:_BYTES_TRIED]
    beyond = [byte > _ASCII for byte in piece]
    alone = sum(
        one and not before and not after
        for before, one, after in zip([False, *beyond], beyond, [*beyond[1:], False], strict=False)
    )
    west = "latin-1" if _UNDEFINED & set(piece) else "cp1252"
    is_west = alone * 2 > sum(beyond) and not _C1 & set(piece)
    order = (west, *_EASTERN) if is_west else (*_EASTERN, west)
    return [name for name in order if _decodes(piece, name)]


def _decodes(piece: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(piece)
    except UnicodeDecodeError:
        return False
    return True

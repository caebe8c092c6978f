"""One file as a table of an embedded DuckDB: CSV, Parquet or Excel, whatever its name is.

DuckDB does the reading and the typing. What is ours: finding out how a text file is written
(`dialect`), and never letting a value pass that cannot be read. Nothing is fetched at run time:
extensions that are not part of the package stay off, so encodings other than UTF-8 are Python's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from workers.data.errors import FileFormatError
from workers.data.file.excel import read_excel
from workers.data.file.raw import EXCEL, PARQUET, RawTable, named, reading
from workers.data.file.text import read_text
from workers.data.layout import Layout

MAX_COLUMNS = 4_096
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


@contextmanager
def open_raw(path: Path, layout: Layout, *, names: Sequence[str] = ()) -> Iterator[RawTable]:
    """Read a file into a table on disk that is gone when the block is left.

    Args:
        path: of the file.
        layout: how it is to be read.
        names: of the columns of a text file that has no line of names.

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
            table = _fill(path, link, database, layout, names)
            _check_names(path, table.names)
            yield table
        finally:
            database.close()


def _fill(
    path: Path,
    link: Path,
    database: duckdb.DuckDBPyConnection,
    layout: Layout,
    names: Sequence[str],
) -> RawTable:
    with link.open("rb") as stream:
        magic = stream.read(8)
    if magic.startswith(PARQUET):
        return _parquet(path, link, database)
    if magic.startswith(EXCEL):
        return read_excel(path, link, database, layout)
    return read_text(path, link, database, layout, names)


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
        names=named(names),
        types=tuple("VARCHAR" if k == "BLOB" else str(k).strip('"') for _, k, *_ in found),
        units=("",) * len(names),
        notes=(),
    )


def _as_text(column: str) -> str:
    # Spark, Impala and others write text as bytes without saying that it is text.
    return f"coalesce(TRY(decode({column})), CAST({column} AS VARCHAR))"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise FileFormatError(f"{path}: {len(names)} columns, at most {MAX_COLUMNS} are read")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileFormatError(
            f"{path}: column name {twice[0]!r} appears more than once: rename one of them"
        )

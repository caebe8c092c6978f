"""A file as it was read into a table, before its values have a meaning."""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from workers.data.errors import FileFormatError

PARQUET = b"PAR1"
EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of files that are no text."""


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
        delimiter: of a text file.
    """

    path: Path
    database: duckdb.DuckDBPyConnection
    names: tuple[str, ...]
    types: tuple[str, ...]
    units: tuple[str, ...]
    notes: tuple[str, ...]
    unreadable: tuple[tuple[int, str], ...] = ()
    delimiter: str = ""

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
def reading(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong while it is read."""
    try:
        yield
    except duckdb.Error as error:
        first = re.sub(r"'[^']*/vigie-data-[^']*'", "", str(error).partition("\n")[0]).strip()
        raise FileFormatError(f"{path}: {first}") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise FileFormatError(f"{path}: {error}") from error


def named(names: Sequence[str]) -> tuple[str, ...]:
    """Names without blanks around them; a column without one has its number, as pandas has it."""
    return tuple(name.strip() or f"Unnamed: {number}" for number, name in enumerate(names))

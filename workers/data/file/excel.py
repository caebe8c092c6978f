"""Excel files, by python-calamine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from workers.data.errors import FileFormatError
from workers.data.file.dialect import counted, find_units
from workers.data.file.raw import RawTable, named
from workers.data.layout import Layout


def read_excel(
    path: Path, link: Path, database: duckdb.DuckDBPyConnection, layout: Layout
) -> RawTable:
    """Put the rows of a sheet into the table `raw`, as text.

    Raises:
        FileFormatError: the extra is not installed, or the file or the sheet is none.
    """
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
    units, count = find_units([[cell or "" for cell in row] for row in body[:4]], layout)
    body = body[count:]
    text = pa.table(
        {f"c{n}": pa.array([row[n] for row in body], pa.string()) for n in range(width)}
    )
    database.register("sheet", text)
    database.execute("CREATE TABLE raw AS SELECT * FROM sheet")
    database.unregister("sheet")
    notes = [f"{counted(at, 'row')} above the names of the columns left out"] if at else []
    if len(sheets) > 1 and layout.sheet is None:
        notes.append(f"read the sheet {sheets[0]!r} of {len(sheets)}")
    return RawTable(
        path=path,
        database=database,
        names=named(names),
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

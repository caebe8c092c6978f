"""Readings in files: CSV, Parquet and Excel, read whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workers.data.assemble import assemble
from workers.data.errors import FileFormatError, listed
from workers.data.file.raw import RawTable
from workers.data.file.rows import FileRows, read_rows
from workers.data.file.table import open_raw
from workers.data.findings.files import file_findings
from workers.data.history import History
from workers.data.label_ranges import read_ranges
from workers.data.layout import Layout

MAX_VALUES = 1_000_000_000
"""Rows times channels: held in memory, 8 bytes each; more are an error."""


def read_files(paths: Sequence[Path], layout: Layout | None = None) -> History:
    """Read files and sort their rows by sensor and time; see `assemble` for the steps.

    Raises:
        FileFormatError: a file or a value cannot be read, files contradict each other, or they
            are too long.
    """
    return read_both(paths, layout or Layout())[1]


def read_both(paths: Sequence[Path], layout: Layout) -> tuple[list[FileRows], History]:
    """The rows of files as they stand there, and the history that they make; see `read_files`."""
    ranges = read_ranges(layout.label_ranges, layout) if layout.label_ranges is not None else []
    files = read_each(paths, layout)
    history = assemble(files, layout, ranges)
    found = file_findings(files, history, layout)
    return files, replace(history, findings=(*history.findings, *found))


def read_each(paths: Sequence[Path], layout: Layout) -> list[FileRows]:
    """Read files one by one; raises as `read_files`."""
    found, total = [], 0
    for path in paths:
        with open_raw(path, layout) as table:
            total += _size(table)
            if total > MAX_VALUES:
                raise FileFormatError(
                    f"{path}: more than {MAX_VALUES:,} values in all: read fewer files at once, or "
                    "fewer columns (--channel)"
                )
            found.append(read_rows(table, layout))
    known = {name for one in found for name in one.names}
    if unknown := [name for name in layout.ignore if name not in known]:
        raise FileFormatError(
            f"{paths[0]}: there is no column {unknown[0]!r} to leave out (--ignore); the file has "
            f"{listed(found[0].names)}"
        )
    return found


def _size(table: RawTable) -> int:
    ((rows,),) = table.query("SELECT count(*) FROM raw")
    return int(rows) * len(table.names)

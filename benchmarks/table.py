"""What every benchmark shares: its options, one table for people, the same figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]
"""Column name to value; all rows of a table need not have the same columns."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--json", type=Path, metavar="PATH", help="write the figures to this file, or folder"
    )
    made.add_argument("--quick", action="store_true", help="small and fast, for CI")
    return made


def show(title: str, rows: Sequence[Row], *, notes: Sequence[str] = ()) -> None:
    """Print one table, and remarks below it."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = Table(title=title, title_justify="left")
    for nth, column in enumerate(columns):
        table.add_column(column, justify="left" if nth == 0 else "right")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    # A pipe or a CI log has no width of its own: give the table the room it needs.
    console = Console() if os.isatty(1) else Console(width=200)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)


def write_json(path: Path, *, benchmark: str, figures: Mapping[str, Any]) -> None:
    """Write the figures and what they depend on; in a folder, to a file named as the benchmark."""
    if path.is_dir():
        path /= f"{benchmark}.json"
    document = {
        "benchmark": benchmark,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            **{name: _version(name) for name in ("ray", "torch", "kafka-python", "numpy")},
        },
        **figures,
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() if abs(value) >= 100:
            return f"{value:,.0f}"
        case float():
            return f"{value:.2f}"
        case int():
            return f"{value:,}"
        case _:
            return str(value)

"""How results are shown: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workers.cli.views.plain import PlainConsole
from workers.printable import printable

if TYPE_CHECKING:
    from workers.stream.health import Health


def print_json(result: Any) -> None:
    """One JSON document on standard output."""
    json.dump(result, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def print_facts(rows: Iterable[tuple[str, str]]) -> None:
    """A line per fact: its name, and what there is to say."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    PlainConsole().print(table)


def warn(text: str) -> None:
    """A warning under the facts."""
    words = Text.assemble(("Warning ", "bold yellow"), printable(text))
    PlainConsole().print(Padding(words, (1, 0, 0, 0)))


def counts_table(healths: Sequence[Health]) -> None:
    """Where the readings of a run went."""
    from workers.stream.state.counts import Counts  # loads torch: not for who prints JSON alone

    total = sum((health.total for health in healths), Counts())
    table = Table(title="Where the readings went", title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    for name, value in asdict(total).items():
        words = name.replace("_", " ")
        if isinstance(value, dict):
            for why, times in sorted(value.items()):
                table.add_row(f"{words}, {why}".replace("_", " "), f"{times:,}")
        else:
            table.add_row(words, f"{value:,}")
    PlainConsole().print(table)

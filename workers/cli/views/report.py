"""How results are shown: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from workers.stream.health import Health
from workers.stream.state.counts import Counts


def print_json(result: Any) -> None:
    """One JSON document on standard output."""
    json.dump(result, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def counts_table(healths: Sequence[Health]) -> None:
    """Where the readings of a run went."""
    total = sum((health.total for health in healths), Counts())
    table = Table(title="Where the readings went", title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    for name, value in asdict(total).items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    Console().print(table)

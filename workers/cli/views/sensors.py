"""What is recorded of the sensors, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from workers.printable import printable

if TYPE_CHECKING:
    from workers.api.sensors import RecordedSensor

MOST_SHOWN: Final = 50
_MOST_NAMED: Final = 10


def show_sensors(sensors: Sequence[RecordedSensor], *, unknown: int, console: Console) -> None:
    """Show the first ones, and how many more there are."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("sensor")
    for name in ("partition", "scored", "flagged", "share", "dropped", "since", "next offset"):
        table.add_column(name, justify="right")
    for at in sensors[:MOST_SHOWN]:
        table.add_row(
            printable(at.sensor),
            f"{at.partition}",
            f"{at.scored:,}",
            f"{at.flagged:,}",
            f"{at.flagged_share:.2%}",
            f"{at.dropped:,}",
            f"{at.since:,}",
            f"{at.next_offset:,}",
        )
    console.print(table if sensors else "Nothing is recorded yet.")
    if len(sensors) > MOST_SHOWN:
        console.print(f"and {len(sensors) - MOST_SHOWN:,} more (--json shows all)")
    if waiting := [at.sensor for at in sensors if not at.scored]:
        named = ", ".join(map(printable, waiting[:_MOST_NAMED]))
        more = f" and {len(waiting) - _MOST_NAMED:,} more" if len(waiting) > _MOST_NAMED else ""
        console.print(
            f"Never scored so far: {named}{more}. They are new, or their readings come more seldom "
            "than stream.max_gap_s allows (without it, than the model's training)"
        )
    if unknown:
        console.print(f"{unknown:,} documents are of a version that is not known here")

"""Incidents against the alarm budget, as tables and as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from detector.calibration.budget import WEEK_S
from schemas.wire.timestamp import short_ns
from workers.api.budget import ModelBudget, RecordedBudget, SensorBudget, desk_json
from workers.cli.views.accounts import many
from workers.printable import printable

if TYPE_CHECKING:
    from workers.stream.state.budget_use import BudgetUse

MOST_SHOWN: Final = 20
_UNKNOWN: Final = "unknown"


def budget_json(budget: ModelBudget | str, recorded: RecordedBudget) -> dict[str, Any]:
    """All of it for scripts.

    Args:
        budget: the model's, or why it is not known.
        recorded: what the sensors made of it.
    """
    known = None if isinstance(budget, str) else budget
    return {
        "budget": known and known.words,
        "model": known and known.model,
        "basis": known and known.basis.value,
        "certified": bool(known and known.warning is None),
        "warning": known and known.warning,
        "missing": budget if isinstance(budget, str) else None,
        "desk": {k: v for k, v in desk_json(recorded.desk).items() if k != "farthest_over"},
        "sensors": [
            {
                **{k: v for k, v in asdict(at).items() if not k.endswith("_ns")},
                "open_since": None if at.open_since_ns is None else short_ns(at.open_since_ns),
                "drift_since": None if at.drift_since_ns is None else short_ns(at.drift_since_ns),
            }
            for at in recorded.sensors
        ],
        "unknown_documents": recorded.unknown,
    }


def show_budget(budget: ModelBudget | str, recorded: RecordedBudget, console: Console) -> None:
    """Show it to people; see `budget_json`."""
    _show_words(budget, console)
    _show_desk(recorded.desk, console)
    _show_sensors(recorded, console)
    if recorded.unknown:
        console.print(
            f"{recorded.unknown:,} documents say nothing of incidents: they are of another version"
        )


def _show_words(budget: ModelBudget | str, console: Console) -> None:
    if isinstance(budget, str):
        console.print(f"The budget is not known here: {budget}", style="yellow")
        return
    console.print(f"Budget: {budget.words}, by the model {budget.model}")
    if budget.warning is None:
        console.print("Certain: the model's history is long enough to count at this rate.")
    else:
        console.print(f"Not certain ({budget.basis}): {budget.warning}.", style="yellow")


def _show_desk(use: BudgetUse, console: Console) -> None:
    table = _table("desk", "incidents", "allowed", "")
    for period, opened, allowed in (
        ("last day", use.day, use.desk_day),
        ("last week", use.week, use.desk_week),
    ):
        is_over = allowed is not None and opened > max(allowed, 1.0)
        told = _UNKNOWN if allowed is None else f"{allowed:,.2f}"
        table.add_row(period, f"{opened:,}", told, "over" if is_over else "")
    table.add_row("open now", f"{use.open:,}", "", "")
    console.print()
    console.print(table)
    console.print(
        f"All incidents but drifts count, true ones too, of {many(use.sensors, 'sensor')} heard in "
        "the last week. Days are counted by quarters, up to the latest event time of each "
        "partition."
    )


def _show_sensors(recorded: RecordedBudget, console: Console) -> None:
    allowance = recorded.desk.allowance
    listed = recorded.sensors
    if allowance is not None:
        listed = [at for at in listed if at.over or _since(at)]
        console.print(
            f"\nOver the budget: {many(recorded.desk.over, 'sensor')}. One is allowed "
            f"{allowance.sensor(WEEK_S):,.2f} a week; a single incident is never over it. One that "
            f"just keeps its budget is over it by chance in {allowance.chance_over(WEEK_S):.0%} of "
            "the weeks."
        )
    if not listed:
        console.print("No incident is open." if allowance else "\nNo incident in the last week.")
        return
    table = _table("sensor", "last day", "last week", "", "open since")
    for at in listed[:MOST_SHOWN]:
        table.add_row(
            printable(at.sensor),
            f"{at.last_day:,}",
            f"{at.last_week:,}",
            "over" if at.over else "",
            _since(at),
        )
    console.print()
    console.print(table)
    if len(listed) > MOST_SHOWN:
        console.print(f"and {len(listed) - MOST_SHOWN:,} more (--json shows all)")


def _since(at: SensorBudget) -> str:
    """When what is open of a sensor opened."""
    found = ((at.open_since_ns, ""), (at.drift_since_ns, " (drift)"))
    return "\n".join(f"{short_ns(ns)}{what}" for ns, what in found if ns is not None)


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first)
    for name in columns:
        table.add_column(name, justify="left" if name in {"", "open since"} else "right")
    return table

"""Subscriptions, their deliveries and attempts, for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Column, Table

from workers.cli.views.plain import PlainConsole
from workers.cli.views.report import print_facts
from workers.printable import printable

__all__ = ["clock_time", "show_attempts", "show_deliveries", "show_subscription", "subscriptions"]

Document = Mapping[str, Any]


def clock_time(text: str | None) -> str:
    """A time of the gateway, to the second."""
    return "" if text is None else text[:19].replace("T", " ")


def subscriptions(found: Iterable[Document]) -> None:
    """A line each."""
    table = Table(
        Column("id", no_wrap=True),
        Column("name", overflow="fold"),
        "sink",
        "state",
        Column("types", overflow="fold"),
        box=None,
    )
    for one in found:
        spec = one["spec"]
        row = [one["id"], spec["name"], spec["sink"]["kind"], _state(one), " ".join(spec["types"])]
        table.add_row(*map(printable, row))
    _print(table, "There is no subscription: vigie subscriptions create makes one.")


def show_subscription(one: Document) -> None:
    """Everything that is known of it; what it does not say is left out."""
    facts = [
        ("id", str(one["id"])),
        ("state", _state(one)),
        ("made", f"{clock_time(one['created_at'])} by {one['created_by']}"),
        ("changed", f"{clock_time(one['updated_at'])}, version {one['version']}"),
    ]
    facts += [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in one["spec"].items()
        if value not in (None, [], {}, "")
    ]
    print_facts(facts)


def show_deliveries(found: Iterable[Document]) -> None:
    """A line each, and a second one where there is a reason."""
    table = Table(
        Column("delivery", justify="right", no_wrap=True),
        Column("type", no_wrap=True),
        Column("state", no_wrap=True),
        Column("tried", justify="right"),
        Column("made", no_wrap=True),
        Column("next", no_wrap=True),
        Column("why", overflow="fold"),
        box=None,
    )
    for one in found:
        reason = ": ".join(part for part in (one["muted_by"], one["reason"]) if part)
        row = [
            str(one["id"]),
            one["type"],
            one["state"],
            str(one["attempts"]),
            clock_time(one["created_at"]),
            clock_time(one["due_at"]),
            reason,
        ]
        table.add_row(*map(printable, row))
    _print(table, "There is no delivery.")


def show_attempts(found: Iterable[Document]) -> None:
    """A line each, and what the receiver answered."""
    table = Table(
        Column("at", no_wrap=True),
        Column("took", justify="right", no_wrap=True),
        Column("status", justify="right"),
        Column("error", overflow="fold"),
        Column("answer", overflow="fold"),
        box=None,
    )
    for one in found:
        status = "" if one["status"] is None else str(one["status"])
        row = [clock_time(one["at"]), f"{one['took_ms']:.0f} ms", status]
        table.add_row(*map(printable, [*row, one["error"] or "-", one["response"]]))
    _print(table, "It was not tried so far.")


def _state(one: Document) -> str:
    if not one["spec"]["enabled"]:
        return f"disabled: {one['disabled_reason']}" if one["disabled_reason"] else "disabled"
    since = one["failing_since"]
    return "enabled" if since is None else f"failing since {clock_time(since)}"


def _print(table: Table, otherwise: str) -> None:
    PlainConsole().print(table if table.row_count else otherwise)

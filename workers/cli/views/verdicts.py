"""Standing wishes, for people."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from schemas.wire.deed import Deed
from schemas.wire.timestamp import short_ns
from schemas.wire.verdict import Wish
from workers.printable import printable


def print_wishes(standing: Sequence[Deed]) -> None:
    """Each with what it takes to withdraw it in its first line; no column cuts an id short."""
    for deed in standing:
        wish = deed.wish
        assert wish is not None, "it stands"
        typer.echo(printable(f"{deed.sensor}  {wish.id}  {wish.kind}"))
        said = [*_what(wish), f"by {wish.by} at {short_ns(wish.at_ns)}"]
        typer.echo(printable(f"    {', '.join(said)}{': ' if wish.note else ''}{wish.note}"))
    if not standing:
        typer.echo("No wish stands.")


def _what(wish: Wish) -> list[str]:
    parts = [] if wish.after_ns is None else [f"after {short_ns(wish.after_ns)}"]
    if wish.kind in {"fault", "forget"}:
        parts.append(f"{short_ns(wish.start_ns)} to {short_ns(wish.end_ns)}")
    if wish.kind == "off" and wish.until_ns is not None:
        parts.append(f"until {short_ns(wish.until_ns)}")
    if wish.kind in {"fault", "false_alarm"}:
        parts.append(f"incident {wish.incident}")
    return parts

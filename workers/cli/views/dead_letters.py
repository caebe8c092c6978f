"""Dead letters on a terminal. Everything foreign goes through `printable`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from workers.dead_letters.letter import Letter, short_place, text_of, when
from workers.printable import printable

if TYPE_CHECKING:
    from workers.dead_letters.redrive import Tally

_MOST_REASONS = 20
_COLUMNS = ("place", "when", "source", "stage", "bytes", "attempts", "reason")

LATE = (
    "A redriven reading that is older than the last accepted one of its sensor is late: it is "
    "dropped and counted (vigie_late_total), not scored."
)


def print_letters(
    summaries: Sequence[Mapping[str, Any]], stages: Counter[str], *, topic: str
) -> None:
    """One line per dead letter, however wide the terminal is: it can be searched with grep.

    Listed are the newest; `stages` counts all that match.
    """
    if not stages:
        typer.echo(f"No dead letters in {topic} that match.")
        return
    table = [_COLUMNS, *(_cells(summary) for summary in summaries)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for number, row in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths[:-1], 0], strict=True)]
        typer.secho("  ".join(cells).rstrip(), bold=not number)
    total = stages.total()
    listed = f" (the {len(summaries):,} newest are listed)" if len(summaries) < total else ""
    kinds = ", ".join(f"{count:,} {stage}" for stage, count in stages.most_common())
    typer.echo(printable(f"{total:,} dead letters in {topic}{listed}: {kinds}"))


def _cells(summary: Mapping[str, Any]) -> tuple[str, ...]:
    source = summary["source"]
    cut = "" if summary["truncated_bytes"] is None else " (cut)"
    cells = (
        summary["place"],
        summary["time"],
        "{topic}:{partition}:{offset}".format_map(source) if source else "-",
        summary["stage"],
        f"{summary['bytes']:,}{cut}",
        f"{summary['attempts']}",
        summary["reason"],
    )
    return tuple(map(printable, cells))


def print_letter(letter: Letter, today: str, *, most_bytes: int) -> None:
    """Everything of one dead letter, and what would happen today."""
    title = f"Dead letter {short_place(letter.place)} of {letter.place.topic}"
    typer.secho(printable(title), bold=True)
    for label, text in _facts(letter, today):
        typer.secho(f"  {label:<12}", dim=True, nl=False)
        typer.echo(printable(text))
    if letter.value:
        for line in text_of(letter.value[:most_bytes]).split("\n"):
            typer.echo(printable(line))
    left = len(letter.value) - most_bytes
    if left > 0:
        typer.secho(f"... {left:,} more bytes: --bytes, or --output FILE for all", dim=True)


def _facts(letter: Letter, today: str) -> list[tuple[str, str]]:
    reasons, story, size = letter.reasons, letter.story, f"{len(letter.value):,}"
    facts = [("problem", letter.reason)]
    if reasons is not None:
        source = f"{reasons.topic}, partition {reasons.partition}, offset {reasons.offset}"
        facts = [
            ("given up", f"{when(letter.stamp_ms)} by Vigie {reasons.app_version}"),
            ("source", source),
            ("stage", f"{reasons.stage} ({reasons.exception})"),
            ("reason", reasons.message),
        ]
    if letter.truncated is not None:
        cut = f"the record had {letter.truncated:,} bytes, {size} are here"
        facts.append(("cut short", cut))
    if story is None:
        facts.append(("attempts", "1"))
    else:
        sent = f"{story.dead_letter_topic}:{story.dead_letter_partition}:{story.dead_letter_offset}"
        first = f"{story.source_topic}, partition {story.source_partition}"
        facts += [
            ("attempts", f"{letter.attempts}; sent back {story.at} as {sent}"),
            ("at first", f"{first}, offset {story.source_offset}"),
            ("failed then", story.reason),
        ]
    facts += [("key", text_of(letter.key))]
    facts += [("header", f"{name}: {text_of(value)}") for name, value in letter.headers]
    return [*facts, ("today", today), ("value", f"{size} bytes")]


def print_tally(tally: Tally, *, verb: str) -> None:
    """What was sent, and what stays and why."""
    where = f" ({targets(tally)})" if tally.sent else ""
    again = f"; {tally.again:,} of them not for the first time" if tally.again else ""
    typer.echo(printable(f"{tally.sent:,} dead letters {verb}{where}{again}"))
    if tally.rejected:
        typer.echo(f"{tally.rejected.total():,} stay:")
    for one in tally.reasons()[:_MOST_REASONS]:
        typer.echo(printable(f"  {one['count']:,}, the first at {one['first']}: {one['reason']}"))
    if tally.sent:
        typer.echo(LATE)


def targets(tally: Tally) -> str:
    """How many go to which topic."""
    return ", ".join(f"{count:,} to {topic}" for topic, count in tally.targets.most_common())

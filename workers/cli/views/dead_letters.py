"""Dead letters on a terminal. Everything foreign goes through `printable`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from workers.dead_letters.letter import Letter, printable, short_place, text_of, when

if TYPE_CHECKING:
    from workers.dead_letters.redrive import Tally, Verdict

_MOST_REASONS = 20
_LABEL_WIDTH = 12

LATE = (
    "A redriven reading that is older than the last accepted one of its sensor is late: it is "
    "dropped and counted (vigie_late_total), not scored."
)


def print_letters(letters: Sequence[Letter], stages: Counter[str], *, topic: str) -> None:
    """One line per dead letter, however wide the terminal is: it can be searched with grep.

    Args:
        letters: the newest of those that match.
        stages: how many match in all, by stage.
        topic: of the dead letters.
    """
    if not stages:
        typer.echo(f"No dead letters in {topic} that match.")
        return
    rows = [
        (
            short_place(letter.place),
            when(letter.stamp_ms),
            f"{letter.reasons.topic}:{letter.reasons.partition}:{letter.reasons.offset}"
            if letter.reasons
            else "-",
            letter.stage,
            f"{letter.size:,}{'' if letter.truncated is None else ' (cut)'}",
            f"{letter.attempts}",
            letter.reason,
        )
        for letter in letters
    ]
    _print_columns(("place", "when", "source", "stage", "bytes", "attempts", "reason"), rows)
    total = stages.total()
    listed = f" (the {len(letters):,} newest are listed)" if len(letters) < total else ""
    kinds = ", ".join(f"{count:,} {stage}" for stage, count in stages.most_common())
    typer.echo(printable(f"{total:,} dead letters in {topic}{listed}: {kinds}"))


def print_letter(letter: Letter, verdict: Verdict | None, *, most_bytes: int) -> None:
    """Everything of one dead letter."""
    title = f"Dead letter {short_place(letter.place)} of {letter.place.topic}"
    typer.secho(printable(title), bold=True)
    for label, text in _facts(letter, verdict):
        typer.secho(f"  {label:<{_LABEL_WIDTH}}", dim=True, nl=False)
        typer.echo(printable(text))
    if letter.value:
        for line in text_of(letter.value[:most_bytes]).split("\n"):
            typer.echo(printable(line))
    if letter.size > most_bytes:
        left = letter.size - most_bytes
        typer.secho(f"... {left:,} more bytes: --bytes, or --output FILE for all", dim=True)


def _facts(letter: Letter, verdict: Verdict | None) -> Iterator[tuple[str, str]]:
    reasons, story = letter.reasons, letter.story
    if reasons is None:
        yield "problem", letter.problem
    else:
        yield "given up", f"{when(letter.stamp_ms)} by Vigie {reasons.app_version}"
        source = f"{reasons.topic}, partition {reasons.partition}, offset {reasons.offset}"
        yield "source", source
        yield "stage", f"{reasons.stage} ({reasons.exception})"
        yield "reason", reasons.message
        if letter.truncated is not None:
            cut = f"the record had {letter.truncated:,} bytes, {letter.size:,} are here"
            yield "cut short", cut
        if story is None:
            yield "attempts", "1"
    if story is not None:
        place = f"{story.dead_letter_topic}:{story.dead_letter_partition}:"
        sent = f"{place}{story.dead_letter_offset}"
        yield "attempts", f"{letter.attempts}; sent back {story.at} as {sent}"
        first = f"{story.source_topic}, partition {story.source_partition}"
        yield "at first", f"{first}, offset {story.source_offset}"
        yield "failed then", story.reason
    yield "key", text_of(letter.key)
    for at, (name, value) in enumerate(letter.headers):
        yield "" if at else "headers", f"{name}: {text_of(value)}"
    if verdict is None:
        yield "today", "give --model to see whether it would be read now"
    else:
        today = "would be read" if verdict.is_readable else "would fail again"
        yield "today", f"{today}: {verdict.detail}"
    yield "value", f"{letter.size:,} bytes"


def print_tally(tally: Tally, *, verb: str) -> None:
    """What was sent, and what stays and why."""
    where = f" ({targets(tally)})" if tally.sent else ""
    again = f"; {tally.again:,} of them not for the first time" if tally.again else ""
    typer.echo(printable(f"{tally.sent:,} dead letters {verb}{where}{again}"))
    if tally.staying:
        typer.echo(f"{tally.staying:,} stay:")
    for one in tally.reasons()[:_MOST_REASONS]:
        typer.echo(printable(f"  {one['count']:,}, the first at {one['first']}: {one['reason']}"))
    if tally.sent:
        typer.echo(LATE)


def targets(tally: Tally) -> str:
    """How many go to which topic."""
    return ", ".join(f"{count:,} to {topic}" for topic, count in tally.targets.most_common())


def tally_document(tally: Tally) -> dict[str, Any]:
    """What `redrive --json` prints of it."""
    return {
        "bytes": tally.value_bytes,
        "to": dict(tally.targets),
        "sent_before": tally.again,
        "rejected": tally.reasons(),
        "note": LATE,
    }


def _print_columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, the last as long as it is."""
    table = [names, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    for number, row in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        typer.secho("  ".join(cells).rstrip(), bold=not number)

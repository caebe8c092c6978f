"""Dead letters on a terminal. Everything foreign goes through `printable`, nothing is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.cli.dead_letter_view import (
    FOREIGN,
    Letter,
    Summary,
    printable,
    printable_bytes,
    short_place,
    value_lines,
    when,
)

if TYPE_CHECKING:
    from workers.cli.dead_letter_replay import Sending, Tally, Verdict

_MOST_KINDS = 20
_LABEL_WIDTH = 12


def print_letters(letters: Sequence[Letter]) -> None:
    """A table, one row a dead letter."""
    if not letters:
        return
    table = _table()
    for name in ("place", "when", "source", "stage"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=1)
    for name in ("bytes", "attempts"):
        table.add_column(name, justify="right", no_wrap=True)
    for letter in letters:
        reasons = letter.reasons
        source = f"{reasons.topic}:{reasons.partition}:{reasons.offset}" if reasons else "-"
        cut = "" if letter.truncated is None else " (cut)"
        table.add_row(
            short_place(letter.place),
            when(letter.stamp_ms),
            _safe(source),
            _safe(reasons.stage if reasons else FOREIGN),
            _safe(letter.reason),
            f"{letter.size:,}{cut}",
            f"{letter.attempts}",
        )
    _console().print(table)


def print_summary(summary: Summary, *, topic: str) -> None:
    """How many there are of each kind."""
    console = _console()
    if not summary.total:
        console.print(Text(f"No dead letters in {topic} that match."))
        return
    console.print(Text(f"\n{summary.total:,} dead letters in {topic}, by kind:"))
    table = _table()
    table.add_column("count", justify="right", no_wrap=True)
    for name in ("stage", "newest", "place"):
        table.add_column(name, no_wrap=True)
    table.add_column("such as", overflow="fold", ratio=1)
    ranked = summary.ranked()
    for kind in ranked[:_MOST_KINDS]:
        table.add_row(
            f"{kind.count:,}",
            _safe(kind.stage),
            when(kind.example.stamp_ms),
            short_place(kind.example.place),
            _safe(kind.example.reason),
        )
    console.print(table)
    left = summary.others + sum(kind.count for kind in ranked[_MOST_KINDS:])
    if left:
        console.print(Text(f"and {left:,} of other kinds"))


def print_letter(letter: Letter, verdict: Verdict | None, *, most_bytes: int) -> None:
    """Everything of one dead letter."""
    console = _console()
    console.print(Text(f"Dead letter {short_place(letter.place)} of {letter.place.topic}", "bold"))
    for label, text in _facts(letter):
        _line(console, label, text)
    _line(console, "key", printable_bytes(letter.key))
    for at, (name, value) in enumerate(letter.headers):
        _line(console, "" if at else "headers", f"{printable(name)}: {printable_bytes(value)}")
    _line(console, "today", _today(verdict))
    what, lines = value_lines(letter.value, most_bytes=most_bytes)
    _line(console, "value", f"{letter.size:,} bytes, {what}")
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    if letter.size > most_bytes:
        left = letter.size - most_bytes
        console.print(Text(f"... {left:,} more bytes: --bytes, or --output FILE for all", "dim"))


def _facts(letter: Letter) -> Iterable[tuple[str, str]]:
    reasons, story = letter.reasons, letter.story
    if reasons is None:
        yield "problem", letter.problem
        return
    yield "given up", f"{when(letter.stamp_ms)} by Vigie {reasons.app_version}"
    yield (
        "source",
        f"{reasons.topic}, partition {reasons.partition}, offset {reasons.offset}",
    )
    yield "stage", f"{reasons.stage} ({reasons.exception})"
    yield "reason", reasons.message
    if letter.truncated is not None:
        yield "cut short", f"the record had {letter.truncated:,} bytes, {letter.size:,} are here"
    if story is None:
        yield "attempts", "1"
        return
    sent = f"{story.dead_letter_topic}:{story.dead_letter_partition}:{story.dead_letter_offset}"
    yield "attempts", f"{letter.attempts}; sent back {story.at} as {sent}"
    first = f"{story.source_topic}, partition {story.source_partition}"
    yield "at first", f"{first}, offset {story.source_offset}"
    yield "failed then", story.reason


def _today(verdict: Verdict | None) -> str:
    if verdict is None:
        return "give --model to see whether it would be read now"
    if verdict.is_readable:
        return f"would be read: {verdict.told}"
    return f"would fail again: {verdict.told}"


def print_plan(sample: Sequence[Sending], tally: Tally) -> None:
    """What would be sent."""
    if not sample:
        return
    table = _table()
    for name in ("place", "to"):
        table.add_column(name, no_wrap=True)
    table.add_column("key", overflow="fold", ratio=1)
    for name in ("bytes", "attempt"):
        table.add_column(name, justify="right", no_wrap=True)
    for sending in sample:
        table.add_row(
            short_place(sending.letter),
            _safe(f"{sending.topic}:{sending.partition}"),
            _safe(printable_bytes(sending.key)),
            f"{len(sending.value):,}",
            f"{sending.attempt + 1}",
        )
    console = _console()
    console.print(table)
    if tally.sent > len(sample):
        console.print(Text(f"and {tally.sent - len(sample):,} more"))


def print_tally(tally: Tally, *, dry_run: bool) -> None:
    """What was sent, and what stays and why."""
    from workers.cli.dead_letter_replay import refusals

    console = _console()
    targets = ", ".join(f"{count:,} to {topic}" for topic, count in tally.targets.most_common())
    verb = "would be sent back" if dry_run else "sent back and acknowledged"
    again = f"; {tally.again:,} of them not for the first time" if tally.again else ""
    console.print(
        Text(
            printable(
                f"{tally.sent:,} dead letters {verb}{f' ({targets})' if targets else ''}{again}"
            )
        )
    )
    reasons = list(refusals(tally))
    if reasons:
        console.print(Text(f"{tally.staying:,} stay:"))
    for reason in reasons[:_MOST_KINDS]:
        told = printable(f"{reason['reason']}")
        console.print(Text(f"  {reason['count']:,}, the first at {reason['first']}: {told}"))


def _line(console: Console, label: str, text: str) -> None:
    line = Text(f"  {label:<{_LABEL_WIDTH}}", "dim")
    line.append(printable(text), "default")
    console.print(line, soft_wrap=True)


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), expand=False)


def _safe(text: str) -> Text:
    return Text(printable(text))


def _console() -> Console:
    return Console(highlight=False)

"""Dead letters on a terminal. Everything foreign goes through `printable`, nothing is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from workers.dead_letters.letter import (
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
    from workers.dead_letters.redrive import Sending, Tally, Verdict

_MOST_KINDS = 20
_LABEL_WIDTH = 12


def print_letters(letters: Sequence[Letter]) -> None:
    """One line a dead letter, however wide the terminal is: it can be searched with grep."""
    rows = [
        (
            short_place(letter.place),
            when(letter.stamp_ms),
            f"{letter.reasons.topic}:{letter.reasons.partition}:{letter.reasons.offset}"
            if letter.reasons
            else "-",
            letter.reasons.stage if letter.reasons else FOREIGN,
            f"{letter.size:,}{'' if letter.truncated is None else ' (cut)'}",
            f"{letter.attempts}",
            letter.reason,
        )
        for letter in letters
    ]
    _columns(("place", "when", "source", "stage", ">bytes", ">attempts", "reason"), rows)


def print_summary(summary: Summary, *, topic: str, shown: int = 0) -> None:
    """How many there are of each kind.

    Args:
        summary: of all that match.
        topic: of the dead letters.
        shown: how many of them were listed before.
    """
    if not summary.total:
        _plain(f"No dead letters in {topic} that match.")
        return
    listed = f" (the {shown:,} newest are listed)" if 0 < shown < summary.total else ""
    _plain(f"{chr(10) if shown else ''}{summary.total:,} dead letters in {topic}{listed}, by kind:")
    ranked = summary.ranked()
    rows = [
        (
            f"{kind.count:,}",
            kind.stage,
            when(kind.example.stamp_ms),
            short_place(kind.example.place),
            kind.example.reason,
        )
        for kind in ranked[:_MOST_KINDS]
    ]
    _columns((">count", "stage", "newest", "place", "such as"), rows)
    left = summary.others + sum(kind.count for kind in ranked[_MOST_KINDS:])
    if left:
        _plain(f"and {left:,} of other kinds")


def print_letter(letter: Letter, verdict: Verdict | None, *, most_bytes: int) -> None:
    """Everything of one dead letter."""
    console = _console()
    title = f"Dead letter {short_place(letter.place)} of {letter.place.topic}"
    console.print(Text(title, "bold"), soft_wrap=True)
    for label, text in _facts(letter):
        _line(console, label, text)
    _line(console, "key", printable_bytes(letter.key))
    for at, (name, value) in enumerate(letter.headers):
        _line(console, "" if at else "headers", f"{name}: {printable_bytes(value)}")
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
    rows = [
        (
            short_place(sending.letter),
            f"{sending.topic}:{sending.partition}",
            f"{len(sending.value):,}",
            f"{sending.attempt + 1}",
            printable_bytes(sending.key),
        )
        for sending in sample
    ]
    _columns(("place", "to", ">bytes", ">attempt", "key"), rows)
    if tally.sent > len(sample):
        _plain(f"and {tally.sent - len(sample):,} more")


def print_tally(tally: Tally, *, dry_run: bool) -> None:
    """What was sent, and what stays and why."""
    from workers.dead_letters.redrive import refusals

    targets = ", ".join(f"{count:,} to {topic}" for topic, count in tally.targets.most_common())
    verb = "would be sent back" if dry_run else "sent back and acknowledged"
    where = f" ({targets})" if targets else ""
    again = f"; {tally.again:,} of them not for the first time" if tally.again else ""
    _plain(f"{tally.sent:,} dead letters {verb}{where}{again}")
    reasons = list(refusals(tally))
    if reasons:
        _plain(f"{tally.staying:,} stay:")
    for reason in reasons[:_MOST_KINDS]:
        _plain(f"  {reason['count']:,}, the first at {reason['first']}: {reason['reason']}")


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, the last as long as it is; a name that begins with ">" is right-aligned."""
    if not rows:
        return
    safe = [[printable(cell) for cell in row] for row in rows]
    titles = [name.removeprefix(">") for name in names]
    widths = [max(map(len, column)) for column in zip(titles, *safe, strict=True)]
    widths[-1] = 0
    console = _console()
    for number, row in enumerate([titles, *safe]):
        cells = [
            cell.rjust(width) if name.startswith(">") else cell.ljust(width)
            for name, cell, width in zip(names, row, widths, strict=True)
        ]
        line = Text("  ".join(cells).rstrip(), "default" if number else "bold")
        console.print(line, soft_wrap=True)


def _line(console: Console, label: str, text: str) -> None:
    line = Text(f"  {label:<{_LABEL_WIDTH}}", "dim")
    line.append(printable(text), "default")
    console.print(line, soft_wrap=True)


def _plain(text: str) -> None:
    """A line of text, or several of ours."""
    lines = [printable(line) for line in text.split("\n")]
    _console().print(Text("\n".join(lines)), soft_wrap=True)


def _console() -> Console:
    return Console(highlight=False)

"""What is seen while the demo runs. Pure: a view in, something rich can draw out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from schemas.wire.incident import Direction, Incident
from workers.demo.accounts import Check
from workers.stream.state.counts import Counts

_SHOWN_INCIDENTS = 8
_WIDE = 110
"""A narrower terminal has no room for what was observed and expected."""
_ARROWS = {
    Direction.HIGH: "↑",
    Direction.LOW: "↓",
    Direction.PATTERN: "~",
    Direction.MISSING: "?",
}
_COLUMNS: Mapping[str, JustifyMethod] = {
    "pump": "left",
    "state": "left",
    "lasted": "right",
    "severity": "left",
    "channel": "left",
    "observed": "right",
    "expected": "right",
    "what the simulator broke": "left",
}
_FOR_WIDE = {"observed", "expected"}
_SEVERITY_STYLE = {"low": "yellow", "medium": "dark_orange", "high": "bold red"}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One line of the list of incidents."""

    told: Incident
    truth: str  # what the simulator has broken; empty when nothing
    verdict: str  # what the operator has said of it; empty when nothing yet
    lasted_s: float  # of the plant's time, so far


@dataclass(frozen=True, kw_only=True)
class View:
    """One moment of the show."""

    elapsed_s: float
    seconds: float | None  # of the whole show; None has no end
    sent_per_s: float  # over the last seconds, as `scored_per_s`
    scored_per_s: float
    counts: Counts
    lag: int  # records not yet read
    sensors: int
    workers: int
    p50_ms: float | None  # from the record's time to the hand-over of its outputs
    p99_ms: float | None
    incidents: Sequence[Shown]  # what was told of last first
    opened: int  # incidents, since the beginning
    webhooks: tuple[int, int] | None = None  # that came, and with a valid signature
    note: str = ""  # what is happening, when it is not just running


def draw(view: View, *, width: int) -> RenderableType:
    """The live picture of a terminal that is so many letters wide."""
    is_wide = width >= _WIDE
    return Group(_time(view), "", _figures(view), "", _incidents(view.incidents, is_wide=is_wide))


def one_line(view: View) -> str:
    """The same for a log file: one line."""
    return (
        f"{view.elapsed_s:5.0f} s  {view.scored_per_s:,.0f} readings/s  lag {view.lag:,}  "
        f"{view.sensors} sensors  {view.opened:,} incidents  "
        f"latency p50 {milliseconds(view.p50_ms)} p99 {milliseconds(view.p99_ms)}  "
        f"{view.counts.dead_lettered} dead letters"
        + ("" if view.webhooks is None else f"  {view.webhooks[0]:,} webhooks")
    )


def milliseconds(value: float | None) -> str:
    """A latency in words."""
    return "-" if value is None else f"{value:,.0f} ms"


def show_broken(checks: Iterable[Check], console: Console) -> None:
    """What does not add up, with both numbers."""
    for check in checks:
        if not check.holds:
            console.print(
                f"[bold red]Does not add up:[/bold red] {check.claim}: "
                f"{check.expected:,} and {check.found:,}"
            )


def titled(title: str, **options: Any) -> Table:
    """A plain table under a bold title, with the options of rich's own."""
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0),
        **options,
    )  # fmt: skip


def _time(view: View) -> RenderableType:
    line = Table.grid(padding=(0, 1))
    if view.seconds is None:
        line.add_row(Text(f"{view.elapsed_s:.0f} s", style="bold"), "Ctrl-C ends", Text(view.note))
    else:
        line.add_row(
            ProgressBar(total=view.seconds, completed=min(view.elapsed_s, view.seconds), width=40),
            Text(f"{view.elapsed_s:.0f} of {view.seconds:.0f} s", style="bold"),
            Text(view.note, style="dim"),
        )
    return line


def _figures(view: View) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), show_header=False)
    for _ in range(3):
        table.add_column(style="dim")
        table.add_column(justify="right")
    counts = view.counts
    table.add_row(
        "readings/s", Text(f"{view.scored_per_s:,.0f}", style="bold"),
        "sensors", f"{view.sensors}",
        "incidents", Text(f"{view.opened:,}", style="bold red" if view.opened else ""),
    )  # fmt: skip
    letters = counts.dead_lettered
    table.add_row(
        "sent/s", f"{view.sent_per_s:,.0f}",
        "lag", f"{view.lag:,}",
        "dead letters", Text(f"{letters}", style="yellow" if letters else ""),
    )  # fmt: skip
    table.add_row(
        "latency p50", Text(milliseconds(view.p50_ms), style="bold"),
        "workers", f"{view.workers}",
        "dropped (late, twice)", f"{counts.late + counts.duplicate}",
    )  # fmt: skip
    table.add_row(
        "latency p99", Text(milliseconds(view.p99_ms), style="bold"),
        "warming up", f"{counts.warming_up:,}",
        "scored", f"{counts.scored:,}",
    )  # fmt: skip
    if view.webhooks is not None:
        came, valid = view.webhooks
        table.add_row(
            "webhooks", f"{came:,}",
            "signatures valid", Text(f"{valid:,}", style="" if valid == came else "bold red"),
        )  # fmt: skip
    return table


def clock(seconds: float) -> str:
    """A duration as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _incidents(incidents: Sequence[Shown], *, is_wide: bool) -> Table:
    table = titled("Incidents, in minutes of the plant")
    for name, justify in _COLUMNS.items():
        if is_wide or name not in _FOR_WIDE:
            table.add_column(name, justify=justify, no_wrap=True, min_width=len(name))
    table.columns[-1].ratio = 1
    shown = incidents[:_SHOWN_INCIDENTS]
    for one in shown:
        cells = zip(_COLUMNS, _cells(one), strict=True)
        table.add_row(
            *(cell for name, cell in cells if is_wide or name not in _FOR_WIDE),
            style="" if one.told.end_ns is None else "dim",
        )
    for _ in range(_SHOWN_INCIDENTS - len(shown)):
        table.add_row()
    return table


def _cells(one: Shown) -> tuple[Text | str, ...]:
    told, main = one.told, one.told.channels[0]
    severity = told.severity.value
    observed = "missing" if main.observed is None else f"{main.observed:.1f} {main.unit}"
    truth = Text(_short(one.truth)) if one.truth else Text("nothing: a false one", style="yellow")
    return (
        told.sensor_id,
        "going on" if told.end_ns is None else one.verdict or "ended",
        clock(one.lasted_s),
        Text(severity, style=_SEVERITY_STYLE[severity]),
        f"{_short(main.channel.replace('_', ' '))} {_ARROWS[main.direction]}",
        observed,
        f"{main.expected:.1f} {main.unit}",
        truth,
    )


def _short(text: str) -> str:
    return text.replace("temperature", "temp")

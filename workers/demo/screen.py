"""What is seen while the demo runs. Pure: a view in, something rich can draw out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from schemas.wire.anomaly import Anomaly
from workers.plant.physics import CHANNELS
from workers.stream.state.counts import Counts

_SHOWN_ALARMS = 6
_UNITS = {channel.name: channel.unit for channel in CHANNELS}
_SEVERITY_STYLE = {"low": "yellow", "medium": "dark_orange", "high": "bold red"}


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One line of the list of alarms."""

    anomaly: Anomaly
    truth: str  # what the simulator has broken; empty when nothing
    age_s: float  # since the reading


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
    alarms: Sequence[Alarm]  # newest first
    note: str = ""  # what is happening, when it is not just running


def draw(view: View) -> RenderableType:
    """The live picture of a terminal."""
    return Group(_time(view), "", _figures(view), "", _alarms(view.alarms))


def one_line(view: View) -> str:
    """The same for a log file: one line."""
    return (
        f"{view.elapsed_s:5.0f} s  {view.scored_per_s:,.0f} readings/s  lag {view.lag:,}  "
        f"{view.sensors} sensors  {view.counts.anomalies:,} anomalies  "
        f"latency p50 {milliseconds(view.p50_ms)} p99 {milliseconds(view.p99_ms)}  "
        f"{view.counts.dead_lettered} dead letters"
    )


def milliseconds(value: float | None) -> str:
    """A latency in words."""
    return "-" if value is None else f"{value:,.0f} ms"


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
        "anomalies", Text(f"{counts.anomalies:,}", style="bold red" if counts.anomalies else ""),
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
    return table


def _alarms(alarms: Sequence[Alarm]) -> Table:
    table = titled("Latest alarms")
    table.add_column("pump")
    table.add_column("channel")
    for name in ("observed", "expected", "score"):
        table.add_column(name, justify="right")
    table.add_column("what the simulator broke")
    for alarm in alarms[:_SHOWN_ALARMS]:
        anomaly = alarm.anomaly
        channel = max(anomaly.contribution, key=lambda name: anomaly.contribution[name])
        unit, observed = _UNITS[channel], anomaly.observed[channel]
        table.add_row(
            anomaly.sensor_id,
            channel.replace("_", " "),
            f"{'missing' if observed is None else f'{observed:.2f}'} {unit}",
            f"{anomaly.expected[channel]:.2f} {unit}",
            Text(f"{anomaly.score:.1f}", style=_SEVERITY_STYLE.get(anomaly.severity.value, "")),
            Text(alarm.truth or "nothing: a false alarm", style="" if alarm.truth else "yellow"),
            style="" if alarm.age_s < 3.0 else "dim",  # noqa: PLR2004 - seconds on the screen
        )
    for _ in range(_SHOWN_ALARMS - len(alarms[:_SHOWN_ALARMS])):
        table.add_row()
    return table

"""What Vigie understood of files, on a terminal and as a document. Names are data: never markup."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from schemas.wire.timestamp import format_ns, short_ns
from workers.cli.views.braille import COLUMNS, draw
from workers.cli.views.findings import as_documents, print_findings
from workers.data.finding import as_options
from workers.data.findings.checks import warnings_of
from workers.data.findings.times import shown_ns
from workers.data.inspection import Inspection, SensorProfile, envelope
from workers.data.layout import SensorFrom

if TYPE_CHECKING:
    from workers.data.history import History
    from workers.data.proposal import Proposal

_MOST_CHANNELS, _MOST_SENSORS = 60, 8
_NAME_WIDTH = 24
_PICTURE_LINES = 2
_PADDING = 2
_LEAST_PICTURE, _WIDEST_PICTURE = 6, 60
_HEADINGS = ("channel", "least", "median", "most", "missing", "distinct")


def print_inspection(found: Inspection, console: Console) -> None:
    """All of it."""
    _say_head(found, console)
    if found.history is None:
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in facts(found, found.history):
        grid.add_row(name, Text(text))
    console.print(grid)
    _print_channels(found, found.history, console)
    print_problems(found, console)


def print_problems(found: Inspection, console: Console) -> None:
    """What looks wrong, and what had to be assumed."""
    if not found.findings and not found.assumptions:
        console.print("\n[bold green]Nothing looks wrong.[/]")
        return
    if found.assumptions:
        console.print("\n[bold]Read as if these were given[/]")
    for one in found.assumptions:
        console.print(Padding(Text(one.error), (0, 0, 0, 2)), highlight=False)
        console.print(Text(f"    {one.option}", "bold cyan"), highlight=False, soft_wrap=True)
        for other in one.others:
            text = f"    or {as_options(other)}: only you can tell"
            console.print(Text(text, "cyan"), highlight=False, soft_wrap=True)
    if found.findings:
        console.print("\n[bold]What looks wrong[/]")
        print_findings(found.findings, console)


def _say_head(found: Inspection, console: Console) -> None:
    names = ", ".join(path.name for path in found.paths[:3])
    more = len(found.paths) - 3
    console.print(
        Text(names + (f" and {more:,} more files" if more > 0 else ""), "bold"), highlight=False
    )
    for line in found.head[: 4 if found.history is None else 2]:
        console.print(Text(f"  {line}", "dim"), highlight=False, no_wrap=True, overflow="ellipsis")
    console.print()


def facts(found: Inspection, history: History) -> Iterator[tuple[str, str]]:
    """What was understood, a name and a text each."""
    columns = found.columns
    assert columns is not None
    yield "time", f"{' and '.join(columns.time)}: {found.time_form}"
    if found.sensors:
        first = min(one.first_ns for one in found.sensors)
        last = max(one.last_ns for one in found.sensors)
        yield "from", f"{short_ns(first)} to {short_ns(last)}, {shown_ns(last - first)}"
        yield "interval", _intervals(found)
    yield "sensor", _sensors(found)
    if columns.label is not None:
        count = sum(int(one.labels.sum()) for one in history.sensors if one.labels is not None)
        yield "label", f"{columns.label}: {count:,} rows are anomalous"
    yield "rows", _rows(history)
    for (reason, sensor), count in history.left_out.most_common(_MOST_SENSORS):
        yield "", f"{count:,} left out: {reason}" + (f" (sensor {sensor})" if sensor else "")
    if history.told_missing:
        taken = ", ".join(f"{name} {n:,}" for name, n in history.told_missing.most_common())
        yield "missing", f"values read as missing (--missing): {taken}"
    for note in history.notes:
        yield "note", note


def _rows(history: History) -> str:
    lost = history.left_out.total()
    return f"{history.read:,} read, {f'{lost:,} left out' if lost else 'none left out'}"


def _sensors(found: Inspection) -> str:
    columns = found.columns
    assert columns is not None
    names = [one.sensor for one in found.sensors]
    shown = ", ".join(names[:_MOST_SENSORS])
    more = len(names) - _MOST_SENSORS
    if columns.sensor:
        where = f"column {' and '.join(columns.sensor)}"
    elif found.layout.sensor_id is not None:
        where = "--sensor-id"
    else:
        told = found.layout.sensor_from
        folder = told is SensorFrom.FOLDER or (found.layout.channel_from and told is None)
        where = f"no column; the name of the {'folder' if folder else 'file'}"
    return f"{len(names):,} ({where}): {shown}" + (f" and {more:,} more" if more > 0 else "")


def _intervals(found: Inspection) -> str:
    steps = [one.interval for one in found.sensors if one.interval is not None]
    if not steps:
        return "none: fewer than two rows"
    low, high = min(s.typical_ns for s in steps), max(s.typical_ns for s in steps)
    longest = max(s.longest_ns for s in steps)
    odd = max(s.irregular for s in steps)
    text = shown_ns(low) if high <= 1.01 * low else f"{shown_ns(low)} to {shown_ns(high)}"
    if low == high and not odd:
        return f"{text}, regular"
    often = f"{odd:.1%} of the steps" if odd >= 0.001 else "few steps"  # noqa: PLR2004
    return f"{text}; {often} differ by more than half, the longest is {shown_ns(longest)}"


def _print_channels(found: Inspection, history: History, console: Console) -> None:
    shown = found.channels[:_MOST_CHANNELS]
    cells = [
        (
            one.channel + (f" [{one.unit}]" if one.unit and one.unit not in one.channel else ""),
            *map(number, (one.low, one.median, one.high)),
            share(one.missing),
            f"{one.distinct:,}",
        )
        for one in shown
    ]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *cells, strict=True)]
    widths[0] = min(widths[0], _NAME_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(_HEADINGS[0], overflow="fold", width=widths[0])
    for name, width in zip(_HEADINGS[1:], widths[1:], strict=True):
        table.add_column(name, justify="right", no_wrap=True, width=width)
    left = console.width - sum(widths) - _PADDING * (len(widths) + 1)
    drawn = max(history.sensors, key=len, default=None)
    pictures: list[list[Text]] = [[] for _ in shown]
    if drawn and left >= _LEAST_PICTURE and _can_draw(console):
        width = min(left, _WIDEST_PICTURE)
        of = "" if len(found.sensors) == 1 else f"sensor {drawn.sensor}"
        table.add_column(Text(of), no_wrap=True, overflow="ellipsis", width=width)
        for at, picture in enumerate(pictures):
            low, high = envelope(drawn, at, width * COLUMNS)
            lines = draw(low, high, lines=_PICTURE_LINES)
            picture.append(Text("\n".join(lines), "cyan"))
    for texts, picture in zip(cells, pictures, strict=True):
        table.add_row(*map(Text, texts), *picture)
    console.print()
    console.print(table)
    if len(found.channels) > len(shown):
        console.print(f"and {len(found.channels) - len(shown):,} more (--json shows all)")


def _can_draw(console: Console) -> bool:
    try:
        "\u28ff".encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def number(value: float) -> str:
    """A value, short."""
    if math.isnan(value):
        return "-"
    text = f"{value:.4g}"
    whole = value == round(value) and abs(value) < 1e7  # noqa: PLR2004
    return f"{value:,.0f}" if whole else text


def share(part: float) -> str:
    """A share in percent, "-" for none."""
    if not part:
        return "-"
    return f"{part:.1%}" if part >= 0.001 else "< 0.1%"  # noqa: PLR2004


# -- for scripts -----------------------------------------------------------------------------------


def as_document(found: Inspection, proposal: Proposal, text: str) -> dict[str, Any]:
    """What `--json` prints; the keys stay."""
    history = found.history
    document: dict[str, Any] = {
        "files": [str(path) for path in found.paths],
        "readable": history is not None,
        "error": found.error or None,
        "assumed": [
            {
                "option": one.option,
                "because": one.error,
                "certain": not one.others,
                "alternatives": [as_options(other) for other in one.others],
            }
            for one in found.assumptions
        ],
        "findings": as_documents(found.findings),
        "warnings": len(warnings_of(found.findings)) + len(found.assumptions),
        "layout": proposal.layout.model_dump(mode="json", exclude_defaults=True),
        "layout_toml": text,
    }
    if history is None or found.columns is None:
        return document | {"head": list(found.head)}
    return document | {
        "time": {
            "columns": list(found.columns.time),
            "form": found.time_form,
            "first": min((format_ns(one.first_ns) for one in found.sensors), default=None),
            "last": max((format_ns(one.last_ns) for one in found.sensors), default=None),
        },
        "rows": {
            "read": history.read,
            "used": len(history),
            "left_out": [
                {"reason": str(reason), "sensor": sensor or None, "rows": count}
                for (reason, sensor), count in history.left_out.most_common()
            ],
            "told_missing": dict(history.told_missing),
            "out_of_order": history.unordered.total(),
        },
        "sensor_column": "/".join(found.columns.sensor) or None,
        "label_column": found.columns.label,
        "sensors": [_sensor_document(one) for one in found.sensors],
        "channels": [
            {
                "channel": one.channel,
                "unit": one.unit or None,
                "values": one.count,
                "missing_share": one.missing,
                "distinct": one.distinct,
                "min": _finite(one.low),
                "median": _finite(one.median),
                "max": _finite(one.high),
            }
            for one in found.channels
        ],
        "notes": list(history.notes),
    }


def _sensor_document(one: SensorProfile) -> dict[str, Any]:
    steps = one.interval
    return {
        "sensor": one.sensor,
        "rows": one.rows,
        "first": format_ns(one.first_ns),
        "last": format_ns(one.last_ns),
        "interval_s": None if steps is None else steps.typical_ns / 1e9,
        "longest_step_s": None if steps is None else steps.longest_ns / 1e9,
        "irregular_share": None if steps is None else steps.irregular,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

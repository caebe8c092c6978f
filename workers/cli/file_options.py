"""The options that say which column of a file is what; shared by every command that reads files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from workers.data.files import Layout
from workers.data.values import EpochUnit

FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        help="CSV (also .csv.gz) or Parquet files.", metavar="FILE...", show_default=False
    ),
]
TimeOption = Annotated[
    str | None,
    typer.Option("--time", help="Column with the time. Default: ts, timestamp, datetime, ..."),
]
SensorOption = Annotated[
    str | None,
    typer.Option("--sensor", help="Column with the sensor id. Default: sensor_id or sensor."),
]
SensorIdOption = Annotated[
    str | None,
    typer.Option("--sensor-id", help="The one sensor of the files. Default: the file's name."),
]
LabelOption = Annotated[
    str | None,
    typer.Option("--label", help="Column that is not 0 where a row is anomalous."),
]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="NAME[=COLUMN]",
        help="A channel and its column. May be repeated. Default: every other column.",
    ),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option("--ignore", help="A column that is no channel. May be repeated."),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option("--delimiter", help=r"Delimiter of CSV files ('\t' for a tab). Default: found."),
]
DecimalOption = Annotated[str, typer.Option("--decimal", help='Decimal mark, "." or ",".')]
EpochOption = Annotated[
    str,
    typer.Option("--epoch", help="Unit of times given as numbers: auto, s, ms, us or ns."),
]

_EPOCHS = {
    "auto": EpochUnit.AUTO,
    "s": EpochUnit.SECONDS,
    "ms": EpochUnit.MILLISECONDS,
    "us": EpochUnit.MICROSECONDS,
    "ns": EpochUnit.NANOSECONDS,
}


def layout_from(
    *,
    time: str | None = None,
    sensor: str | None = None,
    sensor_id: str | None = None,
    label: str | None = None,
    channels: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    epoch: str = "auto",
) -> Layout:
    """The layout that the options describe.

    Raises:
        typer.BadParameter: options that contradict each other or cannot be read.
    """
    if epoch not in _EPOCHS:
        raise typer.BadParameter(
            f"must be one of {', '.join(_EPOCHS)}, got {epoch!r}", param_hint="--epoch"
        )
    try:
        return Layout(
            time=time,
            sensor=sensor,
            sensor_id=sensor_id,
            label=label,
            channels=_channel_map(channels or ()),
            ignore=tuple(ignore or ()),
            delimiter="\t" if delimiter == r"\t" else delimiter,
            decimal=decimal,
            epoch=_EPOCHS[epoch],
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _channel_map(assignments: Sequence[str]) -> dict[str, str]:
    channels: dict[str, str] = {}
    for assignment in assignments:
        name, _, column = assignment.partition("=")
        if not name or name in channels:
            raise typer.BadParameter(
                f"{assignment!r} is not NAME or NAME=COLUMN with a new name", param_hint="--channel"
            )
        channels[name] = column or name
    return channels

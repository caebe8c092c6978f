"""What each column of a file is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workers.data.errors import FileFormatError, listed
from workers.data.file import sql
from workers.data.file.raw import RawTable
from workers.data.file.ways_out import is_time
from workers.data.layout import ChannelFrom, Layout, SensorFrom

TIME_NAMES = ("ts", "timestamp", "datetime", "time", "date")
SENSOR_NAMES = ("sensor_id", "sensor")
LABEL_NAMES = ("label", "anomaly", "is_anomaly")
NO_VALUES = "a column without a name and without values"
_SAMPLES = 20
_DAY = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](\d{4}|\d\d)")
_CLOCK = re.compile(r"\d\d?:\d\d(:\d\d([.,]\d+)?)?( ?[AaPp][Mm])?")
_INDEX_NAME = re.compile(r"__index_level_\d+__|Unnamed: \d+")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What each column of a file is, by its name.

    Attributes:
        time: one, or several to be joined by a blank.
        sensor: one, or several to be joined by /; none when it is `sensor_id` for the whole file.
        channels: name of the channel to name of the column.
        unused: columns that are nothing, with the reason.
    """

    time: tuple[str, ...]
    sensor: tuple[str, ...]
    sensor_id: str
    label: str | None
    channels: Mapping[str, str]
    unused: Mapping[str, str] = field(default_factory=dict)


def find_columns(table: RawTable, layout: Layout) -> Columns:
    """Settle what each column is.

    Raises:
        FileFormatError: a column that the layout names is not there, no time column, or no channel.
    """
    time, sensor = _time_columns(table, layout), _sensor_columns(table, layout)
    label = None if layout.label is None else layout.label.column
    if label is not None:
        _require(table, label, "label", "--label")
    elif layout.label_ranges is None:
        label = _usual(table.names, LABEL_NAMES)
    for one in layout.quality:
        _require(table, one.column, "quality", "--quality")
    for name in () if layout.is_long else layout.rate:
        _require(table, name, "rate", "--rate")
    taken = {*time, *sensor, label, *layout.ignore, *(one.column for one in layout.quality)}
    unused: dict[str, str] = {}
    # Where files name the channels, those are chosen when all files are read.
    channels = {} if layout.channel_from else dict(layout.channels)
    for channel, column in {} if layout.long else channels.items():
        _require(table, column, f"channel {channel}", "--channel")
    if layout.long is not None:
        _require(table, layout.long.tag, "tag", "--long")
        _require(table, layout.long.value, "value", "--long")
    elif not channels:
        others = (name for name in table.names if name not in taken)
        unused = {name: why for name in others if (why := _no_channel(table, name))}
        channels = _all_others(table, layout, {*taken, *unused})
    _check_judged(table, layout, channels)
    return Columns(
        time=time,
        sensor=sensor,
        sensor_id=_file_sensor(table.path, layout),
        label=label,
        channels=channels,
        unused=unused,
    )


def _check_judged(table: RawTable, layout: Layout, channels: Mapping[str, str]) -> None:
    """Raise for a quality of a channel that there is not: it would judge nothing."""
    known = ["value", layout.long.value] if layout.long else [*channels, *channels.values()]
    for one in layout.quality:
        if one.channel is not None and one.channel not in known:
            raise FileFormatError(
                f"{table.path}: there is no channel {one.channel!r} whose values {one.column!r} "
                f"may judge (--quality); there are {listed(dict.fromkeys(known))}"
            )


def _all_others(table: RawTable, layout: Layout, taken: Collection[str | None]) -> dict[str, str]:
    """Every column that is nothing else; a rate has another name than what it is the rate of."""
    channels = {
        f"{name}_per_s" if name in layout.rate else name: name
        for name in table.names
        if name not in taken
    }
    if not channels:
        raise FileFormatError(
            f"{table.path}: no column is left for a channel among {listed(table.names)}"
        )
    return channels


def _sensor_columns(table: RawTable, layout: Layout) -> tuple[str, ...]:
    for name in layout.sensor:
        _require(table, name, "sensor", "--sensor")
    if layout.sensor:
        return layout.sensor
    if layout.sensor_id is not None or layout.sensor_from in {SensorFrom.FILE, SensorFrom.FOLDER}:
        return ()
    found = _usual(table.names, SENSOR_NAMES)
    if found is None and layout.sensor_from is SensorFrom.COLUMN:
        raise FileFormatError(
            f"{table.path}: which column is the sensor? none of {', '.join(SENSOR_NAMES)} among "
            f"{listed(table.names)}; name it with --sensor"
        )
    return () if found is None else (found,)


def _time_columns(table: RawTable, layout: Layout) -> tuple[str, ...]:
    if layout.time:
        for name in layout.time:
            _require(table, name, "time", "--time")
        return layout.time
    lower = {name.lower(): name for name in reversed(table.names)}
    if "date" in lower and "time" in lower and not {"ts", "timestamp", "datetime"} & lower.keys():
        return (lower["date"], lower["time"])
    found, first = _usual(table.names, TIME_NAMES), _first_values(table)
    clocks = [name for name in table.names if all(map(_CLOCK.fullmatch, first[name] or [""]))]
    clock = tuple(clocks) if len(clocks) == 1 else ()
    if found is not None:
        return (found, *clock) if _are_days(first[found]) else (found,)
    likely = [
        (name, *clock) if _are_days(first[name]) else (name,)
        for name, kind in zip(table.names, table.types, strict=True)
        if name and (kind.startswith(("TIMESTAMP", "DATE")) or is_time(first[name]))
    ]
    raise FileFormatError(
        f"{table.path}: which column is the time? none of {', '.join(TIME_NAMES)} among "
        f"{listed(table.names)}; name it with --time, twice for a date and a time of day",
        ways_out=[{"time": names} for names in likely],
    )


def _are_days(values: Sequence[str]) -> bool:
    """Whether texts are dates without a time of day."""
    return bool(values) and all(map(_DAY.fullmatch, values))


def _first_values(table: RawTable) -> dict[str, list[str]]:
    """The first values of each column that are there."""
    picks = ", ".join(f"CAST({column} AS VARCHAR)" for column in table.columns)
    first = table.query(f"SELECT {picks} FROM raw ORDER BY rowid LIMIT {_SAMPLES}")  # noqa: S608
    columns = zip(*first, strict=True) if first else [()] * len(table.names)
    return {
        name: [one.strip() for one in values if one and one.strip()]
        for name, values in zip(table.names, columns, strict=True)
    }


def _require(table: RawTable, name: str, what: str, option: str) -> None:
    if name not in table.names or not name:
        raise FileFormatError(
            f"{table.path}: there is no column {name!r} for the {what} ({option}); the file has "
            f"{listed(table.names)}"
        )


def _usual(names: Sequence[str], usual: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in usual if name in lower), None)


def _no_channel(table: RawTable, name: str) -> str | None:
    """Why a column is no channel, though nobody said so."""
    if not _INDEX_NAME.fullmatch(name):
        return None
    column, kind = table.column(name), table.types[table.names.index(name)]
    ((filled,),) = table.query(f"SELECT count({column}) FROM raw")  # noqa: S608 - our own name
    if name.startswith("__") and sql.is_number(kind):
        return "a row number that pandas wrote"
    if not filled:
        return NO_VALUES
    whole = f"TRY_CAST(CAST({column} AS VARCHAR) AS BIGINT)"
    ((steps,),) = table.query(
        f"SELECT count(*) FROM (SELECT {whole} - lag({whole}) OVER (ORDER BY rowid) AS step "  # noqa: S608
        "FROM raw) WHERE step = 1"
    )
    return "a row number that pandas wrote" if steps >= filled - 1 else None


def _file_sensor(path: Path, layout: Layout) -> str:
    """The sensor of a whole file: what the folder or file is called that does not name channels."""
    if layout.sensor_id is not None:
        return layout.sensor_id
    folder = path.resolve().parent
    if layout.channel_from is ChannelFrom.FOLDER:
        folder = folder.parent
    if layout.sensor_from is SensorFrom.FOLDER or (
        layout.channel_from is not None and layout.sensor_from is not SensorFrom.FILE
    ):
        return folder.name.rpartition("=")[2] or "sensor"
    return file_name(path)


def file_name(path: Path) -> str:
    """The name of a file up to its first dot."""
    return path.name.split(".")[0] or path.name

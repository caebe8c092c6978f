"""What Vigie understands of files before anybody trains on them.

A file that cannot be read as it is told is read as its errors propose, one after the other, and
each such step is kept, to be said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.data.errors import FileFormatError
from workers.data.file.columns import Columns
from workers.data.file.rows import FileRows
from workers.data.file.text import beginning
from workers.data.files import read_both
from workers.data.finding import Finding, as_options, with_keys
from workers.data.findings.checks import findings_of
from workers.data.findings.few_rows import few_rows_findings
from workers.data.findings.times import Interval, interval_of
from workers.data.history import History, SensorRows
from workers.data.layout import Layout

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MAX_STEPS = 40
"""Errors that are answered by their proposal, at most: one each, so a file has few."""
_SAMPLE = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumption:
    """What was assumed to read the files.

    Attributes:
        error: what could not be read without it.
        keys: of a layout, with which they were read on.
        others: keys that would do as well; then nobody should take `keys` without asking.
    """

    error: str
    keys: Mapping[str, Any]
    others: tuple[Mapping[str, Any], ...]

    @property
    def option(self) -> str:
        """What was assumed, as options."""
        return as_options(self.keys)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelProfile:
    """The values of a channel, over all sensors; NaN where it has none.

    Attributes:
        count: values that are there, of `rows`.
        distinct: different values, among two million of them at most.
        told_missing: values that are missing because the user says so.
    """

    channel: str
    unit: str
    rows: int
    count: int
    distinct: int
    low: float
    median: float
    high: float
    told_missing: int

    @property
    def missing(self) -> float:
        """Share of the rows that have no value."""
        return 1 - self.count / self.rows if self.rows else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SensorProfile:
    """The rows of a sensor; without an interval where they are fewer than two."""

    sensor: str
    rows: int
    first_ns: int
    last_ns: int
    interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was understood.

    Attributes:
        given: the layout that was told.
        layout: the one that files were read with at last.
        assumptions: the steps from the one to the other.
        error: why they cannot be read even so; "" where they can. Then all below is empty.
        head: the first lines of the first file as they stand there.
        columns: what each column of the first file is.
        time_form: how times are written, in the first file.
        findings: what looks wrong.
    """

    paths: tuple[Path, ...]
    given: Layout
    layout: Layout
    assumptions: tuple[Assumption, ...]
    error: str
    head: tuple[str, ...]
    columns: Columns | None = None
    time_form: str = ""
    history: History | None = None
    sensors: tuple[SensorProfile, ...] = ()
    channels: tuple[ChannelProfile, ...] = ()
    findings: tuple[Finding, ...] = ()


def inspect_files(paths: Sequence[Path], layout: Layout, *, now_ns: int) -> Inspection:
    """Read files, and say what was understood.

    Args:
        paths: of the files.
        layout: what is told of them.
        now_ns: what the clock says.
    """
    assumptions: list[Assumption] = []
    told, error, read = layout, "", None
    while read is None and not error:
        try:
            read = read_both(paths, told)
        except FileFormatError as found:
            error = _without_folders(str(found), paths)
            ways = [one for one in found.ways_out if _leads_on(told, one)]
            if ways and len(assumptions) < _MAX_STEPS:
                told = with_keys(told, ways[0])
                assumptions.append(Assumption(error=error, keys=ways[0], others=tuple(ways[1:])))
                error = ""
    common = Inspection(
        paths=tuple(paths),
        given=layout,
        layout=told,
        assumptions=tuple(assumptions),
        error=error,
        head=beginning(paths[0], told),
    )
    return common if read is None else _understood(common, *read, now_ns=now_ns)


def _without_folders(text: str, paths: Sequence[Path]) -> str:
    """Files by their names: what is said goes into a file that others read."""
    for path in paths:
        text = text.replace(str(path), path.name)
    return text


def _leads_on(layout: Layout, keys: Mapping[str, Any]) -> bool:
    try:
        return with_keys(layout, keys) != layout
    except ValueError:
        return False


def _understood(
    common: Inspection, files: Sequence[FileRows], history: History, *, now_ns: int
) -> Inspection:
    return Inspection(
        **{
            name: getattr(common, name)
            for name in ("paths", "given", "layout", "assumptions", "error", "head")
        },
        columns=files[0].columns,
        time_form=files[0].time_form,
        history=history,
        sensors=tuple(_sensor(one) for one in history.sensors if len(one)),
        channels=tuple(_channel(history, number) for number in range(len(history.channels))),
        findings=(
            *findings_of(history, common.layout, now_ns=now_ns),
            # Training itself says so, of the receptive field that it is given.
            *few_rows_findings(history),
        ),
    )


def _sensor(one: SensorRows) -> SensorProfile:
    return SensorProfile(
        sensor=one.sensor,
        rows=len(one),
        first_ns=int(one.ts_ns[0]),
        last_ns=int(one.ts_ns[-1]),
        interval=interval_of(one),
    )


def _channel(history: History, number: int) -> ChannelProfile:
    channel = history.channels[number]
    column = (
        np.concatenate([one.values[:, number] for one in history.sensors])
        if history.sensors
        else np.empty(0)
    )
    known = column[np.isfinite(column)]
    some = known[:: len(known) // _SAMPLE + 1]
    low, median, high = (
        (float(known.min()), float(np.median(some / 2) * 2), float(known.max()))
        if len(known)
        else (float("nan"),) * 3
    )
    return ChannelProfile(
        channel=channel,
        unit=history.units.get(channel, ""),
        rows=len(column),
        count=len(known),
        distinct=len(np.unique(some)),
        low=low,
        median=median,
        high=high,
        told_missing=history.told_missing[channel],
    )


def envelope(one: SensorRows, number: int, pieces: int) -> tuple[FloatArray, FloatArray]:
    """The smallest and the largest value of a channel in equal pieces of a sensor's rows.

    Args:
        one: the sensor; at least one row. Gaps in its time take no room.
        number: of the channel.
        pieces: how many.

    Returns:
        [pieces] each, NaN where a piece has no value.
    """
    low, high = np.full(pieces, np.nan), np.full(pieces, np.nan)
    known = np.flatnonzero(np.isfinite(one.values[:, number]))
    places, starts = np.unique(known * pieces // len(one), return_index=True)
    if len(places):
        low[places] = np.minimum.reduceat(one.values[known, number], starts)
        high[places] = np.maximum.reduceat(one.values[known, number], starts)
    return low, high

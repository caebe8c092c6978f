"""What looks wrong with files, seen before their rows are sorted and put together. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from workers.data.errors import listed
from workers.data.file.rows import FileRows, Reason
from workers.data.finding import Finding, Kind, joined
from workers.data.history import History
from workers.data.layout import Layout

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SAMPLE_ROWS = 200_000
_MAX_SENSORS = 10_000
_ROWS_EACH = 5
_MOST_REPEATS_LEFT = 0.02
_STEADY = 0.5
_MIN_REPEATS = 0.02
_NAMED = re.compile(
    r"(machine|device|sensor|asset|pump|motor|engine|turbine|station|node|equipment|unit|meter)"
    r"[ _-]?(id|no|nr|num|number)",
    re.IGNORECASE,
)
_DATED = re.compile(r"\d{4}([-_.]?\d{2}){0,2}|\d{1,2}")


def file_findings(
    files: Sequence[FileRows], history: History, layout: Layout
) -> tuple[Finding, ...]:
    """What looks wrong with files.

    Args:
        files: their rows, in their order.
        history: what was made of them.
        layout: how they were read.
    """
    return (
        *(_suspects(files[0], history) if layout.long is None else ()),
        *_merged(files, layout),
        *_words(files),
    )


def _suspects(one: FileRows, history: History) -> Iterator[Finding]:
    """Columns that look like the sensor of each row: by their values, else by their name."""
    repeated = history.by_reason[Reason.REPEATED] > _MIN_REPEATS * history.read
    suspects = list(_sensor_columns(one)) if repeated else []
    for name, count in suspects:
        yield Finding(
            kind=Kind.SENSOR_COLUMN,
            text=f"{name!r} looks like the sensor of each row: it has {count:,} whole values, "
            "and rows of one time differ in it",
            keys={"sensor": name},
            certain=len(suspects) == 1,
            channel=name,
        )
    for number, channel in enumerate(() if suspects else one.channels):
        column = one.values[:_SAMPLE_ROWS, number]
        name = one.columns.channels[channel]
        if _NAMED.fullmatch(name) and 1 < len(np.unique(column)) <= len(column) // _ROWS_EACH:
            yield Finding(
                kind=Kind.SENSOR_COLUMN,
                text=f"{name!r} is called as the sensor of each row would be, and is read as a "
                "channel of one",
                keys={"sensor": name},
                channel=name,
            )


def _sensor_columns(one: FileRows) -> Iterator[tuple[str, int]]:
    """Columns by which the times of a file become distinct, and how many values each has.

    Two things tell a sensor's number from a channel with whole values: rows of one time differ in
    it, and the rows of each of its values are steady in time, or there are as many values as rows
    of one time. A valve's position passes neither, a coarse reading fails the second.
    """
    rows = slice(0, _SAMPLE_ROWS)
    ts_ns, codes, values = one.ts_ns[rows], one.codes[rows], one.values[rows]
    n = len(ts_ns)
    for number, channel in enumerate(one.channels):
        column = values[:, number]
        if not np.isfinite(column).all() or not (column == np.rint(column)).all():
            continue
        names, place = np.unique(column, return_inverse=True)
        if not 1 < len(names) <= min(_MAX_SENSORS, n // _ROWS_EACH):
            continue
        order = np.lexsort((ts_ns, place, codes))
        same = (np.diff(codes[order]) == 0) & (np.diff(place[order]) == 0)
        steps = np.diff(ts_ns[order])[same]
        if not len(steps) or np.count_nonzero(steps == 0) > _MOST_REPEATS_LEFT * n:
            continue
        per_time = n / len(np.unique(np.stack([codes, ts_ns]), axis=1)[0])
        steady = np.count_nonzero(steps == np.median(steps)) / len(steps)
        if len(names) <= 2 * per_time or steady >= _STEADY:
            yield one.columns.channels.get(channel, channel), len(names)


def _merged(files: Sequence[FileRows], layout: Layout) -> Iterator[Finding]:
    """Files of one name in several folders are one sensor, where their name is its id."""
    if layout.sensor_from is not None or layout.sensor_id is not None or len(files) <= 1:
        return
    folders: dict[str, set[str]] = {}
    for one in files:
        if one.columns.sensor is None:
            folders.setdefault(one.columns.sensor_id, set()).add(one.path.resolve().parent.name)
    for sensor, names in folders.items():
        if len(names) > 1 and not all(_DATED.fullmatch(name) for name in names):
            yield Finding(
                kind=Kind.MERGED_SENSORS,
                text=f"files of {len(names):,} folders ({listed(sorted(names))}) are read as one "
                f"sensor, {sensor!r}, by their name. If each folder is a sensor of its own",
                keys={"sensor_from": "folder"},
            )


def _words(files: Sequence[FileRows]) -> tuple[Finding, ...]:
    """What each file says of its own; a word may be missing in one file that stands in another."""
    everywhere = {Kind.LABEL_WORD, Kind.QUALITY_WORD}
    found = [one for file in files for one in file.findings if one.kind not in everywhere]
    for kind in everywhere:
        of_kind = [[one for one in file.findings if one.kind is kind] for file in files]
        if all(of_kind):
            found += of_kind[0]
    return joined(found)

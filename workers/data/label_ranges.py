"""Anomalous stretches of time from a file: a list of them, or what another service found.

A list is a CSV file of `start` and `end`; one without a line of names is read as Amazon Lookout for
Equipment takes it. Results are read as Azure Anomaly Detector and Lookout for Equipment give them,
so that what they found is what a backtest is judged by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from workers.data.assemble import LabelRange
from workers.data.errors import FileFormatError, listed
from workers.data.file import sql
from workers.data.file.columns import SENSOR_NAMES
from workers.data.file.dialect import DELIMITERS, is_data
from workers.data.file.local_time import NonexistentTimeError, to_utc
from workers.data.file.raw import RawTable, reading
from workers.data.file.table import open_raw
from workers.data.file.text import beginning
from workers.data.file.times import Times
from workers.data.layout import Layout

_UNNAMED: Final = ("start", "end", "sensor_id")
_NS_PER_US: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a clock on a wall, its zone comes later
_EARLIEST, _LATEST = datetime(1678, 1, 1), datetime(2262, 1, 1)  # noqa: DTZ001 - as above
"""What 64 bits of nanoseconds hold, in any zone."""


def read_ranges(path: Path, layout: Layout) -> list[LabelRange]:
    """The stretches of a file: columns start, end and perhaps a sensor; or results in JSON.

    Raises:
        FileFormatError: it lacks a column, a time cannot be read, or an end comes before its start.
    """
    head = next((line for line in beginning(path, layout) if line.strip()), "")
    if head.lstrip().startswith(("{", "[")):
        found = list(_of_results(path, layout))
    else:
        found = _of_table(path, head, layout)
    for row, one in enumerate(found, 1):
        if one.end_ns < one.start_ns:
            raise FileFormatError(f"{path}: row {row}: the end comes before the start")
    return found


def _of_table(path: Path, head: str, layout: Layout) -> list[LabelRange]:
    plain = Layout(
        time_format=layout.time_format, timezone=layout.timezone, encoding=layout.encoding
    )
    delimiter = next((one for one in DELIMITERS if one in head), ",")
    fields = [field.strip().strip('"') for field in head.split(delimiter)]
    bare = _UNNAMED[: len(fields)] if is_data(fields) else ()
    with open_raw(path, plain, names=bare) as table:
        lower = {name.lower(): name for name in table.names}
        if not {"start", "end"} <= lower.keys():
            raise FileFormatError(
                f"{path}: a file of --label-ranges has the columns start and end, and sensor_id if "
                f"it is not of all sensors; this one has {listed(table.names)}"
            )
        for line, text in table.unreadable:
            raise FileFormatError(f"{path}: line {line}: too few or too many fields: {text[:60]!r}")
        starts, ends = (_times(table, lower[bound], plain) for bound in ("start", "end"))
        names: list[str | None] = [None] * len(starts)
        if sensor := next((lower[name] for name in SENSOR_NAMES if name in lower), None):
            column = sql.trimmed(table.column(sensor))
            shown = table.query(f"SELECT {column} FROM raw ORDER BY rowid")  # noqa: S608
            names = [name or None for (name,) in shown]
    return [
        LabelRange(start_ns=start, end_ns=end, sensor=name)
        for start, end, name in zip(starts, ends, names, strict=True)
    ]


def _times(table: RawTable, column: str, layout: Layout) -> list[int]:
    times = Times(table, [column], layout)
    if not times.present.all():
        row = int(np.argmin(times.present)) + 1
        raise FileFormatError(f"{table.path}: row {row}: no {column.lower()}")
    rows = np.arange(len(times.ns))
    found: list[int] = times.in_utc(rows, rows).tolist()
    return found


# -- results of services ---------------------------------------------------------------------------


def _of_results(path: Path, layout: Layout) -> Iterator[LabelRange]:
    """Stretches of consecutive anomalous results; both ends are times of results."""
    with reading(path):
        text = path.read_text(encoding=layout.encoding or "utf-8-sig", errors="replace")
    try:
        for start, end in _stretches(_documents(text)):
            yield LabelRange(start_ns=_ns(start, layout), end_ns=_ns(end, layout))
    except RecursionError as error:
        raise FileFormatError(
            f"{path}: not results that --label-ranges can read: brackets within brackets, too deep"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{path}: not results that --label-ranges can read ({error}): the batch results of "
            "Azure Anomaly Detector ('results'), the inference results of Lookout for Equipment "
            "(a line each) or the 'predicted_ranges' of its model; or write a CSV file of start,end"
        ) from error


def _documents(text: str) -> list[Mapping[str, Any]]:
    """The objects of a file: one, a list, or one a line."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return whole if isinstance(whole, list) else [whole]


def _stretches(documents: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    results: list[tuple[str, bool]] = []
    for one in documents:
        if "predicted_ranges" in one:  # the metrics of a model of Lookout for Equipment
            yield from ((found["start"], found["end"]) for found in one["predicted_ranges"])
        elif "results" in one:  # a batch of Azure Anomaly Detector; null where it has none
            results += [
                (found["timestamp"], _is_anomalous((found["value"] or {}).get("isAnomaly")))
                for found in one["results"]
            ]
        else:  # a result of Lookout for Equipment
            results.append((one["timestamp"], _is_anomalous(one["prediction"])))
    begun: list[str] = []
    for time, is_anomalous in [*results, ("", False)]:
        if is_anomalous:
            begun = [*begun[:1], time]
        elif begun:
            yield begun[0], begun[-1]
            begun = []


def _is_anomalous(mark: object) -> bool:
    """0 and 1, false and true, or null where there is no result.

    A text is refused: "0" would be true.
    """
    if mark not in (None, 0, 1):
        raise ValueError(f"{mark!r} where 0 or 1, true or false belongs")
    return bool(mark)


def _ns(text: str, layout: Layout) -> int:
    """A time of a result; without a zone it is in that of the layout."""
    time = datetime.fromisoformat(text)
    if not _EARLIEST <= time.replace(tzinfo=None) <= _LATEST:
        raise ValueError(f"{text} is not between {_EARLIEST.date()} and {_LATEST.date()}")
    if time.tzinfo is not None:
        time = time.astimezone(UTC).replace(tzinfo=None)
    past = time - _EPOCH
    ns = ((past.days * 86_400 + past.seconds) * 10**6 + past.microseconds) * _NS_PER_US
    if datetime.fromisoformat(text).tzinfo is not None:
        return ns
    one = np.array([ns], np.int64)
    try:
        return int(to_utc(one, layout.timezone, np.zeros(1, np.int64))[0])
    except NonexistentTimeError as error:
        raise ValueError(f"{error} (--timezone)") from error

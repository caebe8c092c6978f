"""Rows of files and topics to a history: sorted by time, labelled, resampled, without repeats.

A history has no order of arrival. Where two files tell of one sensor at the same time, neither is
believed. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.wire.timestamp import short_ns
from workers.data.errors import FileFormatError
from workers.data.file.own_channels import with_own_channels
from workers.data.file.rows import FileRows, LeftOut, Reason
from workers.data.finding import Finding, Kind
from workers.data.history import History, SensorRows
from workers.data.layout import Layout
from workers.data.reshape import pivot, rates, resample

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LabelRange:
    """An anomalous stretch, both ends in it; of every sensor when it names none."""

    start_ns: int
    end_ns: int
    sensor: str | None = None


def assemble(
    files: Sequence[FileRows], layout: Layout, ranges: Sequence[LabelRange] = ()
) -> History:
    """Put the rows of files together, sensor by sensor.

    1. Check that no two files tell of one sensor at the same time. 2. Sort by time. 3. Pivot long
    rows, and those of files with channels of their own. 4. Label. 5. Counters to rates.
    6. Resample. 7. Leave out rows that repeat a time.

    Raises:
        FileFormatError: files overlap, or differ in their channels.
    """
    if layout.channel_from is not None:
        files = with_own_channels(files, layout)
    channels = _channels(files, layout)
    files = [_in_order(one, channels) for one in files]
    left_out: LeftOut = Counter()
    told_missing, poor_values = Counter[str](), Counter[str]()
    for one in files:
        left_out.update(one.left_out)
        told_missing.update(one.told_missing)
        poor_values.update(one.poor_values)
    parts: dict[str, list[Part]] = {}
    for one in files:
        for part in _parts(one):
            parts.setdefault(part.sensor, []).append(part)
    for of_sensor in parts.values():
        _check_overlap(of_sensor, layout)
    of_all = {note for note in files[0].notes if all(note in one.notes for one in files)}
    notes = [
        note if note in of_all else f"{one.path.name}: {note}"
        for one in files
        for note in one.notes
    ]
    units = {channel: unit for one in files for channel, unit in one.units.items()}
    found = of_parts(parts.values(), channels, layout, ranges)
    if empty := _empty_ranges(found.sensors, ranges):
        notes.append(f"{empty:,} of {len(ranges):,} anomalous stretches hold no row")
    return replace(
        found,
        read=sum(one.read for one in files),
        left_out=found.left_out + left_out,
        units=units,
        told_missing=told_missing,
        poor_values=poor_values,
        notes=tuple(dict.fromkeys(notes)),
        findings=_all_empty(ranges) if empty == len(ranges) > 0 else (),
    )


def _empty_ranges(sensors: Sequence[SensorRows], ranges: Sequence[LabelRange]) -> int:
    """How many stretches hold no row: another zone is meant, or their sensor has no rows."""
    return sum(
        not any(
            np.any((rows.ts_ns >= one.start_ns) & (rows.ts_ns <= one.end_ns))
            for rows in sensors
            if one.sensor in {None, rows.sensor}
        )
        for one in ranges
    )


def _all_empty(ranges: Sequence[LabelRange]) -> tuple[Finding]:
    first = min(ranges, key=lambda one: one.start_ns)
    text = (
        f"none of the {len(ranges):,} anomalous stretches of --label-ranges holds a row, the first "
        f"from {short_ns(first.start_ns)} to {short_ns(first.end_ns)}: is it their zone "
        "(--timezone), or their sensor?"
    )
    return (Finding(kind=Kind.LABEL_RANGES, text=text),)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one sensor in the order in which they were read.

    Attributes:
        path: of their file; None if they are of a topic.
        tags: of long rows, the channel of each, [n]; then values are [n, 1].
    """

    sensor: str
    ts_ns: IntArray
    values: FloatArray
    tags: npt.NDArray[np.int32] | None = None
    labels: BoolArray | None = None
    path: Path | None = None


def of_parts(
    sensors: Iterable[Sequence[Part]],
    channels: tuple[str, ...],
    layout: Layout,
    ranges: Sequence[LabelRange] = (),
) -> History:
    """Steps 2 to 7 of `assemble`, for the parts of each sensor."""
    left_out: LeftOut = Counter()
    unordered, made, read = Counter[str](), [], 0
    for parts in sensors:
        rows, late, repeated = _sensor_rows(parts, channels, layout, ranges)
        read += sum(len(part.ts_ns) for part in parts)
        unordered[rows.sensor] += late
        left_out[Reason.REPEATED, rows.sensor] += repeated
        made.append(rows)
    return History(
        channels=channels,
        sensors=tuple(made),
        read=read,
        left_out=+left_out,
        units={},
        told_missing=Counter(),
        unordered=+unordered,
    )


def _channels(files: Sequence[FileRows], layout: Layout) -> tuple[str, ...]:
    first = files[0]
    if layout.is_long:
        return tuple(dict.fromkeys(name for one in files for name in one.channels))
    for one in files:
        if set(one.channels) != set(first.channels):
            extra = sorted(set(one.channels) ^ set(first.channels))
            raise FileFormatError(
                f"{one.path}: its channels differ from those of {first.path} in "
                f"{', '.join(map(repr, extra[:6]))}; choose those that both have with --channel, "
                "or read the files apart",
                ways_out=[{"channels": common}] if (common := _in_all(files)) else (),
            )
    return first.channels


def _in_all(files: Sequence[FileRows]) -> dict[str, str]:
    """The channels that every file has, and their columns."""
    first = files[0].columns.channels
    return {
        name: column
        for name, column in first.items()
        if all(one.columns.channels.get(name) == column for one in files)
    }


def _in_order(one: FileRows, channels: tuple[str, ...]) -> FileRows:
    """The same with its channels in the order of all files."""
    if one.channels == channels:
        return one
    if one.tags is not None:
        lookup = np.array([channels.index(name) for name in one.channels], np.int32)
        return replace(one, channels=channels, tags=lookup[one.tags])
    picks = [one.channels.index(name) for name in channels]
    return replace(one, channels=channels, values=one.values[:, picks])


def _parts(one: FileRows) -> Iterator[Part]:
    if not len(one):
        return
    if (one.codes == one.codes[0]).all():
        yield Part(
            sensor=one.sensors[one.codes[0]],
            path=one.path,
            ts_ns=one.ts_ns,
            tags=one.tags,
            values=one.values,
            labels=one.labels,
        )
        return
    order = np.argsort(one.codes, kind="stable")
    present, starts = np.unique(one.codes[order], return_index=True)
    for code, rows in zip(present, np.split(order, starts[1:]), strict=True):
        yield Part(
            sensor=one.sensors[code],
            path=one.path,
            ts_ns=one.ts_ns[rows],
            tags=None if one.tags is None else one.tags[rows],
            values=one.values[rows],
            labels=None if one.labels is None else one.labels[rows],
        )


def _check_overlap(parts: Sequence[Part], layout: Layout) -> None:
    spans: dict[int, list[tuple[int, int, Path]]] = {}
    for part in parts if len(parts) > 1 else ():
        tags = np.zeros(len(part.ts_ns), np.int32) if part.tags is None else part.tags
        for tag in np.unique(tags).tolist():
            times = part.ts_ns[tags == tag]
            path = part.path or Path()
            spans.setdefault(tag, []).append((int(times.min()), int(times.max()), path))
    for of_tag in spans.values():
        of_tag.sort(key=lambda span: span[:2])
        for (_, end, path), (start, _, other) in pairwise(of_tag):
            if start < end:
                raise FileFormatError(
                    f"{other} and {path} both hold rows of sensor {parts[0].sensor!r} between "
                    f"{short_ns(start)} and {short_ns(end)}: {_way_out(path, other, layout)}",
                    ways_out=_ways_to_part(path, other, layout),
                )


def _way_out(path: Path, other: Path, layout: Layout) -> str:
    if path.resolve() == other.resolve():
        return "the same file is given twice"
    if not layout.sensor and path.name == other.name:
        return "if they are two sensors, tell them apart with --sensor-from folder"
    return "give one of them, or tell their sensors apart (--sensor, --sensor-from)"


def _ways_to_part(path: Path, other: Path, layout: Layout) -> list[dict[str, str]]:
    if path.resolve() == other.resolve() or layout.sensor:
        return []
    return [{"sensor_from": "folder" if path.name == other.name else "file"}]


def _sensor_rows(
    parts: Sequence[Part],
    channels: tuple[str, ...],
    layout: Layout,
    ranges: Sequence[LabelRange],
) -> tuple[SensorRows, int, int]:
    """The rows of a sensor, how many were out of order, and how many repeat a time."""
    sensor, ts_ns = parts[0].sensor, np.concatenate([part.ts_ns for part in parts])
    # Files with channels of their own are of the same time: each may be in order.
    orders = [part.ts_ns for part in parts] if layout.channel_from is not None else [ts_ns]
    late = sum(int(np.count_nonzero(one < np.maximum.accumulate(one))) for one in orders)
    order = np.argsort(ts_ns, kind="stable") if late or len(parts) > 1 else slice(None)
    ts_ns = ts_ns[order]
    values = np.concatenate([part.values for part in parts])[order]
    labels = None
    if any(part.labels is not None for part in parts):
        # A file without a column of labels calls none of its rows anomalous.
        flags = [np.zeros(len(p.ts_ns), np.bool_) if p.labels is None else p.labels for p in parts]
        labels = np.concatenate(flags)[order]
    repeated = 0
    if layout.is_long:
        tags = np.concatenate([part.tags for part in parts if part.tags is not None])[order]
        times, values, place = pivot(ts_ns, tags, values[:, 0], len(channels))
        repeated = int(np.count_nonzero(place < 0))
        labels = None if labels is None else _any_of(labels, place, len(times))
        ts_ns = times
    labels = _labelled(sensor, ts_ns, labels, ranges)
    for name in layout.rate:
        for number, channel in enumerate(channels):
            if channel in {name, f"{name}_per_s"} or layout.channels.get(channel) == name:
                values[:, number] = rates(ts_ns, values[:, number])
    if layout.resample is not None:
        try:
            ts_ns, values, labels = resample(ts_ns, values, labels, layout.resample)
        except ValueError as error:
            raise FileFormatError(f"sensor {sensor!r}: {error}") from error
    else:
        fresh = np.append(True, ts_ns[1:] > ts_ns[:-1])
        repeated += int(np.count_nonzero(~fresh))
        if not fresh.all():
            ts_ns, values = ts_ns[fresh], values[fresh]
            labels = None if labels is None else labels[fresh]
    return SensorRows(sensor=sensor, ts_ns=ts_ns, values=values, labels=labels), late, repeated


def _any_of(labels: BoolArray, place: IntArray, n: int) -> BoolArray:
    made = np.zeros(n, np.bool_)
    made[place[labels & (place >= 0)]] = True
    return made


def _labelled(
    sensor: str, ts_ns: IntArray, labels: BoolArray | None, ranges: Sequence[LabelRange]
) -> BoolArray | None:
    if not ranges:
        return labels
    made = np.zeros(len(ts_ns), np.bool_) if labels is None else labels.copy()
    for one in ranges:
        if one.sensor in {None, sensor}:
            made |= (ts_ns >= one.start_ns) & (ts_ns <= one.end_ns)
    return made

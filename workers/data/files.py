"""Readings in files: CSV and Parquet, batch by batch.

A `Layout` says which column is what; `open_table` checks it against the file before anything is
read. Batches are bounded (`BATCH_ROWS` rows; CSV is parsed in blocks of 4 MiB), so a file may be
larger than memory. Times come out as int64 nanoseconds UTC, values as float64 with NaN for missing.

Left out on purpose: compression other than what the file's name announces (`.csv.gz`), several
tables in one file, and guessing a decimal comma.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from workers.data.values import EpochUnit, ValueReadError, to_floats, to_labels, to_names, to_times
from workers.errors import VigieError

BATCH_ROWS = 65_536
MAX_ROWS = 100_000_000
MAX_COLUMNS = 4_096
_SNIFF_BYTES = 65_536
_CSV_BLOCK_BYTES = 4 * 1024 * 1024
_DELIMITERS = (",", ";", "\t", "|")
_TIME_NAMES = ("ts", "timestamp", "datetime", "time", "date")
_SENSOR_NAMES = ("sensor_id", "sensor")
_LABEL_NAMES = ("label", "anomaly", "is_anomaly")


class FileFormatError(VigieError):
    """A file cannot be read as readings. The message names file, row and column."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which column of a file is what. An attribute that is not given is found out."""

    time: str | None = None  # column; else the first of ts, timestamp, datetime, time, date
    sensor: str | None = None  # column; else `sensor_id` or `sensor` where there is one
    sensor_id: str | None = None  # of a file without such a column; else the file's name
    label: str | None = None  # column, not 0 where anomalous; else label, anomaly or is_anomaly
    channels: Mapping[str, str] = field(default_factory=dict)  # their columns; else all others
    ignore: tuple[str, ...] = ()  # columns that are no channels
    delimiter: str | None = None  # one character; else comma, semicolon, tab or bar
    decimal: str = "."  # or ",", of a CSV file
    epoch: EpochUnit = EpochUnit.AUTO  # of times given as numbers; AUTO: by the size of the first

    def __post_init__(self) -> None:
        """Refuse a layout that contradicts itself."""
        if self.sensor is not None and self.sensor_id is not None:
            raise ValueError("give a sensor column or one sensor id for the whole file, not both")
        if self.decimal not in {".", ","}:
            raise ValueError(f"decimal must be '.' or ',', got {self.decimal!r}")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ValueError(f"delimiter must be one character, got {self.delimiter!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileColumns:
    """Consecutive rows of a file."""

    sensors: tuple[str, ...]  # names that `sensor_codes` points into
    sensor_codes: npt.NDArray[np.int32]  # sensor of each row, [n]
    ts_ns: npt.NDArray[np.int64]  # event time of each row, [n]
    values: npt.NDArray[np.float64]  # one column a channel, NaN = missing, [n, C]
    labels: npt.NDArray[np.bool_] | None  # True where the file calls the row anomalous, [n]

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class SensorColumns:
    """All rows of one sensor, in the order of the files: ts_ns [n], values [n, C], labels [n]."""

    sensor: str
    ts_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    labels: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file whose columns are known; nothing is held open between calls."""

    path: Path
    channels: tuple[str, ...]  # in the order of the columns of `FileColumns.values`
    time_column: str
    sensor_column: str | None  # None when the whole file is `sensor_id`
    sensor_id: str
    label_column: str | None
    layout: Layout
    _sources: tuple[str, ...]

    def batches(self) -> Iterator[FileColumns]:
        """The rows of the file, at most `BATCH_ROWS` at a time.

        Raises:
            FileFormatError: a value that cannot be read; the message names row and column.
        """
        row, unit = 1, self.layout.epoch
        for batch in self._raw_batches():
            columns = {name: batch.column(name) for name in batch.schema.names}
            if unit is EpochUnit.AUTO:
                unit = EpochUnit.guess(columns[self.time_column])
            yield self._convert(columns, row, unit)
            row += batch.num_rows

    def _raw_batches(self) -> Iterator[pa.RecordBatch]:
        wanted = [self.time_column, *self._sources]
        wanted += [name for name in (self.sensor_column, self.label_column) if name is not None]
        wanted = list(dict.fromkeys(wanted))
        if _is_parquet(self.path):
            with _reading(self.path), pq.ParquetFile(self.path) as parquet:
                yield from parquet.iter_batches(batch_size=BATCH_ROWS, columns=wanted)
            return
        with _reading(self.path), pa.input_stream(str(self.path)) as stream:
            reader = pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self.layout.delimiter or _sniff(self.path)[0]
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(wanted, pa.string()),
                    include_columns=wanted,
                    strings_can_be_null=False,
                ),
            )
            for block in reader:
                for start in range(0, block.num_rows, BATCH_ROWS):
                    yield block.slice(start, BATCH_ROWS)

    def _convert(self, columns: Mapping[str, Any], row: int, unit: EpochUnit) -> FileColumns:
        column = self.time_column
        try:
            ts_ns = to_times(columns[column], unit)
            values = np.empty((len(ts_ns), len(self._sources)))
            for index, column in enumerate(self._sources):
                values[:, index] = to_floats(columns[column], self.layout.decimal)
            labels = None
            if self.label_column is not None:
                column = self.label_column
                labels = to_labels(columns[column], self.layout.decimal)
            sensors: tuple[str, ...] = (self.sensor_id,)
            codes = np.zeros(len(ts_ns), dtype=np.int32)
            if self.sensor_column is not None:
                column = self.sensor_column
                sensors, codes = to_names(columns[column])
        except ValueReadError as problem:
            raise FileFormatError(
                f"{self.path}: row {row + problem.index}, column {column!r}: {problem}"
            ) from problem
        return FileColumns(
            sensors=sensors,
            sensor_codes=codes,
            ts_ns=ts_ns,
            values=values,
            labels=labels,
        )


def open_table(path: Path, layout: Layout | None = None) -> Table:
    """Look at a file's columns and settle what each one is.

    Raises:
        FileFormatError: no such file, not CSV or Parquet, a column that the layout names is not
            there, no time column, or no channel.
    """
    layout = layout or Layout()
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    names = _column_names(path, layout)
    time = _choose(path, names, "time", layout.time, _TIME_NAMES)
    if time is None:
        raise FileFormatError(
            f"{path}: which column is the time? none of {', '.join(_TIME_NAMES)} among "
            f"{_listed(names)}; name it with --time"
        )
    sensor = None
    if layout.sensor_id is None:
        sensor = _choose(path, names, "sensor", layout.sensor, _SENSOR_NAMES)
    label = _choose(path, names, "label", layout.label, _LABEL_NAMES)
    taken = {time, sensor, label, *layout.ignore}
    channels = dict(layout.channels) or {name: name for name in names if name not in taken}
    for channel, source in channels.items():
        _choose(path, names, f"channel {channel}", source, ())
    if not channels:
        raise FileFormatError(f"{path}: no column is left for a channel among {_listed(names)}")
    return Table(
        path=path,
        channels=tuple(channels),
        time_column=time,
        sensor_column=sensor,
        sensor_id=layout.sensor_id or path.name.split(".")[0],
        label_column=label,
        layout=layout,
        _sources=tuple(channels.values()),
    )


def read_sensors(
    paths: Sequence[Path], layout: Layout | None = None, *, max_rows: int = MAX_ROWS
) -> tuple[tuple[str, ...], list[SensorColumns]]:
    """Read whole files and sort their rows by sensor; a sensor may go on in the next file.

    Args:
        paths: the files, in the order of time.
        layout: of all of them.
        max_rows: refuse more than these, since all are held in memory.

    Returns:
        The channels, and one `SensorColumns` a sensor, in order of appearance.

    Raises:
        FileFormatError: see `open_table`; or the files differ in channels, or are too long.
    """
    parts: dict[str, list[SensorColumns]] = {}
    channels: tuple[str, ...] = ()
    total = 0
    for table in [open_table(path, layout) for path in paths]:
        channels = channels or table.channels
        if table.channels != channels:
            raise FileFormatError(
                f"{table.path}: channels {_listed(table.channels)} differ from those of "
                f"{paths[0]}, {_listed(channels)}; choose them with --channel"
            )
        for batch in table.batches():
            total += len(batch)
            if total > max_rows:
                raise FileFormatError(f"{table.path}: more than {max_rows} rows in all")
            for part in split_sensors(batch):
                parts.setdefault(part.sensor, []).append(part)
    return channels, [_join(parts[sensor]) for sensor in parts]


def split_sensors(batch: FileColumns) -> list[SensorColumns]:
    """The rows of a batch, sensor by sensor, each in the order of the file."""
    order = np.argsort(batch.sensor_codes, kind="stable")
    present, starts = np.unique(batch.sensor_codes[order], return_index=True)
    return [
        SensorColumns(
            sensor=batch.sensors[code],
            ts_ns=batch.ts_ns[rows],
            values=batch.values[rows],
            labels=None if batch.labels is None else batch.labels[rows],
        )
        for code, rows in zip(present, np.split(order, starts[1:]), strict=True)
    ]


def _join(parts: Sequence[SensorColumns]) -> SensorColumns:
    labels = [part.labels for part in parts if part.labels is not None]
    return SensorColumns(
        sensor=parts[0].sensor,
        ts_ns=np.concatenate([part.ts_ns for part in parts]),
        values=np.concatenate([part.values for part in parts]),
        labels=np.concatenate(labels) if len(labels) == len(parts) else None,
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in {".parquet", ".pq"}


def _column_names(path: Path, layout: Layout) -> list[str]:
    if _is_parquet(path):
        with _reading(path):
            names: list[str] = pq.read_schema(path).names
    else:
        delimiter, header = _sniff(path)
        with _reading(path):
            names = pa_csv.read_csv(
                pa.py_buffer(header.encode()),
                parse_options=pa_csv.ParseOptions(delimiter=layout.delimiter or delimiter),
            ).column_names
    if len(names) > MAX_COLUMNS:
        raise FileFormatError(f"{path}: {len(names)} columns, at most {MAX_COLUMNS} are read")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileFormatError(f"{path}: column name {twice[0]!r} appears more than once")
    return names


def _sniff(path: Path) -> tuple[str, str]:
    """Delimiter and header line of a CSV file."""
    with _reading(path), pa.input_stream(str(path)) as stream:
        try:
            text = stream.read(_SNIFF_BYTES).decode("utf-8-sig", errors="strict")
        except UnicodeDecodeError as error:
            # A character may be cut at the end of the piece that was read.
            if error.start < _SNIFF_BYTES - 4:
                raise FileFormatError(
                    f"{path}: not UTF-8 text at byte {error.start}; CSV or Parquet is expected"
                ) from error
            text = error.object[: error.start].decode("utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise FileFormatError(f"{path}: the file is empty")
    counts = {mark: lines[0].count(mark) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: counts[mark]), lines[0] + "\n"


def _choose(
    path: Path, names: Sequence[str], what: str, wanted: str | None, usual: Sequence[str]
) -> str | None:
    if wanted is not None:
        if wanted not in names:
            raise FileFormatError(
                f"{path}: there is no column {wanted!r} for the {what}; the file has "
                f"{_listed(names)}"
            )
        return wanted
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in usual if name in lower), None)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")  # noqa: PLR2004


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowTypeError, OSError) as error:
        # Arrow's text names the row ("Row #17: Expected 3 columns, got 2").
        raise FileFormatError(f"{path}: {error}") from error

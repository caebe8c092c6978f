"""Files as they were read, with clean values in the place of the readings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from workers.data.file import sql
from workers.data.file.raw import RawTable
from workers.data.file.rows import FileRows
from workers.data.file.table import open_raw
from workers.data.history import FloatArray
from workers.data.layout import Layout
from workers.denoise.cleaning import CleanedSensor

SETTLED = "settled"


def is_kept_in_shape(layout: Layout, files: Sequence[FileRows]) -> bool:
    """Whether a row of the files is a reading, in columns that all of them have."""
    reshaped = layout.is_long or layout.resample is not None or layout.rate
    alike = all(one.names == files[0].names for one in files)
    return not reshaped and alike


def cleaned_table(
    sensors: Sequence[CleanedSensor],
    files: Sequence[FileRows],
    channels: Sequence[str],
    layout: Layout,
    *,
    mark: bool,
) -> pa.Table:
    """The rows of the files as they stand there, in their order, with clean values.

    A file of another shape (long, resampled, with counters) becomes one row a reading: ts,
    sensor_id, the channels.

    Args:
        sensors: what was cleaned.
        files: as they were read.
        channels: of the model, in its order.
        layout: that they were read with.
        mark: whether a column says how a row was cleaned, `SETTLED`: 1 with hindsight, 0 without,
            empty where it is as it came. Where there is such a column it begins with `vigie_`.
    """
    if is_kept_in_shape(layout, files):
        return pa.concat_tables(
            [_as_it_came(one, sensors, channels, layout, mark=mark) for one in files],
            promote_options="permissive",
        )
    parts = [_reading_rows(one, channels, mark=mark) for one in sensors]
    return pa.concat_tables(parts)


def _as_it_came(
    rows: FileRows,
    sensors: Sequence[CleanedSensor],
    channels: Sequence[str],
    layout: Layout,
    *,
    mark: bool,
) -> pa.Table:
    """One file with its columns; what is no reading keeps its place."""
    values, how = _in_order(rows, sensors)
    with open_raw(rows.path, layout) as raw:
        table = raw.arrow("SELECT * FROM raw ORDER BY rowid").rename_columns(list(raw.names))
        numbers = [_numbers(raw, rows.columns.channels[name], layout) for name in channels]
    n, places = table.num_rows, rows.places
    for at, name in enumerate(table.column_names):
        table = table.set_column(at, name, _whole_numbers(table.column(at)))
    for at, channel in enumerate(channels):
        name = rows.columns.channels[channel]
        field, own = table.schema.get_field_index(name), rows.channels.index(channel)
        whole = numbers[at]
        whole[places] = np.where(np.isnan(how), rows.values[:, own], values[:, at])
        table = table.set_column(field, name, pa.array(whole, from_pandas=True))
    if not mark:
        return table
    marks = np.full(n, np.nan)
    marks[places] = how
    name = f"vigie_{SETTLED}" if SETTLED in table.column_names else SETTLED
    return table.append_column(name, _marks(marks))


def _numbers(raw: RawTable, name: str, layout: Layout) -> FloatArray:
    """A column as it came; NaN where there is no number."""
    number = sql.number(raw.column(name), raw.type_of(name), layout)
    found = raw.arrow(f"SELECT CAST({number} AS DOUBLE) AS v FROM raw ORDER BY rowid")  # noqa: S608 - our own names
    values: FloatArray = found.column("v").fill_null(np.nan).to_numpy().copy()
    return values


def _whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Codes and labels that were read as text, as the numbers that they are."""
    if not pa.types.is_string(column.type):
        return column
    try:
        numbers = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    return numbers if numbers.cast(pa.string()).equals(column) else column


def _in_order(rows: FileRows, sensors: Sequence[CleanedSensor]) -> tuple[FloatArray, FloatArray]:
    """Clean values of the rows of a file, and how they were cleaned (NaN: they were not)."""
    channels = sensors[0].clean.shape[1] if sensors else 0
    values, how = np.full((len(rows), channels), np.nan), np.full(len(rows), np.nan)
    for one in sensors:
        if one.sensor not in rows.sensors:
            continue
        mine = np.flatnonzero(rows.codes == rows.sensors.index(one.sensor))
        found = np.searchsorted(one.ts_ns, rows.ts_ns[mine])
        found = np.minimum(found, len(one) - 1)
        there = (one.ts_ns[found] == rows.ts_ns[mine]) & one.cleaned[found]
        values[mine[there]] = one.clean[found[there]]
        how[mine[there]] = one.settled[found[there]]
    return values, how


def _reading_rows(one: CleanedSensor, channels: Sequence[str], *, mark: bool) -> pa.Table:
    columns = {
        "ts": pa.array(one.ts_ns, pa.timestamp("ns", tz="UTC")),
        "sensor_id": pa.array([one.sensor] * len(one), pa.string()),
        **{
            name: pa.array(column, from_pandas=True)
            for name, column in zip(channels, one.clean.T, strict=True)
        },
    }
    if mark:
        name = f"vigie_{SETTLED}" if SETTLED in channels else SETTLED
        columns[name] = _marks(np.where(one.cleaned, one.settled, np.nan))
    return pa.table(columns)


def _marks(values: FloatArray) -> pa.Array:
    known = np.nan_to_num(values).astype(np.int8)
    return pa.array(known, pa.int8(), mask=np.isnan(values))


def write(table: pa.Table, path: Path) -> None:
    """Write a table; its folder is made if need be."""
    from workers.data.writer import write_table

    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table)

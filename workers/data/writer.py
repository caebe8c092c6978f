"""Readings to CSV and Parquet files, batch by batch: ts, sensor_id, one column a channel, label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

_NS_PER_MS = 1_000_000


@contextmanager
def open_readings(path: Path, channels: Sequence[str]) -> Iterator[ReadingsWriter]:
    """Write a file of readings. It is complete only when the block is left without an error.

    Args:
        path: `.parquet` and `.pq` are Parquet, everything else is CSV; an existing one is replaced.
        channels: names of the value columns.
    """
    time = pa.timestamp("ns", tz="UTC") if _is_parquet(path) else pa.string()
    values = [(channel, pa.float64()) for channel in channels]
    schema = pa.schema([("ts", time), ("sensor_id", pa.string()), *values, ("label", pa.int8())])
    with _writer(path, schema) as writer:
        yield ReadingsWriter(writer, schema)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table: `.parquet` and `.pq` are Parquet, everything else is CSV."""
    with _writer(path, table.schema) as writer:
        writer.write_table(table)


class ReadingsWriter:
    """Writes batches in the order given; made by `open_readings`."""

    def __init__(self, writer: Any, schema: Any) -> None:
        self._writer, self._schema = writer, schema

    def write(
        self,
        *,
        sensors: Sequence[str],
        ts_ns: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
        labels: npt.NDArray[np.int8],
    ) -> None:
        """Append n rows.

        Args:
            sensors: sensor of each row, [n].
            ts_ns: event times in nanoseconds UTC, [n].
            values: NaN = missing, written as an empty field, [n, C].
            labels: code of each row's fault, 0 for none, [n].
        """
        times = pa.array(ts_ns, pa.timestamp("ns", tz="UTC"))
        if pa.types.is_string(self._schema.field("ts").type):
            times = _as_text(times, ts_ns)
        columns = [pa.array(column, from_pandas=True) for column in values.T]
        self._writer.write_batch(
            pa.record_batch(
                [times, pa.array(sensors, pa.string()), *columns, pa.array(labels, pa.int8())],
                schema=self._schema,
            )
        )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in {".parquet", ".pq"}


def _writer(path: Path, schema: pa.Schema) -> Any:
    if _is_parquet(path):
        return pq.ParquetWriter(path, schema)
    options = pa_csv.WriteOptions(quoting_style="needed", quoting_header="needed")
    return pa_csv.CSVWriter(path, schema, write_options=options)


def _as_text(times: Any, ts_ns: npt.NDArray[np.int64]) -> Any:
    """RFC 3339 with milliseconds, or with nanoseconds where they are needed."""
    if not np.any(ts_ns % _NS_PER_MS):
        times = pc.cast(times, pa.timestamp("ms", tz="UTC"))
    return pc.strftime(times, format="%Y-%m-%dT%H:%M:%SZ")

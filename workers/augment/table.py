"""The larger set as one table: the rows that were read, then those that were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from workers.augment.augment import ClassOutcome
from workers.augment.labelled import IntArray, Labelled
from workers.augment.windows import name_of
from workers.data.errors import FileFormatError
from workers.data.history import FloatArray
from workers.data.layout import LabelColumn, Layout

PROVENANCE = ("window", "method", "source", "source_2", "weight", "radius")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns of the table.

    Attributes:
        channels: of the model.
        label: column of the class; None = there is none.
    """

    channels: tuple[str, ...]
    label: str | None

    @property
    def provenance(self) -> tuple[str, ...]:
        """`PROVENANCE`; a name that is taken begins with `vigie_`."""
        taken = {*self.channels, self.label, "ts", "sensor_id"}
        return tuple(f"vigie_{name}" if name in taken else name for name in PROVENANCE)

    def layout(self, classes: Sequence[str], normal: str | None) -> Layout:
        """How the table is read: its provenance is no channel, and what is not normal a label."""
        faults = tuple(word for word in classes if word != normal)
        if self.label is None:
            return Layout(ignore=self.provenance)
        if normal is None or not faults:
            return Layout(ignore=(self.label, *self.provenance))
        return Layout(ignore=self.provenance, label=LabelColumn(self.label, faults))


def table_of(
    labelled: Labelled,
    outcomes: Sequence[ClassOutcome],
    columns: Columns,
    *,
    rows: int,
    max_gap_ns: int,
) -> pa.Table:
    """ts, sensor_id, the channels, the class, and the provenance of rows that were made.

    The windows made of a sensor's windows of a class are a sensor of their own, `pump-1+leak`,
    behind the last row that was read and with a pause between two that no window reaches over.

    Raises:
        FileFormatError: a sensor that was read has the name of one that would be made.
    """
    read = [
        _part(
            columns,
            sensor=one.sensor,
            ts_ns=one.ts_ns,
            values=one.values,
            labels=[labelled.classes[code] if code >= 0 else None for code in codes.tolist()],
        )
        for one, codes in zip(labelled.history.sensors, labelled.codes, strict=True)
    ]
    made = [
        part for outcome in outcomes for part in _made(labelled, outcome, columns, rows, max_gap_ns)
    ]
    table = pa.concat_tables([*read, *made])
    if columns.label is not None and all(map(_is_whole, labelled.classes)):
        place = table.schema.get_field_index(columns.label)
        table = table.set_column(place, columns.label, table.column(columns.label).cast(pa.int64()))
    return table


def _made(
    labelled: Labelled, outcome: ClassOutcome, columns: Columns, rows: int, max_gap_ns: int
) -> list[pa.Table]:
    if outcome.made is None:
        return []
    made, taken = outcome.made, {one.sensor for one in labelled.history.sensors}
    after: dict[str, int] = {}
    parts = []
    for number in range(len(made)):
        source = outcome.places[made.sources[number, 0]]
        one = labelled.history.sensors[source.sensor]
        sensor = f"{one.sensor}+{outcome.label or 'made'}"
        if sensor in taken:
            raise FileFormatError(f"a sensor is called {sensor!r} already: augment the first file")
        times = one.ts_ns[source.first : source.first + rows]
        step_ns = max(int(times[-1] - times[0]) // max(rows - 1, 1), 1)
        start = after.get(sensor, int(one.ts_ns[-1])) + max_gap_ns + step_ns
        ts_ns = times - times[0] + start
        after[sensor] = int(ts_ns[-1])
        parts.append(
            _part(
                columns,
                sensor=sensor,
                ts_ns=ts_ns,
                values=made.windows[number],
                labels=[outcome.label] * rows,
                provenance=_provenance(labelled, outcome, number),
            )
        )
    return sorted(parts, key=lambda part: str(part.column("sensor_id")[0]))


def _provenance(labelled: Labelled, outcome: ClassOutcome, number: int) -> tuple[object, ...]:
    made = outcome.made
    assert made is not None
    first, second = (
        None if place < 0 else name_of(labelled, outcome.places[place], rows=made.windows.shape[1])
        for place in made.sources[number].tolist()
    )
    return (
        number + 1,
        made.methods[number].value,
        first,
        second,
        None if np.isnan(made.weight[number]) else float(made.weight[number]),
        float(made.radius[number]),
    )


_TYPES = (pa.int64(), pa.string(), pa.string(), pa.string(), pa.float64(), pa.float64())


def _part(
    columns: Columns,
    *,
    sensor: str,
    ts_ns: IntArray,
    values: FloatArray,
    labels: Sequence[str | None],
    provenance: Sequence[object] = (None,) * len(PROVENANCE),
) -> pa.Table:
    n = len(ts_ns)
    made = {
        "ts": pa.array(ts_ns, pa.timestamp("ns", tz="UTC")),
        "sensor_id": pa.array([sensor] * n, pa.string()),
        **{
            name: pa.array(column, from_pandas=True)
            for name, column in zip(columns.channels, values.T, strict=True)
        },
    }
    if columns.label is not None:
        made[columns.label] = pa.array(labels, pa.string())
    for name, kind, value in zip(columns.provenance, _TYPES, provenance, strict=True):
        made[name] = pa.array([value] * n, kind)
    return pa.table(made)


def _is_whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal()

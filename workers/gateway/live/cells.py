"""What became of each sensor in equal stretches of time, as far back as a ring reaches. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cells", "Changed"]


class Changed(NamedTuple):
    """Cells that rows fell into, old ones too: what a coarser ring takes in."""

    at: NDArray[np.intp]
    """[g] index of the sensor."""
    ts_ns: NDArray[np.int64]
    """[g] beginning of the cell."""
    values: dict[str, NDArray[np.float32]]
    """[g, columns] what the rows made of the cell."""


class Cells:
    """A ring of cells for each of a number of sensors.

    A cell is a stretch of event time; rows that fall into it are reduced to numbers. Rows may come
    in any order, as long as they are not older than the ring.

    Args:
        width_ns: how long a cell is.
        cells: how many each sensor keeps.
        columns: numbers of each field in a cell.
        fields: how each field is reduced: `numpy.fmax`, `numpy.fmin` or `numpy.add`.
    """

    def __init__(
        self, *, width_ns: int, cells: int, columns: int, fields: Mapping[str, np.ufunc]
    ) -> None:
        self.width_ns, self.cells = width_ns, cells
        self._fields = dict(fields)
        self._number = np.zeros((0, cells), dtype=np.int64)
        self._revision = np.zeros((0, cells), dtype=np.int64)
        self._newest = np.zeros(0, dtype=np.int64)
        self._values = {
            name: np.zeros((0, cells, columns), dtype=np.float32) for name in self._fields
        }

    @property
    def bytes_per_sensor(self) -> int:
        """Memory of one sensor."""
        columns = sum(values.shape[2] for values in self._values.values())
        return self.cells * (16 + 4 * columns) + 8

    def grow(self, sensors: int) -> None:
        """Make room for so many sensors; those that are there keep their cells."""
        more = sensors - len(self._newest)
        if more <= 0:
            return

        def grown(array: NDArray[Any], fill: float) -> NDArray[Any]:
            room = np.full((more, *array.shape[1:]), fill, dtype=array.dtype)
            return np.concatenate((array, room))

        self._number = grown(self._number, -1)
        self._revision = grown(self._revision, 0)
        self._newest = grown(self._newest, -1)
        self._values = {name: grown(values, np.nan) for name, values in self._values.items()}

    def forget(self, sensor: int) -> None:
        """Empty the cells of a sensor."""
        self._number[sensor] = self._newest[sensor] = -1
        self._revision[sensor] = 0
        for values in self._values.values():
            values[sensor] = np.nan

    def add(
        self,
        at: NDArray[np.intp],
        ts_ns: NDArray[np.int64],
        values: Mapping[str, NDArray[np.floating]],
        *,
        revision: int,
    ) -> Changed:
        """Take in rows; what is older than the ring is left out.

        Args:
            at: [k] index of each row's sensor, k >= 1.
            ts_ns: [k] event times.
            values: [k, columns] of each field; NaN is missing.
            revision: number of this change, larger than all before.
        """
        numbers = ts_ns // self.width_ns
        order = np.lexsort((numbers, at))
        at, numbers = at[order], numbers[order]
        starts = np.flatnonzero(
            np.concatenate(([True], (at[1:] != at[:-1]) | (numbers[1:] != numbers[:-1])))
        )
        made = {
            name: reduction.reduceat(values[name][order], starts).astype(np.float32)
            for name, reduction in self._fields.items()
        }
        at, numbers = at[starts], numbers[starts]
        # A coarser ring reaches farther back: it gets what is too old for this one, too.
        changed = Changed(at, numbers * self.width_ns, made)
        np.maximum.at(self._newest, at, numbers)
        kept = numbers > self._newest[at] - self.cells
        at, numbers = at[kept], numbers[kept]
        made = {name: column[kept] for name, column in made.items()}
        where = (at, numbers % self.cells)
        is_new = (self._number[where] != numbers)[:, None]
        for name, reduction in self._fields.items():
            ours = self._values[name]
            ours[where] = np.where(is_new, made[name], reduction(ours[where], made[name]))
        self._number[where] = numbers
        self._revision[where] = revision
        return changed

    def of(self, sensor: int, *, end: int, cells: int) -> dict[str, NDArray[np.float32]]:
        """The `cells` cells of a sensor up to the number `end`, oldest first; NaN is none."""
        return {
            name: found[0] for name, found in self.table([sensor], end=end, cells=cells).items()
        }

    def table(
        self, sensors: list[int] | NDArray[np.intp], *, end: int, cells: int
    ) -> dict[str, NDArray[np.float32]]:
        """The same of several: [sensors, cells, columns] of each field."""
        rows = np.asarray(sensors, dtype=np.intp)[:, None]
        numbers = np.arange(end - cells + 1, end + 1)[None, :]
        where = (rows, numbers % self.cells)
        there = (self._number[where] == numbers)[..., None]
        return {name: np.where(there, at[where], np.nan) for name, at in self._values.items()}

    def changed(self, sensor: int, *, since: int) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Numbers and slots of the cells that changed after a revision, the oldest first."""
        slots = np.flatnonzero((self._revision[sensor] > since) & (self._number[sensor] >= 0))
        slots = slots[np.argsort(self._number[sensor, slots])]
        return self._number[sensor, slots], slots

    def at(self, sensor: int, slots: NDArray[np.intp], field: str) -> NDArray[np.float32]:
        """[k, columns] of a field in these slots."""
        found: NDArray[np.float32] = self._values[field][sensor, slots]
        return found

"""The rhythm of a week, taken out of scaled rows: what no window shorter than a day can know.

A season is a sum of harmonics of the week, per calibration group and channel: the cycle of the
week, that of the day, and what differs from day to day. It is a function of the time of a row
alone, so a row without its season is a function of the row and its time, to the last bit.

**Times are UTC.** Where people live by local time, the rhythm moves by an hour against it twice a
year, and the season is an hour off until the next training.

How a season is fitted: `detector.training.fit_season`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64
from torch import Tensor

WEEK_NS = 7 * 86_400 * 10**9
SLOTS = 1008
"""Of the week, ten minutes each; between their borders a season is a straight line."""
MAX_HARMONIC = SLOTS // 8
_SLOT_NS = WEEK_NS // SLOTS
_BLOCK = 4096
_LARGEST = 1e3

Rows = Float[np.ndarray, "rows channels"]
Times = Int64[np.ndarray, " rows"]
Groups = Int[np.ndarray, "..."]


class _Table(NamedTuple):
    """Values at the beginning of each slot, and how far it is to the next one's.

    Attributes:
        columns: the channels that have a season in some group.
        first: of each group, its first row in the arrays; groups without a season share one.
        low, step: [tables * SLOTS, columns].
    """

    columns: Int64[np.ndarray, " columns"]
    first: Int64[np.ndarray, " groups"]
    low: Float32[np.ndarray, "slots columns"]
    step: Float32[np.ndarray, "slots columns"]


@dataclass(frozen=True, kw_only=True)
class Season:
    """The season of each calibration group and channel, scaled units.

    Attributes:
        harmonics: cycles per week, ascending.
        cosine, sine: of each harmonic since the week began (at the epoch, a Thursday); all zero
            for a channel without a season.

    Raises:
        ValueError: the numbers are not finite, absurdly large, or of shapes that do not fit.
    """

    harmonics: Int64[np.ndarray, " harmonics"]
    cosine: Float64[np.ndarray, "groups channels harmonics"]
    sine: Float64[np.ndarray, "groups channels harmonics"]

    def __post_init__(self) -> None:
        if self.cosine.shape != self.sine.shape or self.cosine.shape[2:] != self.harmonics.shape:
            raise ValueError(
                "cosine and sine must be [groups, channels, harmonics], got "
                f"{self.cosine.shape}, {self.sine.shape} and {self.harmonics.shape}"
            )
        if len(self.harmonics) and not (
            self.harmonics[0] >= 1
            and self.harmonics[-1] <= MAX_HARMONIC
            and (np.diff(self.harmonics) > 0).all()
        ):
            raise ValueError(f"harmonics must ascend in 1..{MAX_HARMONIC}, got {self.harmonics}")
        for values in (self.cosine, self.sine):
            if not (np.abs(values) <= _LARGEST).all():
                raise ValueError(f"a season is finite and at most {_LARGEST:g} spreads large")

    @classmethod
    def none(cls, n_groups: int, n_channels: int) -> Self:
        """No season at all."""
        empty = np.zeros((n_groups, n_channels, 0))
        return cls(harmonics=np.zeros(0, np.int64), cosine=empty, sine=empty)

    @property
    def kept(self) -> Bool[np.ndarray, "groups channels"]:
        """Which channels have a season."""
        kept: Bool[np.ndarray, "groups channels"] = ((self.cosine != 0) | (self.sine != 0)).any(
            axis=2
        )
        return kept

    @property
    def is_none(self) -> bool:
        """Whether no channel has a season."""
        return not len(self._table.columns)

    def remove(self, rows: Rows, times_ns: Times, groups: Groups) -> Rows:
        """Rows without their season; the very same rows where there is none.

        Args:
            rows: scaled units; NaN stays NaN. Not written to.
            times_ns: event time of each, UTC, nanoseconds since the epoch.
            groups: group of each, [rows], or of all, [].
        """
        if not len(self._table.columns):
            return rows
        left = rows.copy()
        for block, columns, values in self._pieces(times_ns, groups):
            left[block, columns] -= values
        return left

    def values(self, times_ns: Times, groups: Groups) -> Float64[np.ndarray, "rows channels"]:
        """What `remove` takes off: to be added to what is expected of a row."""
        season = np.zeros((len(times_ns), self.cosine.shape[1]))
        for block, columns, values in self._pieces(times_ns, groups):
            season[block, columns] += values
        return season

    def _pieces(
        self, times_ns: Times, groups: Groups
    ) -> Iterator[tuple[slice, slice | Int64[np.ndarray, " columns"], Float64[np.ndarray, "n c"]]]:
        """The season, in blocks that stay in the cache; sums and products only, row by row."""
        table = self._table
        if not len(table.columns):
            return
        is_all = len(table.columns) == self.cosine.shape[1]
        columns = slice(None) if is_all else table.columns
        for begin in range(0, len(times_ns), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            phase = times_ns[block] % WEEK_NS
            slot = phase // _SLOT_NS
            share = (phase - slot * _SLOT_NS) / _SLOT_NS
            at = slot + table.first[groups[block] if groups.ndim else groups]
            values = table.step.take(at, axis=0) * share[:, None]
            values += table.low.take(at, axis=0)
            yield block, columns, values

    @cached_property
    def _table(self) -> _Table:
        kept = self.kept
        columns = np.flatnonzero(kept.any(axis=0))
        own = np.flatnonzero(kept.any(axis=1))
        first = np.zeros(len(kept), np.int64)
        first[own] = np.arange(1, len(own) + 1) * SLOTS
        # By a library's cosine of single numbers: one of arrays may differ by where a number lies.
        turn = [math.cos(2.0 * math.pi * slot / SLOTS) for slot in range(SLOTS)]
        cosines = np.array(turn)
        low = np.zeros((len(own) + 1, SLOTS, len(columns)))
        slots = np.arange(SLOTS)
        for nth, harmonic in enumerate(self.harmonics.tolist()):
            angle = slots * harmonic
            for parts, wave in (
                (self.cosine, cosines[angle % SLOTS]),
                (self.sine, cosines[(angle - SLOTS // 4) % SLOTS]),
            ):
                low[1:] += parts[own][:, columns, nth][:, None, :] * wave[:, None]
        step = np.roll(low, -1, axis=1) - low
        shape = (low.shape[0] * SLOTS, len(columns))
        return _Table(
            columns=columns,
            first=first,
            low=low.reshape(shape).astype(np.float32),
            step=step.reshape(shape).astype(np.float32),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Every number, for an artifact."""
        return {
            "harmonics": torch.from_numpy(self.harmonics.copy()),
            "cosine": torch.from_numpy(self.cosine.copy()),
            "sine": torch.from_numpy(self.sine.copy()),
        }

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], *, n_groups: int, n_channels: int) -> Self:
        """The season that gave `tensors`.

        Raises:
            ValueError, KeyError, TypeError: they do not make one of so many groups and channels.
        """
        harmonics, cosine, sine = (
            tensors[name].cpu().numpy() for name in ("harmonics", "cosine", "sine")
        )
        if harmonics.dtype != np.int64 or {cosine.dtype, sine.dtype} != {np.dtype(np.float64)}:
            raise TypeError(
                f"harmonics must be int64, the rest float64, got {harmonics.dtype}, "
                f"{cosine.dtype} and {sine.dtype}"
            )
        shape = (n_groups, n_channels, len(harmonics))
        if harmonics.ndim != 1 or cosine.shape != shape:
            raise ValueError(f"a season of {shape} is wanted, got {cosine.shape}")
        return cls(harmonics=harmonics, cosine=cosine, sine=sine)

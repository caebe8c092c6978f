"""Single rows that leap away and come back, where they are a channel's noise.

The causal Hampel filter (Hampel 1974; Davies and Gather 1993) finds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from detector.compiled import compiled

ROWS = 5
"""A row is compared with the median of so many, itself the newest: a step passes after two rows."""
NONE = np.float32(1e30)
_REACH = 5.0 * 1.4826
_LEAST_LEAPS = 8
_BEYOND_NOISE = 1.6
"""Times the limit: normal noise passes the limit in one row of a thousand, and this never."""
_COME_BACK = 0.75
_TOGETHER = 0.25
_ONE_SIDED = 0.2
_LIKE = 1.5
"""Times the farthest leap of the history that a leap may be and still be one of its kind."""
_RECENT = 16
_MOST_RECENT = 4
"""Leaps in so many recent rows, beyond which it is the signal that leaps."""


@dataclass(frozen=True, kw_only=True)
class Impulses:
    """How far a value may be from the median of the last five.

    Attributes:
        limit: scaled units; 1e30 for a channel without impulses.
        most: what is farther is no impulse of the kind that the history shows.
    """

    limit: Float32[np.ndarray, " channels"]
    most: Float32[np.ndarray, " channels"]

    @classmethod
    def none(cls, channels: int) -> "Impulses":
        """No channel has any."""
        return cls(
            limit=np.full(channels, NONE, dtype=np.float32),
            most=np.zeros(channels, dtype=np.float32),
        )

    @classmethod
    def fit(cls, pieces: Sequence[Float32[np.ndarray, "rows channels"]]) -> "Impulses":
        """Channels that leap, mostly alone and for a single row, at least eight times.

        What leaps together with other channels, or stays where it leapt, is the signal; what
        leaps to one side alone may be (the load of a machine).

        Args:
            pieces: consecutive scaled readings of all sensors; NaN = missing.
        """
        aways = [_away(piece) for piece in pieces]
        limit = _reach(np.concatenate(aways))
        leaps, back, together, upwards, farthest = np.zeros((5, len(limit)))
        for piece, away in zip(pieces, aways, strict=True):
            out = away > limit
            starts = (away > _BEYOND_NOISE * limit)[1:-1] & ~out[:-2]
            leaps += starts.sum(axis=0)
            leapt = np.where(starts, away[1:-1], 0.0)
            farthest = np.maximum(farthest, leapt.max(axis=0, initial=0.0))
            back += (starts & ~out[2:]).sum(axis=0)
            upwards += (starts & (piece[1:-1] > piece[:-2])).sum(axis=0)
            together += (starts & (out[1:-1].sum(axis=1, keepdims=True) > 1)).sum(axis=0)
        enough = leaps >= _LEAST_LEAPS
        both = np.minimum(upwards, leaps - upwards) >= _ONE_SIDED * leaps
        alone = (back >= _COME_BACK * leaps) & (together <= _TOGETHER * leaps)
        impulsive = enough & alone & both
        return cls(
            limit=np.where(impulsive, limit, NONE).astype(np.float32),
            most=np.where(impulsive, _LIKE * farthest, 0.0).astype(np.float32),
        )

    @property
    def some(self) -> bool:
        """Whether any channel has impulses."""
        return bool((self.limit < NONE).any())

    @property
    def margin(self) -> int:
        """Rows before a row that say whether it leaps."""
        return ROWS + _RECENT - 2 if self.some else 0

    def found(
        self, rows: Float32[np.ndarray, "rows channels"]
    ) -> Bool[np.ndarray, "rows channels"] | None:
        """Where a row leaps, by itself and the `margin` rows before it; None: no channel has them.

        A channel that leaps again and again is shaken, and what shakes it is to be seen.

        Args:
            rows: scaled, NaN = missing.
        """
        some = np.flatnonzero(self.limit < NONE)
        if not len(some):
            return None
        found = np.zeros(rows.shape, dtype=np.bool_)
        away = _away(rows[:, some])
        leaps = (away > self.limit[some]) & (away <= self.most[some])
        total = np.cumsum(np.concatenate([np.zeros((_RECENT, len(some)), np.int64), leaps]), axis=0)
        recent = total[_RECENT:] - total[:-_RECENT]
        found[:, some] = leaps & (recent <= _MOST_RECENT)
        return found


def _away(rows: Float32[np.ndarray, "rows channels"]) -> Float32[np.ndarray, "rows channels"]:
    """How far each row is from the median of it and the four before; NaN: missing."""
    medians = np.empty(rows.shape, dtype=np.float32)
    _medians(np.ascontiguousarray(rows), medians)
    away: Float32[np.ndarray, "rows channels"] = np.abs(rows - medians)
    return away


@compiled
def _medians(
    rows: Float32[np.ndarray, "rows channels"], found: Float32[np.ndarray, "rows channels"]
) -> None:
    """Medians of what is there of five rows; NaN: nothing is."""
    ordered = np.empty(ROWS, dtype=np.float32)
    for row in range(rows.shape[0]):
        for channel in range(rows.shape[1]):
            known = 0
            for before in range(max(row - ROWS + 1, 0), row + 1):
                value = rows[before, channel]
                if not np.isfinite(value):
                    continue
                place = known
                while place > 0 and ordered[place - 1] > value:
                    ordered[place] = ordered[place - 1]
                    place -= 1
                ordered[place] = value
                known += 1
            if known:
                both = ordered[(known - 1) // 2] + ordered[known // 2]
                found[row, channel] = both * np.float32(0.5)
            else:
                found[row, channel] = np.nan


def _reach(away: Float32[np.ndarray, "rows channels"]) -> Float32[np.ndarray, " channels"]:
    reach = np.full(away.shape[1], NONE)
    for channel, column in enumerate(away.T):
        known = column[np.isfinite(column)]
        if len(known) and (usual := float(np.median(known))) > 0:
            reach[channel] = _REACH * usual
    return reach

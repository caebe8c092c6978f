"""What the alarm rule knows of each calibration group before its first row.

Per view: centre and spread of the levels of normal operation, and the tail beyond them in units
of the spread. All come from cross-fitted calibration levels, as medians over blocks of time: a
few bad blocks move nothing. What a group's own blocks cannot carry is taken from the pooled
group, and what that cannot carry from a tail as telemetry usually has it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int

from detector.calibration.alarm_fold import LEARNS_OVER, LEAST_SPREAD, STEP
from detector.compiled import compiled

VIEWS = ("long", "short")
BEYOND = 0.1
"""Share of the rows that makes the tail."""
APART = 16
"""Rows between two rows of one cluster at the most."""
INDEPENDENT = 256
"""Rows that one independent observation takes: windows closer than that share readings."""
TRUST = 2.0
"""Independent observations at which a group's own numbers count half."""
MIN_SPREAD, MIN_SLOPE = 0.05, 0.05
MIN_MEMORY, MEMORY_SHARE = 700.0, 0.1
"""Rows in which an incident's level is learnt: this share of the training rows, this at least."""
_USUAL = {"quantile": 1.2, "slope": 1.0, "clusters": 0.12}

_FIELDS = ("centre", "spread", "quantile", "slope", "clusters")


@dataclass(frozen=True, kw_only=True)
class AlarmNumbers:
    """Start numbers of every calibration group; row 0 is the pooled one.

    Attributes:
        centre: median level of normal operation; long and short view.
        spread: mean distance from it, over blocks the median.
        quantile: 90 % quantile, in spreads over the centre.
        slope: mean excess beyond the quantile, in spreads.
        clusters: separate exceedances of the quantile for each row beyond it, above 0 to 1.
        memory: rows in which an incident's level is learnt.

    Raises:
        ValueError: shapes that do not fit, or numbers out of range.
    """

    centre: Float64[np.ndarray, "groups 2"]
    spread: Float64[np.ndarray, "groups 2"]
    quantile: Float64[np.ndarray, "groups 2"]
    slope: Float64[np.ndarray, "groups 2"]
    clusters: Float64[np.ndarray, "groups 2"]
    memory: Float64[np.ndarray, " groups"]

    def __post_init__(self) -> None:
        groups = len(self.memory)
        for name, array in self.arrays().items():
            wanted = (groups,) if name == "memory" else (groups, len(VIEWS))
            if array.shape != wanted or groups == 0:
                raise ValueError(f"{name} must be {wanted}, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite")
            if name not in {"centre", "quantile"} and not (array > 0).all():
                raise ValueError(f"{name} must be greater than 0")

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers by name, float64, as an artifact stores them."""
        return {name: getattr(self, name) for name in (*_FIELDS, "memory")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "AlarmNumbers":
        """What `arrays` gave.

        Raises:
            ValueError: a name is missing, or the constructor rejects the numbers.
        """
        names = (*_FIELDS, "memory")
        if missing := sorted(set(names) - set(arrays)):
            raise ValueError(f"the alarm rule lacks {', '.join(missing)}")
        return cls(**{name: np.asarray(arrays[name], dtype=np.float64) for name in names})

    def bars(self, rate: float) -> Float64[np.ndarray, "groups 2"]:
        """Spreads over the centre that false incidents pass at `rate` a row.

        The tail is exponential: each slope beyond the quantile thins the exceedances out by e,
        and of a cluster of them one counts.
        """
        thinned = np.log(np.maximum(BEYOND * self.clusters / rate, 1e-9))
        bars: Float64[np.ndarray, "groups 2"]
        bars = self.quantile + self.slope * np.maximum(thinned, 1.0)
        return bars

    @classmethod
    def fit(
        cls,
        levels: Float[np.ndarray, "rows views"],
        groups: Int[np.ndarray, " rows"],
        blocks: Int[np.ndarray, " rows"],
        *,
        n_groups: int,
    ) -> "AlarmNumbers":
        """From cross-fitted calibration levels.

        Args:
            levels: long and short (further columns are not looked at), unsmoothed, each sensor's
                in order of time; rows that are not finite are left out.
            groups: the sensor's calibration group of each row, from 1 on.
            blocks: number of the block of time of each row; blocks are medianed over, so that
                three or more in a sensor are needed to outvote a bad one.
            n_groups: with the pooled one; a group without rows takes the pooled numbers.

        Raises:
            ValueError: no row is left.
        """
        finite = np.isfinite(levels[:, : len(VIEWS)]).all(axis=1)
        levels, groups, blocks = levels[finite], groups[finite], blocks[finite]
        if len(levels) == 0:
            raise ValueError("the alarm rule needs calibration levels, and none is finite")
        pieces: list[list[_Piece]] = [[] for _ in range(n_groups)]
        order = np.argsort(groups, kind="stable")
        for of in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
            piece = _Piece(np.ascontiguousarray(levels[of, : len(VIEWS)], np.float64), blocks[of])
            pieces[0].append(piece)
            pieces[groups[of[0]]].append(piece)
        pooled = [_usual(_describe(pieces[0], view), _rows(pieces[0])) for view in range(2)]
        table = [pooled]
        for own in pieces[1:]:
            # The only sensor is the pooled group: mixed once more, its rows would count twice.
            shared = not own or len(pieces[0]) == 1
            table.append(
                [
                    pooled[view]
                    if shared
                    else _mixed(_describe(own, view), pooled[view], _rows(own))
                    for view in range(2)
                ]
            )
        typical = float(np.median([len(piece.levels) for piece in pieces[0]]))
        memory = [typical, *(_rows(own) or typical for own in pieces[1:])]
        return cls(
            **{
                name: np.array([[view[name] for view in group] for group in table])
                for name in _FIELDS
            },
            memory=np.maximum(MIN_MEMORY, MEMORY_SHARE * np.array(memory)),
        )


@dataclass(frozen=True)
class _Piece:
    """The calibration levels of one sensor, and the block of each."""

    levels: Float64[np.ndarray, "rows 2"]
    blocks: Int[np.ndarray, " rows"]

    def cut(self, values: Float64[np.ndarray, " rows"]) -> list[Float64[np.ndarray, " _"]]:
        """Values by block of time."""
        borders = np.flatnonzero(np.diff(self.blocks)) + 1
        return np.split(values, borders)


def _rows(pieces: list[_Piece]) -> int:
    return sum(len(piece.levels) for piece in pieces)


def _describe(pieces: list[_Piece], view: int) -> dict[str, float]:
    """Centre, spread and tail of one view, as the blocks have them in the middle."""
    columns = [piece.levels[:, view] for piece in pieces]
    cuts = [part for p, x in zip(pieces, columns, strict=True) for part in p.cut(x)]
    centre = float(np.median(np.concatenate(columns)))
    spread = max(float(np.median([_spread(part) for part in cuts])), MIN_SPREAD)
    # Anew in each block: what a bad one teaches must not reach the next.
    tails = np.array([_tail(_in_spreads(part, centre, spread)) for part in cuts])
    quantile, slope, clusters = np.median(tails, axis=0)
    return {
        "centre": centre,
        "spread": spread,
        "quantile": float(quantile),
        "slope": float(slope),
        "clusters": float(clusters),
    }


def _spread(levels: Float64[np.ndarray, " rows"]) -> float:
    """Mean distance from the median, each of at most three mean distances."""
    distance = np.abs(levels - np.median(levels))
    return float(np.minimum(distance, 3.0 * distance.mean()).mean())


@compiled
def _in_spreads(levels: Any, centre: float, spread: float) -> Any:
    """Levels over a centre and a spread that learn as those of the rule outside of incidents."""
    z = np.empty(len(levels))
    m, s = centre, spread
    for row in range(len(levels)):
        z[row] = (levels[row] - max(m, centre)) / s
        step = min(max(levels[row] - m, -STEP * s), STEP * s)
        m += step / LEARNS_OVER
        s = max(s + (abs(step) - s) / LEARNS_OVER, LEAST_SPREAD * spread)
    return z


def _tail(z: Float64[np.ndarray, " rows"]) -> tuple[float, float, float]:
    """Quantile, mean excess and clusters a row of one block."""
    quantile = float(np.quantile(z, 1.0 - BEYOND))
    above = np.flatnonzero(z > quantile)
    if len(above) == 0:
        return quantile, MIN_SLOPE, 1.0
    excess = float((z[above] - quantile).mean())
    clusters = 1 + int((np.diff(above) > APART).sum())
    return quantile, max(excess, MIN_SLOPE), clusters / len(above)


def _usual(own: dict[str, float], rows: int) -> dict[str, float]:
    return _mixed(own, {**own, **_USUAL}, rows)


def _mixed(own: dict[str, float], other: dict[str, float], rows: int) -> dict[str, float]:
    """Own numbers as far as independent observations carry them; scales mix by their logs."""
    independent = rows / INDEPENDENT
    weight = independent / (independent + TRUST)
    mixed = {}
    for name, value in own.items():
        if name in {"spread", "clusters"}:
            log = weight * math.log(value) + (1.0 - weight) * math.log(other[name])
            mixed[name] = math.exp(log)
        else:
            mixed[name] = weight * value + (1.0 - weight) * other[name]
    return mixed

"""Has a sensor's normal operation left the one that it was calibrated on?

The alarm rule follows a slow drift and says nothing of it; this does. Per epoch of a sensor's
scored readings, the rank p-value u of its median level among frozen reference epochs is turned
into evidence e = u^(-1/2) / 2, whose mean is at most 1 while nothing has changed. The sum of the
products of e since each of the last epochs (Shiryaev-Roberts) then grows by 1 an epoch on average,
and passes the number of epochs in a year no more than about once a year: that is the verdict.

That holds for epochs that tell each other nothing. Where the reference epochs correlate, by r in
rank from one to the next, evidence counts by its power (1 - r) / (1 + r), as that much less of it.

Measured on simulated normal epochs, a year of 3,000, with 16, 32 and 64 reference epochs: .06, .22
and .23 false verdicts a year; 1.2, 1.0 and .7 where neighbours correlate by .5 (without the power
3.6 to 6.2 over half the window), 2.0, 1.6 and .9 at .8. A shift by two standard deviations of an
epoch's median is seen within 9 to 19 epochs, one by one within 24 to 60, and not always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, UInt8

from detector.compiled import compiled

EPOCH_ROWS = 256
"""Scored readings of an epoch: those of one independent window."""
REFERENCES = 64
"""Most reference epochs of a group; of more, as many in even steps."""
FEWEST = 12
"""Reference epochs below which no number of epochs within the window could pass a year's."""
CAUTION = 3.0
"""The correlation is overstated by this over the number of epochs: of few it is found too small."""
WINDOW = 64
"""Epochs that evidence is summed over: an older change is the new reference's business."""
MOST_CORRELATED = 0.9
YEAR_S = 31_557_600.0

_STATE: np.dtype[Any] = np.dtype(
    [
        ("epochs", np.float64),
        ("filled", np.float64),
        ("drifting", np.float64),
        ("between", np.float64, (REFERENCES + 1,)),
        ("products", np.float64, (WINDOW,)),
    ]
)
STATE_SIZE = _STATE.itemsize // 8
STATE_VERSION = 1
"""Of what a row of states means; recorded states of another version are not to be used."""
MOST_EPOCH_ROWS = 65_534
"""So that the counts of an epoch's levels fit into two bytes."""
_PACKED: np.dtype[Any] = np.dtype(
    [
        ("epochs", "<f8"),
        ("filled", "<u2"),
        ("drifting", "u1"),
        ("between", "<u2", (REFERENCES + 1,)),
        ("products", "<f4", (WINDOW,)),
    ]
)
"""The same numbers in as few bytes as hold them exactly."""
_MOST = float(np.finfo(np.float32).max)

States = Float64[np.ndarray, "sensors state"]


@dataclass(frozen=True, kw_only=True)
class DriftVerdict:
    """A sensor has left its calibration.

    Attributes:
        sensor: its place in the call.
        row: row of the call that completed the evidence.
        epochs: since so many epochs, most likely.
        evidence: the sum that passed the limit.
    """

    sensor: int
    row: int
    epochs: int
    evidence: float


@dataclass(frozen=True, kw_only=True)
class DriftAdvanced:
    """What a call says of its rows.

    Attributes:
        states: the sensors' states after their rows.
        drifting: whether a verdict stands: given, and the evidence since then never below what
            it is on average while nothing has changed.
        verdicts: given in this call, in order of sensor and row.
    """

    states: States
    drifting: Bool[np.ndarray, " sensors"]
    verdicts: Sequence[DriftVerdict]


@dataclass(frozen=True, kw_only=True)
class DriftWatch:
    """Reference epochs of every calibration group; row 0 is the pooled one.

    Attributes:
        medians: upper medians of the reference epochs, ascending, then infinities.
        count: reference epochs of each group, 0 or `FEWEST` and more.
        power: of the evidence of an epoch, above 0 to 1.
        epoch_rows: scored readings of an epoch, even.
        limit: epochs in a year.

    Raises:
        ValueError: shapes or numbers that do not fit.
    """

    medians: Float64[np.ndarray, "groups references"]
    count: Int64[np.ndarray, " groups"]
    power: Float64[np.ndarray, " groups"]
    epoch_rows: int
    limit: float

    def __post_init__(self) -> None:
        if self.medians.shape != (len(self.count), REFERENCES) or len(self.count) == 0:
            raise ValueError(
                f"medians must be [groups, {REFERENCES}], got {self.medians.shape} and "
                f"{len(self.count)} counts"
            )
        if self.power.shape != self.count.shape or not ((self.power > 0) & (self.power <= 1)).all():
            raise ValueError("every group needs a power of its evidence above 0 and up to 1")
        if not 2 <= self.epoch_rows <= MOST_EPOCH_ROWS or self.epoch_rows % 2:  # noqa: PLR2004
            raise ValueError(
                f"an epoch needs an even number of rows up to {MOST_EPOCH_ROWS}, got "
                f"{self.epoch_rows}"
            )
        if not self.limit >= 1:
            raise ValueError(f"a year needs at least one epoch, got {self.limit}")
        listed = np.arange(REFERENCES) < self.count[:, None]
        if not (np.isfinite(self.medians) == listed).all():
            raise ValueError("medians must be finite as far as they are counted, and no further")
        if (self.medians[:, 1:] < self.medians[:, :-1]).any():
            raise ValueError("medians must ascend")

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers by name, finite, as an artifact stores them."""
        return {
            "medians": np.where(np.isfinite(self.medians), self.medians, 0.0),
            "count": self.count,
            "power": self.power,
            "epochs": np.array([self.epoch_rows, self.limit], dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "DriftWatch":
        """What `arrays` gave.

        Raises:
            ValueError: a name is missing, or the constructor rejects the numbers.
        """
        names = ("medians", "count", "power", "epochs")
        if missing := sorted(set(names) - set(arrays)):
            raise ValueError(f"the drift watch lacks {', '.join(missing)}")
        medians, count, power, epochs = (np.asarray(arrays[name]) for name in names)
        if medians.shape != (len(count), REFERENCES) or epochs.shape != (2,):
            raise ValueError(f"medians must be [groups, {REFERENCES}], got {medians.shape}")
        return cls(
            medians=np.where(np.arange(REFERENCES) < count[:, None], medians, np.inf),
            count=count.astype(np.int64),
            power=power.astype(np.float64),
            epoch_rows=int(epochs[0]),
            limit=float(epochs[1]),
        )

    @classmethod
    def fit(
        cls,
        levels: Float[np.ndarray, " rows"],
        groups: Int[np.ndarray, " rows"],
        *,
        n_groups: int,
        interval_s: float,
        epoch_rows: int = EPOCH_ROWS,
    ) -> "DriftWatch":
        """From cross-fitted calibration levels of the long view.

        A group with fewer than `FEWEST` epochs of its own takes the pooled ones; where those are
        too few as well, no verdict will ever be given.

        Args:
            levels: each sensor's in order of time; what is not finite is left out.
            groups: the sensor's calibration group of each row, from 1 on.
            n_groups: with the pooled one.
            interval_s: sampling interval.
            epoch_rows: even.
        """
        finite = np.isfinite(levels)
        levels, groups = levels[finite].astype(np.float64), groups[finite]
        own = [[_medians(levels[groups == group], epoch_rows)] for group in range(1, n_groups)]
        pooled = [median for one in own for median in one]
        table = [pooled, *(one if len(one[0]) >= FEWEST else pooled for one in own)]
        kept = [_kept(one) for one in table]
        medians = np.full((n_groups, REFERENCES), np.inf)
        for row, one in zip(medians, kept, strict=True):
            row[: len(one)] = one
        return cls(
            medians=medians,
            count=np.array([len(one) for one in kept], dtype=np.int64),
            power=np.array([_power(one) for one in table]),
            epoch_rows=epoch_rows,
            limit=max(1.0, YEAR_S / (epoch_rows * interval_s)),
        )

    def start(self, sensors: int) -> States:
        """States of sensors that have had no row."""
        return np.zeros((sensors, STATE_SIZE))

    def advance(
        self,
        levels: Float[np.ndarray, " rows"],
        sizes: Int[np.ndarray, " sensors"],
        groups: Int[np.ndarray, " sensors"],
        states: States,
    ) -> DriftAdvanced:
        """Take the next rows of many sensors; the same bits however they are cut into calls.

        Args:
            levels: of the long view, sensor behind sensor; NaN where it is not known.
            sizes: rows of each sensor, 0 or more.
            groups: calibration group of each sensor.
            states: from `start` or an earlier call; left as they are.

        Raises:
            ValueError: shapes that do not fit.
        """
        sensors = len(sizes)
        if states.shape != (sensors, STATE_SIZE) or len(groups) != sensors:
            raise ValueError(
                f"{sensors} sensors need as many groups and states [{sensors}, {STATE_SIZE}], "
                f"got {len(groups)} and {states.shape}"
            )
        if int(np.sum(sizes)) != len(levels) or (sensors and int(np.min(sizes)) < 0):
            raise ValueError(f"the sizes must sum up to {len(levels)} rows")
        after = np.array(states, dtype=np.float64, order="C")
        table = after.view(_STATE)[:, 0]
        found = np.empty((len(levels) // self.epoch_rows + sensors, 4))
        count = _fold(
            np.ascontiguousarray(levels, dtype=np.float64),
            np.asarray(sizes, dtype=np.int64),
            np.asarray(groups, dtype=np.int64),
            self.medians,
            self.count,
            self.power,
            np.array([self.epoch_rows, self.limit]),
            table,
            found,
        )
        return DriftAdvanced(
            states=after,
            drifting=table["drifting"] > 0,
            verdicts=[
                DriftVerdict(sensor=int(s), row=int(row), epochs=int(epochs), evidence=float(sum_))
                for s, row, epochs, sum_ in found[:count]
            ],
        )


def pack_states(states: States) -> UInt8[np.ndarray, "sensors bytes"]:
    """States as bytes to be recorded, exact to the bit."""
    return _converted(np.ascontiguousarray(states).view(_STATE)[:, 0], _PACKED).view(np.uint8)


def unpack_states(packed: UInt8[np.ndarray, "sensors bytes"]) -> States:
    """What `pack_states` was given.

    Raises:
        ValueError: the bytes are not those of states of this version.
    """
    if packed.shape[1] != _PACKED.itemsize:
        raise ValueError(f"a drift state has {_PACKED.itemsize} bytes, got {packed.shape[1]}")
    table = np.ascontiguousarray(packed).view(_PACKED)[:, 0]
    return _converted(table, _STATE).view(np.float64)


def _converted(table: np.ndarray, to: np.dtype[Any]) -> np.ndarray:
    """Records of the same names in other numbers, one a row."""
    converted = np.empty((len(table), 1), to)
    for name in to.names or ():
        converted[name][:, 0] = table[name]
    return converted


def _medians(levels: Float64[np.ndarray, " rows"], rows: int) -> Float64[np.ndarray, " epochs"]:
    """Upper medians of whole epochs."""
    whole = len(levels) // rows * rows
    return np.sort(levels[:whole].reshape(-1, rows), axis=1)[:, rows // 2]


def _power(sensors: list[Float64[np.ndarray, " epochs"]]) -> float:
    """From the rank correlation of neighbouring epochs, over all sensors."""
    products, squares, epochs = 0.0, 0.0, 0
    for medians in sensors:
        ranks = np.argsort(np.argsort(medians)) - (len(medians) - 1) / 2
        products += float(ranks[1:] @ ranks[:-1])
        squares += float(ranks @ ranks)
        epochs += len(medians)
    if squares == 0.0:
        return 1.0
    correlation = min(max(products / squares + CAUTION / epochs, 0.0), MOST_CORRELATED)
    return (1.0 - correlation) / (1.0 + correlation)


def _kept(sensors: list[Float64[np.ndarray, " epochs"]]) -> Float64[np.ndarray, " kept"]:
    medians = np.concatenate([np.empty(0), *sensors])
    if len(medians) < FEWEST:
        return medians[:0]
    even = np.linspace(0, len(medians) - 1, min(len(medians), REFERENCES)).round().astype(int)
    return np.sort(medians[even])


@compiled
def _close_epoch(s: Any, references: int, rows: float, power: float) -> float:
    """Evidence after an epoch; the counts of its levels start anew."""
    # The upper median is above a reference iff at least half of the levels are.
    above, below = 0.0, references
    while below > 0:
        above += s.between[below]
        if above >= rows / 2:
            break
        below -= 1
    u = (1.0 + references - below) / (references + 1.0)
    evidence = (0.5 / np.sqrt(u)) ** power
    slot = int(s.epochs) % WINDOW
    s.products[slot] = 1.0
    total = 0.0
    for place in range(WINDOW):
        # As it is recorded: a sum over rounded numbers would not be the sum over their copies.
        s.products[place] = np.float32(min(s.products[place] * evidence, _MOST))
        total += s.products[place]
    s.epochs += 1.0
    s.filled = 0.0
    s.between[:] = 0.0
    return total


@compiled
def _since(s: Any) -> int:
    """Epochs since the start of the largest product."""
    best, since = -1.0, 0
    for back in range(WINDOW):
        product = s.products[(int(s.epochs) - 1 - back) % WINDOW]
        if product > best:
            best, since = product, back + 1
    return since


@compiled
def _fold(  # noqa: PLR0917 - compiled functions take no keywords
    levels: Any,
    sizes: Any,
    groups: Any,
    medians: Any,
    counts: Any,
    powers: Any,
    numbers: Any,
    states: Any,
    found: Any,
) -> int:
    rows, limit = numbers[0], numbers[1]
    row = 0
    verdicts = 0
    for sensor in range(len(sizes)):
        s = states[sensor]
        group = groups[sensor]
        references = counts[group]
        for _ in range(sizes[sensor]):
            level = levels[row]
            row += 1
            if references == 0 or np.isnan(level):
                continue
            s.between[np.searchsorted(medians[group, :references], level)] += 1.0
            s.filled += 1.0
            if s.filled < rows:
                continue
            total = _close_epoch(s, references, rows, powers[group])
            if total >= limit and s.drifting == 0.0:
                s.drifting = 1.0
                found[verdicts, 0], found[verdicts, 1] = sensor, row - 1
                found[verdicts, 2], found[verdicts, 3] = _since(s), total
                verdicts += 1
            elif total < min(WINDOW, limit):
                s.drifting = 0.0
    return verdicts

"""Faults of the simulated plant: what they do to a measured signal, and when they come.

A fault belongs to one machine, a range of rows and some channels. A schedule answers which faults
touch a range of rows; two faults of one machine never overlap, so that every row has one label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from workers.plant.physics import CHANNEL_NAMES

FloatArray = npt.NDArray[np.float64]


class FaultKind(Enum):
    """What goes wrong. The value is the label code; 0 means no fault."""

    SPIKE = 1  # adds `magnitude` noise deviations, up and down by turns
    DRIFT = 2  # adds a ramp that ends at `magnitude` noise deviations
    STUCK_SENSOR = 3  # repeats the last value before the fault; `magnitude` is not used
    LEVEL_SHIFT = 4  # adds `magnitude` noise deviations
    NOISE_BURST = 5  # adds white noise of `magnitude` noise deviations
    BROKEN_CORRELATION = 6  # moves `magnitude` (1 = all) of the way to the signal of another load
    MISSING_DATA = 7  # loses each value with probability `magnitude`

    @property
    def label(self) -> str:
        """The name on screens and in files, such as `level-shift`."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault of one machine."""

    machine: int  # its index, from 0
    kind: FaultKind
    channels: tuple[str, ...]  # that it touches
    start_row: int  # first row with the fault
    end_row: int  # first row without it
    magnitude: float  # what it means, the comment of the kind says

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """Indices of the channels, [c]."""
        return np.array([CHANNEL_NAMES.index(name) for name in self.channels], dtype=np.int64)


class Schedule(Protocol):
    """Which faults touch rows start_row..end_row (end excluded), in order of start.

    Those of one machine do not overlap.
    """

    def between(self, start_row: int, end_row: int) -> Sequence[Fault]:
        """Faults with at least one row in the range; pure."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How random faults of one kind look: channel groups, rows and magnitude to draw from."""

    groups: tuple[tuple[str, ...], ...]
    rows: tuple[int, int]
    magnitude: tuple[float, float]


_QUICK = (("flow",), ("pressure",), ("current",), ("power",), ("speed",))
_SINGLE = tuple((name,) for name in CHANNEL_NAMES)
RECIPES: dict[FaultKind, Recipe] = {
    FaultKind.SPIKE: Recipe(groups=_SINGLE, rows=(2, 4), magnitude=(25.0, 45.0)),
    FaultKind.DRIFT: Recipe(
        groups=(("vibration", "bearing_temperature"), ("motor_temperature",), ("pressure",)),
        rows=(120, 240),
        magnitude=(20.0, 35.0),
    ),
    FaultKind.STUCK_SENSOR: Recipe(groups=_QUICK, rows=(120, 240), magnitude=(1.0, 1.0)),
    FaultKind.LEVEL_SHIFT: Recipe(groups=_SINGLE, rows=(60, 180), magnitude=(12.0, 25.0)),
    FaultKind.NOISE_BURST: Recipe(groups=_SINGLE, rows=(40, 120), magnitude=(6.0, 12.0)),
    FaultKind.BROKEN_CORRELATION: Recipe(groups=_QUICK, rows=(90, 180), magnitude=(1.0, 1.0)),
    FaultKind.MISSING_DATA: Recipe(groups=_SINGLE, rows=(40, 120), magnitude=(0.9, 1.0)),
}
# Room that a slot leaves beside the longest fault, so that two of one machine stay apart.
_REST_ROWS = 120
SLOT_ROWS = max(recipe.rows[1] for recipe in RECIPES.values()) + _REST_ROWS


@dataclass(frozen=True, kw_only=True)
class RandomSchedule:
    """Seeded faults without end: every epoch of rows holds `faults_per_epoch` of them.

    Kinds take turns, so each kind appears as often as any other. A fault lies wholly inside its
    epoch, and faults of one machine stay `_REST_ROWS` apart. Any range can be asked for in any
    order; the answer depends on the fields alone.

    Attributes:
        machines: size of the fleet.
        seed: of the draws.
        epoch_rows: rows of an epoch, at least one slot (the longest fault and its rest).
        faults_per_epoch: over the whole fleet; at most one per machine and slot.
        first_row: epochs begin here; earlier rows have no fault.

    Raises:
        ValueError: the epoch is too short, or holds more faults than fit.
    """

    machines: int
    seed: int
    epoch_rows: int = 3_600
    faults_per_epoch: int = 14
    first_row: int = 0

    def __post_init__(self) -> None:
        """Reject what does not fit."""
        room = self.machines * (self.epoch_rows // SLOT_ROWS)
        if not 0 <= self.faults_per_epoch <= room:
            raise ValueError(
                f"{self.faults_per_epoch} faults do not fit {self.machines} machines x "
                f"{self.epoch_rows} rows: at most {room} "
                f"(one per machine and {SLOT_ROWS} rows)"
            )

    def between(self, start_row: int, end_row: int) -> Sequence[Fault]:
        """Faults with at least one row in the range."""
        first = max(start_row - self.first_row, 0) // self.epoch_rows
        last = max(end_row - 1 - self.first_row, -1) // self.epoch_rows
        return [
            fault
            for epoch in range(first, last + 1)
            for fault in _draw_epoch(self, epoch)
            if fault.start_row < end_row and fault.end_row > start_row
        ]


class FixedSchedule:
    """Exactly the given faults.

    Raises:
        ValueError: two faults of one machine overlap.
    """

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.start_row, fault.machine)))
        busy_until: dict[int, int] = {}
        for fault in self.faults:
            if fault.start_row < busy_until.get(fault.machine, 0):
                raise ValueError(
                    f"faults of machine {fault.machine} overlap at row {fault.start_row}"
                )
            busy_until[fault.machine] = fault.end_row

    def between(self, start_row: int, end_row: int) -> Sequence[Fault]:
        """Faults with at least one row in the range."""
        return [f for f in self.faults if f.start_row < end_row and f.end_row > start_row]


def draw_fault(rng: np.random.Generator, *, kind: FaultKind, machine: int, first_row: int) -> Fault:
    """A random fault of this kind, inside the `SLOT_ROWS` rows from `first_row` on."""
    recipe = RECIPES[kind]
    rows = int(rng.integers(recipe.rows[0], recipe.rows[1] + 1))
    start = first_row + int(rng.integers(0, SLOT_ROWS - _REST_ROWS - rows + 1))
    return Fault(
        machine=machine,
        kind=kind,
        channels=recipe.groups[int(rng.integers(len(recipe.groups)))],
        start_row=start,
        end_row=start + rows,
        magnitude=float(rng.uniform(*recipe.magnitude)),
    )


@lru_cache(maxsize=64)
def _draw_epoch(schedule: RandomSchedule, epoch: int) -> tuple[Fault, ...]:
    rng = np.random.default_rng([schedule.seed, 7, epoch])
    slots = schedule.epoch_rows // SLOT_ROWS
    kinds = tuple(FaultKind)
    places = rng.choice(schedule.machines * slots, schedule.faults_per_epoch, replace=False)
    faults = []
    for number, place in enumerate(places):
        turn = epoch * schedule.faults_per_epoch + number
        kind = kinds[turn % len(kinds)]
        slot_row = epoch * schedule.epoch_rows + int(place) % slots * SLOT_ROWS
        faults.append(
            draw_fault(
                rng,
                kind=kind,
                machine=int(place) // slots,
                first_row=schedule.first_row + slot_row,
            )
        )
    return tuple(sorted(faults, key=lambda fault: (fault.start_row, fault.machine)))


def distort(
    fault: Fault,
    *,
    signal: FloatArray,
    clean: FloatArray,
    other_load: FloatArray,
    held: FloatArray,
    noise: FloatArray,
    rng: np.random.Generator,
    age: npt.NDArray[np.int64],
) -> FloatArray:
    """The measured values with the fault, [k, c]; NaN where a value is lost.

    Args:
        fault: what goes wrong.
        signal: measured values of the fault's machine and channels, without the fault, [k, c].
        clean: without noise, [k, c].
        other_load: clean values of the same machine at another load, [k, c].
        held: last measured values before the fault, [c].
        noise: standard deviation of the sensor noise, [c].
        rng: of this fault and block.
        age: rows since the fault began, [k].
    """
    size = fault.magnitude * noise
    # Always both, in this order: what is drawn does not depend on the kind.
    normal, uniform = rng.standard_normal(signal.shape), rng.random(signal.shape)
    match fault.kind:
        case FaultKind.SPIKE:
            changed = signal + size * np.where(age % 2 == 0, 1.0, -1.0)[:, None]
        case FaultKind.DRIFT:
            changed = signal + size * ((age + 1) / (fault.end_row - fault.start_row))[:, None]
        case FaultKind.STUCK_SENSOR:
            changed = np.broadcast_to(held, signal.shape)
        case FaultKind.LEVEL_SHIFT:
            changed = signal + size
        case FaultKind.NOISE_BURST:
            changed = signal + size * normal
        case FaultKind.BROKEN_CORRELATION:
            changed = signal + fault.magnitude * (other_load - clean)
        case FaultKind.MISSING_DATA:
            changed = np.where(uniform < fault.magnitude, np.nan, signal)
    return changed

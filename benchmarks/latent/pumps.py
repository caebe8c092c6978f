"""The plant's windows, the state of a pump in each, and the equations that it obeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from workers.plant.faults import RandomSchedule
from workers.plant.physics import (
    CHANNEL_NAMES,
    NOISE,
    NOMINAL_SPEED_RPM,
    Pumps,
    draw_pumps,
    operate,
)
from workers.plant.plant import Plant, PlantConfig

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STATES = ("low", "medium", "high", "rising", "falling")
RELATED = ("pressure", "current", "power", "vibration")
"""Channels that follow at once from flow and speed."""
_FLOW, _SPEED = CHANNEL_NAMES.index("flow"), CHANNEL_NAMES.index("speed")
_RELATED = [CHANNEL_NAMES.index(name) for name in RELATED]
DIRECT = [*range(5), _SPEED]
"""Channels without a memory: all but the temperatures."""

_SETTLED, _MOVING = 0.015, 0.03
_LEVELS = {"low": (0.0, 0.76), "medium": (0.79, 0.87), "high": (0.90, 2.0)}


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of several pumps: what the sensors say, and the truth without noise or faults."""

    noisy: FloatArray  # [n, R, C]
    clean: FloatArray  # [n, R, C]
    machine: IntArray  # [n]
    state: IntArray  # index into STATES, -1 where the window is between two of them, [n]
    label: IntArray  # of the last row: code of the fault, 0 for none, [n]

    def __len__(self) -> int:
        return len(self.machine)

    def take(self, picks: npt.NDArray[np.generic]) -> Windows:
        """Some of them."""
        return Windows(**{one.name: getattr(self, one.name)[picks] for one in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Run:
    """A stretch of a fleet, [rows, machines, channels]."""

    noisy: FloatArray
    clean: FloatArray
    label: npt.NDArray[np.int8]

    def part(self, first: int, end: int) -> Run:
        """Rows first..end, the end excluded."""
        rows = slice(first, end)
        return Run(noisy=self.noisy[rows], clean=self.clean[rows], label=self.label[rows])

    def windows(self, size: int, *, every: int) -> Windows:
        """All windows of `size` rows that begin each `every` rows."""
        starts = np.arange(0, len(self.noisy) - size + 1, every)
        rows = starts[:, None] + np.arange(size)
        machines = self.noisy.shape[1]

        def cut(values: FloatArray) -> FloatArray:
            moved = np.moveaxis(values[rows], 2, 0)  # [machines, windows, R, C]
            return np.ascontiguousarray(moved.reshape(-1, *moved.shape[2:]))

        clean = cut(self.clean)
        return Windows(
            noisy=cut(self.noisy),
            clean=clean,
            machine=np.repeat(np.arange(machines), len(starts)),
            state=states(clean),
            label=self.label[rows[:, -1]].T.reshape(-1).astype(np.int64),
        )


def simulate(*, machines: int, rows: int, seed: int, faults_per_epoch: int = 0) -> Run:
    """A fleet from its first row on."""
    schedule = RandomSchedule(machines=machines, seed=seed, faults_per_epoch=faults_per_epoch)
    chunks = list(Plant(PlantConfig(machines=machines, seed=seed), schedule).chunks(rows))
    return Run(
        noisy=np.concatenate([one.noisy for one in chunks]),
        clean=np.concatenate([one.clean for one in chunks]),
        label=np.concatenate([one.label for one in chunks]),
    )


def states(clean: FloatArray) -> IntArray:
    """The state of a pump in each window, by its true speed: settled at a level, or on the move."""
    speed = clean[:, :, _SPEED] / NOMINAL_SPEED_RPM
    mean, change = speed.mean(axis=1), speed[:, -1] - speed[:, 0]
    still = np.ptp(speed, axis=1) < _SETTLED
    found = np.full(len(clean), -1, np.int64)
    for name, (low, high) in _LEVELS.items():
        found[still & (mean >= low) & (mean < high)] = STATES.index(name)
    found[change > _MOVING] = STATES.index("rising")
    found[change < -_MOVING] = STATES.index("falling")
    return found


class Equations:
    """The relations between the channels of each pump of a fleet: what the plant is made of."""

    def __init__(self, *, machines: int, seed: int) -> None:
        self._pumps = draw_pumps(machines, np.random.default_rng([seed, 0]))

    def _of(self, machine: IntArray) -> Mapping[str, FloatArray]:
        return {one.name: getattr(self._pumps, one.name)[machine][:, None] for one in fields(Pumps)}

    def _constants(self, machine: IntArray, rows: int) -> Pumps:
        return Pumps(
            **{name: np.repeat(one, rows, axis=1) for name, one in self._of(machine).items()}
        )

    def resistance(self, windows: FloatArray, machine: IntArray) -> FloatArray:
        """Factor on the pipe's curve in each row, [n, R], from flow and speed."""
        pumps = self._constants(machine, windows.shape[1])
        flow = np.maximum(windows[:, :, _FLOW], 1.0)
        surplus = pumps.shut_off_head_m * (windows[:, :, _SPEED] / NOMINAL_SPEED_RPM) ** 2
        pipe = (surplus - pumps.static_head_m) / flow**2 - pumps.pump_curve
        factor: FloatArray = np.maximum(pipe, 1e-5) / pumps.pipe_curve
        return factor

    def at_once(self, machine: IntArray, speed: FloatArray, resistance: FloatArray) -> FloatArray:
        """The channels of `DIRECT` at a share of the nominal speed and in a pipe, [n, R, 6]."""
        now = operate(self._constants(machine, speed.shape[1]), speed, resistance)
        water = (now.flow_m3h, now.pressure_bar, now.current_a, now.power_kw, now.vibration_mms)
        return np.stack([*water, speed * NOMINAL_SPEED_RPM], axis=-1)

    def residual(self, windows: FloatArray, machine: IntArray) -> FloatArray:
        """How far windows are from the equations, in deviations of the sensors' noise, [n].

        Pressure, current, power and vibration are computed from flow and speed, row by row; the
        mean difference over the window, where noise averages out, squared, and the root of the
        mean over the four.
        """
        speed = np.maximum(windows[:, :, _SPEED] / NOMINAL_SPEED_RPM, 0.1)
        due = self.at_once(machine, speed, self.resistance(windows, machine))
        own = due[:, :, [DIRECT.index(column) for column in _RELATED]]
        off = (windows[:, :, _RELATED] - own).mean(axis=1) / NOISE[_RELATED]
        residual: FloatArray = np.sqrt(np.square(off).mean(axis=1))
        return residual

    def moved(self, a: Windows, b: Windows, c: Windows) -> FloatArray:
        """C as it truly were if the change from B to A had happened to its pump, [n, R, 6].

        The change of speed is added, that of the pipe's resistance multiplied.
        """
        speed = (
            c.clean[:, :, _SPEED] + a.clean[:, :, _SPEED] - b.clean[:, :, _SPEED]
        ) / NOMINAL_SPEED_RPM
        pipe = self.resistance(c.clean, c.machine) * (
            self.resistance(a.clean, a.machine) / self.resistance(b.clean, b.machine)
        )
        return self.at_once(c.machine, speed, pipe)

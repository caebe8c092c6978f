"""What the pumps really do: the clean truth of a fleet, block by block.

Load moves speed; a slow wander of the pipes' resistance moves the working point on the pump curve;
power heats the motor, speed and vibration heat the bearing, both with a lag. A second path runs
beside it: the same machines at a load half the range away, in the same pipes. A channel taken from
there is plausible by itself and contradicts the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workers.plant.physics import (
    NOMINAL_SPEED_RPM,
    FloatArray,
    Pumps,
    draw_pumps,
    follow,
    operate,
    settled_temperatures,
)

BLOCK_ROWS = 256
_DAY_S = 86_400.0
_AMBIENT_C = 22.0
# Half the difference between the warmest and the coldest hour of the hall.
_AMBIENT_SWING_C = 0.5
_LOWEST_LOAD, _LOAD_SPAN = 0.66, 0.34
_SPEED_LAG_S = 12.0
_WANDER, _WANDER_LAG_S = 0.01, 90.0
_PIPE_WANDER, _PIPE_LAG_S = 0.10, 300.0
_SECONDS_BETWEEN_STEPS = 900.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """One block of the fleet without noise and faults, each [BLOCK_ROWS, M, C]."""

    clean: FloatArray
    other_load: FloatArray


@dataclass(frozen=True, slots=True)
class _Drives:
    """What moves the fleet, each [BLOCK_ROWS, M]."""

    level: FloatArray
    load: FloatArray
    wander: FloatArray
    pipe: FloatArray
    ambient_c: FloatArray


class Process:
    """The dynamics of a fleet; pure in its arguments.

    Args:
        machines: number of pumps.
        seed: of the machines' constants and of their load.
        interval_s: seconds between rows.
    """

    def __init__(self, *, machines: int, seed: int, interval_s: float) -> None:
        rng = np.random.default_rng([seed, 0])
        self._machines, self._seed = machines, seed
        self._interval_s = interval_s
        self._pumps: Pumps = draw_pumps(machines, rng)
        self._slow_s = rng.uniform(1_500, 2_700, machines)
        self._quick_s = rng.uniform(240, 480, machines)
        self._phases = rng.uniform(0.0, 2 * np.pi, (2, machines))

    def blocks(self) -> Iterator[Truth]:
        """Blocks from row 0 on, without end."""
        rng = np.random.default_rng([self._seed, 3])
        level = rng.uniform(-1.0, 1.0, self._machines)
        wander = _WANDER * rng.standard_normal(self._machines)
        pipe = _PIPE_WANDER * rng.standard_normal(self._machines)
        body: _Body | None = None
        other_body: _Body | None = None
        for block in itertools.count():
            rng = np.random.default_rng([self._seed, 1, block])
            drives = self._drive(block * BLOCK_ROWS, level, wander, pipe, rng)
            level, wander, pipe = drives.level[-1], drives.wander[-1], drives.pipe[-1]
            other_load = _LOWEST_LOAD + np.mod(
                drives.load - _LOWEST_LOAD + _LOAD_SPAN / 2, _LOAD_SPAN
            )
            clean, body = self._respond(drives.load, drives, body)
            other, other_body = self._respond(other_load, drives, other_body)
            yield Truth(clean=clean, other_load=other)

    def _drive(
        self,
        first_row: int,
        level: FloatArray,
        wander: FloatArray,
        pipe: FloatArray,
        rng: np.random.Generator,
    ) -> _Drives:
        """The drives of a block, from level, wander and pipe at the end of the one before, [M]."""
        shape = (BLOCK_ROWS, self._machines)
        rows = np.arange(BLOCK_ROWS)[:, None]
        time_s = (first_row + rows) * self._interval_s
        chance = -np.expm1(-BLOCK_ROWS * self._interval_s / _SECONDS_BETWEEN_STEPS)
        steps = rng.random(self._machines) < chance
        step_row = np.where(steps, rng.integers(0, BLOCK_ROWS, self._machines), BLOCK_ROWS)
        levels = np.where(rows >= step_row, rng.uniform(-1.0, 1.0, self._machines), level)
        wanders = self._roam(rng.standard_normal(shape), wander, _WANDER, _WANDER_LAG_S)
        pipes = self._roam(rng.standard_normal(shape), pipe, _PIPE_WANDER, _PIPE_LAG_S)
        cycles = 0.26 * np.sin(2 * np.pi * time_s / self._slow_s + self._phases[0]) + 0.1 * np.sin(
            2 * np.pi * time_s / self._quick_s + self._phases[1]
        )
        share = 0.5 + 0.5 * np.tanh(cycles + 0.45 * levels)
        ambient_c = _AMBIENT_C + _AMBIENT_SWING_C * np.sin(2 * np.pi * time_s / _DAY_S)
        return _Drives(
            level=levels,
            load=_LOWEST_LOAD + _LOAD_SPAN * share + wanders,
            wander=wanders,
            pipe=pipes,
            ambient_c=ambient_c + np.zeros(shape),
        )

    def _roam(
        self, shocks: FloatArray, start: FloatArray, deviation: float, lag_s: float
    ) -> FloatArray:
        """Ornstein-Uhlenbeck path of the given standard deviation, [n, M]."""
        keep = np.exp(-self._interval_s / lag_s)
        scale = deviation * np.sqrt(1.0 - keep**2) / (1.0 - keep)
        lags = np.full(self._machines, lag_s)
        return follow(scale * shocks, lags, start, self._interval_s)

    def _respond(
        self, load: FloatArray, drives: _Drives, before: _Body | None
    ) -> tuple[FloatArray, _Body]:
        """Channels of the fleet, in the order of CHANNELS; a fleet without a past has settled."""
        pumps, dt_s = self._pumps, self._interval_s
        lag_s = np.full(self._machines, _SPEED_LAG_S)
        speed = follow(load, lag_s, before.speed if before else load[0], dt_s)
        now = operate(pumps, speed, np.exp(drives.pipe))
        bearing, motor = settled_temperatures(pumps, now, speed, drives.ambient_c)
        past = before or _Body(speed=speed[0], bearing_c=bearing[0], motor_c=motor[0])
        bearing = follow(bearing, pumps.bearing_lag_s, past.bearing_c, dt_s)
        motor = follow(motor, pumps.motor_lag_s, past.motor_c, dt_s)
        water = (now.flow_m3h, now.pressure_bar, now.current_a, now.power_kw, now.vibration_mms)
        channels = np.stack([*water, bearing, motor, speed * NOMINAL_SPEED_RPM], axis=-1)
        return channels, _Body(speed=speed[-1], bearing_c=bearing[-1], motor_c=motor[-1])


@dataclass(frozen=True, slots=True)
class _Body:
    """Lagging quantities at the end of a block, each [M]."""

    speed: FloatArray
    bearing_c: FloatArray
    motor_c: FloatArray

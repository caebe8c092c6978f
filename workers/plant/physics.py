"""Centrifugal pumps: from speed, pipe resistance and ambient temperature to eight channels.

The steady relations are the textbook ones: the affinity laws for the pump curve, its intersection
with the pipe's system curve, hydraulic power over a parabolic efficiency, an induction motor's
current, vibration that grows away from the best efficiency point. Temperatures follow with a
first-order lag. Everything is vectorised over rows and machines; nothing here draws randomness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

NOMINAL_SPEED_RPM = 2_950.0
_WATER_KN_PER_M3 = 9.81
_BAR_PER_METRE = 0.0981
_SECONDS_PER_HOUR = 3_600.0
_LINE_VOLTAGE_V = 400.0
_POWER_FACTOR = 0.88
_EFFICIENCY_FALL = 0.7


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """One measured quantity."""

    name: str  # on the wire
    unit: str
    noise: float  # standard deviation of the sensor's white noise, in `unit`
    decimals: int  # that the instrument reports


CHANNELS: tuple[Channel, ...] = (
    Channel(name="flow", unit="m3/h", noise=1.2, decimals=2),
    Channel(name="pressure", unit="bar", noise=0.04, decimals=3),
    Channel(name="current", unit="A", noise=0.35, decimals=2),
    Channel(name="power", unit="kW", noise=0.2, decimals=2),
    Channel(name="vibration", unit="mm/s", noise=0.06, decimals=3),
    Channel(name="bearing_temperature", unit="degC", noise=0.25, decimals=2),
    Channel(name="motor_temperature", unit="degC", noise=0.35, decimals=2),
    Channel(name="speed", unit="rpm", noise=8.0, decimals=1),
)
CHANNEL_NAMES: tuple[str, ...] = tuple(channel.name for channel in CHANNELS)
NOISE: FloatArray = np.array([channel.noise for channel in CHANNELS])


@dataclass(frozen=True, kw_only=True, slots=True)
class Pumps:
    """Constants of a fleet of pumps, one value per machine, all [M]."""

    shut_off_head_m: FloatArray  # at nominal speed and no flow
    static_head_m: FloatArray  # height that the pipe lifts the water
    pump_curve: FloatArray  # metres of head lost in the pump per (m3/h)^2
    pipe_curve: FloatArray  # the same in the pipe, before its slow wander
    best_flow_m3h: FloatArray  # of best efficiency at nominal speed
    efficiency: FloatArray  # at that point
    idle_current_a: FloatArray  # magnetising current
    vibration_mms: FloatArray  # at nominal speed and best flow
    motor_rise_c: FloatArray  # motor temperature over ambient at 30 A
    bearing_rise_c: FloatArray  # bearing over ambient at nominal speed and vibration
    motor_lag_s: FloatArray  # time constants of the temperatures
    bearing_lag_s: FloatArray


def draw_pumps(machines: int, rng: np.random.Generator) -> Pumps:
    """Build a fleet whose machines differ by a few per cent, as a series from one maker does."""

    def around(centre: float, spread: float) -> FloatArray:
        return centre * (1.0 + spread * rng.uniform(-1.0, 1.0, machines))

    return Pumps(
        shut_off_head_m=around(58.0, 0.05),
        static_head_m=around(12.0, 0.10),
        pump_curve=around(0.0010, 0.05),
        pipe_curve=around(0.0020, 0.08),
        best_flow_m3h=around(115.0, 0.03),
        efficiency=around(0.78, 0.03),
        idle_current_a=around(9.0, 0.08),
        vibration_mms=around(1.6, 0.15),
        motor_rise_c=around(42.0, 0.08),
        bearing_rise_c=around(28.0, 0.08),
        motor_lag_s=around(600.0, 0.15),
        bearing_lag_s=around(360.0, 0.15),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """What the water and the motor do at once, without any lag, all [n, M]."""

    flow_m3h: FloatArray
    pressure_bar: FloatArray
    current_a: FloatArray
    power_kw: FloatArray
    vibration_mms: FloatArray


def operate(pumps: Pumps, speed: FloatArray, resistance: FloatArray) -> Operation:
    """Intersect pump curve and system curve, and follow the power to the motor.

    Args:
        pumps: the fleet's constants.
        speed: share of the nominal speed, [n, M].
        resistance: factor on the pipe curve, [n, M].
    """
    pipe = pumps.pipe_curve * resistance
    surplus = pumps.shut_off_head_m * speed**2 - pumps.static_head_m
    flow = np.sqrt(np.maximum(surplus, 0.0) / (pumps.pump_curve + pipe))
    head = pumps.shut_off_head_m * speed**2 - pumps.pump_curve * flow**2
    off_design = flow / (speed * pumps.best_flow_m3h) - 1.0
    efficiency = pumps.efficiency * (1.0 - _EFFICIENCY_FALL * off_design**2)
    power = _WATER_KN_PER_M3 * head * flow / _SECONDS_PER_HOUR / efficiency + 0.8 * speed**3
    active = power * 1_000.0 / (np.sqrt(3.0) * _LINE_VOLTAGE_V * _POWER_FACTOR)
    return Operation(
        flow_m3h=flow,
        pressure_bar=head * _BAR_PER_METRE,
        current_a=np.sqrt(active**2 + pumps.idle_current_a**2),
        power_kw=power,
        vibration_mms=pumps.vibration_mms * (0.35 + 0.65 * speed**2 + 6.0 * off_design**2),
    )


def settled_temperatures(
    pumps: Pumps, operation: Operation, speed: FloatArray, ambient_c: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bearing and motor temperature that the machine would settle at, in degC, each [n, M]."""
    bearing = ambient_c + pumps.bearing_rise_c * (
        0.7 * speed + 0.3 * operation.vibration_mms / pumps.vibration_mms
    )
    motor = ambient_c + pumps.motor_rise_c * (operation.current_a / 30.0) ** 2
    return bearing, motor


def follow(target: FloatArray, lag_s: FloatArray, start: FloatArray, dt_s: float) -> FloatArray:
    """First-order lag: each row closes 1 - exp(-dt / lag) of the distance to its target.

    Args:
        target: where the quantity is pulled to, [n, M].
        lag_s: time constant, > 0, [M].
        start: value before the first row, [M].
        dt_s: seconds between rows.

    Returns:
        [n, M].
    """
    pull = 1.0 - np.exp(-dt_s / lag_s)
    path, value = np.empty_like(target), start
    for row in range(len(target)):
        value = value + pull * (target[row] - value)
        path[row] = value
    return path

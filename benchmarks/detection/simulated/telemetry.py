"""Eight channels of a site: shared load, own noise, a rhythm of day and week, commands, drift.

One row in five minutes, four weeks teach, six weeks with 18 faults are judged. In a site without a
rhythm, with commands, or with drift, all else is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from benchmarks.detection.series import START_NS, Rows
from benchmarks.detection.simulated.base import Simulation

CHANNELS = 8
DAY_ROWS = 288
WEEK_ROWS = 7 * DAY_ROWS
TRAIN_WEEKS, TEST_WEEKS = 4, 6
FAULTS = 18
COMMANDS = 4
INTERVAL_S = 300.0
_SETTLING_ROWS = 6.0


class Kind(Enum):
    """What goes wrong; sizes in noise deviations of a channel."""

    ANOTHER_HOUR = 1  # up to three channels as they were 6 to 18 hours before
    OFFSET = 2  # one channel 3 to 5 deviations off
    FROZEN = 3  # one channel repeats its last value
    SHIFTED_IN_TIME = 4  # all channels as they were three hours before
    SPIKE = 5  # one channel 8 to 12 deviations off, up and down by turns
    SWAPPED = 6  # two channels exchanged
    NO_RESPONSE = 7  # one channel answers the opposite of its command


_ROWS = {
    Kind.ANOTHER_HOUR: (36, 96),
    Kind.OFFSET: (36, 144),
    Kind.FROZEN: (36, 144),
    Kind.SHIFTED_IN_TIME: (36, 96),
    Kind.SPIKE: (2, 4),
    Kind.SWAPPED: (36, 144),
    Kind.NO_RESPONSE: (36, 144),
}
"""Shortest and longest fault of each kind."""
RHYTHM_KINDS = (
    Kind.ANOTHER_HOUR,
    Kind.OFFSET,
    Kind.FROZEN,
    Kind.SHIFTED_IN_TIME,
    Kind.SPIKE,
    Kind.SWAPPED,
)
"""Those that a rhythm hides."""
PLAIN_KINDS = (Kind.OFFSET, Kind.FROZEN, Kind.SPIKE, Kind.SWAPPED)
"""Those that show without a rhythm."""
COMMAND_KINDS = (Kind.OFFSET, Kind.FROZEN, Kind.SPIKE, Kind.NO_RESPONSE)


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a site is like.

    Attributes:
        rhythm: size of the daily cycle in noise deviations; 0 = none.
        commands: binary channels that the others answer to.
        drift: way of every mean, in its training standard deviations a week, from row 0 on.
        kinds: of the faults, by turns.
    """

    rhythm: float = 0.0
    commands: int = 0
    drift: float = 0.0
    kinds: tuple[Kind, ...] = PLAIN_KINDS


@dataclass(frozen=True)
class _Parts:
    """The sound site: all rows, and the part of the analog ones that answers commands."""

    rows: Rows
    answer: Rows
    opposite: Rows
    deviation: Rows  # [C]: of a channel without its rhythm


def telemetry(seed: int, site: Site) -> Simulation:
    """A site and its faults."""
    rng = np.random.default_rng([seed, 23])
    n_train = TRAIN_WEEKS * WEEK_ROWS
    n_rows = n_train + TEST_WEEKS * WEEK_ROWS
    parts = _sound(n_rows, site, rng)
    if site.drift:
        weeks = np.arange(n_rows)[:, None] / WEEK_ROWS
        away = site.drift * weeks * parts.rows[:n_train, :CHANNELS].std(axis=0)
        rows = parts.rows.copy()
        rows[:, :CHANNELS] += away
        parts = replace(parts, rows=rows)
    rows, labels = parts.rows.copy(), np.zeros(n_rows, dtype=bool)
    slot = (n_rows - n_train) // FAULTS
    for number in range(FAULTS):
        kind = site.kinds[number % len(site.kinds)]
        shortest, longest = _ROWS[kind]
        length = int(rng.integers(shortest, longest + 1))
        start = n_train + number * slot + int(rng.integers(DAY_ROWS // 4, slot - length))
        _spoil(rows, parts, kind, (start, start + length), rng)
        labels[start : start + length] = True
    return Simulation(
        rows=rows,
        clean=parts.rows,
        labels=labels,
        ts_ns=START_NS + np.arange(n_rows, dtype=np.int64) * round(INTERVAL_S * 1e9),
        interval_s=INTERVAL_S,
        n_train=n_train,
    )


def _sound(n_rows: int, site: Site, rng: np.random.Generator) -> _Parts:
    load = _wander(rng.standard_normal((n_rows, 1)), keep=0.98)
    own = _wander(rng.standard_normal((n_rows, CHANNELS)), keep=0.9)
    noise = 0.7 * load * rng.uniform(0.5, 1.0, CHANNELS) + 0.6 * own
    noise += 0.3 * rng.standard_normal((n_rows, CHANNELS))
    analog = noise + site.rhythm * _rhythm(n_rows, rng)
    answer = opposite = np.zeros_like(analog)
    commands = _commands(n_rows, site.commands, rng)
    if site.commands:
        gain = np.zeros((site.commands, CHANNELS))
        gain[np.arange(CHANNELS) % site.commands, np.arange(CHANNELS)] = rng.uniform(3, 5, CHANNELS)
        answer = _settle(commands) @ gain
        opposite = _settle(1.0 - commands) @ gain
    return _Parts(
        rows=np.concatenate([analog + answer, commands], axis=1),
        answer=answer,
        opposite=opposite,
        deviation=noise.std(axis=0),
    )


def _rhythm(n_rows: int, rng: np.random.Generator) -> Rows:
    """A daily shape for each channel, of unit deviation on working days, other on weekends."""
    day = 2 * np.pi * np.arange(DAY_ROWS)[:, None] / DAY_ROWS
    shapes = []
    for strengths in ((1.0, 0.5, 0.3), (0.4, 0.3, 0.1)):
        phases = rng.uniform(0, 2 * np.pi, (3, CHANNELS))
        waves = [s * np.cos((k + 1) * day + phases[k]) for k, s in enumerate(strengths)]
        shapes.append(np.sum(waves, axis=0))
    shapes[1] -= 0.5
    scale = shapes[0].std(axis=0)
    days = [shapes[int(number % 7 >= 5)] for number in range(-(-n_rows // DAY_ROWS))]
    rhythm: Rows = np.concatenate(days)[:n_rows] / scale
    return rhythm


def _commands(n_rows: int, count: int, rng: np.random.Generator) -> Rows:
    """On and off by chance; the last one is seldom on."""
    commands = np.zeros((n_rows, count))
    for place in range(count):
        rare = place == count - 1
        row, on = 0, False
        while row < n_rows:
            typical = (1_500 if rare and not on else 60) if rare else 150
            length = 1 + int(rng.exponential(typical))
            commands[row : row + length, place] = on
            row, on = row + length, not on
    return commands


def _spoil(
    rows: Rows, parts: _Parts, kind: Kind, span: tuple[int, int], rng: np.random.Generator
) -> None:
    start, end = span
    length = end - start
    first, second = rng.choice(CHANNELS, 2, replace=False)
    some = rng.choice(CHANNELS, 1 + int(rng.integers(3)), replace=False)
    back = int(rng.integers(DAY_ROWS // 4, 3 * DAY_ROWS // 4))
    size = float(rng.choice([-1.0, 1.0]))
    sound = parts.rows
    match kind:
        case Kind.ANOTHER_HOUR:
            rows[start:end, some] = sound[start - back : end - back, some]
        case Kind.OFFSET:
            rows[start:end, first] += size * rng.uniform(3, 5) * parts.deviation[first]
        case Kind.FROZEN:
            rows[start:end, first] = sound[start - 1, first]
        case Kind.SHIFTED_IN_TIME:
            late = DAY_ROWS // 8
            rows[start:end, :CHANNELS] = sound[start - late : end - late, :CHANNELS]
        case Kind.SPIKE:
            turns = np.where(np.arange(length) % 2 == 0, size, -size)
            rows[start:end, first] += turns * rng.uniform(8, 12) * parts.deviation[first]
        case Kind.SWAPPED:
            rows[start:end, [first, second]] = sound[start:end, [second, first]]
        case Kind.NO_RESPONSE:
            change = parts.opposite[start:end, first] - parts.answer[start:end, first]
            rows[start:end, first] += change


def _wander(shocks: Rows, *, keep: float) -> Rows:
    """First-order autoregression of unit deviation."""
    scaled = shocks * np.sqrt(1.0 - keep**2)
    path: Rows = np.empty_like(scaled)
    value = shocks[0]
    for row, shock in enumerate(scaled):
        value = keep * value + shock
        path[row] = value
    return path


def _settle(commands: Rows) -> Rows:
    """Commands as the plant follows them, with a lag."""
    pull = 1.0 - np.exp(-1.0 / _SETTLING_ROWS)
    path: Rows = np.empty_like(commands)
    value = commands[0]
    for row, target in enumerate(commands):
        value = value + pull * (target - value)
        path[row] = value
    return path

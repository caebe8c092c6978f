"""A fleet of simulated pumps: clean truth, measured signals and labels, chunk by chunk.

Rows are computed in blocks of a fixed length, each with its own random generator and with the
state of the block before it. Chunks are cut from those blocks, so what a row holds depends on the
configuration and the schedule alone, never on the size of the chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.plant.faults import Fault, RandomSchedule, Schedule, distort
from workers.plant.physics import CHANNEL_NAMES, CHANNELS, NOISE, FloatArray
from workers.plant.process import BLOCK_ROWS, Process, Truth

IntArray = npt.NDArray[np.int64]
CodeArray = npt.NDArray[np.int8]

# 2026-01-01T00:00:00Z
DEFAULT_START_NS = 1_767_225_600_000_000_000
_RESOLUTION = 10.0 ** np.array([channel.decimals for channel in CHANNELS])


@dataclass(frozen=True, kw_only=True)
class PlantConfig:
    """The fleet and its clock.

    Raises:
        ValueError: a value out of range.
    """

    machines: int = 20
    seed: int = 0  # of everything that is drawn
    interval_s: float = 1.0  # between readings
    start_ns: int = DEFAULT_START_NS  # event time of row 0 since the epoch, UTC
    noise: float = 1.0  # factor on the sensor noise; 0 leaves the rounding of the instruments

    def __post_init__(self) -> None:
        """Reject what cannot be simulated."""
        limits = {
            "machines": (1, 10_000),
            "seed": (0, 2**63 - 1),
            "interval_s": (0.001, 60.0),
            "start_ns": (0, 2**62),
            "noise": (0.0, 100.0),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be in {low}..{high}, got {getattr(self, name)}")

    @property
    def interval_ns(self) -> int:
        """The sampling interval in whole nanoseconds."""
        return round(self.interval_s * 1e9)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantChunk:
    """Consecutive rows of the whole fleet."""

    first_row: int  # since the plant's start
    ts_ns: IntArray  # event time of each row, [n]
    clean: FloatArray  # the truth without noise and without faults, [n, M, C]
    noisy: FloatArray  # what the sensors say, NaN where a value is lost, [n, M, C]
    label: CodeArray  # code of the fault's kind, 0 for none, [n, M]

    def __len__(self) -> int:
        return len(self.ts_ns)

    def part(self, start_row: int, end_row: int) -> PlantChunk:
        """Rows start_row .. end_row (excluded), as far as they are in the chunk."""
        start = max(start_row - self.first_row, 0)
        rows = slice(start, max(end_row - self.first_row, 0))
        return PlantChunk(
            first_row=self.first_row + start,
            **{name: getattr(self, name)[rows] for name in ("ts_ns", "clean", "noisy", "label")},
        )

    def columns(self, machines: tuple[str, ...]) -> FleetColumns:
        """What the sensors of these machines say, as a table in order of time, then of machine."""
        return FleetColumns(
            sensors=machines,
            sensor_codes=np.tile(np.arange(len(machines), dtype=np.int32), len(self)),
            ts_ns=np.repeat(self.ts_ns, len(machines)),
            values=self.noisy.reshape(-1, self.noisy.shape[-1]),
            labels=self.label.reshape(-1),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetColumns:
    """Rows of a fleet, the shape in which files and topics take them."""

    sensors: tuple[str, ...]
    sensor_codes: npt.NDArray[np.int32]  # machine of each row, [n]
    ts_ns: IntArray  # event time, [n]
    values: FloatArray  # what the sensors say, NaN = missing, [n, C]
    labels: CodeArray  # code of the fault's kind, 0 for none, [n]


class Plant:
    """A fleet of pumps under a schedule of faults.

    Example:
        >>> plant = Plant(PlantConfig(machines=2, seed=1))
        >>> chunk = next(plant.chunks(100))
        >>> chunk.noisy.shape
        (100, 2, 8)
    """

    channels: tuple[str, ...] = CHANNEL_NAMES
    units: tuple[str, ...] = tuple(channel.unit for channel in CHANNELS)

    def __init__(self, config: PlantConfig, schedule: Schedule | None = None) -> None:
        self.config = config
        self.schedule: Schedule = schedule or RandomSchedule(
            machines=config.machines, seed=config.seed, faults_per_epoch=0
        )
        width = max(3, len(str(config.machines)))
        self.machines = tuple(f"pump-{i + 1:0{width}d}" for i in range(config.machines))

    def chunks(self, n_rows: int | None, *, first_row: int = 0) -> Iterator[PlantChunk]:
        """Rows first_row .. first_row + n_rows, a few hundred at a time.

        Every call starts anew; the rows before `first_row` are computed and thrown away.

        Args:
            n_rows: how many rows; None for no end.
            first_row: row to begin with.
        """
        for block in self._blocks():
            next_row = block.first_row + len(block)
            end = next_row if n_rows is None else first_row + n_rows
            if block.first_row >= end:
                return
            part = block.part(first_row, end)
            if len(part):
                yield part

    def _blocks(self) -> Iterator[PlantChunk]:
        config = self.config
        process = Process(machines=config.machines, seed=config.seed, interval_s=config.interval_s)
        last: FloatArray | None = None
        # Last sound values before each fault of a block, [C] each.
        held: dict[Fault, FloatArray] = {}
        for block, truth in enumerate(process.blocks()):
            first_row = block * BLOCK_ROWS
            rng = np.random.default_rng([config.seed, 2, block])
            sound = truth.clean + config.noise * NOISE * rng.standard_normal(truth.clean.shape)
            faults = self.schedule.between(first_row, first_row + BLOCK_ROWS)
            before = np.concatenate([sound[:1] if last is None else last, sound[:-1]])
            held = {
                fault: held[fault]
                if fault in held
                else before[max(fault.start_row - first_row, 0), fault.machine]
                for fault in faults
            }
            noisy, label = self._inject(faults, held, first_row, truth, sound)
            last = sound[-1:]
            yield PlantChunk(
                first_row=first_row,
                ts_ns=config.start_ns
                + np.arange(first_row, first_row + BLOCK_ROWS, dtype=np.int64) * config.interval_ns,
                clean=truth.clean,
                noisy=np.rint(noisy * _RESOLUTION) / _RESOLUTION,
                label=label,
            )

    def _inject(
        self,
        faults: Sequence[Fault],
        held: dict[Fault, FloatArray],
        first_row: int,
        truth: Truth,
        sound: FloatArray,
    ) -> tuple[FloatArray, CodeArray]:
        """Measured values and labels of a block with its faults."""
        noisy, label = sound.copy(), np.zeros(sound.shape[:2], dtype=np.int8)
        for fault in faults:
            rows = np.arange(
                max(fault.start_row, first_row), min(fault.end_row, first_row + BLOCK_ROWS)
            )
            place = (rows[:, None] - first_row, fault.machine, fault.columns)
            noisy[place] = distort(
                fault,
                signal=sound[place],
                clean=truth.clean[place],
                other_load=truth.other_load[place],
                held=held[fault][fault.columns],
                noise=NOISE[fault.columns],
                rng=np.random.default_rng([self.config.seed, 4, first_row, fault.machine]),
                age=rows - fault.start_row,
            )
            label[rows - first_row, fault.machine] = fault.kind.value
        return noisy, label

"""What the demo plays: the plant, its faults, the bad records, and the clock. Pure.

The plant lives at one reading a second; the demo shows it in time lapse, so that an hour and more
of load changes and faults fits into 90 seconds. Event times are those of the show: the reading of
row r is due, and stamped, `start_ns + r * interval_ns`, so that latency is a real one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workers.plant.faults import SLOT_ROWS, Fault, RandomSchedule
from workers.plant.plant import Plant, PlantConfig

PLANT_INTERVAL_S = 1.0
BAD_RECORDS: tuple[bytes, ...] = (
    b"flow=81.2;pressure=4.1",
    b'{"sensor_id": "pump-001", "ts": 1767225600000, "values": {"flow": "eighty"}}',
    b'{"sensor_id": "pump-001", "ts": 1767225600000, "values": {"flow": 81.2}}',
    b'{"sensor_id": "pump-001", "ts": "yesterday", "values": {}}',
    b'{"sensor_id": "pump-001", "ts": 1767225600000, "values": {"flow": NaN}}',
    b'["a", "list"]',
)
"""What a broken gateway sends: no JSON, wrong type, channels missing, no time, NaN, wrong shape."""

# Eight hours of the plant for twenty pumps; a larger plant shares the work. Four hours hold 16
# jumps of a pump's load, and larger ones in the show opened false incidents.
_TRAINING_ROWS, _TRAINING_READINGS = 28_800, 600_000
_FEWEST_TRAINING_ROWS = 1_200
_KEPT_ROWS, _KEPT_READINGS = 10_000, 400_000
_EPOCH_ROWS = 1_200
_FAULTS_PER_EPOCH = 14
# Rows before the first fault: every window is full by then.
_LEAD_ROWS = 64
_BAD_EVERY_ROWS = 150
_REPEAT_EVERY_ROWS = 200
_LATE_BY_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Everything that decides what is sent."""

    machines: int = 20  # pumps, 1..500
    # Of all pumps together, 1..20,000; a pump's interval is rounded to whole milliseconds.
    readings_per_s: float = 1_000.0
    seconds: float | None = 90.0  # of the show; None for no end
    seed: int = 0  # of plant, faults and training

    @property
    def training_rows(self) -> int:
        """Fault-free readings of each pump before the show, to learn from."""
        return max(_FEWEST_TRAINING_ROWS, min(_TRAINING_ROWS, _TRAINING_READINGS // self.machines))

    @property
    def kept_rows(self) -> int:
        """Last rows of which truth and outputs are kept, for the picture and the noise figures."""
        return min(_KEPT_ROWS, _KEPT_READINGS // self.machines)

    @property
    def interval_ns(self) -> int:
        """Between two readings of a pump, in the show; whole milliseconds."""
        return max(1, round(self.machines / self.readings_per_s * 1_000)) * 1_000_000

    @property
    def lapse(self) -> float:
        """How much faster than the plant's own clock the show runs."""
        return PLANT_INTERVAL_S * 1e9 / self.interval_ns

    @property
    def rows(self) -> int | None:
        """Readings of each pump in the show; None for no end."""
        return None if self.seconds is None else math.ceil(self.seconds * 1e9 / self.interval_ns)

    def plant(self) -> Plant:
        """The plant; its first `training_rows` are free of faults."""
        return Plant(
            PlantConfig(machines=self.machines, seed=self.seed, interval_s=PLANT_INTERVAL_S),
            self._schedule(),
        )

    def faults_between(self, start_row: int, end_row: int) -> list[Fault]:
        """Faults that touch some rows of the show; their rows count from its beginning."""
        first = self.training_rows
        return [
            replace(fault, start_row=fault.start_row - first, end_row=fault.end_row - first)
            for fault in self._schedule().between(first + start_row, first + end_row)
        ]

    def bad_record_after(self, row: int) -> bytes | None:
        """The bad record that follows a row, if one does."""
        turn, rest = divmod(row + 1, _BAD_EVERY_ROWS)
        return BAD_RECORDS[(turn - 1) % len(BAD_RECORDS)] if rest == 0 else None

    def repeats_after(self, row: int) -> Sequence[int]:
        """Rows of the first pump that are sent once more after a row: a repeat, or a late one."""
        turn, rest = divmod(row + 1, _REPEAT_EVERY_ROWS)
        if rest:
            return ()
        return (row,) if turn % 2 else (row - _LATE_BY_ROWS,)

    def _schedule(self) -> RandomSchedule:
        rows = _EPOCH_ROWS if self.rows is None else self.rows - _LEAD_ROWS
        epoch_rows = max(SLOT_ROWS, min(_EPOCH_ROWS, rows))
        room = self.machines * (epoch_rows // SLOT_ROWS)
        return RandomSchedule(
            machines=self.machines,
            seed=self.seed,
            epoch_rows=epoch_rows,
            faults_per_epoch=min(_FAULTS_PER_EPOCH, room),
            first_row=self.training_rows + _LEAD_ROWS,
        )

"""Faults by hand, for tests of the simulated plant."""

from __future__ import annotations

from collections.abc import Sequence

from workers.plant.faults import Fault


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

"""What is recorded of each sensor, by the definition: record by record, in plain Python."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from schemas.wire.sensor_state import SensorState


class Fated(NamedTuple):
    """A decoded record, and what became of each of its readings.

    A letter each: "s" scored, "f" scored and flagged, "d" dropped, "w" warming up.
    """

    offset: int
    sensor: str
    fates: str


@dataclass
class Ledger:
    """One sensor's counts."""

    since: int
    last: int
    scored: int = 0
    flagged: int = 0
    dropped: int = 0

    def document(self) -> SensorState:
        return SensorState(
            version=2,
            state_version=0,
            next_offset=self.last + 1,
            since=self.since,
            scored=self.scored,
            flagged=self.flagged,
            dropped=self.dropped,
        )


def recorded_by_definition(
    records: Iterable[Fated], cuts: Collection[int], *, beginning: int = 0
) -> dict[str, SensorState]:
    """The documents behind a whole log.

    Args:
        records: the decoded ones, in order.
        cuts: offsets at which a window of the state's time to live begins; may be of records that
            were not decoded.
        beginning: of the first window.
    """
    ledgers: dict[str, Ledger] = {}
    begun, due = beginning, sorted(cuts)
    ends = [*sorted(records), None]
    for record in ends:
        while due and (record is None or due[0] <= record.offset):
            ledgers = {s: ledger for s, ledger in ledgers.items() if ledger.last >= begun}
            begun = due.pop(0)
        if record is None:
            break
        ledger = ledgers.setdefault(record.sensor, Ledger(record.offset, record.offset))
        ledger.last = record.offset
        ledger.scored += sum(fate in "sf" for fate in record.fates)
        ledger.flagged += record.fates.count("f")
        ledger.dropped += record.fates.count("d")
    return {sensor: ledger.document() for sensor, ledger in ledgers.items()}

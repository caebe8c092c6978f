"""What must become of each reading of a log, told by the slowest and plainest code there is.

One reading after the other, dicts and lists, no batch, no array, no line shared with
`workers.stream`: the policies of its docstrings, written a second time.

* later than the last accepted reading of its sensor: accepted; the same time: duplicate; earlier:
  late. More than `max_gap_ns` later: accepted, and the warm-up begins again.
* the first accepted reading since the warm-up began to be scored is the one whose number is
  `warm_up`, R for most models; its window has the readings since then, at most R.
* the log is cut into stretches; in a stretch a partition knows what reading from the beginning of
  the stretch before it, cold, would have taught it. Here that is done literally.
* a record is poison if no scorer survives one of its readings and that one would be accepted, be
  it only by what the next stretch will know; it is as if its readings had never been, and it is a
  dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

Row = tuple[float, ...]


class Fate(StrEnum):
    """What becomes of a reading."""

    SCORED = "scored"
    WARMING_UP = "warming up"
    LATE = "late"
    DUPLICATE = "duplicate"


class Reading(NamedTuple):
    """One reading of a record."""

    ts_ns: int
    row: Row
    poison: bool = False


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of a partition, decoded.

    Attributes:
        stamp_ms: of the record; below 0 is none.
        stage: why it cannot be read; empty when it can.
        sensor, readings: when it can.
    """

    offset: int
    stamp_ms: int = -1
    stage: str = ""
    sensor: str = ""
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the fate of a reading depends on.

    Attributes:
        receptive_field: R.
        warm_up: readings that a score takes at least; R if it is larger.
        max_gap_ns: a longer silence restarts a warm-up.
        max_records, max_age_ms: two stretches are at most about so long.
    """

    receptive_field: int
    max_gap_ns: int
    warm_up: int = 2**62
    max_records: int = 2**62
    max_age_ms: int = 2**62


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a record.

    Attributes:
        stage: of its dead letter; empty when it has none.
        fates: of its readings; none for a dead letter.
        windows: of its scored readings by their index: R rows or fewer, oldest first.
    """

    stage: str = ""
    fates: tuple[Fate, ...] = ()
    windows: dict[int, list[Row]] = field(default_factory=dict)


POISON = Verdict(stage="scoring")


@dataclass
class _Known:
    """What is known of one sensor: its last accepted time, and the rows since its warm-up began."""

    last_ns: int | None = None
    rows: list[Row] = field(default_factory=list)


def verdicts(records: Sequence[Record], rules: Rules) -> dict[int, Verdict]:
    """What becomes of each record of one partition, by offset.

    Args:
        records: the whole log of the partition, in order.
        rules: see `Rules`.
    """
    found: dict[int, Verdict] = {}
    stretches = cut(records, rules)
    for number, stretch in enumerate(stretches):
        known: dict[str, _Known] = {}
        for record in stretches[number - 1] if number else ():
            if found[record.offset] is not POISON:
                _judge(record, known, rules)
        next_known: dict[str, _Known] = {}
        for record in stretch:
            if _judge(record, dict(next_known), rules) is POISON:
                found[record.offset] = POISON
                continue
            found[record.offset] = _judge(record, known, rules)
            if found[record.offset] is not POISON:
                _judge(record, next_known, rules)
    return found


def cut(records: Sequence[Record], rules: Rules) -> list[list[Record]]:
    """The stretches of a log."""
    stretches: list[list[Record]] = []
    start, since_ms, log_ms = 0, -1, -1
    for record in records:
        log_ms = max(log_ms, record.stamp_ms)
        far = record.offset >= start + rules.max_records // 2
        old = since_ms >= 0 and log_ms >= since_ms + rules.max_age_ms // 2
        if not stretches or far or old:
            stretches.append([])
            start, since_ms = record.offset, log_ms
        elif since_ms < 0:
            since_ms = log_ms
        stretches[-1].append(record)
    return stretches


def _judge(record: Record, known: dict[str, _Known], rules: Rules) -> Verdict:
    if record.stage:
        return Verdict(stage=record.stage)
    before = known.get(record.sensor, _Known())
    after = _Known(before.last_ns, list(before.rows))
    fates: list[Fate] = []
    windows: dict[int, list[Row]] = {}
    for index, reading in enumerate(record.readings):
        fate = _take(reading, after, rules)
        fates.append(fate)
        if reading.poison and fate in (Fate.SCORED, Fate.WARMING_UP):
            return POISON
        if fate is Fate.SCORED:
            windows[index] = list(after.rows)
    known[record.sensor] = after
    return Verdict(fates=tuple(fates), windows=windows)


def _take(reading: Reading, known: _Known, rules: Rules) -> Fate:
    if known.last_ns is not None:
        if reading.ts_ns == known.last_ns:
            return Fate.DUPLICATE
        if reading.ts_ns < known.last_ns:
            return Fate.LATE
        if reading.ts_ns - known.last_ns > rules.max_gap_ns:
            known.rows.clear()
    known.last_ns = reading.ts_ns
    known.rows.append(reading.row)
    del known.rows[: -rules.receptive_field]
    least = min(rules.warm_up, rules.receptive_field)
    return Fate.SCORED if len(known.rows) >= least else Fate.WARMING_UP

"""Logs of readings at their worst, and what has to come out of them: by the definition, slowly.

The state machine computes on columns and batches. This page goes record by record and says the same
in a few lines, so that property tests and simulation have something to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st

from tests.support.partitions import Sample, Window

MAX_GAP = 20
"""A longer silence restarts a warm-up; in whatever unit the samples' times are."""

BYTES_A_RECORD = 4


class Entry(NamedTuple):
    """A record of the log; `kind` is "good", "bad" or "poison"."""

    offset: int
    stamp_ms: int
    kind: str
    frame: tuple[Sample, ...]


@dataclass(frozen=True)
class Rules:
    receptive_field: int
    max_records: int
    max_age_ms: int
    warm_up: int = 99

    @property
    def least_readings(self) -> int:
        """Readings that a score takes at least."""
        return min(self.warm_up, self.receptive_field)


RULES = st.builds(
    Rules,
    receptive_field=st.integers(1, 6),
    max_records=st.integers(2, 40),
    max_age_ms=st.one_of(st.just(10**9), st.integers(2, 60)),
    warm_up=st.integers(1, 6),
)


def noise(most: int) -> st.SearchStrategy[bytes]:
    """What `log_of` makes up to so many records of."""
    return st.integers(0, most).flatmap(
        lambda records: st.binary(
            min_size=records * BYTES_A_RECORD, max_size=records * BYTES_A_RECORD
        )
    )


def log_of(noise: bytes) -> list[Entry]:
    """Holes in the offsets, clocks that stand still or jump, sensors that fall silent, frames.

    One draw for the whole log, four bytes a record: a draw a choice takes ten times as long. Zeros
    are the dullest record, so that failures shrink to what matters.
    """
    entries, offset = [], 0
    for number in range(len(noise) // BYTES_A_RECORD):
        who, when, where, what = noise[number * BYTES_A_RECORD :][:BYTES_A_RECORD]
        names = "aaaabbcd" if number % 40 < 20 else "bbbbbbcd"  # "a" falls silent, and comes back
        base = (2 * number, 2 * number, 2 * number, 30, 2 * number - 15)[when % 5]
        size = 3 if what % 8 == 7 else 1
        times = sorted(base + (when // 5 >> i & 3) for i in range(size))
        entries.append(
            Entry(
                offset=offset,
                stamp_ms=(number, number, number, number - 7, number + 20, -1)[where % 6],
                kind=(["good"] * 8 + ["bad", "poison"])[what // 8 % 10],
                frame=tuple(
                    Sample(names[who % 8], t, number + i / 10) for i, t in enumerate(times)
                ),
            )
        )
        offset += (1, 1, 1, 1, 1, 1, 2, 9)[where // 6 % 8]
    return entries


LOGS = noise(60).map(log_of)


class Cold:
    """Processing from some record on, knowing nothing before."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.last: dict[str, int] = {}
        self.held: dict[str, Window] = {}

    def look(self, sample: Sample) -> Window | None:
        """The readings that this one would end, R at most; None when it would be dropped."""
        before = self.last.get(sample.sensor)
        if before is not None and sample.ts_ns <= before:
            return None
        held = self.held.get(sample.sensor, [])
        if before is not None and sample.ts_ns - before > MAX_GAP:
            held = []
        return [*held, (sample.ts_ns, sample.value)][-self.rules.receptive_field :]

    def take(self, sample: Sample) -> Window | None:
        """Take it in; the window that it is scored by, if it is."""
        window = self.look(sample)
        if window is None:
            return None
        self.last[sample.sensor], self.held[sample.sensor] = sample.ts_ns, window
        return window if len(window) >= self.rules.least_readings else None


def cuts_of(log: Sequence[Entry], rules: Rules) -> list[int]:
    """Offsets at which stretches begin; the first is 0, where the group begins."""
    cuts, since, clock = [0], -1, -1
    for entry in log:
        clock = max(clock, entry.stamp_ms)
        far = entry.offset - cuts[-1] >= rules.max_records // 2
        old = since >= 0 and clock - since >= rules.max_age_ms // 2
        if far or old:
            cuts.append(entry.offset)
            since = clock
        elif since < 0:
            since = clock
    return cuts


class Remembering:
    """In a stretch, what processing from the beginning of the one before gives."""

    def __init__(self, log: Sequence[Entry], rules: Rules) -> None:
        self.cuts = set(cuts_of(log, rules)) - {0}
        self.rules = rules
        self.known, self.shadow = Cold(rules), Cold(rules)

    def reach(self, offset: int) -> None:
        """The next record is the one at this offset."""
        if offset in self.cuts:
            self.known, self.shadow = self.shadow, Cold(self.rules)

    def take(self, sample: Sample) -> Window | None:
        """Take in a reading; the window that it is scored by, if it is."""
        self.shadow.take(sample)
        return self.known.take(sample)


Windows = dict[tuple[int, int], Window]


def definition(log: Sequence[Entry], rules: Rules) -> Windows:
    """The window of each scored reading, by offset and index; what is not good is left out."""
    windows: Windows = {}
    memory = Remembering(log, rules)
    for entry in log:
        memory.reach(entry.offset)
        for index, sample in enumerate(entry.frame if entry.kind == "good" else ()):
            window = memory.take(sample)
            if window is not None:
                windows[entry.offset, index] = window
    return windows

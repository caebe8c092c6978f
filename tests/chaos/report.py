"""What a run did, and what became of the promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.chaos.checkers import Violation
from tests.chaos.schedule import KILLS, FaultBatch, Kind


@dataclass(frozen=True, kw_only=True)
class Struck:
    """One batch that was carried out.

    Attributes:
        missed: faults of it that nobody was there to meet.
        survived: whether every partition went on in time.
        recovery_s: from the end of its last fault until every partition had gone past what lay in
            it then.
        outage_s: the longest time in which a partition of the source gave nothing new, from its
            first fault to the recovery.
    """

    batch: FaultBatch
    missed: tuple[str, ...]
    survived: bool
    recovery_s: float
    outage_s: float

    @property
    def kinds(self) -> list[Kind]:
        """Of the faults that met somebody."""
        missed = {one.partition(":")[0] for one in self.missed}
        return [fault.kind for fault in self.batch.faults if fault.kind.value not in missed]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result.

    Attributes:
        command: reproduces it.
        seconds: that it took.
        struck: the batches.
        violations: of the promises; none is what we want.
        counts: what was in the log, and what was met.
    """

    command: str
    seconds: float
    struck: tuple[Struck, ...]
    violations: tuple[Violation, ...]
    counts: Mapping[str, int]

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    @property
    def faults(self) -> int:
        """How many were carried out."""
        return sum(len(one.kinds) for one in self.struck)

    @property
    def kills(self) -> int:
        """How many of them were kills."""
        return sum(kind in KILLS for one in self.struck for kind in one.kinds)

    def rows(self) -> Iterator[dict[str, Any]]:
        """By kind: how many, survived, outages in seconds."""
        for kind in Kind:
            met = [one for one in self.struck for met in one.kinds if met is kind]
            if met:
                yield {
                    "kind": kind.value,
                    "faults": len(met),
                    "survived": sum(one.survived for one in met),
                    "median_outage_s": round(median(one.outage_s for one in met), 1),
                    "longest_outage_s": round(max(one.outage_s for one in met), 1),
                }

    def lines(self) -> Iterator[str]:
        """For people."""
        head = f"{'fault':28}{'count':>7}{'survived':>10}{'outage, median':>16}{'longest':>10}"
        yield head
        for row in self.rows():
            yield (
                f"{row['kind']:28}{row['faults']:>7}{row['survived']:>10}"
                f"{row['median_outage_s']:>14.1f} s{row['longest_outage_s']:>8.1f} s"
            )
        yield (
            f"{self.faults} faults in {len(self.struck)} batches, {self.kills} of them kills, "
            f"in {self.seconds:.0f} s"
        )
        yield ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        missed = [one for struck in self.struck for one in struck.missed]
        if missed:
            yield f"{len(missed)} faults met nobody, such as {missed[0]}"
        for violation in self.violations:
            yield f"BROKEN: {violation}"
        yield f"{'kept' if self.good else 'BROKEN'}; again with: {self.command}"

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "command": self.command,
            "good": self.good,
            "seconds": round(self.seconds, 1),
            "faults": self.faults,
            "kills": self.kills,
            "by_kind": list(self.rows()),
            "counts": dict(self.counts),
            "violations": [str(violation) for violation in self.violations],
        }

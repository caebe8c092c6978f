"""Does it add up? Every reading sent against everything that came out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from workers.demo.feeder import Sent
from workers.demo.ledger import ALARMED, FLAGGED, SCORED, Ledger
from workers.stream.state.counts import Counts

RESTARTED = (
    "A worker was restarted and counts anew: what the policies dropped is taken from what was sent."
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One equation of the accounts.

    Attributes:
        claim: what should hold, in words.
        expected: one side.
        found: the other.
    """

    claim: str
    expected: int
    found: int

    @property
    def holds(self) -> bool:
        """Whether both sides agree."""
        return self.expected == self.found


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Where every record went, and whether the sides agree.

    Attributes:
        sent: records handed to the broker.
        scored, warming_up, dead_lettered, duplicate, late: where they went; the parts of `sent`.
        anomalies: flagged readings in the topic, each counted once.
        repeats: outputs that came more than once (at-least-once), not counted again.
        checks: the equations.
        note: what the reader should know, empty as a rule.
    """

    sent: int
    scored: int
    warming_up: int
    dead_lettered: int
    duplicate: int
    late: int
    anomalies: int
    repeats: int
    checks: tuple[Check, ...]
    note: str = ""

    @property
    def balanced(self) -> bool:
        """Whether every equation holds."""
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, kw_only=True)
class Broker:
    """What the broker itself says.

    Attributes:
        records: records in the topic of readings, all partitions.
        committed: of them, those below the group's committed offsets.
    """

    records: int
    committed: int


def balance(
    sent: Sent, ledger: Ledger, counts: Counts, broker: Broker, *, receptive_field: int
) -> Accounts:
    """Reconcile what was sent with what the topics hold, what the workers say, and the broker.

    Args:
        sent: by the feeder.
        ledger: all records of the output topics.
        counts: of the workers, over all partitions.
        broker: after the drain.
        receptive_field: R: the first R-1 readings of a pump only fill its window.

    The counts of a worker that died are lost with it. Then those of the policies are taken from
    what was sent, and the equation of all parts still has to hold.
    """
    complete = counts.records == broker.committed
    if not complete:
        counts = replace(counts, records=broker.committed, duplicate=sent.repeated, late=sent.late)
    books = ledger.books(-(-sent.readings // len(ledger.machines)))
    cells = np.arange(books.size).reshape(books.shape)
    was_sent = cells < sent.readings
    scored = (books & SCORED) > 0
    flagged, alarmed = (books & FLAGGED) > 0, (books & ALARMED) > 0
    warm = np.zeros(books.shape, dtype=bool)
    warm[: receptive_field - 1] = True
    n_scored = int(np.count_nonzero(scored))
    warming_up = int(np.count_nonzero(was_sent & warm & ~scored))
    parts: Mapping[str, int] = {
        "scored": n_scored,
        "warming_up": warming_up,
        "dead_lettered": len(ledger.dead_letters),
        "duplicate": counts.duplicate,
        "late": counts.late,
    }
    checks = (
        Check(
            claim="records sent = scored + warming up + dead letters + dropped by policy",
            expected=sent.records,
            found=sum(parts.values()),
        ),
        Check(
            claim="records sent = records in the topic", expected=sent.records, found=broker.records
        ),
        Check(
            claim="records in the topic = records committed by the group",
            expected=broker.records,
            found=broker.committed,
        ),
        Check(
            claim="records committed = records that the workers count",
            expected=broker.committed,
            found=counts.records,
        ),
        Check(
            claim="readings without a score outside of the warm-up: none",
            expected=0,
            found=int(np.count_nonzero(was_sent & ~warm & ~scored)),
        ),
        Check(
            claim="scores of readings that were never sent: none",
            expected=0,
            found=int(np.count_nonzero(scored & ~was_sent)),
        ),
        Check(
            claim="readings with a score of 1 or more = anomalies in the topic",
            expected=int(np.count_nonzero(flagged)),
            found=int(np.count_nonzero(flagged & alarmed)),
        ),
        Check(
            claim="anomalies of readings with a score below 1: none",
            expected=0,
            found=int(np.count_nonzero(alarmed & ~flagged)),
        ),
        Check(
            claim="bad records sent = dead letters in the topic",
            expected=sent.bad,
            found=len(ledger.dead_letters),
        ),
        Check(
            claim="readings sent twice = duplicates dropped",
            expected=sent.repeated,
            found=counts.duplicate,
        ),
        Check(
            claim="readings sent late = late ones dropped", expected=sent.late, found=counts.late
        ),
    )
    return Accounts(
        sent=sent.records,
        anomalies=int(np.count_nonzero(alarmed)),
        repeats=ledger.repeats,
        checks=checks,
        note="" if complete else RESTARTED,
        **parts,
    )

"""Does it add up? Every reading sent against everything that came out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from workers.demo.feeder import Sent
from workers.demo.ledger import ALARMED, FLAGGED, SCORED, Ledger
from workers.stream.state.counts import Counts

RESTARTED = (
    "A worker was restarted and counts anew: what the policies dropped is taken from what was sent."
)


class Check(NamedTuple):
    """One equation of the accounts: what should hold, in words, and its two sides."""

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
    def together(self) -> int:
        """Everything that is known to have gone somewhere."""
        return self.scored + self.warming_up + self.dead_lettered + self.duplicate + self.late

    @property
    def balanced(self) -> bool:
        """Whether every equation holds."""
        return all(check.holds for check in self.checks)


class Broker(NamedTuple):
    """What the broker says: records in the topic of readings, and how many are committed."""

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

    def count(cells: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
        return int(np.count_nonzero(cells))

    accounts = Accounts(
        sent=sent.records,
        scored=count(scored),
        warming_up=count(was_sent & warm & ~scored),
        dead_lettered=len(ledger.dead_letters),
        duplicate=counts.duplicate,
        late=counts.late,
        anomalies=count(alarmed),
        repeats=ledger.repeats,
        checks=(),
        note="" if complete else RESTARTED,
    )
    checks = (
        Check(
            "records sent = scored + warming up + dead letters + dropped by policy",
            sent.records,
            accounts.together,
        ),
        Check("records sent = records in the topic", sent.records, broker.records),
        Check(
            "records in the topic = records committed by the group",
            broker.records,
            broker.committed,
        ),
        Check(
            "records committed = records that the workers count", broker.committed, counts.records
        ),
        Check(
            "readings without a score outside of the warm-up: none",
            0,
            count(was_sent & ~warm & ~scored),
        ),
        Check("scores of readings that were never sent: none", 0, count(scored & ~was_sent)),
        Check(
            "readings with a score of 1 or more = anomalies in the topic",
            count(flagged),
            count(flagged & alarmed),
        ),
        Check("anomalies of readings with a score below 1: none", 0, count(alarmed & ~flagged)),
        Check("bad records sent = dead letters in the topic", sent.bad, accounts.dead_lettered),
        Check("readings sent twice = duplicates dropped", sent.repeated, counts.duplicate),
        Check("readings sent late = late ones dropped", sent.late, counts.late),
    )
    return replace(accounts, checks=checks)

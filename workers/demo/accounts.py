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

    def as_dict(self) -> dict[str, Any]:
        """For scripts."""
        return self._asdict() | {"holds": self.holds}


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Where every record went, and whether the sides agree."""

    sent: int  # records handed to the broker; the next five are its parts
    scored: int
    warming_up: int
    dead_lettered: int
    duplicate: int
    late: int
    anomalies: int  # flagged readings in the topic, each counted once
    incidents: int  # of all kinds, in the topic
    repeats: int  # outputs that came more than once (at-least-once), not counted again
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
    sent: Sent, ledger: Ledger, counts: Counts, broker: Broker, *, warm_up: int
) -> Accounts:
    """Reconcile what was sent with what the topics hold, what the workers say, and the broker.

    Reading number `warm_up` of a pump is the first that is scored. The counts of a worker that died
    are lost with it. Then those of the policies are taken from what was sent, and the equation of
    all parts still has to hold.
    """
    complete = counts.records == broker.committed
    if not complete:
        counts = replace(
            counts,
            records=broker.committed,
            duplicate=sent.repeated,
            late=sent.late,
            incidents_opened=len(ledger.incidents),
        )
    books = ledger.books(-(-sent.readings // len(ledger.machines)))
    scored, flagged, alarmed = ((books & bit) > 0 for bit in (SCORED, FLAGGED, ALARMED))
    was_sent = np.arange(books.size).reshape(books.shape) < sent.readings
    warm = np.arange(len(books))[:, None] < warm_up - 1
    accounts = Accounts(
        sent=sent.records,
        scored=int(scored.sum()),
        warming_up=int((was_sent & warm & ~scored).sum()),
        dead_lettered=len(ledger.dead_letters),
        duplicate=counts.duplicate,
        late=counts.late,
        anomalies=int(alarmed.sum()),
        incidents=len(ledger.incidents),
        repeats=ledger.repeats,
        checks=(),
        note="" if complete else RESTARTED,
    )
    over = [event for event in ledger.incidents.values() if event.data.end_ns is not None]
    unscored, unsent = was_sent & ~warm & ~scored, scored & ~was_sent
    equations = {
        "records sent = scored + warming up + dead letters + dropped by policy": (
            sent.records,
            accounts.together,
        ),
        "records sent = records in the topic": (sent.records, broker.records),
        "records in the topic = records committed by the group": (
            broker.records,
            broker.committed,
        ),
        "records committed = records that the workers count": (broker.committed, counts.records),
        "readings without a score outside of the warm-up: none": (0, int(unscored.sum())),
        "scores of readings that were never sent: none": (0, int(unsent.sum())),
        "readings with a score of 1 or more = anomalies in the topic": (
            int(flagged.sum()),
            int((flagged & alarmed).sum()),
        ),
        "anomalies of readings with a score below 1: none": (0, int((alarmed & ~flagged).sum())),
        "incidents that the workers opened = incidents in the topic": (
            counts.incidents_opened,
            accounts.incidents,
        ),
        "events of the incidents, by their numbers = events in the topic": (
            sum(int(event.sequence) for event in ledger.incidents.values()),
            len(ledger.incident_events),
        ),
        "flagged readings of ended incidents = anomalies that carry their ids": (
            sum(event.data.flagged for event in over),
            sum(ledger.anomalies_of[event.data.id] for event in over),
        ),
        "bad records sent = dead letters in the topic": (sent.bad, accounts.dead_lettered),
        "readings sent twice = duplicates dropped": (sent.repeated, counts.duplicate),
        "readings sent late = late ones dropped": (sent.late, counts.late),
    }
    checks = tuple(Check(claim, *sides) for claim, sides in equations.items())
    return replace(accounts, checks=checks)

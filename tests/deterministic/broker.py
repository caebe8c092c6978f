"""Kafka as far as the promises hang on it: a partitioned log, one group, transactions.

Nothing here runs by itself: each call changes the state at once, and what the network can do to a
call happens in `tests.deterministic.clients`. Faithful where it matters:

* **Group.** A rebalance collects all members, then raises the generation; a commit under an older
  one is refused. Until it is complete, the old one counts. A partition goes to its new owner only
  after the old one has given it up (cooperative). The broker does *not* look whether the committer
  of an offset owns the partition. Members are static: a restart under the same name changes
  nothing but who is fenced.
* **Late requests.** A transactional request that was repeated comes a second time, later. It is
  judged by its epoch alone, as in Kafka for a client that does not speak KIP-890.
* **Transactions.** Outputs are in the log as soon as they are sent, and seen when their transaction
  is committed. Offsets of an open transaction make the committed offset unstable: nobody can ask
  for it. A new producer of the same id, or the time, ends an open transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from workers.errors import (
    BrokerUnavailableError,
    FencedError,
    StaleGenerationError,
    TransactionAbortedError,
)
from workers.kafka.client import CommittedOffset, Record


@dataclass
class Log:
    """A partition; `visible` of its records are written so far."""

    records: list[Record]
    visible: int = 0
    beginning: int = 0

    @property
    def end(self) -> int:
        return self.records[self.visible - 1].offset + 1 if self.visible else 0

    def read(self, offset: int, count: int) -> list[Record]:
        first = max(offset, self.beginning)
        return [r for r in self.records[: self.visible] if r.offset >= first][:count]


class Fate(Enum):
    """What became of a transaction."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass
class Transaction:
    fate: Fate = Fate.OPEN
    offsets: dict[int, CommittedOffset] = field(default_factory=dict)


class Sent(NamedTuple):
    """An output as it lies in the log; outside of transactions it is committed at once."""

    transaction: Transaction
    topic: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    key: bytes | None = None
    partition: int | None = None


class Step(NamedTuple):
    """A commit of a partition's offset."""

    partition: int
    before: int | None
    after: int
    transaction: Transaction | None


class Token(NamedTuple):
    """Who commits, under which generation."""

    name: str
    incarnation: int
    generation: int


class Group:
    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.generation = 0
        self.members: dict[str, int] = {}
        self.assignment: dict[str, frozenset[int]] = {}
        # During a rebalance, who has come to it, and what they hold.
        self.joined: dict[str, frozenset[int]] | None = None

    def register(self, name: str, incarnation: int) -> None:
        if name not in self.members:
            self.rebalance()
        elif self.joined is not None:
            self.joined.pop(name, None)
        elif len(frozenset().union(*self.assignment.values())) < self.partitions:
            # It came back while something was on its way from it to somebody else.
            self.rebalance()
        self.members[name] = incarnation

    def expel(self, name: str) -> None:
        if self.members.pop(name, None) is not None:
            self.assignment.pop(name, None)
            self.rebalance()

    def rebalance(self) -> None:
        self.joined = {}

    def join(self, name: str, held: frozenset[int]) -> None:
        assert self.joined is not None
        self.joined[name] = held
        self._complete()

    def lose_patience(self) -> None:
        """A rebalance does not wait for ever: who has not come is no member any more."""
        if self.joined:
            for name in self.members.keys() - self.joined.keys():
                del self.members[name]
                self.assignment.pop(name, None)
            self._complete()

    def _complete(self) -> None:
        assert self.joined is not None
        if self.joined.keys() == self.members.keys():
            self.generation += 1
            self.assignment = shared_out(self.joined, self.partitions)
            self.joined = None

    def check(self, token: Token) -> None:
        if token.name not in self.members:
            raise StaleGenerationError("unknown member")
        if self.members[token.name] != token.incarnation:
            raise FencedError("another member runs under this name")
        if token.generation != self.generation:
            raise StaleGenerationError("illegal generation")


def shared_out(held: Mapping[str, frozenset[int]], partitions: int) -> dict[str, frozenset[int]]:
    """Balanced, sticky, and nothing goes to its new owner before the old one gave it up."""
    names = sorted(held, key=lambda name: (-len(held[name]), name))
    least, more = divmod(partitions, len(names))
    free = sorted(set(range(partitions)).difference(*held.values()))
    assignment = {}
    for rank, name in enumerate(names):
        quota = least + (rank < more)
        kept = sorted(held[name])[:quota]
        missing = quota - len(kept)
        assignment[name] = frozenset((*kept, *free[:missing]))
        free = free[missing:]
    return assignment


class Broker:
    def __init__(self, logs: Mapping[int, Log]) -> None:
        self.logs = logs
        self.group = Group(len(logs))
        self.committed: dict[int, CommittedOffset] = {}
        self.steps: list[Step] = []
        self.sent: list[Sent] = []
        self.aborted = 0
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}
        self._late: list[tuple[int, Callable[[], None]]] = []
        self._calls = 0
        self.came_late = 0

    # -- late requests ---------------------------------------------------------------------------

    def deliver_later(self, request: Callable[[], None], *, after: int) -> None:
        """Have a request come again when there were so many more calls of whatever process."""
        self._late.append((self._calls + after, request))

    def tick(self) -> None:
        """Count a call, and do what is late now; nobody hears the answers."""
        self._calls += 1
        due = [request for at, request in self._late if at <= self._calls]
        self._late = [one for one in self._late if one[0] > self._calls]
        self.came_late += len(due)
        for request in due:
            with suppress(TransactionAbortedError, StaleGenerationError, FencedError):
                request()

    # -- offsets ---------------------------------------------------------------------------------

    def position(self, partition: int) -> CommittedOffset | None:
        if any(partition in transaction.offsets for transaction in self._open.values()):
            raise BrokerUnavailableError("the committed offset is unstable")
        return self.committed.get(partition)

    def commit(self, offsets: Mapping[int, CommittedOffset], token: Token) -> None:
        self.group.check(token)
        self._apply(offsets, None)

    def _apply(
        self, offsets: Mapping[int, CommittedOffset], transaction: Transaction | None
    ) -> None:
        for partition, committed in offsets.items():
            before = self.committed.get(partition)
            self.steps.append(
                Step(
                    partition,
                    None if before is None else before.next_offset,
                    committed.next_offset,
                    transaction,
                )
            )
            self.committed[partition] = committed

    def latest(self, topic: str, partition: int) -> dict[bytes, bytes]:
        """The last committed value of each key, once nobody writes there."""
        found: dict[bytes, bytes] = {}
        for sent in self.sent:
            if (sent.topic, sent.partition) != (topic, partition):
                continue
            if sent.transaction.fate is Fate.OPEN:
                raise BrokerUnavailableError("a transaction is open there")
            if sent.transaction.fate is Fate.COMMITTED and sent.key is not None:
                found.pop(sent.key, None)
                if sent.value is not None:
                    found[sent.key] = sent.value
        return found

    # -- transactions ----------------------------------------------------------------------------

    def init_producer(self, name: str) -> int:
        """End what is open under this id; the epoch of its new owner."""
        self._end(name, Fate.ABORTED)
        self._epochs[name] = self._epochs.get(name, 0) + 1
        return self._epochs[name]

    def time_out(self, name: str) -> None:
        """A transaction was open for too long: its producer is fenced as by a rival."""
        if name in self._open:
            self.init_producer(name)

    def send(self, name: str, epoch: int, sent: Sent) -> None:
        self.sent.append(sent._replace(transaction=self._transaction(name, epoch)))

    def add_offsets(
        self, name: str, epoch: int, offsets: Mapping[int, CommittedOffset], token: Token
    ) -> None:
        transaction = self._transaction(name, epoch)
        self.group.check(token)
        transaction.offsets |= offsets

    def end(self, name: str, epoch: int, fate: Fate) -> None:
        self._transaction(name, epoch)
        self._end(name, fate)

    def add_partition(self, name: str, epoch: int) -> None:
        """Begin a transaction if there is none; what is sent is not sent again."""
        self._transaction(name, epoch)

    def commit_offsets(
        self, name: str, epoch: int, offsets: Mapping[int, CommittedOffset], token: Token
    ) -> None:
        """Put offsets into a transaction that has some; refused where there is none (KIP-890)."""
        self._check_epoch(name, epoch)
        self.group.check(token)
        transaction = self._open.get(name)
        if transaction is not None and transaction.offsets:
            transaction.offsets |= offsets

    def end_again(self, name: str, epoch: int, fate: Fate) -> None:
        """End what is open; nothing to end is a success."""
        self._check_epoch(name, epoch)
        self._end(name, fate)

    def _check_epoch(self, name: str, epoch: int) -> None:
        if self._epochs[name] != epoch:
            raise TransactionAbortedError("fenced: a newer producer has this id")

    def _transaction(self, name: str, epoch: int) -> Transaction:
        self._check_epoch(name, epoch)
        return self._open.setdefault(name, Transaction())

    def _end(self, name: str, fate: Fate) -> None:
        transaction = self._open.pop(name, None)
        if transaction is None:
            return
        transaction.fate = fate
        self.aborted += fate is Fate.ABORTED
        if fate is Fate.COMMITTED:
            self._apply(transaction.offsets, transaction)

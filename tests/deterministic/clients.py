"""A process's source and sinks: the contract of `workers.kafka.client`, and all that goes wrong.

Each call to the broker is a place where the process can be killed (before or after the broker did
what it was asked), frozen while the rest of the world goes on, or left without an answer. A
transactional request can be repeated by the client, and come to the broker a second time, late.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Any

from tests.deterministic.broker import Broker, Fate, Sent, Token, Transaction
from workers.errors import (
    BrokerUnavailableError,
    FencedError,
    OutputsLostError,
    StaleGenerationError,
    TransactionAbortedError,
)
from workers.kafka.client import CommittedOffset, Generation, PollResult, Record
from workers.kafka.deadline import Deadline


class Crashed(BaseException):
    """The process is no more."""


class Fault(Enum):
    """What can happen to a call."""

    CRASH_BEFORE = auto()
    """The process dies; the broker never heard of the call."""
    CRASH_AFTER = auto()
    """The process dies; the broker did what it was asked."""
    FREEZE = auto()
    """The process is stopped, the world goes on, then the process does too."""
    REFUSED = auto()
    """The broker does not do it, and the process learns so."""
    NO_ANSWER = auto()
    """The broker does it, and the process never learns so."""


class Line:
    """The line between one process and the broker."""

    def __init__(self, broker: Broker, name: str, incarnation: int, freeze: Any) -> None:
        self.broker, self.name, self.incarnation = broker, name, incarnation
        self._freeze = freeze
        self._armed: list[tuple[int, Fault]] = []
        self._armed_late: list[tuple[int, int]] = []
        self.repeated = 0
        """Requests that were repeated: the client knows that, and nothing of their first copies."""
        self.calls = 0
        self.killed = False

    def arm(self, after: int, fault: Fault) -> None:
        self._armed.append((self.calls + after, fault))

    def arm_late(self, after: int, by: int) -> None:
        """Repeat the next transactional request then; it comes again so many calls later."""
        self._armed_late.append((self.calls + after, by))

    def disarm(self) -> None:
        self._armed.clear()
        self._armed_late.clear()

    @contextmanager
    def request(self, failing: type[Exception] | None, again: Callable[[], None]) -> Iterator[None]:
        """A call that is a transactional request; `again` is what it does if it comes late."""
        due = next((armed for armed in self._armed_late if armed[0] <= self.calls), None)
        if due is not None:
            self._armed_late.remove(due)
            self.repeated += 1
            self.broker.deliver_later(again, after=due[1])
        with self.call(failing):
            yield

    @contextmanager
    def call(self, failing: type[Exception] | None = None) -> Iterator[None]:
        """A call; `failing` is what it raises when it is refused or gets no answer."""
        self.calls += 1
        self.broker.tick()
        fault = self._due(failing)
        if fault is Fault.CRASH_BEFORE:
            raise Crashed
        if fault is Fault.FREEZE:
            self._freeze()
            if self.killed:
                raise Crashed
        if fault is Fault.REFUSED:
            assert failing is not None
            raise failing("refused")
        yield
        if fault is Fault.CRASH_AFTER:
            raise Crashed
        if fault is Fault.NO_ANSWER:
            assert failing is not None
            raise failing("no answer")

    def _due(self, failing: type[Exception] | None) -> Fault | None:
        for armed in self._armed:
            after, fault = armed
            is_fit = failing is not None or fault not in {Fault.REFUSED, Fault.NO_ANSWER}
            if after <= self.calls and is_fit:
                self._armed.remove(armed)
                return fault
        return None


class SimSource:
    def __init__(self, line: Line) -> None:
        self._line, self._broker = line, line.broker
        self._group = line.broker.group
        self.held: frozenset[int] = frozenset()
        self._epochs: dict[int, int] = {}
        self._generation = -1
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._assigned: set[int] = set()
        self._revoked: set[int] = set()
        self._has_joined = False

    @property
    def topic(self) -> str:
        return "r"

    def topic_id(self) -> str:
        return "id-of-r"

    def poll(self, *, timeout_s: float, max_records: int) -> PollResult:
        with self._line.call():
            self._meet_the_group()
        assigned, revoked = frozenset(self._assigned), frozenset(self._revoked)
        self._assigned.clear()
        self._revoked.clear()
        records: dict[int, Sequence[Record]] = {}
        for partition in sorted(self._positions.keys() - self._paused):
            log = self._broker.logs[partition]
            found = log.read(self._positions[partition], max_records)
            if found:
                self._positions[partition] = found[-1].offset + 1
                records[partition] = found
                max_records -= len(found)
            if max_records < 1:
                break
        token = Token(self._line.name, self._line.incarnation, self._generation)
        return PollResult(
            records=records,
            generation=Generation(token=token, epochs={p: self._epochs[p] for p in self.held}),
            assigned=assigned,
            revoked=revoked,
        )

    def _meet_the_group(self) -> None:
        group, name, me = self._group, self._line.name, self._line.incarnation
        if self._has_joined and group.members.get(name, me) != me:
            raise FencedError("another member runs under this name")
        if group.members.get(name) != me:  # the first time, or expelled
            self._take(frozenset())
            self._generation = -1
            self._has_joined = True
            group.register(name, me)
        if group.joined is not None and name not in group.joined:
            group.join(name, self.held)
        if group.joined is None and self._generation != group.generation:
            before = self.held
            self._take(group.assignment[name])
            self._generation = group.generation
            if before - self.held:
                group.rebalance()
                group.join(name, self.held)

    def _take(self, partitions: frozenset[int]) -> None:
        for partition in self.held - partitions:
            self._revoked.add(partition)
            self._assigned.discard(partition)
            self._positions.pop(partition, None)
        for partition in partitions - self.held:
            self._assigned.add(partition)
            self._epochs[partition] = self._epochs.get(partition, 0) + 1
        self.held = partitions

    def committed(self, partition: int) -> CommittedOffset | None:
        with self._line.call(BrokerUnavailableError):
            return self._broker.position(partition)

    def start(self, partition: int, offset: int) -> None:
        if partition in self.held:
            self._positions[partition] = offset
            self._paused.discard(partition)

    def pause(self, partitions: Iterable[int]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Iterable[int]) -> None:
        self._paused -= set(partitions)

    def bounds(self, partition: int) -> tuple[int, int]:
        with self._line.call(BrokerUnavailableError):
            log = self._broker.logs[partition]
            return log.beginning, log.end

    def at_end(self, partitions: Collection[int]) -> Collection[int]:
        with self._line.call(BrokerUnavailableError):
            logs = self._broker.logs
            return {p for p in partitions if self._positions.get(p, -1) >= logs[p].end}

    def lag(self) -> Mapping[int, int]:
        return {p: self._broker.logs[p].end - at for p, at in self._positions.items()}

    def check_held(self, offsets: Iterable[int], generation: Generation) -> None:
        for partition in offsets:
            if self._epochs.get(partition) != generation.epochs.get(partition):
                raise StaleGenerationError(f"partition {partition} was taken away")
            if partition not in self.held:
                raise StaleGenerationError(f"partition {partition} was taken away")

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        self.check_held(offsets, generation)
        with self._line.call(TransactionAbortedError):
            assert isinstance(generation.token, Token)
            self._broker.commit(offsets, generation.token)


class SimTable:
    """What is recorded of sensors."""

    def __init__(self, line: Line, topic: str) -> None:
        self._line, self._topic = line, topic

    def latest(self, partition: int) -> Mapping[bytes, bytes]:
        with self._line.call(BrokerUnavailableError):
            return self._line.broker.latest(self._topic, partition)


class _SimSink:
    """What both sinks have in common."""

    def __init__(self, line: Line, source: SimSource) -> None:
        self._line, self._broker, self._source = line, line.broker, source

    def room(self, *, key: bytes | None, headers: Sequence[tuple[str, Any]] = ()) -> int:
        return 10**9

    def settle(self, deadline: Deadline) -> None:
        """What was sent is there, or has raised."""


class TransactionalSimSink(_SimSink):
    """Thrown away and made anew after any failure, as the real one."""

    def __init__(self, line: Line, source: SimSource) -> None:
        super().__init__(line, source)
        self._epoch: int | None = None
        self._is_open = False
        self._repeated = 0  # when the transaction began

    def _is_settled(self) -> bool:
        """Whether no copy of a request of this transaction can still be on its way."""
        return self._line.repeated == self._repeated

    def _succeed(self) -> None:
        """A producer that must not go on is replaced, if the broker answers; else `begin` will."""
        if self._epoch is None:
            with suppress(BrokerUnavailableError), self._line.call(BrokerUnavailableError):
                self._epoch = self._broker.init_producer(self._line.name)

    def begin(self) -> None:
        if self._is_open:
            self.abort()
        if self._epoch is None:
            with self._line.call(BrokerUnavailableError):
                self._epoch = self._broker.init_producer(self._line.name)
        self._is_open = True
        self._repeated = self._line.repeated

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, Any]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        assert self._is_open
        if self._epoch is None:
            return  # failed before; the commit will say so
        name, epoch = self._line.name, self._epoch
        try:
            with self._line.request(
                OutputsLostError, again=lambda: self._broker.add_partition(name, epoch)
            ):
                sent = Sent(Transaction(), topic, value, headers, key, partition)
                self._broker.send(name, epoch, sent)
        except TransactionAbortedError:
            # A real client learns of it at the flush.
            self._epoch = None

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        assert self._is_open
        epoch, self._epoch, self._is_open = self._epoch, None, False
        if epoch is None:
            raise OutputsLostError("an output is not with the broker")
        self._source.check_held(offsets, generation)
        assert isinstance(generation.token, Token)
        name, token = self._line.name, generation.token
        with self._line.request(
            TransactionAbortedError,
            again=lambda: self._broker.commit_offsets(name, epoch, offsets, token),
        ):
            self._broker.add_offsets(name, epoch, offsets, token)
        self._end(epoch, Fate.COMMITTED)
        if self._is_settled():
            self._epoch = epoch
        else:
            self._succeed()

    def _end(self, epoch: int, fate: Fate) -> None:
        name = self._line.name
        with self._line.request(
            TransactionAbortedError, again=lambda: self._broker.end_again(name, epoch, fate)
        ):
            self._broker.end(name, epoch, fate)

    def abort(self) -> None:
        self._is_open = False
        with suppress(TransactionAbortedError):
            epoch, self._epoch = self._epoch, None
            if epoch is not None:
                self._end(epoch, Fate.ABORTED)
                if self._is_settled():
                    self._epoch = epoch
        self._succeed()


class PlainSimSink(_SimSink):
    """At least once: what is sent is seen once the client is made to wait for it.

    Until then it is under way, topic by topic: what has a partition of its own gets there first.
    """

    def __init__(self, line: Line, source: SimSource) -> None:
        super().__init__(line, source)
        self._under_way: list[Sent] = []

    def begin(self) -> None:
        with self._line.call(BrokerUnavailableError):
            pass

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, Any]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        with self._line.call(OutputsLostError):
            done = Transaction(fate=Fate.COMMITTED)
            self._under_way.append(Sent(done, topic, value, headers, key, partition))

    def settle(self, deadline: Deadline) -> None:
        under_way, self._under_way = self._under_way, []
        self._broker.sent += [sent for sent in under_way if sent.partition is not None]
        with self._line.call(OutputsLostError):
            self._broker.sent += [sent for sent in under_way if sent.partition is None]

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        self.settle(deadline)
        self._source.commit(offsets, generation, deadline=deadline)

    def abort(self) -> None:
        self._under_way.clear()

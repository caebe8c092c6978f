"""The seam: what the stream asks of a Kafka client, and nothing more.

Beside it stand `workers.kafka.admin` (topics, groups, is a broker there) and what commands need:
`publisher`, `partition_producer`. `workers.kafka.factory` chooses the implementation.

Contract of every implementation (``tests/contract`` holds it):

* **Threads.** A source, its sink and their callers live on one thread. A client may keep threads of
  its own; nothing of the caller's runs on them.
* **Birth and death.** Configurations are frozen, picklable and do nothing; ``open`` is a context
  manager that makes the client in the process that uses it, waits for an absent broker, and closes.
* **Partitions** are numbers of the one topic of the source. A newly assigned one is paused and
  reported in `PollResult.assigned`; it gives no record before `Source.start`. One that was revoked
  or lost is reported in `PollResult.revoked`; one may be in both: handle `revoked` first.
* **Order.** Records of a partition come in offset order, each once from `start` on, without gaps
  but for what the log itself left out (compaction, retention, transaction markers).
* **Outputs** with one key go to one partition of their topic, in the order of `Sink.send`: the
  partition is Kafka's default (murmur2 of the key), so other producers agree on it. Who names a
  partition keeps that order for it.
* **Errors** are those of `workers.errors`; no exception of the client crosses.
  `TransactionAbortedError` and its kinds mean: the unit is over, go back to the committed offsets.
  `BrokerUnavailableError` means: ask again later.
* **Guarantees.** There are two sinks. *At least once*: outputs can be seen before their offsets are
  committed, and are repeated after a crash, with the same ids. *Exactly once*: to a reader of
  committed records, outputs and offsets appear together or never (in each partition by itself, a
  moment after `Sink.commit` has returned). When its `Sink.commit` fails, whether it happened may be
  unknown. `Sink.abort` settles that if the broker answers, else the next `Sink.begin` does, and
  `Source.committed` tells: it never shows an offset that is in doubt, but waits, at most until the
  transaction times out.

Left out on purpose: subscriptions to several topics, asynchronous commits, serialisers (bytes in,
bytes out), retries of a unit of work (the caller rewinds), units that span several sinks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from workers.errors import SettingsError
from workers.kafka.deadline import Deadline

LARGEST_OUTPUT_BYTES: Final = 8 * 2**20
"""What a sink sends and the topic of the dead letters takes, unless the user says otherwise."""

ShouldStop = Callable[[], bool]
"""Asked while something waits; True ends the wait with `StoppedError`."""


def never() -> bool:
    """The `ShouldStop` of those who never stop."""
    return False


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the broker is and how to talk to it. Picklable; prints no option's value.

    Attributes:
        bootstrap: ``host:port``, several with commas.
        options: for the client, in its own names; what they may be is checked before it is made.
        wait_timeout_s: how long to wait for an absent broker when opening; None is for ever.
        call_timeout_s: how long one question to the broker may take.
    """

    bootstrap: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    wait_timeout_s: float | None = None
    call_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        """Reject an address with credentials, which would be shown; the error shows none."""
        if "@" in self.bootstrap:
            raise SettingsError(
                "kafka.bootstrap holds host:port only; user and password go to kafka.client."
            )


class Record(NamedTuple):
    """One record as it lies in the log; values may be shared, never copied.

    Attributes:
        timestamp: epoch milliseconds, set by the producer or the broker; -1 when there is none.
        value: the payload; None is a tombstone.
        headers: names and values; None is a value that Kafka has and no producer wrote.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """The membership of the group as it was when a batch was polled.

    Carried with the batch to its commit, so that a rebalance in between fences the commit.

    Attributes:
        token: the client's own group metadata; opaque.
        epochs: for each partition held, how often it had been assigned to this source.
    """

    token: object = field(repr=False)
    epochs: Mapping[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommittedOffset:
    """A committed position of the group in one partition.

    Attributes:
        next_offset: the first offset not yet done, >= 0.
        metadata: a short text of the caller's (the restore point), at most 4,096 bytes in UTF-8.
    """

    next_offset: int
    metadata: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PollResult:
    """What one poll brought.

    Attributes:
        records: per started partition, in offset order; partitions without records are absent.
        generation: to be carried with these records to their commit.
        assigned: newly assigned since the last poll: paused until `Source.start`.
        revoked: taken away (or lost) since the last poll; may be assigned anew in the same poll.
        lost: how many offsets of a started partition retention deleted before they were given,
            since the last poll; partitions without a loss are absent. It is known when the first
            record behind the hole comes. What compaction removed and what was never a record
            (transaction markers) is no loss, unless it was in the deleted part.
    """

    records: Mapping[int, Sequence[Record]]
    generation: Generation
    assigned: frozenset[int] = frozenset()
    revoked: frozenset[int] = frozenset()
    lost: Mapping[int, int] = field(default_factory=dict)


class Source(Protocol):
    """One topic, read as one member of a group."""

    @property
    def topic(self) -> str:
        """Its name."""

    def topic_id(self) -> str:
        """Ask what tells this topic from another of its name, made anew; "" if that is unknown.

        Raises:
            BrokerUnavailableError: no answer in time.
        """

    def poll(self, *, timeout_s: float, max_records: int) -> PollResult:
        """Return what has come, waiting up to ``timeout_s`` for something.

        Must be called at least every 5 minutes (``max_poll_interval_ms``), or the group takes the
        partitions away.

        Raises:
            SettingsError: the broker rejects us for good (authorisation, unknown topic).
            FencedError: another member runs under our identity.
            CorruptLogError: a partition cannot be read on; names the offset and what to do.
            MissingCodecError: a partition is compressed in a way that cannot be read here.
        """

    def committed(self, partition: int) -> CommittedOffset | None:
        """Return the group's committed position, None if there is none. Asks the broker.

        Waits for a transaction that is about to commit one.

        Raises:
            BrokerUnavailableError: no answer in time.
        """

    def start(self, partition: int, offset: int) -> None:
        """Let ``partition`` give records from ``offset`` on; also the way to rewind.

        An offset outside the log goes to its beginning. A partition that is not held (any more) is
        ignored: the next poll reports it as revoked.
        """

    def pause(self, partitions: Iterable[int]) -> None:
        """Give no records of these until `resume`; their position stays. Not held: ignored."""

    def resume(self, partitions: Iterable[int]) -> None:
        """Undo `pause`. Partitions not yet started stay silent. Not held: ignored."""

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the beginning and the end offset of the log of ``partition``. Asks the broker.

        Raises:
            BrokerUnavailableError: no answer in time.
        """

    def at_end(self, partitions: Collection[int]) -> Collection[int]:
        """The started ones of which all that was committed by now was given. Asks the broker, once.

        Raises:
            BrokerUnavailableError: no answer in time.
        """

    def lag(self) -> Mapping[int, int]:
        """Return end offset - position of the started partitions, as of the last fetch. Cheap."""


class OffsetCommitter(Protocol):
    """Commits the positions of a group in one topic, as the member that polled the records."""

    @property
    def topic(self) -> str:
        """Its name."""

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        """Commit the positions of the group, and wait for it.

        Refused when a partition was revoked since ``generation``, even if it is held again. The
        check is ours and the commit the broker's, so a rebalance between the two can let a commit
        through: then it covers outputs that are out, and costs duplicates at most.

        Raises:
            StaleGenerationError: not committed; the group has moved on.
            TransactionAbortedError: not committed, as far as we know: rewind.
        """

    def check_held(self, offsets: Iterable[int], generation: Generation) -> None:
        """Pass if none of these partitions was taken away since ``generation``. Cheap, local.

        Raises:
            StaleGenerationError: names one that was, even if it is held again.
        """


class GroupMember(Source, OffsetCommitter, Protocol):
    """What reads as a member of a group also commits as that member."""


class Sink(Protocol):
    """One unit of work after another: ``begin``, ``send``..., then ``commit`` or ``abort``."""

    def begin(self) -> None:
        """Begin a unit of work; one that is still open is aborted.

        Exactly once: when this returns, the broker has ended whatever an earlier unit of this
        identity, of this process or of one before it, left open.

        Raises:
            BrokerUnavailableError: the client could not be made anew after an abort.
        """

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Add one output. Returns at once unless the limit of unacknowledged outputs is reached.

        A value of None is a tombstone: a compacted topic forgets the key. A header without a value
        (None) is sent with an empty one. A `partition` is taken as it is; None lets the key choose.
        A `timestamp_ms` of None is the time of sending.

        Raises:
            OutputsLostError: an earlier output of this unit failed, or the limit was reached and
                the broker did not take them in time: abort and rewind.
            PoisonRecordError: the output is larger than we may send (see `room`); the unit goes on
                without it.
            TopicError: the broker does not know the topic.
        """

    def room(self, *, key: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> int:
        """Return how long a value may be, in bytes; below 0: none fits. A topic may take less."""

    def settle(self, deadline: Deadline) -> None:
        """Return when what is sent from now on cannot be seen without what was sent so far.

        Raises:
            OutputsLostError: at least one output is not with the broker: abort and rewind.
        """

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        """End the unit: every output is with the broker, then the offsets are committed.

        Raises:
            OutputsLostError: at least one output is not with the broker: abort and rewind.
            StaleGenerationError: nothing was committed; the group has moved on: abort, and send
                again under the generation of a later poll what is still held.
            TransactionAbortedError: the offsets were not committed, or it is unknown: abort, ask
                for the committed offsets, and rewind.
            FencedError: another member runs under the source's identity.
            SettingsError: the broker rejects an output for good (larger than the topic
                takes, not authorised).
        """

    def abort(self) -> None:
        """End the unit without a commit; recalls what it can. Never raises.

        Takes a few seconds at most as long as the broker is there or is not; one that stops
        answering in between holds it for as long as making a client may take.
        """


class Table(Protocol):
    """A compacted topic, looked at one partition at a time, without a group."""

    def latest(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the last committed value of each key of a partition, to its end as it is now.

        Records without a key are left out, and so are keys whose last record is a tombstone. Waits
        for transactions that are open at that end: what `Source.committed` tells is in here as soon
        as it tells it.

        Raises:
            BrokerUnavailableError: nobody answered, nothing came for some seconds although more is
                there, or the topic has no such partition (yet): ask again later.
        """


class OpensTable(Protocol):
    """A picklable configuration of a table."""

    def open(self) -> AbstractContextManager[Table]:
        """Make the table; the broker is asked first by `Table.latest`."""


class TableTail(Protocol):
    """A compacted topic from its beginning, and on as it grows, without a group."""

    @property
    def caught_up(self) -> bool:
        """Whether `poll` has given all that the topic held when it was opened.

        That includes what was in transactions which were open then: they are waited for.
        """

    def poll(self, *, timeout_s: float = 0.0) -> Sequence[tuple[bytes | None, bytes | None]]:
        """Return key and value of what was committed since the last call, waiting for some if told.

        In the order of each partition. Compaction may have left out any but the last of a key. A
        value of None is a tombstone. While no broker answers, nothing comes.

        Raises:
            CorruptLogError, SettingsError, BrokerUnavailableError: see `Source`.
        """


class OpensTail(Protocol):
    """A picklable configuration of a tail."""

    def open(self, *, should_stop: ShouldStop = never) -> AbstractContextManager[TableTail]:
        """Make the tail; waits for the broker.

        Raises:
            BrokerUnavailableError, StoppedError, TopicError, SettingsError: see `OpensSource.open`.
        """


class OpensSource(Protocol):
    """A picklable configuration of a source."""

    def open(self, *, should_stop: ShouldStop = never) -> AbstractContextManager[GroupMember]:
        """Make the source; waits for the broker.

        Raises:
            BrokerUnavailableError: still away after the time allowed.
            StoppedError: ``should_stop`` said so while we waited.
            TopicError: the topic does not exist.
            SettingsError: an option that the client does not know.
        """


class OpensSink(Protocol):
    """A picklable configuration of a sink."""

    def open(
        self, offsets: OffsetCommitter, *, should_stop: ShouldStop = never
    ) -> AbstractContextManager[Sink]:
        """Make the sink that commits through ``offsets``; raises as `OpensSource.open`."""

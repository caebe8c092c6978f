"""The seam for looking at and changing topics and groups; never used by the stream itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from workers.errors import TopicError
from workers.kafka.client import CommittedOffset, ShouldStop, never


@dataclass(frozen=True, kw_only=True)
class TopicSpec:
    """A topic as Vigie wants it.

    Attributes:
        name: of the topic.
        partitions: at least this many, >= 1.
        replication_factor: when it is created; an existing one is left as it is.
        configs: when it is created, such as ``cleanup.policy``.
        along_with: another topic: at least as many partitions as that has. Who writes to this one
            names the partition, so adding some moves no key: it is grown, not rejected.
    """

    name: str
    partitions: int = 1
    replication_factor: int = 1
    along_with: str = ""
    configs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.partitions < 1:
            raise ValueError(f"partitions must be >= 1, got {self.partitions} for {self.name}")


class TopicState(StrEnum):
    """How a topic compares with its `TopicSpec`."""

    CREATED = "created"
    """It was not there, and now is."""

    PRESENT = "present"
    """It is there with at least the partitions wanted."""

    MISSING = "missing"
    """It is not there."""

    TOO_FEW_PARTITIONS = "too few partitions"
    """It is there with fewer partitions than wanted."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found about one topic.

    Attributes:
        name: of the topic.
        state: how it compares with what was asked for.
        partitions: that it has now; 0 when it is missing.
        advice: what to do, empty when all is well.
    """

    name: str
    state: TopicState
    partitions: int
    advice: str = ""

    @property
    def is_good(self) -> bool:
        """True if the stream can run on it."""
        return self.state in {TopicState.CREATED, TopicState.PRESENT}


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of a group.

    Attributes:
        client_id: given by the client.
        partitions: of the topic asked for, ascending.
    """

    client_id: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A consumer group as the broker sees it.

    Attributes:
        name: of the group.
        state: "Stable", "Empty", "PreparingRebalance", ...; "Unknown" when it was never there.
        members: those that are in it now.
        committed: positions of the topic asked for, by partition.
    """

    name: str
    state: str
    members: tuple[Member, ...]
    committed: Mapping[int, CommittedOffset]


class Admin(Protocol):
    """Questions to a broker and changes of its topics and groups.

    Holds no connection: each call makes a client, and closes it. Unless said otherwise a call
    raises BrokerUnavailableError (no broker answers in time) and SettingsError (the client cannot
    use an option, or the broker rejects us).
    """

    def answers(self, *, timeout_s: float, brokers: int = 1) -> bool:
        """Return whether a broker answers within about ``timeout_s``; its silence raises nothing.

        Args:
            timeout_s: how long to wait for it.
            brokers: of how many, itself among them, it has to know that they are up.

        Raises:
            SettingsError: one answers, and rejects us (authentication).
        """

    def wait_for_broker(self, *, should_stop: ShouldStop = never) -> None:
        """Return when the broker answers.

        Warns at once, then every 30 s; says when it is there. Checks ``should_stop`` about every
        2 s.

        Raises:
            BrokerUnavailableError: away for longer than `Connection.wait_timeout_s`.
            StoppedError: ``should_stop`` said so.
        """

    def check_topics(self, specs: Sequence[TopicSpec]) -> list[Finding]:
        """Compare the topics with ``specs``; changes nothing."""

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[Finding]:
        """Create those that are missing, wait until all have leaders, and say what was found.

        Existing topics are left as they are: partitions added to a keyed topic would send the
        readings of a sensor to another partition. Those that go along with another are grown.

        Raises:
            BrokerUnavailableError: also when a topic does not come up in time.
            SettingsError: also when the broker rejects a topic (replication factor,
                configuration, rights).
        """

    def grow_topics(self, specs: Sequence[TopicSpec]) -> list[Finding]:
        """As `require_topics`, but first add partitions to topics that go along with another.

        Raises:
            TopicError: says about each bad topic what to do.
        """

    def topic_bounds(
        self, partitions: Mapping[str, int]
    ) -> Mapping[tuple[str, int], tuple[int, int]]:
        """Return the first and the end offset of every partition of some topics.

        Args:
            partitions: number of partitions of each topic.

        Raises:
            TopicError: a topic or partition is not there.
        """

    def describe_group(self, group: str, topic: str) -> Group:
        """Return a group's members and positions in one topic."""

    def remove_members(self, group: str, members: Iterable[str]) -> None:
        """Take static members out of a group, so that others get their partitions at once.

        One that is not there is no error. One that still runs loses its partitions, and comes back
        at its next poll.

        Args:
            group: their group.
            members: the names under which their sources were opened.
        """


def require_topics(admin: Admin, specs: Sequence[TopicSpec]) -> list[Finding]:
    """Pass only if every topic is there with enough partitions; say what was found, in order.

    Raises:
        TopicError: says about each bad topic what to do.
        BrokerUnavailableError, SettingsError: see `Admin`.
    """
    return all_good(admin.check_topics(specs))


def all_good(findings: list[Finding]) -> list[Finding]:
    """The findings, if there is nothing to do about any of them.

    Raises:
        TopicError: says about each bad topic what to do.
    """
    bad = [finding for finding in findings if not finding.is_good]
    if bad:
        raise TopicError(" ".join(finding.advice for finding in bad))
    return findings


def compare(spec: TopicSpec, present: Mapping[str, int]) -> Finding:
    """What to say of a topic.

    Args:
        spec: how it should be.
        present: number of partitions of each topic that is there.
    """
    partitions, wanted = present.get(spec.name, 0), wanted_partitions(spec, present)
    if partitions == 0:
        state = TopicState.MISSING
        advice = f"The topic {spec.name} does not exist: create it with vigie topics create."
    elif partitions < wanted:
        state = TopicState.TOO_FEW_PARTITIONS
        advice = f"The topic {spec.name} has {partitions} partitions, {wanted} are wanted: " + (
            "add them with vigie topics create."
            if spec.along_with
            else "lower topics.partitions, or make a new topic (adding partitions to this one "
            "would move sensors between partitions)."
        )
    else:
        state, advice = TopicState.PRESENT, ""
    return Finding(name=spec.name, state=state, partitions=partitions, advice=advice)


def wanted_partitions(spec: TopicSpec, present: Mapping[str, int]) -> int:
    """How many partitions a topic should have, given those that are there."""
    return max(spec.partitions, present.get(spec.along_with, 0))

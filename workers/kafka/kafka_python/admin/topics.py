"""Create topics, and check that they are there and as wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.errors import (
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
)

from workers.errors import SettingsError, TopicError
from workers.kafka.kafka_python.errors import asking, refusal
from workers.kafka.kafka_python.options import Connection

__all__ = [
    "Finding",
    "TopicSpec",
    "TopicState",
    "check_topics",
    "create_topics",
    "grow_topics",
    "require_topics",
]

_CREATE_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, kw_only=True)
class TopicSpec:
    """A topic as Vigie wants it.

    Attributes:
        name: of the topic.
        partitions: at least this many, >= 1.
        replication_factor: when it is created; an existing one is left as it is.
        configs: when it is created, such as ``cleanup.policy``.
        along_with: another topic: at least as many partitions as that has. Whoever writes to this
            one names the partition, so adding some moves no key: it is grown, not refused.
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


def check_topics(connection: Connection, specs: Sequence[TopicSpec]) -> list[Finding]:
    """Compare the topics with ``specs``; changes nothing.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    with _admin(connection) as admin:
        return _compare(admin, specs)


def require_topics(connection: Connection, specs: Sequence[TopicSpec]) -> list[Finding]:
    """Pass only if every topic is there with enough partitions; say what was found, in order.

    Raises:
        TopicError: says about each bad topic what to do.
        BrokerUnavailableError: no broker answers.
    """
    return _good(check_topics(connection, specs))


def _good(findings: list[Finding]) -> list[Finding]:
    bad = [finding for finding in findings if not finding.is_good]
    if bad:
        raise TopicError(" ".join(finding.advice for finding in bad))
    return findings


def create_topics(connection: Connection, specs: Sequence[TopicSpec]) -> list[Finding]:
    """Create those that are missing, wait until all have leaders, and say what was found.

    Existing topics are left as they are: partitions added to a keyed topic would send the readings
    of a sensor to another partition. Those that go along with another are grown.

    Raises:
        BrokerUnavailableError: no broker answers, or a topic does not come up in time.
        SettingsError: the broker refuses one (replication factor, configuration, rights).
    """
    with _admin(connection) as admin:
        before = {finding.name: finding for finding in _compare(admin, specs)}
        missing = [spec for spec in specs if before[spec.name].state is TopicState.MISSING]
        if missing:
            _create(admin, missing)
        _grow(admin, specs)
        created = {spec.name for spec in missing}
        return [
            replace(finding, state=TopicState.CREATED)
            if finding.name in created and finding.is_good
            else finding
            for finding in _compare(admin, specs)
        ]


def grow_topics(connection: Connection, specs: Sequence[TopicSpec]) -> list[Finding]:
    """As `require_topics`, but first add what is missing to topics that go along with another.

    Raises:
        SettingsError: the broker refuses it (rights).
    """
    with _admin(connection) as admin:
        _grow(admin, specs)
        return _good(_compare(admin, specs))


def _grow(admin: Any, specs: Sequence[TopicSpec]) -> None:
    present = _present(admin, specs)
    wanted = {
        spec.name: _wanted(spec, present)
        for spec in specs
        if spec.along_with and 0 < present.get(spec.name, 0) < _wanted(spec, present)
    }
    if wanted:
        with suppress(InvalidPartitionsError):  # somebody was faster
            admin.create_partitions(wanted)
        admin.wait_for_topics(list(wanted), timeout_ms=int(_CREATE_TIMEOUT_S * 1000))


def _create(admin: Any, specs: Sequence[TopicSpec]) -> None:
    wanted = {
        spec.name: {
            "num_partitions": spec.partitions,
            "replication_factor": spec.replication_factor,
            "configs": dict(spec.configs),
        }
        for spec in specs
    }
    timeout_ms = int(_CREATE_TIMEOUT_S * 1000)
    try:
        admin.create_topics(wanted, timeout_ms=timeout_ms)
    except TopicAlreadyExistsError:
        pass  # somebody was faster
    except InvalidReplicationFactorError as error:
        factor = max(spec.replication_factor for spec in specs)
        raise SettingsError(
            f"The broker cannot keep {factor} copies of a topic (too few brokers): lower "
            "topics.replication_factor."
        ) from error
    except KafkaError as error:
        if getattr(error, "retriable", False):
            raise
        raise refusal(error) or SettingsError(
            f"The broker refuses a topic: {_said(error)}"
        ) from error
    admin.wait_for_topics(list(wanted), timeout_ms=timeout_ms)


def _present(admin: Any, specs: Sequence[TopicSpec]) -> dict[str, int]:
    """Number of partitions of each topic that is there."""
    names = {name for spec in specs for name in (spec.name, spec.along_with) if name}
    return {
        entry["name"]: len(entry["partitions"])
        for entry in admin.describe_topics(sorted(names))
        if not entry["error_code"] and entry["partitions"]
    }


def _wanted(spec: TopicSpec, present: Mapping[str, int]) -> int:
    return max(spec.partitions, present.get(spec.along_with, 0))


def _compare(admin: Any, specs: Sequence[TopicSpec]) -> list[Finding]:
    present = _present(admin, specs)
    return [_finding(spec, present.get(spec.name, 0), _wanted(spec, present)) for spec in specs]


def _finding(spec: TopicSpec, partitions: int, wanted: int) -> Finding:
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


def _said(error: KafkaError) -> str:
    """The broker's own words, out of the answer that kafka-python quotes in full."""
    found = re.search(r"error_message=(?P<quote>['\"])(?P<words>.*?)(?P=quote), ", str(error))
    return found["words"] if found else type(error).__name__


@contextmanager
def _admin(connection: Connection) -> Iterator[Any]:
    with asking(f"talking to {connection.bootstrap}"):
        admin = KafkaAdminClient(**connection.admin_options())
        try:
            yield admin
        finally:
            admin.close()

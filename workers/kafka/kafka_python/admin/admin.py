"""The `Admin` on kafka-python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from kafka import TopicPartition
from kafka.admin import MemberToRemove, OffsetSpec
from kafka.errors import (
    AuthorizationError,
    CoordinatorNotAvailableError,
    GroupIdNotFoundError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)

from workers.errors import SettingsError
from workers.kafka.admin import (
    Finding,
    Group,
    Member,
    TopicSpec,
    TopicState,
    all_good,
    compare,
    wanted_partitions,
)
from workers.kafka.client import CommittedOffset, Connection, ShouldStop, never
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.admin.probe import broker_answers, wait_for_broker
from workers.kafka.kafka_python.clients import make_admin
from workers.kafka.kafka_python.errors import asking

_CREATE_TIMEOUT_S: Final = 15.0
_DENIED: Final = TopicAuthorizationFailedError.errno
# A broker that never had a group has no coordinator yet.
_NO_SUCH_GROUP: Final = (CoordinatorNotAvailableError, GroupIdNotFoundError)


@dataclass(frozen=True)
class KafkaPythonAdmin:
    """See `workers.kafka.admin.Admin`."""

    connection: Connection

    def answers(self, *, timeout_s: float, brokers: int = 1) -> bool:
        """See `Admin.answers`."""
        return broker_answers(self.connection, timeout_s=timeout_s, brokers=brokers)

    def wait_for_broker(self, *, should_stop: ShouldStop = never) -> None:
        """See `Admin.wait_for_broker`."""
        wait_for_broker(self.connection, should_stop=should_stop)

    def check_topics(self, specs: Sequence[TopicSpec]) -> list[Finding]:
        """See `Admin.check_topics`."""
        with self._client("looking up topics") as client:
            return self._compare(client, specs)

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[Finding]:
        """See `Admin.create_topics`."""
        with self._client("creating topics", topic="Create") as client:
            found = self._compare(client, specs)
            is_missing = [finding.state is TopicState.MISSING for finding in found]
            missing = [spec for spec, absent in zip(specs, is_missing, strict=True) if absent]
            if missing:
                _create(client, missing)
            self._grow(client, specs)
            return [
                replace(finding, state=TopicState.CREATED)
                if absent and finding.is_good
                else finding
                for finding, absent in zip(self._compare(client, specs), is_missing, strict=True)
            ]

    def grow_topics(self, specs: Sequence[TopicSpec]) -> list[Finding]:
        """See `Admin.grow_topics`."""
        with self._client("looking up topics", topic="Alter") as client:
            self._grow(client, specs)
            return all_good(self._compare(client, specs))

    def topic_bounds(
        self, partitions: Mapping[str, int]
    ) -> Mapping[tuple[str, int], tuple[int, int]]:
        """See `Admin.topic_bounds`."""
        wanted = [TopicPartition(name, p) for name, n in partitions.items() for p in range(n)]
        if not wanted:
            return {}
        with self._client("looking up the ends of the topics") as client:
            first, end = (
                client.list_partition_offsets(dict.fromkeys(wanted, spec))
                for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
            )
        return {(tp.topic, tp.partition): (first[tp].offset, end[tp].offset) for tp in wanted}

    def describe_group(self, group: str, topic: str) -> Group:
        """See `Admin.describe_group`."""
        with self._client(f"looking up the group {group}") as client:
            try:
                found = client.describe_groups([group]).get(group) or {}
            except _NO_SUCH_GROUP:
                found = {}
            try:
                offsets = client.list_group_offsets({group: None}).get(group) or {}
            except _NO_SUCH_GROUP:
                offsets = {}
        state = str(found.get("group_state") or "")
        return Group(
            name=group,
            state="Unknown" if state in {"", "Dead"} else state,
            members=tuple(_member(one, topic) for one in found.get("members") or ()),
            committed={
                tp.partition: CommittedOffset(next_offset=at.offset, metadata=at.metadata or "")
                for tp, at in sorted(offsets.items())
                if tp.topic == topic and at.offset >= 0
            },
        )

    def remove_members(self, group: str, members: Iterable[str]) -> None:
        """See `Admin.remove_members`."""
        leaving = [MemberToRemove(group_instance_id=member) for member in members]
        if not leaving:
            return
        with self._client(f"removing members of the group {group}", group="Read") as client:
            try:
                outcomes = client.remove_group_members(group, leaving)
            except (*_NO_SUCH_GROUP, UnknownMemberIdError):
                return
            for outcome in outcomes.values():
                if outcome not in {NoError, UnknownMemberIdError}:
                    raise outcome

    def _compare(self, client: Any, specs: Sequence[TopicSpec]) -> list[Finding]:
        present = self._present(client, specs)
        return [compare(spec, present) for spec in specs]

    def _grow(self, client: Any, specs: Sequence[TopicSpec]) -> None:
        present = self._present(client, specs)
        wanted = {
            spec.name: wanted_partitions(spec, present)
            for spec in specs
            if spec.along_with and 0 < present.get(spec.name, 0) < wanted_partitions(spec, present)
        }
        if wanted:
            with suppress(InvalidPartitionsError):  # another client was faster
                client.create_partitions(wanted)
            client.wait_for_topics(list(wanted), timeout_ms=int(_CREATE_TIMEOUT_S * 1000))

    def _present(self, client: Any, specs: Sequence[TopicSpec]) -> dict[str, int]:
        names = {name for spec in specs for name in (spec.name, spec.along_with) if name}
        entries = client.describe_topics(sorted(names))
        hidden = [e["name"] for e in entries if e["error_code"] == _DENIED]
        if hidden:  # there or not: who may not look is not told
            what = "Describe (included in Read, Write and Alter)"
            access = Access.looking(self.connection)
            raise access.denied(what, "topic", ", ".join(sorted(hidden)))
        return {
            entry["name"]: len(entry["partitions"])
            for entry in entries
            if not entry["error_code"] and entry["partitions"]
        }

    @contextmanager
    def _client(
        self, doing: str, *, topic: str = "Describe", group: str = "Describe"
    ) -> Iterator[Any]:
        access = Access(connection=self.connection, topic=topic, group=group)
        with asking(f"{doing} at {self.connection.bootstrap}", access):
            client = make_admin(self.connection)
            try:
                yield client
            finally:
                client.close()


def _create(client: Any, specs: Sequence[TopicSpec]) -> None:
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
        client.create_topics(wanted, timeout_ms=timeout_ms)
    except TopicAlreadyExistsError:
        pass  # another client was faster
    except InvalidReplicationFactorError as error:
        factor = max(spec.replication_factor for spec in specs)
        raise SettingsError(
            f"The broker cannot keep {factor} copies of a topic (too few brokers): lower "
            "topics.replication_factor."
        ) from error
    except KafkaError as error:
        if getattr(error, "retriable", False) or isinstance(error, AuthorizationError):
            raise
        raise SettingsError(f"The broker rejects a topic: {_said(error)}") from error
    client.wait_for_topics(list(wanted), timeout_ms=timeout_ms)


def _member(one: Mapping[str, Any], topic: str) -> Member:
    assignment = one.get("member_assignment")
    assigned = assignment.get("assigned_partitions", ()) if isinstance(assignment, dict) else ()
    return Member(
        client_id=str(one.get("client_id", "")),
        partitions=tuple(
            sorted(p for part in assigned if part["topic"] == topic for p in part["partitions"])
        ),
    )


def _said(error: KafkaError) -> str:
    """The broker's own words, out of the answer that kafka-python quotes in full."""
    found = re.search(r"error_message=(?P<quote>['\"])(?P<words>.*?)(?P=quote), ", str(error))
    return found["words"] if found else type(error).__name__

"""What each part of Vigie must be allowed on a Kafka with access control: the least that suffices.

Data, for whoever sets the rights up: `vigie topics acls` prints it, the chart and the guide to
security are held to it, and a test takes each right away in turn and looks that it is missed.

A right to read, to write or to alter includes the one to describe (Kafka implies it), and an
idempotent producer needs none on the cluster since Kafka 2.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.settings import Settings

__all__ = ["ROLES", "Operation", "Resource", "Right", "Role", "rights_of"]


class Resource(StrEnum):
    """What a right is about, as Kafka and Strimzi call it."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactionalId"


class Operation(StrEnum):
    """What a right allows."""

    READ = "Read"
    WRITE = "Write"
    DESCRIBE = "Describe"
    CREATE = "Create"
    ALTER = "Alter"


@dataclass(frozen=True, order=True)
class Right:
    """One operation on one resource, or on all whose names begin so."""

    resource: Resource
    name: str
    operation: Operation
    is_prefix: bool = False


class Role(StrEnum):
    """A part of Vigie that has a principal of its own."""

    RUN = "run"
    GATEWAY = "gateway"
    SETUP = "setup"
    PRODUCER = "producer"
    REDRIVE = "redrive"
    VERDICT = "verdict"
    REPARTITION = "repartition"
    READER = "reader"


ROLES: Final[Mapping[Role, str]] = {
    Role.RUN: "vigie run: the driver and its ingest workers",
    Role.GATEWAY: "vigie serve: the gateway and its page",
    Role.SETUP: "vigie topics create",
    Role.PRODUCER: "whoever sends readings: vigie replay, vigie simulate, your own",
    Role.REDRIVE: "vigie dead-letters list, show, redrive",
    Role.VERDICT: "vigie verdict",
    Role.REPARTITION: "vigie repartition",
    Role.READER: "vigie train --from-topic, vigie inspect, vigie status",
}


def rights_of(role: Role, settings: Settings) -> tuple[Right, ...]:
    """The rights that a role needs with these settings, sorted."""
    return tuple(sorted(set(_RIGHTS[role](settings))))


def _run(settings: Settings) -> Iterator[Right]:
    kafka, topics = settings.kafka, settings.topics
    yield from _topics(Operation.READ, topics.readings, topics.sensor_state, topics.verdicts)
    yield from _topics(
        Operation.WRITE,
        topics.anomalies,
        topics.denoised,
        topics.dead_letters,
        topics.sensor_state,
        topics.incidents,
    )
    # Partitions are added to it when the readings get more.
    yield Right(Resource.TOPIC, topics.sensor_state, Operation.ALTER)
    yield Right(Resource.GROUP, kafka.group, Operation.READ)
    # One of each worker: see `factory.member_of`.
    yield _transactions(f"{kafka.group}.{kafka.instance}.")


def _gateway(settings: Settings) -> Iterator[Right]:
    topics = settings.topics
    yield from _topics(Operation.READ, topics.incidents, topics.verdicts, topics.readings)
    yield from _topics(Operation.WRITE, topics.verdicts)
    if settings.gateway.live == "on":
        yield from _topics(Operation.READ, topics.denoised, topics.anomalies)
    yield Right(Resource.GROUP, settings.kafka.group, Operation.DESCRIBE)
    yield _verdict_writer(settings)


def _setup(settings: Settings) -> Iterator[Right]:
    grown, names = settings.topics.sensor_state, settings.topics.names
    yield from _topics(Operation.CREATE, *names)
    yield from _topics(Operation.DESCRIBE, *(set(names) - {grown}))
    yield from _topics(Operation.ALTER, grown)


def _producer(settings: Settings) -> Iterator[Right]:
    yield from _topics(Operation.WRITE, settings.topics.readings)


def _redrive(settings: Settings) -> Iterator[Right]:
    yield from _topics(Operation.READ, settings.topics.dead_letters)
    yield from _topics(Operation.WRITE, settings.topics.readings)


def _verdict(settings: Settings) -> Iterator[Right]:
    topics = settings.topics
    yield from _topics(Operation.READ, topics.verdicts, topics.incidents, topics.sensor_state)
    yield from _topics(Operation.WRITE, topics.verdicts)
    yield _verdict_writer(settings)


def _repartition(settings: Settings) -> Iterator[Right]:
    between, kafka = settings.repartition, settings.kafka
    yield from _topics(Operation.READ, between.source, between.shuffled)
    yield from _topics(Operation.WRITE, between.shuffled, settings.topics.readings)
    yield from _topics(Operation.WRITE, settings.topics.dead_letters)
    # Its two groups are called after that of the stream.
    yield Right(Resource.GROUP, f"{kafka.group}.", Operation.READ, is_prefix=True)
    yield _transactions(f"{kafka.group}.")


def _reader(settings: Settings) -> Iterator[Right]:
    read = settings.topics.readings, settings.topics.sensor_state
    yield from _topics(Operation.READ, *read)
    yield from _topics(Operation.DESCRIBE, *(set(settings.topics.names) - set(read)))
    yield Right(Resource.GROUP, settings.kafka.group, Operation.DESCRIBE)


def _verdict_writer(settings: Settings) -> Right:
    """All writers of verdicts have one name: see `factory.verdicts_sink_of`."""
    name = f"vigie-verdicts-{settings.topics.verdicts}"
    return Right(Resource.TRANSACTIONAL_ID, name, Operation.WRITE)


def _topics(operation: Operation, *names: str) -> Iterable[Right]:
    return (Right(Resource.TOPIC, name, operation) for name in names)


def _transactions(prefix: str) -> Right:
    return Right(Resource.TRANSACTIONAL_ID, prefix, Operation.WRITE, is_prefix=True)


_RIGHTS: Final = {
    Role.RUN: _run,
    Role.GATEWAY: _gateway,
    Role.SETUP: _setup,
    Role.PRODUCER: _producer,
    Role.REDRIVE: _redrive,
    Role.VERDICT: _verdict,
    Role.REPARTITION: _repartition,
    Role.READER: _reader,
}

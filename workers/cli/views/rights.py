"""Rights, as those who give them want them: a table, Kafka's own commands, or Strimzi's YAML."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from workers.kafka.rights import Resource, Right, Role

_FLAGS = {
    Resource.TOPIC: "--topic",
    Resource.GROUP: "--group",
    Resource.TRANSACTIONAL_ID: "--transactional-id",
}


def commands(rights: Mapping[Role, Sequence[Right]], principals: Mapping[Role, str]) -> str:
    """Lines for a shell with Kafka's tools; ADMIN holds --bootstrap-server and --command-config."""
    return "\n".join(
        line for role, held in rights.items() for line in _commands(role, held, principals[role])
    )


def _commands(role: Role, rights: Sequence[Right], principal: str) -> Iterator[str]:
    yield f"# {role}"
    for right in rights:
        words = ["--add", "--allow-principal", principal, "--operation", right.operation]
        words += [_FLAGS[right.resource], right.name]
        if right.is_prefix:
            words += ["--resource-pattern-type", "prefixed"]
        yield "kafka-acls.sh $ADMIN " + shlex.join(words)


def strimzi(rights: Sequence[Right]) -> list[dict[str, object]]:
    """The `spec.authorization.acls` of a Strimzi `KafkaUser` (v1): operations by resource."""
    found: dict[tuple[Resource, str, bool], list[str]] = {}
    for right in rights:
        place = right.resource, right.name, right.is_prefix
        found.setdefault(place, []).append(right.operation.value)
    return [
        {
            "resource": {
                "type": resource.value,
                "name": name,
                "patternType": "prefix" if is_prefix else "literal",
            },
            "operations": operations,
        }
        for (resource, name, is_prefix), operations in found.items()
    ]

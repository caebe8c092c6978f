"""A compose file as its readers need it: merged, filled in, and asked questions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

_VARIABLE: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")
DONE: Final = "service_completed_successfully"
HEALTHY: Final = "service_healthy"

Services = Mapping[str, dict[str, Any]]


def read_compose(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The document, with ``${NAME:-default}`` filled in, ``$$`` as ``$``; merges are YAML's own.

    A variable of a service without a value is passed on where `environ` has it, else left out.
    """
    text = _VARIABLE.sub(lambda found: environ.get(found[1]) or found[2], path.read_text())
    document: dict[str, Any] = yaml.safe_load(text.replace("$$", "$"))
    for service in document["services"].values():
        if "environment" in service:
            given = {
                name: environ.get(name) if value is None else value
                for name, value in service["environment"].items()
            }
            service["environment"] = {n: value for n, value in given.items() if value is not None}
    return document


def seconds(text: str) -> float:
    """A duration of a compose file: 30s, 2m."""
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def words_of(command: Sequence[str] | str) -> list[str]:
    """A command as words."""
    return command.split() if isinstance(command, str) else list(command)


def ours(services: Services) -> dict[str, dict[str, Any]]:
    """The services that run Vigie's image."""
    return {n: s for n, s in services.items() if s["image"].partition(":")[0] == "vigie"}


def texts(services: Services, checkout: Path) -> Iterator[tuple[str, str]]:
    """Whatever may name an address: environments, commands, health checks, and mounted files."""
    for name, service in services.items():
        for value in service.get("environment", {}).values():
            yield name, value
        for command in ("entrypoint", "command"):
            yield from ((name, word) for word in words_of(service.get(command, [])))
        yield from ((name, word) for word in service.get("healthcheck", {}).get("test", []))
        for source in mounted(service, checkout):
            if source.suffix == ".yml" and source.is_relative_to(checkout / "deploy/compose"):
                yield name, source.read_text()


def mounted(service: Mapping[str, Any], checkout: Path) -> list[Path]:
    """Files and folders of the checkout that a service sees."""
    sources = [volume.split(":")[0] for volume in service.get("volumes", [])]
    return [checkout / source for source in sources if source.startswith("./")]


def parse(command: Any, words: list[str]) -> None:
    """Parse a command line as the program does, without running it."""
    with command.make_context("vigie", list(words), resilient_parsing=False) as context:
        if getattr(command, "commands", None):
            name, inner, rest = command.resolve_command(context, list(words))
            assert inner is not None, name
            parse(inner, rest)

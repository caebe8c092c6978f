"""docs/guide-compose.md: its commands exist, and none of them forgets what runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.support.compose_file import parse, read_compose
from workers.cli.main import build_app

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
GUIDE = (ROOT / "docs" / "guide-compose.md").read_text(encoding="utf-8")
OF_SERVICES = {"exec", "logs", "restart", "stop", "start", "up"}


@pytest.fixture
def services() -> dict[str, Any]:
    services: dict[str, Any] = read_compose(COMPOSE, {})["services"]
    return services


def lines(text: str = GUIDE) -> list[str]:
    return re.findall(r"^\$ (.+)$", text.replace("\\\n", " "), re.MULTILINE)


def of_compose(text: str = GUIDE) -> list[list[str]]:
    """The words behind `docker compose` of each line that has it."""
    told = [one.partition("docker compose ")[2] for one in lines(text) if "docker compose " in one]
    return [shlex.split(one.partition(" < ")[0].partition(" > ")[0]) for one in told]


def test_the_vigie_commands_parse():
    vigie = typer.main.get_command(build_app())
    words = [shlex.split(line) for line in lines() if "vigie " in line]
    commands = [one[one.index("vigie") + 1 :] for one in words if "vigie" in one and ">" not in one]

    assert {one[0] for one in commands} == {"train", "replay", "tokens", "doctor"}
    for command in commands:
        parse(vigie, command)


def test_the_services_that_commands_name_exist(services):
    commands = of_compose()

    assert len(commands) > 15
    for command, *rest in commands:
        names = [word for word in rest if not word.startswith("-")]
        if command in OF_SERVICES:
            assert set(names[:1] if command == "exec" else names) <= set(services), (command, names)


def test_what_runs_is_said_in_the_file_env_and_by_no_command():
    """What one command is told alone, the next one forgets: an upgrade would leave it as it was."""
    assert not [
        line for line in lines() if re.search(r"--profile|--scale|VIGIE_\w+=\S+ docker", line)
    ]


def test_the_file_env_has_profiles_and_variables_that_exist(services):
    env = dict(re.findall(r"^\$ echo (\w+)=(\S+) >> \.env$", GUIDE, re.MULTILINE))
    profiles = re.findall(r"^\$ echo COMPOSE_PROFILES=(\S+) >> \.env$", GUIDE, re.MULTILINE)
    table = set(re.findall(r"^\| `(VIGIE_\w+)` \|", GUIDE, re.MULTILINE))
    of_services = {one for service in services.values() for one in service.get("profiles", [])}

    assert {one for told in profiles for one in told.split(",")} == of_services
    # With a default, or passed on.
    taken = re.findall(r"\$\{(\w+):-|^ +(VIGIE_\w+):$", COMPOSE.read_text("utf-8"), re.MULTILINE)
    assert table == {name or passed for name, passed in taken}
    assert set(env) <= {"COMPOSE_PROFILES", *table}
    assert env["VIGIE_MODEL__DEVICE"] == "cuda"


def test_an_upgrade_stops_the_driver_before_the_nodes_below_it(services):
    upgrade = GUIDE.partition("## Upgrade")[2].partition("\n## ")[0]
    commands = of_compose(upgrade)
    stopped = set(commands[1][1:])

    assert [one[0] for one in commands] == ["build", "stop", "up", "restart"]
    assert stopped | {"ray-worker-gpu"} == {
        name for name, service in services.items() if "ray-token" in service.get("secrets", [])
    }
    assert set(commands[3][1:]) == {
        name for name, one in services.items() if "observability" in one.get("profiles", [])
    }

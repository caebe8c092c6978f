"""`docker compose up` is checked without Docker: the schema, and what the schema cannot know."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from schemas.settings import load_settings
from workers.cli.main import build_app

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*check, path], capture_output=True, text=True, check=False)


def test_the_file_follows_the_compose_spec():
    result = validate(COMPOSE)

    assert result.returncode == 0, result.stdout


def test_a_wrong_condition_would_be_refused(tmp_path):
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE.read_text().replace("service_healthy", "healthy"))

    assert validate(broken).returncode != 0


def test_every_service_waits_for_services_that_can_satisfy_it(services):
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            assert other in services, f"{name} waits for {other}, which is not there"
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{other} can never become healthy"


def test_every_ray_node_asks_for_the_token(services):
    nodes = [s for s in services.values() if "ray start" in flat(s.get("entrypoint", []))]

    assert len(nodes) == 3
    for node in nodes:
        assert node["environment"]["RAY_AUTH_MODE"] == "token"
        path = node["environment"]["RAY_AUTH_TOKEN_PATH"]
        assert path.removeprefix("/run/secrets/") in node["secrets"]


def test_nothing_is_published_beyond_this_machine(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports), ports


def test_every_process_finds_the_broker_where_it_listens(services):
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    address = services["pipeline"]["environment"]["VIGIE_KAFKA__BOOTSTRAP"]

    assert f"INTERNAL://{address}" in advertised.split(",")
    assert address in services["kafka"]["healthcheck"]["test"]


def test_every_setting_in_it_exists(services):
    settings = load_settings(None, environ=services["pipeline"]["environment"])

    assert settings.kafka.bootstrap == "kafka:19092"
    assert settings.ray.address == "auto"


def test_a_stop_leaves_time_to_drain(services):
    grace = services["pipeline"]["stop_grace_period"]

    assert int(grace.removesuffix("s")) > load_settings(None, environ={}).processing.drain_timeout_s


def test_every_vigie_command_in_it_exists(services):
    commands = [s["command"][0] for s in services.values() if "command" in s]
    commands += re.findall(r"exec vigie (\w+)", COMPOSE.read_text())

    assert sorted(commands) == ["run", "topics"]
    vigie: Any = typer.main.get_command(build_app())
    assert set(commands) <= set(vigie.commands)


def flat(words: list[str] | str) -> str:
    return words if isinstance(words, str) else " ".join(words)

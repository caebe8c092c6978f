"""`docker compose up` is run without Docker: each service natively, in the file's order.

See `tests.support.compose` for what is as Docker has it and what is not. Grafana has no program on
such a machine: it is the one service that is not run, and the test says so.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support import container, netns
from tests.support.compose import Service, Stack, removed_at_the_end
from tests.support.dockerfile import read_images
from tests.support.postgres import MISSING, postgres_programs
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
AT_SIGTERM = {"kafka": 143, "ray-head": 1, "ray-worker": 1}
"""How a Java machine and Ray end when they are told to; all others end with 0."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.kafka,
    pytest.mark.ray,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        bool(container.why_not() or netns.why_not()),
        reason=str(container.why_not() or netns.why_not()),
    ),
    pytest.mark.skipif(postgres_programs() is None, reason=MISSING),
]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    secrets = tmp_path / "secrets"
    subprocess.run([ROOT / "deploy/compose/secrets.sh", secrets], check=True, capture_output=True)
    with netns.open_network() as network:
        stack = Stack(
            checkout=ROOT,
            folder=tmp_path,
            network=network,
            image=read_images(ROOT / "Dockerfile")["cpu"],
            environment=container.environment_mounts(ROOT / ".venv", ROOT),
            profiles=frozenset({"demo", "observability"}),
            secrets=secrets,
        )
        with removed_at_the_end(stack):
            yield stack


def test_it_comes_up_shows_incidents_of_the_plant_and_ends_in_order(stack):
    stack.up(within_s=900)

    assert [line.partition(":")[0] for line in stack.skipped] == ["grafana"], stack.skipped
    wait_until(lambda: not deaf(stack), within=120, what="every port to be listened at")
    assert_kafka_is_reached_from_the_host(stack.running["kafka"])
    token = (stack.secrets / "admin-token").read_text()
    gateway = stack.running["gateway"]

    due_s = time.monotonic()

    def incidents() -> Any:
        nonlocal due_s
        stack.tend()
        if time.monotonic() < due_s:
            return None
        due_s = time.monotonic() + 2  # the gateway answers so many requests a minute, and no more
        # Not those of the detector itself, which is away until all have come up.
        shown = ask(gateway, 8080, "/v1/incidents", token)["items"]
        return [one for one in shown if str(one["sensor_id"]).startswith("pump-")]

    wait_until(incidents, within=400, what="an incident of a pump on the page")
    assert_prometheus_sees_driver_and_gateway(stack.running["prometheus"])
    assert_a_renewed_token_is_taken_and_the_revoked_one_holds_nothing_up(stack)
    assert_a_renewed_password_of_the_database_is_taken(stack)

    codes = stack.down()

    assert {name: code for name, code in codes.items() if code} == AT_SIGTERM


def deaf(stack: Stack) -> list[str]:
    """Ports of the file at which nobody listens."""
    return [
        f"{name}:{port}"
        for name, service in stack.running.items()
        for port in service.ports
        if not listens(service, port)
    ]


def listens(service: Service, port: int) -> bool:
    try:
        with socket.create_connection((service.address, port), timeout=2):
            return True
    except OSError:
        return False


def ask(service: Service, port: int, path: str, token: str = "") -> Any:
    request = urllib.request.Request(
        f"http://{service.address}:{port}{path}",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def assert_kafka_is_reached_from_the_host(kafka: Service) -> None:
    """By the listener that is published: its clients are told localhost."""
    command = kafka.spec["healthcheck"]["test"][1]
    asked = kafka.container.execute([command, "--bootstrap-server", "localhost:9092"], 120)
    assert asked.stdout.startswith("localhost:9092"), asked.stdout + asked.stderr


def assert_prometheus_sees_driver_and_gateway(prometheus: Service) -> None:
    def all_up() -> Any:
        told = ask(prometheus, 9090, "/api/v1/targets")["data"]["activeTargets"]
        health = {one["labels"]["job"]: (one["health"], one["lastError"]) for one in told}
        return len(health) == 4 and {up for up, _ in health.values()} == {"up"} and health

    wait_until(all_up, within=120, what="Prometheus to reach all that it watches")


def renew(stack: Stack, name: str) -> None:
    command = [str(ROOT / "deploy/compose/secrets.sh"), "--renew", name, str(stack.secrets)]
    subprocess.run(command, check=True, capture_output=True)


def assert_a_renewed_token_is_taken_and_the_revoked_one_holds_nothing_up(stack: Stack) -> None:
    """As docs/guide-compose.md has it; Prometheus runs on and sees the file that it was given."""
    gateway, keeper = stack.running["gateway"], stack.running["metrics-token"]
    old_id = (stack.secrets / "metrics-token").read_text().split("_")[1]

    revoked = gateway.container.execute(["vigie", "tokens", "revoke", old_id], 120)
    assert revoked.returncode == 0, revoked.stdout + revoked.stderr
    at = datetime.now(UTC)
    keeper.container.remove()
    assert keeper.container.run(120) == 0, keeper.trouble()  # the gateway starts only after it
    assert "was revoked" in keeper.container.log.read_text()
    renew(stack, "metrics-token")
    assert keeper.container.run(120) == 0, keeper.trouble()

    def is_up_again() -> Any:
        told = ask(stack.running["prometheus"], 9090, "/api/v1/targets")["data"]["activeTargets"]
        (one,) = [one for one in told if one["labels"]["job"] == "vigie-gateway"]
        return one["health"] == "up" and datetime.fromisoformat(one["lastScrape"]) > at

    wait_until(is_up_again, within=90, what="Prometheus to be let in with the new token")


def assert_a_renewed_password_of_the_database_is_taken(stack: Stack) -> None:
    """The gateway begins anew in place; with the old password it would be let in no more."""
    gateway, token = stack.running["gateway"], (stack.secrets / "admin-token").read_text()
    renew(stack, "postgres-password")
    change = "ALTER ROLE vigie PASSWORD '$(cat /run/secrets/postgres-password)'"
    psql = "psql --host=/run/postgresql --username=vigie"
    done = stack.running["postgres"].container.execute(
        ["sh", "-c", f'echo "{change}" | {psql}'], 60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    renew(stack, "gateway-database")

    def answers() -> Any:
        if "gateway-database; going on with them" not in gateway.container.log.read_text():
            return None
        try:
            return ask(gateway, 8080, "/v1/incidents", token)
        except OSError:  # between the old process and the new one
            return None

    wait_until(answers, within=120, what="the gateway to answer with the new password")
    assert gateway.container.is_running(), gateway.trouble()

"""`docker compose up` is checked without Docker: the schema, and what the schema cannot know.

That it runs: test_compose_up.py.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from schemas.settings import load_settings
from schemas.settings.loading import InvalidSettingsError
from tests.support.compose_file import (
    DONE,
    HEALTHY,
    mounted,
    ours,
    parse,
    read_compose,
    seconds,
    texts,
    words_of,
)
from tests.support.compose_twins import kafka_properties
from workers.broker.embedded import BrokerConfig
from workers.cli.main import build_app
from workers.plant.faults import RandomSchedule

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
FOLDER = ROOT / "deploy" / "compose"
ADDRESS = re.compile(r"(?<![\w.-])([a-z][a-z0-9-]*):(\d{2,5})(?!\d)")

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    return read_compose(COMPOSE, {})


@pytest.fixture
def services(document: Document) -> Document:
    services: Document = document["services"]
    return services


@pytest.fixture(scope="module")
def vigie() -> Any:
    return typer.main.get_command(build_app())


# -- the form ------------------------------------------------------------------------------------


def schema_errors(path: Path) -> str:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout


def test_the_file_follows_the_compose_spec():
    assert schema_errors(COMPOSE) == ""


def test_a_wrong_condition_would_be_refused(tmp_path):
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE.read_text().replace("service_healthy", "healthy"))

    assert schema_errors(broken)


# -- the order -----------------------------------------------------------------------------------


def wrong_waits(services: Document) -> list[str]:
    """Waits for a service that is not there, never gets so far, or is of a profile that is off."""
    wrong = []
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            if other not in services:
                wrong.append(f"{name} waits for {other}, which is not there")
                continue
            ends = services[other]["restart"].startswith("on-failure")
            if wait["condition"] == HEALTHY and "healthcheck" not in services[other]:
                wrong.append(f"{name}: {other} can never become healthy")
            if (wait["condition"] == DONE) is not ends:
                wrong.append(f"{name}: {other} {'ends' if ends else 'does not end'}")
            of_profiles = set(services[other].get("profiles", []))
            if of_profiles - set(service.get("profiles", [])) and wait.get("required", True):
                wrong.append(f"{name} needs {other}, which is of a profile")
    return wrong


def test_every_service_waits_for_services_that_can_satisfy_it(services):
    assert wrong_waits(services) == []


@pytest.mark.parametrize(
    ("service", "waits"),
    [
        ("driver", {"topics": {"condition": HEALTHY}}),
        ("driver", {"kafka": {"condition": DONE}}),
        ("prometheus", {"alertmanager": {"condition": HEALTHY}}),
        ("gateway", {"demo-plant": {"condition": "service_started"}}),
        ("gateway", {"kafak": {"condition": HEALTHY}}),
    ],
)
def test_a_wait_that_never_ends_would_be_found(services, service, waits):
    broken = copy.deepcopy(services)
    broken[service]["depends_on"] = waits

    assert wrong_waits(broken)


@pytest.mark.parametrize("name", ["driver", "ray-worker", "ray-worker-gpu"])
def test_a_stop_leaves_time_to_drain(services, name):
    """A node that is stopped waits for its workers, and is not killed meanwhile."""
    drain_s = load_settings(None, environ={}).processing.drain_timeout_s
    grace_s = seconds(services[name]["stop_grace_period"])
    waits_s = float(services[name]["environment"]["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])

    assert grace_s >= drain_s + 15 + 10, "the driver adds 15 s at most (docs/guide-ray.md)"
    assert name == "driver" or drain_s + 15 < waits_s < grace_s - 10, (
        "its own node waits for nobody"
    )


def test_the_driver_begins_when_its_nodes_have_joined(services):
    """It goes by the CPUs and GPUs that are there when it begins."""
    waits = services["driver"]["depends_on"]

    assert {waits[name]["condition"] for name in ("ray-worker", "ray-worker-gpu")} == {HEALTHY}
    for name in ("ray-worker", "ray-worker-gpu"):
        (port,) = services[name]["expose"]
        assert f"--node-manager-port={port}" in services[name]["entrypoint"]
        assert f"(s.gethostname(), {port})" in services[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize(
    ("env", "device"), [({}, "cpu"), ({"VIGIE_MODEL__DEVICE": "cuda"}, "cuda")]
)
def test_the_device_of_the_driver_is_that_of_the_file_env_or_else_of_vigie_toml(
    tmp_path, env, device
):
    file = tmp_path / "vigie.toml"
    file.write_text('[model]\ndevice = "cpu"\n')
    environment = plain(read_compose(COMPOSE, env)["services"]["driver"]["environment"])

    assert load_settings(file, environ=environment).model.device == device


# -- who reaches whom ----------------------------------------------------------------------------


def listened(services: Document) -> set[tuple[str, int]]:
    return {
        (name, int(str(port).rpartition(":")[2]))
        for name, service in services.items()
        for port in [*service.get("ports", []), *service.get("expose", [])]
    }


def unserved(services: Document) -> list[str]:
    """Addresses of services that are named and that nobody listens at."""
    served = listened(services) | {("kafka", 19093)}
    return [
        f"{name}: {host}:{port}"
        for name, text in texts(services, ROOT)
        for host, port in ADDRESS.findall(text)
        if host not in {"localhost", "user"} and (host, int(port)) not in served
    ]


def test_every_address_in_it_is_one_where_a_service_listens(services):
    assert unserved(services) == []


@pytest.mark.parametrize(
    ("service", "key", "value"),
    [
        ("driver", "VIGIE_KAFKA__BOOTSTRAP", "kafka:9192"),
        ("driver", "VIGIE_RAY__ADDRESS", "rayhead:6379"),
        ("gateway", "VIGIE_GATEWAY__PIPELINE", "http://driver:9401"),
    ],
)
def test_a_port_that_nobody_serves_would_be_found(services, service, key, value):
    broken = copy.deepcopy(services)
    assert key in broken[service]["environment"]
    broken[service]["environment"][key] = value

    assert unserved(broken)


def test_what_is_told_to_listen_listens_where_others_look(services):
    driver = load_settings(None, environ=plain(services["driver"]["environment"]))
    gateway = load_settings(None, environ=plain(services["gateway"]["environment"]))

    assert {str(driver.metrics.port)} == set(services["driver"]["expose"])
    assert str(gateway.gateway.port) == services["gateway"]["ports"][0].rpartition(":")[2]
    assert driver.metrics.host == gateway.gateway.host == "0.0.0.0"


def test_kafka_listens_at_all_that_it_advertises(services):
    lines = kafka_properties(services["kafka"]["environment"]).splitlines()
    told = dict(line.partition("=")[::2] for line in lines)

    names = {one.partition(":")[0] for one in told["listeners"].split(",")}
    advertised = dict(one.split("://") for one in told["advertised.listeners"].split(","))
    mapped = {one.partition(":")[0] for one in told["listener.security.protocol.map"].split(",")}
    assert names == mapped == {*advertised, "CONTROLLER"}
    assert advertised["INTERNAL"] in services["kafka"]["healthcheck"]["test"]
    assert told["controller.quorum.voters"].startswith(told["node.id"] + "@")


def test_kafka_s_health_check_has_memory_for_a_jvm_of_its_own(services):
    """It inherits the heap of the broker; where both have no room, one of them is killed."""
    kafka = services["kafka"]
    (heap,) = map(int, re.findall(r"-Xmx(\d+)m", kafka["environment"]["KAFKA_HEAP_OPTS"]))
    limit = int(kafka["deploy"]["resources"]["limits"]["memory"].removesuffix("m"))

    assert limit >= 2 * heap + 512, "MiB: two heaps, and what a JVM takes besides"


def test_nothing_is_published_beyond_this_machine(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports), ports


# -- what the services are told ------------------------------------------------------------------


def plain(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without those whose files are in a container only."""
    return {name: value for name, value in environment.items() if not name.endswith("_FILE")}


def test_every_setting_in_it_exists(services):
    for service in ours(services).values():
        environment = service.get("environment", {})
        load_settings(FOLDER / "vigie.toml", environ=plain(environment))
        for name in environment:
            if name.endswith("_FILE"):
                load_settings(None, environ={name.removesuffix("_FILE"): "x" * 32})


def test_a_typing_error_in_a_variable_would_be_found(services):
    environment = plain(services["driver"]["environment"])

    with pytest.raises(InvalidSettingsError, match="bootstrap"):
        load_settings(None, environ=environment | {"VIGIE_KAFKA__BOOTSTARP": "kafka:19092"})


def test_every_vigie_command_parses(services, vigie):
    commands = {
        name: words_of(service["command"])
        for name, service in ours(services).items()
        if "command" in service
    }

    assert {"driver", "gateway", "topics", "demo-plant"} < set(commands)
    for words in commands.values():
        parse(vigie, words)


def test_the_plant_of_the_demo_has_room_for_its_faults_and_streams_what_the_model_has_not_seen(
    services,
):
    history, plant = (
        dict(re.findall(r"--([a-z-]+)=(\S+)", " ".join(services[name]["command"])))
        for name in ("demo-history", "demo-plant")
    )

    assert history["machines"] == plant["machines"]
    machines = int(plant["machines"])
    RandomSchedule(machines=machines, seed=0, faults_per_epoch=int(plant["faults"]))
    with pytest.raises(ValueError, match="do not fit"):
        RandomSchedule(machines=machines, seed=0, faults_per_epoch=240)
    hours = int(history["first-row"]) / 3600
    assert hours > 5, "the rows of the history come around after so long a demo"


@pytest.mark.parametrize("name", ["demo-history", "demo-model"])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_model_that_is_there_is_not_made_again(services, tmp_path, name, is_there):
    """Each `up` starts these two again, below a driver that runs with that model."""
    service = services[name]
    assert any(volume.startswith("models:/models") for volume in service["volumes"])
    if is_there:
        (tmp_path / "current").mkdir()
    vigie = tmp_path / "vigie"
    vigie.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    vigie.chmod(0o755)
    words = [word.replace("/models", str(tmp_path)) for word in service["entrypoint"]]

    done = subprocess.run(
        [*words, *service["command"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    if is_there:
        assert "a model in the volume already" in done.stdout
    else:
        assert done.stdout.splitlines() == service["command"]


def test_every_ray_node_asks_for_the_token(services):
    nodes = {n: s for n, s in services.items() if "ray-token" in s.get("secrets", [])}

    assert set(nodes) == {"ray-head", "ray-worker", "ray-worker-gpu", "driver"}
    for name, service in services.items():
        starts_ray = "ray" in words_of(service.get("entrypoint", []))
        assert not starts_ray or name in nodes
    for node in nodes.values():
        assert node["environment"]["RAY_AUTH_MODE"] == "token"
        assert node["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray-token"


def test_the_images_of_other_services_are_pinned(services):
    for name, service in services.items():
        _, _, tag = service["image"].partition(":")
        assert name in ours(services) or re.match(r"v?\d", tag), service["image"]


def test_kafka_is_the_version_that_the_tests_run(services):
    from workers.broker.jars import KAFKA_VERSION

    assert BrokerConfig().port is None
    assert services["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


# -- files ---------------------------------------------------------------------------------------


def test_every_mounted_file_exists_and_every_file_is_mounted(services):
    sources = {source for service in services.values() for source in mounted(service, ROOT)}

    assert [str(source) for source in sources if not source.exists()] == []
    there = {path for path in FOLDER.rglob("*") if path.is_file()} - {FOLDER / "secrets.sh"}
    assert there <= sources


def test_volumes_are_those_that_services_mount(document):
    mounts = {
        volume.partition(":")[0]
        for service in document["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith("./")
    }

    assert mounts == set(document["volumes"])


def test_grafana_finds_its_dashboards_and_prometheus(services):
    """There is no Grafana to run here: what its files say is held together."""
    targets = {v.split(":")[1] for v in services["grafana"]["volumes"]}
    providers = yaml.safe_load((FOLDER / "grafana/dashboards.yml").read_text())["providers"]
    sources = yaml.safe_load((FOLDER / "grafana/datasources.yml").read_text())["datasources"]

    assert {one["options"]["path"] for one in providers} <= targets
    assert [one["url"] for one in sources] == ["http://prometheus:9090"]


def test_the_yaml_is_tidy():
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 110}}}"
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, COMPOSE, FOLDER],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout

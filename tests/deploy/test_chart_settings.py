"""The chart and the program say the same: settings, secrets, topics, rights, commands, versions."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from schemas.settings import Settings, load_settings
from schemas.settings.chart import OWNED, with_settings
from tests.deploy.test_chart import (
    DEVELOPMENT,
    ELSEWHERE,
    GPU,
    PRODUCTION,
    VARIANTS,
    variants,
)
from tests.support.helm import CHART, rendered
from tests.support.manifests import Manifest, containers, named, pods
from workers.cli.main import build_app
from workers.kafka.factory import topic_specs
from workers.kafka.rights import Operation, Resource, Right, Role, rights_of

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = CHART / "values.schema.json"
NO_LIVE = (*DEVELOPMENT, 'config.gateway={"live":"off"}')
SETUP = (*DEVELOPMENT, "strimzi.topics.create=false")
"""Users by Strimzi, topics by Vigie."""


def defaults() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def settings_of(container: Manifest, manifests: list[Manifest], tmp_path: Path) -> Settings:
    """What a container reads: its file and its variables, with files for its secrets."""
    file = tmp_path / "vigie.toml"
    file.write_text(named(manifests, "ConfigMap", "vigie-config")["data"]["vigie.toml"])
    environ = {}
    for variable in container["env"]:
        value = variable.get("value", "")
        if variable["name"].endswith("_FILE"):
            secret = tmp_path / Path(value).name
            secret.write_text("postgresql+psycopg://of-a-file\n")
            value = str(secret)
        environ[variable["name"]] = value
    return load_settings(file, environ=environ)


def vigie_containers(manifests: list[Manifest]) -> list[Manifest]:
    return [one for _, pod in pods(manifests) for one in containers(pod) if "args" in one]


def test_the_schema_of_config_is_that_of_the_settings():
    document = json.loads(SCHEMA.read_text())

    assert document == with_settings(document), (
        f"run `python -m schemas.settings.chart {SCHEMA.relative_to(ROOT)}`"
    )


def test_what_the_chart_keeps_to_itself_are_settings():
    fields = {
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        for key in getattr(field.annotation, "model_fields", ())
    }

    assert fields >= OWNED


def test_the_chart_s_own_settings_are_the_program_s_defaults():
    """But for the format of logs, which are read by machines there."""
    config = defaults()["config"]
    program = Settings().model_dump(mode="json")

    assert config.pop("log") == {"format": "json"}
    for section, table in config.items():
        for key, value in table.items():
            assert program[section][key] == value, f"{section}.{key}"


@variants
def test_every_process_can_read_its_settings(values, tmp_path):
    manifests = rendered(*values)
    found = {
        one["name"]: settings_of(one, manifests, tmp_path) for one in vigie_containers(manifests)
    }

    assert found["driver"].model.path == Path("/model")
    assert found["driver"].ray.address
    assert found["driver"].metrics.port == 9400
    assert found["gateway"].gateway.host == "0.0.0.0"
    assert found["gateway"].gateway.pipeline == "http://vigie-driver:9400"
    assert all("9093" in one.kafka.bootstrap for one in found.values())


def test_secrets_are_read_from_files_and_mounted(tmp_path):
    manifests = rendered(*ELSEWHERE)
    containers_of = {one["name"]: one for one in vigie_containers(manifests)}

    gateway = settings_of(containers_of["gateway"], manifests, tmp_path)
    assert gateway.gateway.database.get_secret_value() == "postgresql+psycopg://of-a-file"
    assert gateway.kafka.client_options()["sasl_plain_password"].startswith("postgresql")
    spec = named(manifests, "Deployment", "vigie-gateway")["spec"]["template"]["spec"]
    (volume,) = (one for one in spec["volumes"] if one["name"] == "secrets")
    mounted = {
        (source["secret"]["name"], item["key"], item["path"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert ("pg", "url", "gateway.database") in mounted
    files = [
        one["value"] for one in containers_of["gateway"]["env"] if one["name"].endswith("_FILE")
    ]
    assert {Path(file).name for file in files} == {path for _, _, path in mounted}
    # Nobody else can read the gateway's.
    driver = [one["name"] for one in containers_of["driver"]["env"]]
    assert not [name for name in driver if "GATEWAY" in name]


def test_the_topics_user_is_the_driver_s_unless_it_has_one_of_its_own():
    own = 'topics.secrets={"kafka.client.sasl_plain_password":{"name":"admin","key":"pw"}}'
    spec = named(rendered(*ELSEWHERE, own), "Deployment", "vigie-driver")["spec"]["template"][
        "spec"
    ]

    assert [one["args"][:2] for one in spec["initContainers"]] == [["topics", "create"]]
    secrets = {
        volume["name"]: volume["projected"]["sources"][0]["secret"]["name"]
        for volume in spec["volumes"]
        if volume["name"].endswith("secrets")
    }
    assert secrets == {"secrets": "kafka", "topics-secrets": "admin"}


SETTINGS = (
    'config.stream={"channels":{"flow rate":"flow.rate"},"max_gap_s":1,"max_record_bytes":500000}',
    r'config.rules=[{"name":"too \"hot\" <é>","channels":"temperature","above":90}]',
    'config.gateway={"allow_targets":["10.0.0.0/8"],"url":"https://v.example.com"}',
    'config.input={"words":{"on":1,"off":0}}',
)


def test_settings_of_every_kind_arrive_unchanged(tmp_path):
    """Numbers without a point, tables in tables, lists of tables, odd names."""
    manifests = rendered(*DEVELOPMENT, *SETTINGS)
    text = named(manifests, "ConfigMap", "vigie-config")["data"]["vigie.toml"]
    given = tomllib.loads(text)

    assert given["stream"]["channels"] == {"flow rate": "flow.rate"}
    assert given["rules"] == [{"name": 'too "hot" <é>', "channels": "temperature", "above": 90}]
    assert given["input"] == {"words": {"on": 1, "off": 0}}
    assert re.search(r'"partitions" = 4$', text, re.MULTILINE)
    assert re.search(r'"max_record_bytes" = 500000$', text, re.MULTILINE)


@pytest.mark.parametrize("values", [DEVELOPMENT, PRODUCTION], ids=["development", "production"])
def test_strimzi_makes_the_topics_that_vigie_would(values, tmp_path):
    manifests = rendered(*values)
    driver = next(one for one in vigie_containers(manifests) if one["name"] == "driver")
    specs = topic_specs(settings_of(driver, manifests, tmp_path).topics)

    made = {
        one["spec"]["topicName"]: (
            one["spec"]["partitions"],
            one["spec"]["replicas"],
            {key: str(value) for key, value in one["spec"].get("config", {}).items()},
        )
        for one in manifests
        if one["kind"] == "KafkaTopic"
    }
    assert made == {
        spec.name: (spec.partitions, spec.replication_factor, dict(spec.configs)) for spec in specs
    }


def test_three_copies_survive_one_broker():
    config = named(rendered(*PRODUCTION), "Kafka")["spec"]["kafka"]["config"]

    assert config["min.insync.replicas"] == config["transaction.state.log.min.isr"] == 2
    assert config["offsets.topic.replication.factor"] == 3


RIGHTS = {"development": DEVELOPMENT, "production": PRODUCTION, "no page": NO_LIVE, "topics": SETUP}


@pytest.mark.parametrize("values", RIGHTS.values(), ids=RIGHTS.keys())
def test_strimzi_s_users_have_the_rights_that_each_process_needs_and_no_more(values, tmp_path):
    manifests = rendered(*values)
    containers_of = {one["name"]: one for one in vigie_containers(manifests)}
    roles = {"driver": Role.RUN, "gateway": Role.GATEWAY, "topics": Role.SETUP}

    users = {
        one["metadata"]["name"].removeprefix("vigie-"): one["spec"]["authorization"]["acls"]
        for one in manifests
        if one["kind"] == "KafkaUser"
    }
    # Whoever sends readings is no pod of the chart.
    assert users.keys() == (containers_of.keys() & roles.keys()) | {"producer"}
    roles["producer"] = Role.PRODUCER
    for name, acls in users.items():
        settings = settings_of(
            containers_of.get(name, containers_of["driver"]), manifests, tmp_path
        )
        given = [
            Right(
                Resource(acl["resource"]["type"]),
                acl["resource"]["name"],
                Operation(operation),
                is_prefix=acl["resource"]["patternType"] == "prefix",
            )
            for acl in acls
            for operation in acl["operations"]
        ]
        assert sorted(given) == sorted(rights_of(roles[name], settings)), name
        if name in containers_of:
            assert settings.kafka.client_options()["sasl_plain_username"] == f"vigie-{name}"


def test_every_command_of_a_pod_exists():
    app: Any = typer.main.get_command(build_app())
    lines = {
        tuple(container["args"])
        for values in VARIANTS.values()
        for container in vigie_containers(rendered(*values))
    }

    assert {line[0] for line in lines} == {"run", "serve", "topics", "tokens"}
    for line in lines:
        command, words = app, [*line]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_ray_start_takes_what_the_chart_says():
    from ray.scripts.scripts import start

    cluster = named(rendered(*GPU), "RayCluster")["spec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    said = {f"--{name}" for group in groups for name in group["rayStartParams"]}

    assert said <= {option for parameter in start.params for option in parameter.opts}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["rayVersion"] == importlib.metadata.version("ray")


def test_the_driver_s_ray_node_has_the_memory_that_it_takes():
    from workers.supervision.ray.own_node import _STORE_BYTES

    size = defaults()["driver"]["sharedMemory"]

    assert int(size.removesuffix("Mi")) * 2**20 > _STORE_BYTES
    assert size.endswith("Mi")


def test_versions_agree():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert chart["appVersion"] == chart["version"] == project["version"]
    gpu = yaml.safe_load((CHART / "values-gpu.yaml").read_text())
    assert gpu["ray"]["workerGroups"]["gpu"]["image"]["tag"].startswith(project["version"])

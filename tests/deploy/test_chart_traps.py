"""Values that Helm takes and that a cluster would not: each becomes what works, or is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_chart import (
    CUDA,
    DEVELOPMENT,
    ELSEWHERE,
    GPU,
    NO_USERS,
    PRODUCTION,
    flags,
)
from tests.deploy.test_chart_policies import policies_of
from tests.deploy.test_chart_settings import settings_of, vigie_containers
from tests.support.helm import CHART, KUBERNETES, rendered, run
from tests.support.manifests import Manifest, named, pods

IMAGE_MODEL = ("--set", "model.claim=,model.image=models/pumps:3")


def template(
    *arguments: str, release: str = "vigie", version: str = KUBERNETES, chart: Path = CHART
) -> tuple[list[Manifest], str]:
    """What a release on some version of Kubernetes becomes; manifests, or why there are none."""
    done = run(
        *("template", release, chart, "-n", "plant", "--kube-version", version),
        *flags(DEVELOPMENT),
        *arguments,
    )
    return [one for one in yaml.safe_load_all(done.stdout) if one], done.stderr


def driver_of(manifests: list[Manifest], tmp_path: Path) -> Any:
    (driver,) = (one for one in vigie_containers(manifests) if one["name"] == "driver")
    return settings_of(driver, manifests, tmp_path)


def test_gpus_are_used_that_come_after_the_driver(tmp_path):
    """auto would go by those that are there when it joins."""
    assert driver_of(rendered(*GPU), tmp_path).model.device == "cuda"


def test_kafka_without_users_is_spoken_to_by_tls_and_asks_nobody_who_he_is(tmp_path):
    manifests = rendered(*NO_USERS)
    (listener,) = named(manifests, "Kafka")["spec"]["kafka"]["listeners"]

    assert listener["tls"] is True
    assert "authentication" not in listener
    assert "authorization" not in named(manifests, "Kafka")["spec"]["kafka"]
    for container in vigie_containers(manifests):
        options = settings_of(container, manifests, tmp_path).kafka.client_options()
        assert options["security_protocol"] == "SSL", container["name"]
        assert options["ssl_cafile"] == "/run/secrets/kafka/ca.crt"


OWN_USERS = (
    *(*NO_USERS, "strimzi.kafka.create=false", 'strimzi.cluster="central"'),
    'config.kafka.client={"sasl_mechanism":"SCRAM-SHA-512","sasl_plain_username":"vigie"}',
)
PROTOCOLS = {
    "users of one's own": (OWN_USERS, "SASL_SSL"),
    "as is said": ((*NO_USERS, 'config.kafka.client={"security_protocol":"SASL_SSL"}'), "SASL_SSL"),
    "another listener": ((*NO_USERS, 'kafka.bootstrap="mine:9092"'), None),
    "users of Strimzi": (DEVELOPMENT, "SASL_SSL"),
    "no Strimzi": ((*ELSEWHERE, "config.kafka.client={}"), None),
}


@pytest.mark.parametrize(("values", "protocol"), PROTOCOLS.values(), ids=PROTOCOLS.keys())
def test_the_protocol_of_kafka_is_guessed_where_nobody_says_it(values, protocol, tmp_path):
    settings = driver_of(rendered(*values), tmp_path)

    assert settings.kafka.client_options().get("security_protocol") == protocol


def test_an_authority_of_one_s_own_is_trusted_in_the_place_of_strimzi_s(tmp_path):
    mine = "/run/secrets/kafka/mine.crt"
    settings = driver_of(
        rendered(*NO_USERS, f'config.kafka.client={{"ssl_cafile":"{mine}"}}'), tmp_path
    )

    assert settings.kafka.client_options()["ssl_cafile"] == mine


TIMEOUTS = {
    "pods on demand": (PRODUCTION, 900),
    "as is said": ((*PRODUCTION, "config.ray.start_timeout_s=1800"), 1800),
    "pods that are there": (DEVELOPMENT, 120),
}


@pytest.mark.parametrize(("values", "timeout_s"), TIMEOUTS.values(), ids=TIMEOUTS.keys())
def test_a_worker_waits_for_the_node_that_comes_for_it(values, timeout_s, tmp_path):
    assert driver_of(rendered(*values), tmp_path).ray.start_timeout_s == timeout_s


def test_a_model_s_image_is_refused_where_kubernetes_has_no_such_volume():
    _, reason = template(*IMAGE_MODEL, version="1.30.4")
    assert "model.image" in reason
    assert "1.31" in reason

    for version in ("1.31.0", "1.35.2"):
        assert not template(*IMAGE_MODEL, version=version)[1]


@pytest.mark.parametrize(
    ("version", "is_noted"), [("1.31.0", True), ("1.34.2", True), ("1.35.0", False)]
)
def test_what_a_model_s_image_needs_of_an_older_kubernetes_is_said_at_the_end(
    version, is_noted, tmp_path
):
    assert ("ImageVolume" in notes(tmp_path, *IMAGE_MODEL, version=version)) is is_noted


GPUS = "ray.workerGroups.cpu.gpus=1"
NOTES = {
    "a short grace": ("gateway.terminationGracePeriodSeconds=36", "gateway.drainSeconds take 10"),
    "GPUs that come late": (GPUS, "those that come after the driver stay unused"),
    "GPUs that nobody uses": (f"{GPUS},config.model.device=cpu", "they stay unused"),
    "pods beyond the most": (
        "ray.workerGroups.cpu.replicas=3",
        "minReplicas and maxReplicas, at 1",
    ),
}


@pytest.mark.parametrize(("values", "said"), NOTES.values(), ids=NOTES.keys())
def test_what_works_but_not_well_is_said_at_the_end(values, said, tmp_path):
    """Not refused: what is installed with such values can still be upgraded."""
    (tmp_path / "without").mkdir()

    assert said in notes(tmp_path, "--set", values)
    assert said not in notes(tmp_path / "without")


def notes(folder: Path, *arguments: str, version: str = KUBERNETES) -> str:
    """What helm says at the end. `helm template` keeps it to itself, so here it is a manifest."""
    chart = shutil.copytree(CHART, folder / "vigie")
    shutil.move(chart / "templates" / "NOTES.txt", chart / "notes")
    (chart / "templates" / "notes.yaml").write_text(
        'kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "notes") . | quote }}\n'
    )

    manifests, reason = template(*arguments, version=version, chart=chart)

    assert manifests, reason
    text: str = named(manifests, "Notes")["text"]
    return text


def gpus_by(resource: str) -> tuple[str, ...]:
    """A pod whose GPU is among the limits of its resources, and not in `gpus`."""
    resources = (
        f'{{"requests":{{"cpu":2,"memory":"4Gi"}},"limits":{{"memory":"4Gi","{resource}":1}}}}'
    )
    return ('config.model.device="cuda"', f"ray.workerGroups.cpu.resources={resources}")


AUTOSCALER = "ray.autoscaler.enabled=true"
TAKEN = {
    "GPUs among the limits": gpus_by("nvidia.com/gpu"),
    "GPUs of another maker": gpus_by("amd.com/gpu"),
    "parts of GPUs": gpus_by("nvidia.com/mig-1g.10gb"),
    "scorers that reserve none": (
        'config.model.device="cuda"',
        "config.workers.num_gpus_per_scorer=0",
    ),
    "pods on demand for a number that stays": (AUTOSCALER, "config.workers.ingest=2"),
    "pods on demand without scaling": (AUTOSCALER, 'config.workers.scaling="off"'),
    "pods on demand for scorers that stay": (
        *(*CUDA, AUTOSCALER),
        'config.workers={"max_ingest":2,"scorers":1}',
    ),
    "a long name of everything": (
        'fullnameOverride="a-name-that-is-longer-than-the-40-there-are"',
    ),
    "a digit after the name of the release": ('nameOverride="3rd"',),
    "a tag beside the digest": (
        'image={"repository":"vigie:1","digest":"sha256:%s"}' % ("0" * 64),
    ),
    "values of the first version": ("strimzi.kafka.poolPrefix=null", "monitoring.runbookUrl=null"),
}


@pytest.mark.parametrize("values", TAKEN.values(), ids=TAKEN.keys())
def test_what_works_is_not_refused(values):
    assert rendered(*DEVELOPMENT, *values)


@pytest.mark.parametrize("values", [*TIMEOUTS.values()], ids=TIMEOUTS.keys())
def test_a_driver_that_waits_for_its_workers_has_not_failed_yet(values, tmp_path):
    manifests = rendered(*values[0], "driver.startupSeconds=700")
    spec = named(manifests, "Deployment", "vigie-driver")["spec"]

    needs_s = driver_of(manifests, tmp_path).ray.start_timeout_s + 700
    assert spec["progressDeadlineSeconds"] >= needs_s + 300, "its own node, and the image there"


def gateway_rule(*values: str) -> Manifest:
    manifests = rendered(*DEVELOPMENT, *values)
    policies = policies_of(dict(pods(manifests))["vigie-gateway"], manifests)
    rules: list[Manifest] = [rule for policy in policies for rule in policy.get("ingress", ())]
    (found,) = (one for one in rules if 8080 in [port["port"] for port in one.get("ports", ())])
    return found


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
def test_who_comes_from_outside_reaches_a_gateway_that_is_shown_there(kind):
    """Such a client has an address outside, or a node's: it is in no namespace."""
    shown = f'gateway.service.type="{kind}"'

    assert "from" not in gateway_rule(shown)
    office = '[{"ipBlock":{"cidr":"10.0.0.0/8"}}]'
    narrowed = gateway_rule(shown, f'networkPolicy.gateway={{"from":{office}}}')
    assert narrowed["from"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert gateway_rule()["from"] == [{"namespaceSelector": {}}]


@pytest.mark.parametrize("release", ["3rd", "v1.0"])
def test_a_release_whose_services_could_not_be_made_is_refused(release):
    assert "fullnameOverride" in template(release=release)[1]
    assert not template("--set", "fullnameOverride=third", release=release)[1]


def test_two_releases_in_a_namespace_take_nothing_from_each_other():
    """But topics, which are Kafka's: a second release has others, or leaves them to the first."""
    made = [
        {
            (one["kind"], one["metadata"]["name"])
            for one in template("--set", f"strimzi.kafka.poolPrefix={prefix}", release=release)[0]
        }
        for release, prefix in (("one", ""), ("two", "two-"))
    ]

    assert {kind for kind, _ in made[0] & made[1]} == {"KafkaTopic"}


def test_a_name_of_full_length_has_room_for_its_pods_of_kafka():
    name = "n" * 40
    assert rendered(*PRODUCTION, f'fullnameOverride="{name}"')


def test_the_pools_of_kafka_are_of_its_cluster_under_the_names_that_they_have():
    """A pool of another name would be a second set of nodes beside those that run."""
    manifests = rendered(*PRODUCTION)
    cluster = named(manifests, "Kafka")["metadata"]["name"]

    found = {
        one["metadata"]["name"]: one["metadata"]["labels"]["strimzi.io/cluster"]
        for one in manifests
        if one["kind"] == "KafkaNodePool"
    }
    assert found == {"controller": cluster, "broker": cluster}


def test_an_alert_s_runbook_opens_where_the_repository_is():
    base = "https://git.example.com/vigie/blob/v0.1.0"
    text = yaml.safe_dump(
        named(rendered(*PRODUCTION, f'monitoring.runbookUrl="{base}/"'), "PrometheusRule")
    )

    urls = re.findall(r"runbook_url: (\S+)", text)
    assert urls
    assert all(re.fullmatch(rf"{base}/docs/runbooks/Vigie\w+\.md", url) for url in urls)


def test_a_gateway_that_need_not_drain_is_taken_by_an_older_kubernetes():
    """Up to 1.32 a sleep of 0 seconds is refused."""
    gateway = named(rendered(*DEVELOPMENT, "gateway.drainSeconds=0"), "Deployment", "vigie-gateway")

    assert "lifecycle" not in gateway["spec"]["template"]["spec"]["containers"][0]

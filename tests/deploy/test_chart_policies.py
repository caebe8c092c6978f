"""The chart's pods are restricted, watched rightly, stopped gently, and reach what they need."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from schemas.settings import Settings
from tests.deploy.test_chart import (
    DEVELOPMENT,
    ELSEWHERE,
    GPU,
    PRODUCTION,
    RAY_ELSEWHERE,
    RAY_NODES,
    variants,
)
from tests.support.helm import rendered
from tests.support.manifests import (
    Manifest,
    containers,
    named,
    pods,
    policy_problems,
    probed,
    selects,
)


@variants
def test_every_pod_is_restricted(values):
    found = {
        name: problems
        for name, pod in pods(rendered(*values))
        if (problems := policy_problems(pod))
    }

    assert not found


def _pod() -> Manifest:
    return dict(pods(rendered(*DEVELOPMENT)))["vigie-driver"]


PLANTS: dict[str, tuple[Callable[[Manifest, Manifest], Any], str]] = {
    "root": (lambda spec, _: spec["securityContext"].pop("runAsNonRoot"), "may run as root"),
    "no seccomp": (lambda spec, _: spec["securityContext"].pop("seccompProfile"), "no seccomp"),
    "host path": (
        lambda spec, _: spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        "mounts the host",
    ),
    "host network": (lambda spec, _: spec.update(hostNetwork=True), "shares the host"),
    "API token": (lambda spec, _: spec.pop("automountServiceAccountToken"), "has a token"),
    "writable root": (
        lambda _, main: main["securityContext"].update(readOnlyRootFilesystem=False),
        "may write to its root",
    ),
    "capabilities": (
        lambda _, main: main["securityContext"].update(capabilities={"add": ["NET_ADMIN"]}),
        "keeps capabilities",
    ),
    "no limit": (lambda _, main: main["resources"].pop("limits"), "no limit of memory"),
    "latest": (lambda _, main: main.update(image="vigie:latest"), "without a version"),
    "no tag": (lambda _, main: main.update(image="registry:5000/vigie"), "without a version"),
    "a password": (
        lambda _, main: main["env"].append(
            {"name": "VIGIE_KAFKA__CLIENT__SASL_PLAIN_PASSWORD", "value": "hunter2"}
        ),
        "a secret in plain",
    ),
    "no volume": (lambda spec, _: spec["volumes"].clear(), "which is no volume"),
}


@pytest.mark.parametrize(("plant", "said"), PLANTS.values(), ids=PLANTS.keys())
def test_a_planted_fault_breaks_the_policy(plant, said):
    pod = _pod()
    assert policy_problems(pod) == []

    plant(pod["spec"], pod["spec"]["containers"][0])

    assert any(said in problem for problem in policy_problems(pod))


@variants
def test_no_manifest_holds_a_secret(values):
    assert not [one for one in rendered(*values) if one["kind"] == "Secret"]


@variants
def test_every_container_is_probed_and_never_killed_for_kafka(values):
    """Liveness asks the process alone; what waits for Kafka or a database is readiness."""
    for name, pod in pods(rendered(*values)):
        for container in pod["spec"]["containers"]:
            assert len(probed(container, ["startup", "liveness", "readiness"])) == 3, name
            for probe in probed(container, ["startup", "liveness"]):
                assert "tcpSocket" in probe or probe["httpGet"]["path"] == "/healthz", name
                assert "exec" not in probe
            ready = container["readinessProbe"]
            assert "tcpSocket" in ready or ready["httpGet"]["path"] == "/readyz", name
            offered = {port["name"] for port in container["ports"]}
            for probe in probed(container, ["startup", "liveness", "readiness"]):
                ((_, how),) = ((k, v) for k, v in probe.items() if k in {"httpGet", "tcpSocket"})
                assert how["port"] in offered


@pytest.mark.parametrize("drain_s", [Settings().processing.drain_timeout_s, 240.5])
def test_a_pod_is_killed_only_after_its_drain(drain_s):
    manifests = rendered(*PRODUCTION, f"config.processing.drain_timeout_s={drain_s}")
    found = dict(pods(manifests))

    grace = {
        name: pod["spec"].get("terminationGracePeriodSeconds", 30) for name, pod in found.items()
    }
    assert grace["vigie-driver"] > drain_s + 15
    # Workers hand over, or stay while the driver drains; the head is there for both.
    (worker,) = found["ray-cpu"]["spec"]["containers"]
    env = {one["name"]: one["value"] for one in worker["env"]}
    stays = int(env["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert drain_s + 15 < stays < grace["ray-cpu"] - 10
    (head,) = found["ray-head"]["spec"]["containers"]
    assert stays <= head["lifecycle"]["preStop"]["sleep"]["seconds"] < grace["ray-head"] - 10
    gateway = found["vigie-gateway"]["spec"]["containers"][0]
    assert gateway["lifecycle"]["preStop"]["sleep"]["seconds"] < grace["vigie-gateway"] - 30


def test_one_driver_and_never_two():
    driver = named(rendered(*PRODUCTION), "Deployment", "vigie-driver")

    assert driver["spec"]["replicas"] == 1
    assert driver["spec"]["strategy"] == {"type": "Recreate"}


def test_gateways_are_evicted_one_at_a_time_and_spread_over_zones():
    manifests = rendered(*PRODUCTION)
    budget = named(manifests, "PodDisruptionBudget")
    found = dict(pods(manifests))

    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]
    assert selects(budget["spec"]["selector"], found["vigie-gateway"]["metadata"]["labels"])
    for name in ("vigie-gateway", "ray-cpu"):
        spread = found[name]["spec"]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in spread] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        labels = found[name]["metadata"]["labels"] | {"ray.io/group": "cpu"}
        assert all(selects(one["labelSelector"], labels) for one in spread)


def test_the_number_of_gateways_is_left_to_who_scales_them():
    manifests = rendered(*PRODUCTION)
    scaler = named(manifests, "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]

    deployment = named(manifests, target["kind"], target["name"])
    assert "replicas" not in deployment["spec"]
    assert scaler["spec"]["minReplicas"] >= 2


def test_nothing_scales_a_ray_cluster_from_outside():
    """It has no scale subresource: whoever tries fails at run time."""
    keda = ('gateway.autoscaling={"kind":"keda","keda":{"prometheus":"http://prometheus"}}',)
    targets = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in rendered(*PRODUCTION, *keda)
        if "scaleTargetRef" in (one.get("spec") or {})
    }

    assert targets == {"vigie-gateway"}


@pytest.mark.parametrize("values", [DEVELOPMENT, GPU, RAY_ELSEWHERE], ids=["dev", "gpu", "ray"])
def test_every_pod_is_shut_off_but_for_what_is_named(values):
    manifests = rendered(*values)
    policies = [one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"]

    for name, pod in pods(manifests):
        own = [one for one in policies if selects(one["podSelector"], pod["metadata"]["labels"])]
        closed = {kind for one in own for kind in one["policyTypes"]}
        assert closed == {"Ingress", "Egress"}, name
        assert 53 in set(ports_out(own)), f"{name} cannot look up names"


def test_who_talks_to_kafka_reaches_it_and_the_head_does_not():
    manifests = rendered(*DEVELOPMENT)
    policies = [one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"]

    reached = {
        name
        for name, pod in pods(manifests)
        if 9093
        in ports_out([p for p in policies if selects(p["podSelector"], pod["metadata"]["labels"])])
    }
    assert reached == {"vigie-driver", "ray-cpu", "vigie-gateway"}


def test_the_head_alone_reaches_redis():
    """6379 of Redis, by a rule of ports: Ray's own rule is about pods."""
    manifests = rendered(*ELSEWHERE)

    reached = {
        name for name, pod in pods(manifests) if 6379 in ports_out(policies_of(pod, manifests))
    }
    assert reached == {"ray-head"}


def test_the_driver_and_a_ray_cluster_that_is_there_reach_each_other():
    manifests = rendered(*RAY_ELSEWHERE)
    own = policies_of(dict(pods(manifests))["vigie-driver"], manifests)
    (nodes,) = json.loads(RAY_NODES)

    # On any port: Ray chooses them.
    for way, peers in (("ingress", "from"), ("egress", "to")):
        rules = [rule for policy in own for rule in policy.get(way, ())]
        assert [rule for rule in rules if nodes in rule.get(peers, ()) and "ports" not in rule]


@pytest.mark.parametrize("who", ["[]", '[{"podSelector":{"matchLabels":{"app":"browser"}}}]'])
def test_prometheus_reads_the_metrics_of_driver_and_gateway(who):
    prometheus = '{"podSelector":{"matchLabels":{"app":"prometheus"}}}'
    values = [f'networkPolicy.gateway={{"from":{who}}}']
    if who != "[]":
        values.append(f'networkPolicy.metrics={{"from":[{prometheus}]}}')
    manifests = rendered(*PRODUCTION, *values)

    for name, port in (("vigie-driver", 9400), ("vigie-gateway", 8080)):
        own = policies_of(dict(pods(manifests))[name], manifests)
        rules = [rule for policy in own for rule in policy.get("ingress", ())]
        (rule,) = (one for one in rules if port in [each["port"] for each in one.get("ports", ())])
        allowed = {"namespaceSelector": {}} if who == "[]" else json.loads(prometheus)
        assert allowed in rule["from"], name


def policies_of(pod: Manifest, manifests: list[Manifest]) -> list[Manifest]:
    policies = [one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"]
    return [one for one in policies if selects(one["podSelector"], pod["metadata"]["labels"])]


def ports_out(policies: list[Manifest]) -> Iterator[int]:
    for policy in policies:
        for rule in policy.get("egress", ()):
            for port in rule.get("ports", ()):
                yield port["port"]


def test_ray_asks_for_its_token_everywhere():
    manifests = rendered(*GPU)
    cluster = named(manifests, "RayCluster")
    driver = named(manifests, "Deployment", "vigie-driver")

    assert cluster["spec"]["authOptions"]["mode"] == "token"
    for name, pod in pods(manifests):
        if name.startswith("ray-") or name == "vigie-driver":
            for container in pod["spec"]["containers"]:
                modes = [one for one in container["env"] if one["name"] == "RAY_AUTH_MODE"]
                assert [one["value"] for one in modes] == ["token"], name
    # KubeRay makes the Secret under the cluster's own name, with this key.
    (volume,) = (
        one for one in driver["spec"]["template"]["spec"]["volumes"] if one["name"] == "ray-token"
    )
    assert volume["secret"]["secretName"] == cluster["metadata"]["name"]
    assert volume["secret"]["items"][0]["key"] == "auth_token"


def test_the_autoscaler_s_account_is_not_the_one_without_a_token():
    """KubeRay names it after the cluster; ours of that name would keep its token from it."""
    manifests = rendered(*PRODUCTION)
    head = dict(pods(manifests))["ray-head"]["spec"]

    assert named(manifests, "RayCluster")["spec"]["enableInTreeAutoscaling"] is True
    assert "serviceAccountName" not in head
    assert (
        named(manifests, "ServiceAccount")["metadata"]["name"]
        != (named(manifests, "RayCluster")["metadata"]["name"])
    )


@pytest.mark.parametrize("values", [PRODUCTION, GPU], ids=["production", "gpu"])
def test_the_most_pods_have_room_for_the_most_workers(values):
    manifests = rendered(*values)
    workers = tomllib.loads(named(manifests, "ConfigMap", "vigie-config")["data"]["vigie.toml"])[
        "workers"
    ]
    most = {"cpu": 0.0, "nvidia.com/gpu": 0.0}
    for group in named(manifests, "RayCluster")["spec"]["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for resource in most:
            most[resource] += group["maxReplicas"] * float(limits.get(resource, 0))

    scorers = workers.get("max_scorers", 0)
    assert workers["max_ingest"] + scorers <= most["cpu"]
    assert scorers * workers.get("num_gpus_per_scorer", 0) <= most["nvidia.com/gpu"]


def test_ingest_workers_have_room_beside_the_scorers_that_they_feed():
    manifests = rendered(*GPU)
    text = named(manifests, "ConfigMap", "vigie-config")["data"]["vigie.toml"]
    workers = tomllib.loads(text)["workers"]
    groups = named(manifests, "RayCluster")["spec"]["workerGroupSpecs"]
    (gpu,) = (group for group in groups if group["groupName"] == "gpu")
    limits = gpu["template"]["spec"]["containers"][0]["resources"]["limits"]

    beside = gpu["maxReplicas"] * float(limits["cpu"])
    assert workers["max_ingest"] + workers["max_scorers"] <= beside


@variants
def test_a_node_that_is_lost_lets_go_of_its_pods_after_half_a_minute(values):
    for name, pod in pods(rendered(*values)):
        waits = {
            one["key"]: one["tolerationSeconds"]
            for one in pod["spec"]["tolerations"]
            if "tolerationSeconds" in one
        }
        taints = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
        assert waits == dict.fromkeys(taints, 30), name


@variants
def test_logs_and_temporary_files_do_not_fill_a_node(values):
    for name, pod in pods(rendered(*values)):
        for volume in pod["spec"]["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), (name, volume)
        for container in pod["spec"]["containers"]:
            told = {one["name"] for one in container["env"]}
            if "RAY_AUTH_MODE" in told:
                assert told >= {"RAY_ROTATION_MAX_BYTES", "RAY_ROTATION_BACKUP_COUNT"}, name


def test_a_gpu_is_asked_for_where_scorers_run_and_nowhere_else():
    limits = {
        name: [
            container["resources"]["limits"].get("nvidia.com/gpu") for container in containers(pod)
        ]
        for name, pod in pods(rendered(*GPU))
    }

    assert [name for name, gpus in limits.items() if any(gpus)] == ["ray-gpu"]


def test_a_digest_goes_before_a_tag():
    digest = "sha256:" + "0" * 64
    images = {
        container["image"]
        for _, pod in pods(rendered(*DEVELOPMENT, f'image={{"digest":"{digest}"}}'))
        for container in containers(pod)
    }

    assert images == {f"vigie@{digest}"}


def test_the_alerts_find_the_jobs_that_are_scraped_whatever_the_release_is_called():
    manifests = rendered(*PRODUCTION, 'fullnameOverride="seven"')
    jobs = {
        endpoint["relabelings"][0]["replacement"]
        for one in manifests
        if one["kind"] == "ServiceMonitor"
        for endpoint in one["spec"]["endpoints"]
    }

    rules = yaml.safe_dump(named(manifests, "PrometheusRule")["spec"])
    wanted = set(re.findall(r'job=~"([^"]+)"', rules))
    assert wanted
    assert [job for job in wanted if not any(re.fullmatch(job, one) for one in jobs)] == []

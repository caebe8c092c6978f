"""The chart is what Kubernetes takes: Helm, Kubernetes' schemas, those of the custom resources."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.support.helm import CHART, refused, rendered, run
from tests.support.manifests import Manifest, as_pod, named, pods, schema_problems, selects

DEVELOPMENT = ("values-development.yaml",)
PRODUCTION = ("values-production.yaml",)
GPU = (*PRODUCTION, "values-gpu.yaml")
MODEL = 'model={"claim":"vigie-model"}'
DATABASE = (
    r'gateway.secrets.gateway\.database={"name":"pg","key":"url"}',
    r'gateway.secrets.gateway\.secret_key={"name":"pg","key":"key"}',
)
ELSEWHERE = (
    MODEL,
    'kafka={"bootstrap":"kafka-1:9093,kafka-2:9093","filesSecret":"kafka-ca"}',
    'secrets={"kafka.client.sasl_plain_password":{"name":"kafka","key":"password"}}',
    'config.kafka.client={"security_protocol":"SASL_SSL","sasl_mechanism":"SCRAM-SHA-512"}',
    'ray.tokenSecret="ray"',
    'ray.faultTolerance={"backend":"redis","redis":{"address":"redis:6379"}}',
    'ray.faultTolerance.redis.passwordSecret={"name":"redis","key":"password"}',
    *DATABASE,
    'gateway.autoscaling={"kind":"keda","keda":{"prometheus":"http://prometheus:9090"}}',
)
"""Kafka, PostgreSQL and Redis that others run; KEDA."""
RAY_NODES = '[{"ipBlock":{"cidr":"10.50.0.0/16"}}]'
RAY_ADDRESS = 'ray={"address":"ray:6379","tokenSecret":"ray"}'
RAY_POLICY = f'networkPolicy.ray={{"to":{RAY_NODES},"from":{RAY_NODES}}}'
RAY_ELSEWHERE = (*DEVELOPMENT, RAY_ADDRESS, RAY_POLICY)
CUDA = ("ray.workerGroups.cpu.gpus=1", 'config.model.device="cuda"')
NO_USERS = (*DEVELOPMENT, "strimzi.users.create=false")
"""Kafka by Strimzi, which lets in whoever comes by TLS."""
ROCKSDB = (*DEVELOPMENT, 'ray.faultTolerance={"backend":"rocksdb","rocksdb":{"storageClass":"x"}}')
VARIANTS = {
    "development": DEVELOPMENT,
    "production": PRODUCTION,
    "gpu": GPU,
    "elsewhere": ELSEWHERE,
    "ray elsewhere": RAY_ELSEWHERE,
    "rocksdb": ROCKSDB,
    "no users": NO_USERS,
}
variants = pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())


@pytest.mark.parametrize("values", [DEVELOPMENT, PRODUCTION, GPU], ids=["dev", "prod", "gpu"])
def test_helm_lint_has_nothing_to_say(values):
    done = run("lint", CHART, "--strict", "--kube-version", "1.34.0", *flags(values))

    assert done.returncode == 0, done.stdout + done.stderr


@variants
def test_every_manifest_follows_its_schema(values):
    manifests = rendered(*values)

    found = {
        f"{manifest['kind']} {manifest['metadata']['name']}": problems
        for manifest in manifests
        if (problems := schema_problems(manifest))
    }
    found |= {name: p for name, pod in pods(manifests) if (p := schema_problems(as_pod(pod)))}

    assert not found
    assert len(manifests) > 10


def _unknown_field(manifests: list[Manifest]) -> Manifest:
    driver = named(manifests, "Deployment", "vigie-driver")
    driver["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    return driver


def _wrong_mode(manifests: list[Manifest]) -> Manifest:
    cluster = named(manifests, "RayCluster")
    cluster["spec"]["authOptions"]["mode"] = "tokens"
    return cluster


def _old_strimzi(manifests: list[Manifest]) -> Manifest:
    kafka = named(manifests, "Kafka")
    kafka["apiVersion"] = "kafka.strimzi.io/v1beta2"
    return kafka


def _no_operations(manifests: list[Manifest]) -> Manifest:
    user = named(manifests, "KafkaUser", "vigie-driver")
    del user["spec"]["authorization"]["acls"][0]["operations"]
    return user


@pytest.mark.parametrize("plant", [_unknown_field, _wrong_mode, _old_strimzi, _no_operations])
def test_a_planted_fault_is_seen_by_a_schema(plant: Callable[[list[Manifest]], Manifest]):
    assert schema_problems(plant(rendered(*DEVELOPMENT)))


REFUSALS = {
    "an unknown value": (("gatewai={}",), "gatewai"),
    "an unknown setting": (('config.topics={"partitons":8}',), "partitons"),
    "an unknown section": (('config={"topic":{}}',), "topic"),
    "a setting out of range": (("config.topics.partitions=0",), "partitions"),
    "the address of Kafka among the settings": (
        ('config.kafka.bootstrap="kafka:9092"',),
        "bootstrap",
    ),
    "a password among the settings": (
        ('config.kafka.client={"sasl_plain_password":"hunter2"}',),
        "sasl_plain_password",
    ),
    "a password of the registry": (('config.registry={"password":"hunter2"}',), "password"),
    "a secret of something that is none": (
        ('secrets={"topics.partitions":{"name":"a","key":"b"}}',),
        "topics.partitions",
    ),
    "the tag latest": (('image.tag="latest"',), "tag"),
    "no limit of memory": (
        ('driver.resources={"limits":null}',),
        "limits",
    ),
    "more memory asked for than there may be": (
        ('driver.resources.requests.memory="3Gi"',),
        "driver.resources: the request of memory",
    ),
    "more CPUs asked for than there may be": (
        ('ray.workerGroups.cpu.resources.requests.cpu="2500m"',),
        "ray.workerGroups.cpu.resources: the request of cpu",
    ),
    "no ports, which is all ports": (("networkPolicy.receivers.ports=[]",), "receivers.ports"),
    "half a secret": (('driver.secrets={"registry.token":{"name":"a"}}',), "registry.token"),
    "two gateways on SQLite": (("gateway.replicas=2",), "gateway.persistence"),
    "no model": (('model.claim=""',), "model.claim"),
    "two models": (('model.image="models/pumps:3"',), "model.claim"),
    "no database": (("gateway.persistence.enabled=false",), "gateway.database"),
    "a database without a key": (
        (
            "gateway.persistence.enabled=false",
            'gateway.secrets={"gateway.database":{"name":"a","key":"b"}}',
        ),
        "gateway.secret_key",
    ),
    "no Kafka": (
        ('strimzi={"kafka":{"create":false},"topics":{"create":false},"users":{"create":false}}',),
        "kafka.bootstrap",
    ),
    "a section taken away": (("strimzi=null",), "strimzi"),
    "a Ray cluster without its token": (
        ('ray.address="ray:6379"', RAY_POLICY),
        "ray.tokenSecret",
    ),
    "a Ray cluster that the driver may not reach": ((RAY_ADDRESS,), "networkPolicy.ray"),
    "metrics that Prometheus may not read": (
        (
            "monitoring.serviceMonitor.enabled=true",
            'gateway.tokens={"prometheus":{"scope":"read","secret":{"name":"a","key":"b"}}}',
            'networkPolicy.gateway={"from":[{"podSelector":{}}]}',
        ),
        "networkPolicy.metrics.from",
    ),
    "two priority classes": (
        ('priorityClass={"create":true,"name":"high"}',),
        "priorityClass.create",
    ),
    "Prometheus without a token": (
        ("monitoring.serviceMonitor.enabled=true",),
        "gateway.tokens",
    ),
    "pods on demand that nobody would demand": (
        ("ray.autoscaler.enabled=true",),
        "config.workers.max_ingest",
    ),
    "scorers on demand that nobody would demand": (
        ("ray.autoscaler.enabled=true", 'config.workers={"max_ingest":2,"placement":"actors"}'),
        "config.workers.max_scorers",
    ),
    "an ingress without a host": (("gateway.ingress.enabled=true",), "gateway.ingress.host"),
    "GPUs that no pod has": (('config.model.device="cuda"',), "gpus"),
    "more GPUs for a scorer than a pod has": (
        (*CUDA, "config.workers.num_gpus_per_scorer=2"),
        "config.workers.num_gpus_per_scorer",
    ),
    "GPUs that ingest workers do not get": (
        (*CUDA, 'config.workers.placement="ingest"'),
        "config.workers.placement",
    ),
    "GPUs on demand that nobody would demand": (
        (*CUDA, "ray.autoscaler.enabled=true", "config.workers.max_ingest=2"),
        "config.workers.max_scorers",
    ),
    "fewer pods at most than at least": (
        ("ray.workerGroups.cpu.minReplicas=2",),
        "ray.workerGroups.cpu: maxReplicas",
    ),
    "fewer CPUs than workers": (("config.workers.min_ingest=3",), "ray.workerGroups"),
    "fewer CPUs than workers that are set": (("config.workers.ingest=4",), "ray.workerGroups"),
    "fewer CPUs in the pods that KubeRay would make": (
        ("config.workers.ingest=4", "ray.workerGroups.cpu.replicas=2"),
        "ray.workerGroups",
    ),
    "fewer CPUs than workers and scorers": (
        ('config.workers={"ingest":2,"placement":"actors"}',),
        "3 workers",
    ),
    "more copies than brokers": (
        ("config.topics.replication_factor=3",),
        "config.topics.replication_factor",
    ),
    "brokers that nobody controls": (
        ('strimzi.kafka.nodePools.dual.roles=["broker"]',),
        "role controller",
    ),
    "pods of Kafka with too long a name": (
        (
            'fullnameOverride="a-name-that-is-as-long-as-a-name-can-be"',
            'strimzi.kafka.poolPrefix="of-the-second-cluster-"',
        ),
        "fullnameOverride",
    ),
    "a name that no Service may have": (('fullnameOverride="v1.0"',), "fullnameOverride"),
    "a name that begins with a digit": (('fullnameOverride="3rd"',), "fullnameOverride"),
    "a tag in the name of the image": (('image.repository="vigie:1"',), "repository"),
    "a digest in the name of the image": (('image.repository="vigie@sha256:1"',), "repository"),
    "a gateway that has to drain longer than it may live": (
        ("gateway.drainSeconds=90",),
        "gateway.terminationGracePeriodSeconds",
    ),
    "fewer gateways at most than at least": (
        (
            'gateway.autoscaling={"kind":"hpa","minReplicas":7}',
            "gateway.persistence.enabled=false",
            *DATABASE,
        ),
        "gateway.autoscaling",
    ),
    "runbooks at no address": (('monitoring.runbookUrl="docs"',), "runbookUrl"),
}


@pytest.mark.parametrize(("values", "naming"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_wrong_value_is_refused_by_its_name(values, naming):
    reason = refused(*DEVELOPMENT, *values)

    assert naming in reason
    assert "hunter2" not in reason


@variants
def test_everything_that_is_named_is_there(values):
    """Services find pods, Secrets and ConfigMaps of the chart exist, ports have names."""
    manifests = rendered(*values)
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(manifests)}
    ports = {
        port["name"]
        for _, pod in pods(manifests)
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
    }

    for service in (one for one in manifests if one["kind"] == "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        assert any(selects(selector, pod) for pod in labels.values()), service["metadata"]["name"]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for monitor in (one for one in manifests if one["kind"] == "ServiceMonitor"):
        found = [
            service
            for service in manifests
            if service["kind"] == "Service"
            and selects(monitor["spec"]["selector"], service["metadata"]["labels"])
        ]
        assert len(found) == 1
        offered = {port["name"] for port in found[0]["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= offered
    made = {one["metadata"]["name"] for one in manifests if one["kind"] == "ConfigMap"}
    mounted = {
        volume["configMap"]["name"]
        for _, pod in pods(manifests)
        for volume in pod["spec"]["volumes"]
        if "configMap" in volume
    }
    assert mounted <= made


def test_the_package_holds_the_rules_and_dashboards_themselves(tmp_path):
    """A symbolic link in the repository; in the package, which travels alone, the files."""
    done = run("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr

    (package,) = tmp_path.glob("vigie-*.tgz")
    with tarfile.open(package) as archive:
        found = {member.name: member for member in archive.getmembers()}

    assert found["vigie/observability/rules.yml"].isreg()
    assert any(name.startswith("vigie/observability/dashboards/") for name in found)
    assert not any("/tests/" in name for name in found)


def test_rules_and_dashboards_arrive_as_they_are():
    manifests = rendered(*PRODUCTION)
    written = (CHART / "observability" / "rules.yml").read_text()

    assert named(manifests, "PrometheusRule")["spec"] == yaml.safe_load(written)
    boards = [one for one in manifests if "grafana_dashboard" in one["metadata"]["labels"]]
    for board in boards:
        ((name, text),) = board["data"].items()
        assert text.strip() == (CHART / "observability/dashboards" / name).read_text().strip()
    assert boards


def flags(values: tuple[str, ...]) -> list[Any]:
    return [word for value in values for word in ("--values", CHART / value)]

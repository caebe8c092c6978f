"""What is asked of the manifests of a cluster, beside their schemas.

Each check returns what is wrong in words, so that a test can plant a fault and see it named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
from jsonschema import Draft202012Validator

Manifest = dict[str, Any]

NEWEST: Final = "1.34"
_CRDS: Final = Path(__file__).resolve().parents[1] / "deploy" / "crds"
_SECRET_NAME: Final = re.compile(r"PASSWORD|SECRET|TOKEN|DATABASE|CREDENTIAL", re.IGNORECASE)


def named(manifests: Iterable[Manifest], kind: str, name: str = "") -> Manifest:
    """The only manifest of this kind, and of this name if one is given."""
    (found,) = (
        one
        for one in manifests
        if one["kind"] == kind and (not name or one["metadata"]["name"] == name)
    )
    return found


def pods(manifests: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Each pod template, with its name: of Deployments, and of Ray's head and worker groups."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "Deployment":
            yield manifest["metadata"]["name"], spec["template"]
        if manifest["kind"] == "RayCluster":
            yield "ray-head", spec["headGroupSpec"]["template"]
            for group in spec["workerGroupSpecs"]:
                yield f"ray-{group['groupName']}", group["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """All of a pod, those that come first too."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


@cache
def crd_schema(kind: str) -> Draft202012Validator:
    """The strict schema of a custom resource."""
    return Draft202012Validator(json.loads((_CRDS / f"{kind}.json").read_text()))


def schema_problems(manifest: Manifest) -> list[str]:
    """What a schema says against a manifest: Kubernetes' own, or that of the custom resource."""
    if (_CRDS / f"{manifest['kind']}.json").exists():
        validator = crd_schema(manifest["kind"])
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]
    return _kubernetes_problems(json.dumps(manifest))


@cache
def _kubernetes_problems(text: str) -> list[str]:
    """By Kubernetes' own schema; most manifests are the same whatever the values are."""
    try:
        kubernetes_validate.validate(json.loads(text), NEWEST, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def as_pod(template: Manifest) -> Manifest:
    """A pod template as the pod that it becomes, for its schema."""
    return {"apiVersion": "v1", "kind": "Pod", **template}


def policy_problems(pod: Manifest) -> list[str]:
    """What is against the `restricted` Pod Security Standard and our own rules."""
    spec = pod["spec"]
    security = spec.get("securityContext", {})
    rules = {
        "may run as root": security.get("runAsNonRoot") is True,
        "has no user": security.get("runAsUser", 0) > 0,
        "has no seccomp profile": security.get("seccompProfile") == {"type": "RuntimeDefault"},
        "shares the host": not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(),
        "mounts the host": not any("hostPath" in one for one in spec.get("volumes", ())),
        "has a token of the API server": (
            spec.get("automountServiceAccountToken") is False or "serviceAccountName" not in spec
        ),
    }
    found = [problem for problem, is_good in rules.items() if not is_good]
    mounted = {one["name"] for one in spec.get("volumes", ())}
    for container in containers(pod):
        name = container["name"]
        found += [f"{name} {problem}" for problem in _container_problems(container)]
        missing = {mount["name"] for mount in container.get("volumeMounts", ())} - mounted
        found += [f"{name} mounts {volume}, which is no volume" for volume in sorted(missing)]
    return found


def _container_problems(container: Manifest) -> Iterator[str]:
    security, resources = container.get("securityContext", {}), container.get("resources", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "may gain rights"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "may write to its root"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if "memory" not in resources.get("limits", {}):
        yield "has no limit of memory"
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield "requests nothing"
    image = container["image"]
    if image.endswith(":latest") or ":" not in image.rpartition("/")[2]:
        yield f"has an image without a version: {image}"
    for variable in container.get("env", ()):
        if _is_plain_secret(variable):
            yield f"has a secret in plain: {variable['name']}"


def _is_plain_secret(variable: Mapping[str, Any]) -> bool:
    text = str(variable.get("value", ""))
    return (
        _SECRET_NAME.search(variable["name"]) is not None
        and not variable["name"].endswith(("_FILE", "_PATH"))
        and not text.startswith("sqlite:///")
        and bool(text)
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes a pod with these labels."""
    wanted = selector.get("matchLabels", {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        one["operator"] == "In" and labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", ())
    )


def probed(container: Manifest, kinds: Sequence[str]) -> list[Manifest]:
    """The probes of these kinds that a container has."""
    return [container[f"{kind}Probe"] for kind in kinds if f"{kind}Probe" in container]

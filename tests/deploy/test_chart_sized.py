"""What `vigie size --values` prints is a release: the chart takes it, and its pods have room."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml

from tests.deploy.test_chart import DEVELOPMENT, PRODUCTION, flags
from tests.support.helm import CHART, KUBERNETES, run
from tests.support.manifests import Manifest, named, pods, policy_problems, schema_problems
from tests.support.sizing import round_figures
from workers.cli import main as cli

SIZES = {
    "a single machine": (DEVELOPMENT, ("--sensors", "100", "--replication", "1")),
    "three workers": (PRODUCTION, ("--sensors", "15000")),
    "many workers": (PRODUCTION, ("--sensors", "100000")),
    "GPUs": (PRODUCTION, ("--sensors", "100000", "--gpu")),
}


def amounts(group: Manifest, kind: str) -> dict[str, float]:
    """CPUs and GPUs of a group's pods together; `kind` is replicas or maxReplicas."""
    (container,) = group["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    return {name: group[kind] * float(limits.get(name, 0)) for name in ("cpu", "nvidia.com/gpu")}


@pytest.mark.parametrize(("below", "arguments"), SIZES.values(), ids=SIZES.keys())
def test_what_is_printed_installs_and_has_room_for_its_workers(below, arguments, tmp_path, capsys):
    figures, printed = tmp_path / "figures.json", tmp_path / "sized.yaml"
    figures.write_text(round_figures().model_dump_json())
    capsys.readouterr()
    assert cli.main(["size", *arguments, "--measured", str(figures), "--values"]) == 0
    printed.write_text(capsys.readouterr().out)

    done = run(
        *("template", "vigie", CHART, "--kube-version", KUBERNETES),
        *flags(below),
        *("--values", printed),
    )
    assert done.returncode == 0, done.stderr
    manifests: list[dict[str, Any]] = [one for one in yaml.safe_load_all(done.stdout) if one]
    cluster = named(manifests, "RayCluster")
    text = named(manifests, "ConfigMap", "vigie-config")["data"]["vigie.toml"]
    workers = tomllib.loads(text)["workers"]

    for kind, bound in (("replicas", "min"), ("maxReplicas", "max")):
        each = [amounts(group, kind) for group in cluster["spec"]["workerGroupSpecs"]]
        scorers = workers.get(f"{bound}_scorers", 0)
        assert sum(one["cpu"] for one in each) >= workers[f"{bound}_ingest"] + scorers
        gpus = scorers * workers.get("num_gpus_per_scorer", 0)
        assert sum(one["nvidia.com/gpu"] for one in each) >= gpus
        # A node without GPUs takes no scorer, and all ingest workers find a place without them.
        without = [one["cpu"] for one in each if not one["nvidia.com/gpu"]]
        assert sum(without) >= workers[f"{bound}_ingest"]
    assert ("--gpu" in arguments) == ("num_gpus_per_scorer" in workers)
    assert not schema_problems(cluster)
    assert not [name for name, pod in pods(manifests) if policy_problems(pod)]

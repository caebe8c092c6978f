"""The answer as values of the Helm chart: settings, and pods of Ray in which its workers fit."""

from __future__ import annotations

import math
from typing import Any, Final

from workers.sizing.answer import SCORERS_PER_GPU, Answer, settings_of
from workers.sizing.model import MARGIN
from workers.version import own_version

_MOST_CPUS: Final = 4
"""Of a pod without GPUs: fits most nodes, and one that is lost takes few workers along."""
_FEWEST_CPUS: Final = 2
_CPUS_PER_GPU: Final = 2 * SCORERS_PER_GPU
"""For the scorers of a GPU, and as many ingest workers beside them."""
_RAY_GIB: Final = 0.5
"""What Ray's own processes take in a pod."""
_GPU_NODES: Final[dict[str, Any]] = {
    "nodeSelector": {"nvidia.com/gpu.present": "true"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


def chart_values(answer: Answer) -> dict[str, Any]:
    """Values for one run of the answer, as a release of the chart.

    Each worker takes a CPU. There are pods for the fewest workers, and Ray's autoscaler brings
    them for the most. Left out on purpose: brokers, whose disks and machines the answer does not
    know.
    """
    config = settings_of(answer)
    workers = config["workers"]
    least, most = workers["min_ingest"], workers["max_ingest"]
    groups = {}
    if answer.fleet.gpu:
        pods = [math.ceil(workers[key] / SCORERS_PER_GPU) for key in ("min_scorers", "max_scorers")]
        groups["gpu"] = {
            **_group(answer, _CPUS_PER_GPU, *pods),
            "gpus": 1,
            "image": {"tag": f"{own_version()}-cuda"},
            **_GPU_NODES,
        }
    elif answer.scorers:
        least, most = least + workers["min_scorers"], most + workers["max_scorers"]
    cpus = min(max(least, _FEWEST_CPUS), _MOST_CPUS)
    groups["cpu"] = _group(answer, cpus, math.ceil(least / cpus), math.ceil(most / cpus))
    return {"config": config, "ray": {"autoscaler": {"enabled": True}, "workerGroups": groups}}


def _group(answer: Answer, cpus: int, least: int, most: int) -> dict[str, Any]:
    shared_gib = cpus // 2
    own_gib = cpus * answer.worker_mb * MARGIN * 1e6 / 2**30
    amount = {"cpu": str(cpus), "memory": f"{math.ceil(own_gib + shared_gib + _RAY_GIB)}Gi"}
    return {
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": most,
        "resources": {"requests": amount, "limits": amount},
        "sharedMemory": f"{shared_gib}Gi",
    }

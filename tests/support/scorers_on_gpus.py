"""Starts scorers on a cluster, as a run with GPUs does, and prints how many each node has.

A script: ``scorers_on_gpus.py ADDRESS MODEL SHARE COUNT``. The GPUs may be logical (`ray start
--num-gpus`), so the model computes on the CPU.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from schemas.settings import RaySettings, Settings
from tests.support.wait import wait_until
from workers.supervision.ray.actors import Job, ModelFiles
from workers.supervision.ray.launcher import RayLauncher
from workers.supervision.ray.session import ray_session


def main(address: str, model: str, share: str, count: str) -> None:
    """Wait until all have answered; print the numbers, the least first, as JSON."""
    job = Job(settings=Settings(), model=ModelFiles.read(Path(model), device="cpu"))
    with ray_session(RaySettings(address=address), cpus=1) as watch:
        launcher = RayLauncher(job, watch, gpus_per_scorer=float(share), cpus_per_actor=1)
        scorers = [launcher.scorer() for _ in range(int(count))]
        nodes: dict[int, str] = {}

        def all_answered() -> bool:
            for number, scorer in enumerate(scorers):
                if (heartbeat := scorer.heartbeat()) is not None:
                    nodes[number] = heartbeat.node
            return len(nodes) == len(scorers)

        wait_until(all_answered, within=200, what="a heartbeat of every scorer")
        for scorer in scorers:
            scorer.kill()
    sys.stdout.write(json.dumps(sorted(Counter(nodes.values()).values())) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

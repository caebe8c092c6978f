"""The whole pipeline of one set of settings: topics checked, Ray up, workers supervised."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from detector.artifact import load
from schemas.codec import Decoder
from schemas.settings import Settings
from workers.errors import SettingsError
from workers.kafka.kafka_python import wait_for_broker
from workers.kafka.topics import require_topics
from workers.stream.progress import Health
from workers.stream.session import cluster_cores, cluster_has_gpu, ray_session
from workers.stream.supervisor import Supervisor, cores, make_plan
from workers.topology import connection_of, topic_specs

Serve = Callable[[Supervisor], AbstractContextManager[None]]


def serve_nothing(_: Supervisor) -> AbstractContextManager[None]:
    """Offer no endpoint."""
    return nullcontext()


def run_pipeline(
    settings: Settings,
    *,
    should_stop: Callable[[], bool],
    observe: Callable[[list[Health]], None] = lambda _: None,
    serve: Serve = serve_nothing,
) -> list[Health]:
    """Score the stream until `should_stop`, then drain.

    1. Wait for the broker, check the topics. 2. Start or join Ray. 3. Supervise the workers.

    Args:
        settings: `model.path` must name an artifact.
        should_stop: asked a few times a second.
        observe: shown the workers' health a few times a second.
        serve: opens an endpoint for the time of the run, for instance for metrics.

    Returns:
        The last health of each worker.

    Raises:
        SettingsError: what is asked for cannot be done.
        ArtifactError: of the detector, when `model.path` does not hold a sound model.
        StoppedError: `should_stop` said so before the broker answered.
        ClusterError, CrashLoopError: see `Supervisor.run`.
    """
    if settings.model.path is None:
        raise SettingsError("model.path is not set: name the folder that `vigie train` wrote")
    connection = connection_of(settings)
    wait_for_broker(connection, should_stop=should_stop)
    # Any number of partitions will do: that the topics exist is what a run needs.
    findings = require_topics(
        connection, [replace(spec, partitions=1) for spec in topic_specs(settings)]
    )
    _check_model(settings, settings.model.path)
    partitions, local_cores, has_cuda = findings[0].partitions, cores(), _has_cuda()
    plan = make_plan(settings, partitions=partitions, cores=local_cores, has_cuda=has_cuda)
    with ray_session(settings.ray, cpus=max(plan.cpus, local_cores)):
        if settings.ray.address is not None:  # the cluster's cores count, not this machine's
            plan = make_plan(
                settings, partitions=partitions, cores=cluster_cores(), has_cuda=cluster_has_gpu()
            )
        supervisor = Supervisor(settings, settings.model.path, plan, monotonic_s=time.monotonic)
        with serve(supervisor):
            return supervisor.run(should_stop, observe)


def _check_model(settings: Settings, model: Path) -> None:
    """A damaged model, or one of other channels, stops the driver, not each worker in turn."""
    channels = load(model, device="cpu").channels
    try:
        Decoder(channels, wire_names=settings.stream.channels)
    except ValueError as error:
        raise SettingsError(
            f"stream.channels does not fit the model in {model}: {error}"
        ) from error


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()

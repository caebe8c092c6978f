"""The whole pipeline of one set of settings: topics checked, Ray up, workers supervised."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random

from detector.artifact import load
from schemas.codec import Decoder
from schemas.settings import Settings
from workers.errors import SettingsError
from workers.kafka.factory import connection_of, member_of, topic_specs
from workers.kafka.kafka_python import wait_for_broker
from workers.kafka.kafka_python.admin.groups import remove_members
from workers.kafka.kafka_python.admin.topics import grow_topics
from workers.stream.health import Health
from workers.supervision.plan import cores, make_plan
from workers.supervision.ray.launcher import RayStaff
from workers.supervision.ray.session import cluster_cores, cluster_gpus, ray_session
from workers.supervision.supervisor import GroupOffice, Supervisor

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
    findings = grow_topics(
        connection, [replace(spec, partitions=1) for spec in topic_specs(settings)]
    )
    _check_model(settings, settings.model.path)
    partitions, local_cores = findings[0].partitions, cores()
    plan = make_plan(settings, partitions=partitions, cores=local_cores, gpus=_gpus())
    with ray_session(settings.ray, cpus=local_cores):
        if settings.ray.address is not None:  # the cluster's cores count, not this machine's
            plan = make_plan(
                settings, partitions=partitions, cores=cluster_cores(), gpus=cluster_gpus()
            )
        supervisor = Supervisor(
            settings,
            plan,
            staff=RayStaff(settings, settings.model.path, plan),
            office=group_office(settings),
            monotonic_s=time.monotonic,
            wall_s=time.time,
            rng=Random(),  # noqa: S311 - spreads restarts, keeps no secret
        )
        with serve(supervisor):
            return supervisor.run(should_stop, observe)


def group_office(settings: Settings) -> GroupOffice:
    """What the supervisor wants of the broker."""
    readings, *_, sensor_state = (replace(spec, partitions=1) for spec in topic_specs(settings))

    def partitions() -> int:
        connection = replace(connection_of(settings), wait_timeout_s=0.0)
        # Workers that hold a partition of the readings wait for its partition of the sensor state.
        return grow_topics(connection, [readings, sensor_state])[0].partitions

    def remove(slots: Sequence[int]) -> None:
        connection = replace(connection_of(settings), wait_timeout_s=0.0)
        names = [member_of(settings, slot) for slot in slots]
        remove_members(connection, settings.kafka.group, names)

    return GroupOffice(partitions=partitions, remove=remove)


def _check_model(settings: Settings, model: Path) -> None:
    """A damaged model, or one of other channels, stops the driver, not each worker in turn."""
    channels = load(model, device="cpu").channels
    try:
        Decoder(channels, wire_names=settings.stream.channels)
    except ValueError as error:
        raise SettingsError(
            f"stream.channels does not fit the model in {model}: {error}"
        ) from error


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0

"""The whole pipeline of one set of settings: topics checked, Ray up, workers supervised."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random

import structlog

from detector.artifact import load
from schemas.settings import Settings
from workers.errors import SettingsError
from workers.kafka.admin import TopicSpec
from workers.kafka.factory import admin_of, connection_of, member_of, topic_specs
from workers.registry.parser import parser_of
from workers.stream.build import cleaning, policy_of
from workers.stream.calendars import read_calendars
from workers.stream.health import Health
from workers.stream.input import Input
from workers.stream.sensor_labels import SensorLabels
from workers.supervision.group_admin import GroupAdmin
from workers.supervision.plan import Plan, cores, make_plan
from workers.supervision.ray.actors import Job, ModelFiles, WorkerJob
from workers.supervision.ray.launcher import RayLauncher
from workers.supervision.ray.session import ray_session
from workers.supervision.ray.watch import ClusterWatch
from workers.supervision.supervisor import Supervisor

Serve = Callable[[Supervisor], AbstractContextManager[object]]


def run_pipeline(
    settings: Settings,
    *,
    should_stop: Callable[[], bool],
    observe: Callable[[list[Health]], None] = lambda _: None,
    serve: Serve = nullcontext,
    renewed: Callable[[], Settings | None] = lambda: None,
) -> list[Health]:
    """Score the stream until `should_stop`, then drain.

    1. Wait for the broker, check the topics. 2. Start or join Ray. 3. Supervise the workers.

    Args:
        settings: `model.path` must name an artifact.
        should_stop: asked a few times a second.
        observe: shown the workers' health a few times a second.
        serve: opens an endpoint for the time of the run, for instance for metrics; by default none.
        renewed: asked a few times a second for settings with new secrets; the ingest workers are
            restarted with them, one after the other.

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
    admin = admin_of(connection_of(settings.kafka))
    admin.wait_for_broker(should_stop=should_stop)
    # Any number of partitions will do: that the topics exist is what a run needs.
    specs = topic_specs(settings.topics)
    findings = admin.grow_topics([replace(spec, partitions=1) for spec in specs])
    labels = SensorLabels.of_file(settings.sensors.path)
    calendars = read_calendars(settings.off)
    _check_model(settings, settings.model.path, calendars)
    together = {settings.topics.readings, settings.topics.sensor_state}
    is_local = settings.ray.address is None
    with ray_session(settings.ray, cpus=cores(), gpus=_gpus() if is_local else 0) as watch:

        def planned(device: str) -> Plan:
            return make_plan(
                settings.workers,
                device=device,
                topic=settings.topics.readings,
                partitions=findings[0].partitions,
                resources=watch.resources,
                reserved=not is_local,
            )

        plan = planned(settings.model.device)
        model = ModelFiles.read(
            settings.model.path,
            device=plan.device,
            threads=settings.workers.threads,
            settling=settings.stream.denoised == "settled",
        )
        job = Job(settings=settings, model=model, labels=labels, calendars=calendars)
        # Workers that hold a partition of the readings wait for its one of the sensor state.
        waited = [spec for spec in specs if spec.name in together]
        supervisor = new_supervisor(
            plan,
            job,
            watch,
            group=group_admin(settings, waited),
            # The device stays: the workers have their models by now.
            replan=lambda: planned(plan.device),
        )

        def look(healths: list[Health]) -> None:
            if (fresh := renewed()) is not None:
                launcher = _launcher(plan, replace(job, settings=fresh), watch)
                supervisor.renew(launcher, group_admin(fresh, waited))
            observe(healths)

        with serve(supervisor):
            return supervisor.run(should_stop, look)


def new_supervisor(
    plan: Plan,
    job: WorkerJob,
    watch: ClusterWatch,
    *,
    group: GroupAdmin,
    replan: Callable[[], Plan],
) -> Supervisor:
    """A supervisor of workers in Ray, which is there already."""
    structlog.get_logger("vigie.supervisor").info(
        "planned",
        topic=plan.topic,
        cpus=plan.resources.cpus,
        gpus=plan.resources.gpus,
        device=plan.device,
        ingest=plan.ingest.target,
        max_ingest=plan.ingest.limits.at_most(plan.partitions).most,
        scorers=plan.scorers.target,
        max_scorers=plan.scorers.limits.most,
    )
    return Supervisor(
        plan,
        job.settings.workers,
        job.settings.processing,
        start_timeout_s=job.settings.ray.start_timeout_s,
        replan=replan,
        launcher=_launcher(plan, job, watch),
        group=group,
        monotonic_s=time.monotonic,
        wall_s=time.time,
        rng=Random(),  # noqa: S311 - spreads restarts, keeps no secret
        # Two: a slow count must not hold up a departure.
        executor=ThreadPoolExecutor(max_workers=2, thread_name_prefix="vigie-group"),
    )


def _launcher(plan: Plan, job: WorkerJob, watch: ClusterWatch) -> RayLauncher:
    return RayLauncher(
        job,
        watch,
        gpus_per_scorer=plan.gpus_per_scorer,
        # A local Ray is ours alone: reservations would only forbid what an operator asks.
        cpus_per_actor=0 if job.settings.ray.address is None else 1,
    )


def group_admin(settings: Settings, topics: Sequence[TopicSpec]) -> GroupAdmin:
    """What the supervisor wants of the broker.

    Args:
        settings: of the group.
        topics: the one it reads, then those that have to be there with it.
    """
    admin = admin_of(connection_of(settings.kafka))
    wanted = [replace(spec, partitions=1) for spec in topics]

    def partitions() -> int:
        return admin.grow_topics(wanted)[0].partitions

    def remove(slots: Sequence[int]) -> None:
        names = [member_of(settings.kafka, slot) for slot in slots]
        admin.remove_members(settings.kafka.group, names)

    return GroupAdmin(partitions=partitions, remove=remove)


def _check_model(settings: Settings, model: Path, calendars: Mapping[str, str]) -> None:
    """A damaged model, or one of other channels, stops the driver, not each worker in turn."""
    channels = cleaning(load(model, device="cpu"), settings.stream.denoised).channels
    policy_of(settings, channels, calendars)
    try:
        Input(channels, settings.stream, settings.input, parser_of(settings))
    except ValueError as error:
        raise SettingsError(
            f"stream.channels does not fit the model in {model}: {error}"
        ) from error


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0

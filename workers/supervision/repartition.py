"""`vigie repartition`: for each hop a group of workers, supervised as those of a stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial

import structlog

from schemas.settings import InputSettings, Settings
from schemas.settings.input import RECORD_KEY
from workers.errors import SettingsError, TopicError
from workers.kafka.admin import Admin, TopicSpec
from workers.kafka.factory import admin_of, connection_of, repartition_specs, topic_specs
from workers.kafka.unkeyed import no_source, no_targets
from workers.stream.health import Health
from workers.stream.repartition.build import Hop, hops_of, settings_of
from workers.supervision.pipeline import Serve, group_admin, new_supervisor
from workers.supervision.plan import Plan, Resources, cores, make_plan
from workers.supervision.ray.actors import RepartitionJob
from workers.supervision.ray.session import ray_session
from workers.supervision.ray.watch import ClusterWatch
from workers.supervision.supervisor import Supervisor

_LONGEST_GROUP = 180


def run_repartition(
    settings: Settings,
    *,
    should_stop: Callable[[], bool],
    serve: Callable[[Hop], Serve] = lambda _: nullcontext,
) -> Mapping[Hop, list[Health]]:
    """Write readings on until `should_stop`, then drain: the first hop, then what it wrote.

    Args:
        settings: `repartition` names the topics.
        should_stop: asked a few times a second.
        serve: opens an endpoint for a hop, for the time of the run; by default none.

    Returns:
        The last health of each worker of each hop.

    Raises:
        SettingsError: what is asked for cannot be done.
        StoppedError: `should_stop` said so before the broker answered.
        ClusterError, CrashLoopError: see `Supervisor.run`. The other hop is drained first.
    """
    hops = hops_of(settings.repartition)
    _check_groups(settings, hops)
    _check_sensor(settings.input)
    source, shuffled = repartition_specs(settings)
    admin = admin_of(connection_of(settings.kafka))
    admin.wait_for_broker(should_stop=should_stop)
    _look_at_source(admin, source)
    specs = {spec.name: spec for spec in topic_specs(settings.topics)}
    readings = specs[settings.topics.readings]
    dead_letters = specs[settings.topics.dead_letters]
    topics = {
        Hop.REKEY: [source, shuffled if len(hops) > 1 else readings, dead_letters],
        Hop.REORDER: [shuffled, readings, source],
    }
    partitions = {hop: _require(settings, topics[hop]) for hop in hops}

    def planned(hop: Hop, watch: ClusterWatch) -> Plan:
        return make_plan(
            settings.workers.model_copy(update={"placement": "ingest"}),
            device="cpu",
            topic=topics[hop][0].name,
            partitions=partitions[hop],
            resources=Resources(cpus=max(watch.resources.cpus // len(hops), 1)),
        )

    with ray_session(settings.ray, cpus=cores()) as watch, ExitStack() as stack:
        supervisors = {}
        for hop in hops:
            job = RepartitionJob(whole=settings, hop=hop)
            supervisors[hop] = new_supervisor(
                planned(hop, watch),
                job,
                watch,
                group=group_admin(job.settings, topics[hop]),
                replan=partial(planned, hop, watch),
            )
            stack.enter_context(serve(hop)(supervisors[hop]))
        return _run_in_turn(supervisors, should_stop)


def _require(settings: Settings, specs: Sequence[TopicSpec]) -> int:
    """Check that topics exist; the partitions of the first."""
    admin = admin_of(connection_of(settings.kafka))
    try:
        return admin.grow_topics([replace(spec, partitions=1) for spec in specs])[0].partitions
    except TopicError as error:
        raise TopicError(no_targets(str(error), settings.topics.readings)) from error


def _look_at_source(admin: Admin, source: TopicSpec) -> None:
    """Check that the source is there, and say so if nothing is in it.

    Raises:
        TopicError: it is not.
    """
    (found,) = admin.check_topics([replace(source, partitions=1)])
    if not found.is_good:
        raise TopicError(no_source(source.name))
    bounds = admin.topic_bounds({source.name: found.partitions})
    if all(first == end for first, end in bounds.values()):
        structlog.get_logger("vigie.repartition").warning(
            "source_is_empty",
            topic=source.name,
            fix="nothing is in it: if your producers fill another topic, name that with --source",
        )


def _check_groups(settings: Settings, hops: Sequence[Hop]) -> None:
    for hop in hops:
        group = settings_of(settings, hop).kafka.group
        if len(group) > _LONGEST_GROUP:
            raise SettingsError(
                f"kafka.group is too long for vigie repartition: its groups are called after it, "
                f"{group} has {len(group)} characters of at most {_LONGEST_GROUP}"
            )


def _check_sensor(layout: InputSettings) -> None:
    """Reject ids of which the key is a part: what is written on has the whole id as its key.

    Raises:
        SettingsError: `vigie run` could not read what would be written.
    """
    if RECORD_KEY not in layout.sensor_parts:
        return
    others = len(layout.sensor_parts) > 1
    if others or layout.sensor_pattern is not None:
        raise SettingsError(
            f"vigie repartition writes each record on with its sensor's whole id as the key, and "
            f"vigie run would make another id of that: input.sensor takes {RECORD_KEY} "
            + ("together with other parts" if others else "through input.sensor_pattern")
            + ". Take the id from fields or headers, or from the whole key alone"
        )


def _run_in_turn(
    supervisors: Mapping[Hop, Supervisor], should_stop: Callable[[], bool]
) -> Mapping[Hop, list[Health]]:
    """Run all at once; each stops when the one before has ended, the first with `should_stop`.

    The last one runs in this thread, so that a second signal ends everything at once. Whatever
    fails ends all of them.
    """
    failed = threading.Event()
    failures: list[Exception] = []
    ended: dict[Hop, threading.Event] = {hop: threading.Event() for hop in supervisors}

    def run(hop: Hop, is_over: Callable[[], bool]) -> None:
        try:
            supervisors[hop].run(lambda: failed.is_set() or is_over())
        except Exception as error:  # noqa: BLE001 - raised again when all have ended
            failures.append(error)
            failed.set()
        finally:
            ended[hop].set()

    *others, last = supervisors
    is_over, threads = should_stop, []
    for hop in others:
        thread = threading.Thread(target=run, args=(hop, is_over), name=hop.value, daemon=True)
        threads.append(thread)
        thread.start()
        is_over = ended[hop].is_set
    run(last, is_over)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {hop: supervisor.healths for hop, supervisor in supervisors.items()}

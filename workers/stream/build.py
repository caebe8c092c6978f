"""Puts an ingest loop together from the settings: what each part needs, and no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np

from detector.scoring import Detector
from schemas.settings import Settings
from workers.errors import SettingsError
from workers.kafka.client import Sink, Source, Table, TableTail
from workers.registry.parser import parser_of
from workers.stream.assignment import PartitionOpener
from workers.stream.checkpoint import Checkpoint, Publisher
from workers.stream.dead_letter_limit import DeadLetterLimit
from workers.stream.health import ProgressTicks
from workers.stream.incident_events import IncidentEvents
from workers.stream.input import Input
from workers.stream.loop import IngestLoop
from workers.stream.outputs import OutputBuilder
from workers.stream.owned_partition import OwnedPartition, PartitionRequest
from workers.stream.scoring.backend import Scoring
from workers.stream.scoring.bisect import BatchBisector
from workers.stream.sensor_labels import LabelsOf, no_labels
from workers.stream.state.alarm_model import AlarmPolicy
from workers.stream.state.off import off_rules_of
from workers.stream.state.rules import rules_of
from workers.stream.telemetry import Telemetry, Tracer
from workers.stream.wish_listener import WishListener


def build_loop(
    *,
    slot: int,
    source: Source,
    sink: Sink,
    table: Table,
    scoring: Scoring,
    detector: Detector,
    settings: Settings,
    labels_of: LabelsOf = no_labels,
    wishes: TableTail | None = None,
    calendars: Mapping[str, str] | None = None,
    monotonic_s: Callable[[], float] = time.monotonic,
    wall_s: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
    tracer: Tracer | None = None,
) -> IngestLoop:
    """A loop that moves records from a source through scorers to a sink; nothing is read yet.

    Raises:
        SettingsError: rules or conditions name channels that the model lacks.
    """
    stream, processing = settings.stream, settings.processing
    policy = policy_of(settings, detector.channels, calendars or {})
    listener = WishListener(wishes, monotonic_s)

    def on_turn(_: Collection[OwnedPartition]) -> list[PartitionRequest]:
        listener.listen()
        return []

    builder = OutputBuilder(
        detector,
        settings.topics,
        denoised_content_type=None if stream.denoised == "off" else stream.denoised_content_type,
        settled_lag=detector.settled_lag if stream.denoised == "settled" else 0,
        labels_of=labels_of,
        incidents=IncidentEvents(
            detector,
            topic=settings.topics.readings,
            group=settings.kafka.group,
            labels_of=labels_of,
            mode=stream.incidents,
        ),
    )
    publisher = Publisher(sink, builder, sensor_state=settings.topics.sensor_state)
    progress = ProgressTicks()
    bisector = BatchBisector(
        scoring=scoring,
        receptive_field=detector.receptive_field,
        channels=len(detector.channels),
        progress=progress,
    )
    return IngestLoop(
        slot=slot,
        source=source,
        records_in=Input(
            detector.channels, stream, settings.input, parser_of(settings, tick=progress.tick)
        ),
        opener=PartitionOpener(
            source,
            table,
            detector,
            stream,
            processing.guarantee,
            policy=policy,
            wishes=listener,
        ),
        own=lambda number: OwnedPartition(number, DeadLetterLimit(number, stream)),
        scoring=scoring,
        bisector=bisector,
        new_checkpoint=partial(Checkpoint, publisher, processing, monotonic_s),
        progress=progress,
        processing=processing,
        monotonic_s=monotonic_s,
        wall_s=wall_s,
        pause=pause,
        telemetry=Telemetry(tracer),
        on_turn=on_turn,
    )


def cleaning(detector: Detector, denoised: str) -> Detector:
    """A detector that gives the cleaned signal which `stream.denoised` asks for.

    Raises:
        SettingsError: the model has no settled values.
    """
    if denoised != "settled":
        return detector
    if not detector.settled_lag:
        raise SettingsError(
            f'stream.denoised is "settled", but {detector.name}@{detector.version} has no settled '
            "values: none of its channels gains by looking ahead, or an older Vigie trained it. "
            'Set "causal", or train the model again'
        )
    return detector.settling()


def warm_up(detector: Detector) -> None:
    """Have what is compiled ready before the first reading comes: loading it takes seconds."""
    rows = np.zeros((detector.receptive_field, len(detector.channels)))
    ends = np.array([len(rows) - 1])
    groups = np.zeros(1, np.int32)
    times = np.arange(len(rows), dtype=np.int64)
    levels = detector.score(rows, ends, groups, times=times).levels
    sizes, group = np.ones(1, np.int64), np.zeros(1, np.int64)
    if (rule := detector.head.alarms) is not None:
        rule.advance(levels[:, :2], sizes, group, rule.start(group))
    if (watch := detector.head.drift) is not None:
        watch.advance(levels[:, 0], sizes, group, watch.start(1))


def policy_of(
    settings: Settings, channels: Sequence[str], calendars: Mapping[str, str]
) -> AlarmPolicy:
    """What the operator set of alarms, for the channels of a model.

    Raises:
        SettingsError: rules or conditions name channels that the model lacks.
    """
    try:
        return AlarmPolicy(
            topic=settings.topics.readings,
            max_stale_ms=max(round(settings.stream.max_stale_s * 1e3), 1),
            rules=rules_of(settings.rules, channels),
            off=off_rules_of(settings.off, channels, calendars),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error

"""From scores to the records that are published: denoised frames, anomalies, dead letters. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Protocol

import numpy as np

from detector.scoring import Detector, Scores
from schemas.codec import ANOMALY_JSON, DENOISED_JSON, DenoisedEncoder, encode_anomaly
from schemas.settings import TopicSettings
from schemas.wire.anomaly import (
    POOLED,
    Anomaly,
    GroupKind,
    ModelRef,
    Severity,
    Source,
    anomaly_id,
)
from schemas.wire.dead_letter import TRUNCATED, dead_letter_headers
from workers.stream.incident_events import IncidentEvents
from workers.stream.owned_partition import PartitionRequest
from workers.stream.sensor_labels import LabelsOf, no_labels
from workers.stream.state.history import Run, Samples
from workers.stream.state.incident import Place
from workers.stream.state.piece import Judged
from workers.version import own_version

_FRAME_BYTES = 256 * 1024
_NUMBER_BYTES = 24
_PLACE_DECIMALS = 3

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers
    partition: int | None = None
    timestamp_ms: int | None = None


def with_values(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """A record's headers as we write them: one without a value gets an empty one."""
    return tuple((name, content or b"") for name, content in headers)


class Outputs(Protocol):
    """Makes the records to publish of a request that was answered."""

    def outputs(self, asked: PartitionRequest, scores: Scores) -> Iterator[Output]:
        """What is made of its good records, in order."""

    def dead_letters(self, asked: PartitionRequest) -> Iterator[Output]:
        """Its bad ones."""


class DeadLetterBuilder:
    """Builds dead letters; a base of those that build outputs."""

    def __init__(self, topics: TopicSettings) -> None:
        """Of records of the readings' topic."""
        self._topics = topics
        self._app_version = own_version()

    def dead_letters(self, asked: PartitionRequest) -> Iterator[Output]:
        """The raw records that failed, untouched, with the story of their failure in headers."""
        for failure in asked.request.failures:
            record = asked.records[failure.position]
            yield Output(
                topic=self._topics.dead_letters,
                key=record.key,
                value=record.value if record.value is not None else b"",
                headers=tuple(
                    dead_letter_headers(
                        failure,
                        topic=self._topics.readings,
                        partition=asked.partition.number,
                        offset=record.offset,
                        app_version=self._app_version,
                        original=with_values(record.headers),
                    )
                ),
            )


class OutputBuilder(DeadLetterBuilder):
    """Builds the outputs of one model for one source topic."""

    def __init__(
        self,
        detector: Detector,
        topics: TopicSettings,
        *,
        denoised_content_type: str | None,
        settled_lag: int = 0,
        incidents: IncidentEvents,
        labels_of: LabelsOf = no_labels,
    ) -> None:
        """Prepare the encoders.

        A `denoised_content_type` of None publishes no denoised frames, a `settled_lag` of 0 no
        settled values in them.
        """
        super().__init__(topics)
        self._incidents = incidents
        self._detector = detector
        self._labels_of = labels_of
        self._model = f"{detector.name}@{detector.version}"
        self._model_ref = ModelRef(name=detector.name, version=detector.version)
        self._encoder = (
            DenoisedEncoder(detector.channels, denoised_content_type)
            if denoised_content_type
            else None
        )
        self._denoised_headers: Headers = (
            ("content-type", (denoised_content_type or DENOISED_JSON).encode()),
        )
        # Far below what a broker takes: a backlog must not grow one frame without end.
        numbers = len(detector.channels) * (2 if settled_lag else 1) + 3
        self._frame_rows = max(_FRAME_BYTES // (_NUMBER_BYTES * numbers), 1)
        self._settled_lag = settled_lag
        self._anomaly_headers: Headers = (("content-type", ANOMALY_JSON.encode()),)

    def outputs(self, asked: PartitionRequest, scores: Scores) -> Iterator[Output]:
        """Denoised frames, one per sensor (more if it is large), then anomalies, then incidents.

        All are in arrival order per sensor.

        Args:
            asked: a partition's request that was judged.
            scores: the request's scores, in its order.
        """
        partition, samples, judged = asked.partition.number, asked.request.samples, asked.judged
        assert judged is not None
        if self._encoder is not None:
            parts = [
                (run.sensor, slice(start, min(start + self._frame_rows, run.stop)))
                for run in _unpublished(samples.runs, judged.skipped)
                for start in range(run.start, run.stop, self._frame_rows)
            ]
            places = self._places(scores, [part.stop - 1 for _, part in parts])
            for (sensor, part), place in zip(parts, places, strict=True):
                yield self._frame(sensor, part, place, partition, samples, scores, judged)
        yield from self._anomalies(partition, samples, scores, judged)
        events = [
            *((one.sensor, self._incidents.encode_deed(one)) for one in judged.deeds),
            *((one.sensor, self._incidents.encode(one, partition)) for one in judged.changes),
        ]
        for sensor, (value, headers) in events:
            yield Output(
                topic=self._topics.incidents, key=sensor.encode(), value=value, headers=headers
            )

    def _places(self, scores: Scores, rows: Sequence[int]) -> Sequence[list[float] | None]:
        """Where the windows of some samples lie on the model's map."""
        latent_map = self._detector.head.latent_map
        if latent_map is None or not rows:
            return [None] * len(rows)
        places: list[list[float] | None] = (
            latent_map.places(scores.latent[np.array(rows)]).round(_PLACE_DECIMALS).tolist()
        )
        return places

    def _frame(  # noqa: PLR0917 - one call, for each frame
        self,
        sensor: str,
        part: slice,
        place: list[float] | None,
        partition: int,
        samples: Samples,
        scores: Scores,
        judged: Judged,
    ) -> Output:
        assert self._encoder is not None
        lag, settled = self._settled_lag, scores.settled
        return Output(
            topic=self._topics.denoised,
            key=sensor.encode(),
            value=self._encoder.encode(
                sensor,
                samples.ts_ns[part],
                scores.denoised[part],
                judged.score[part],
                samples.offsets[part],
                samples.indices[part],
                off=None if judged.off is None else judged.off[part],
                latent=place,
                settled=(lag, settled[part]) if lag and settled is not None else None,
                model=self._model,
                source=(self._topics.readings, partition),
            ),
            headers=self._denoised_headers,
        )

    def _anomalies(
        self, partition: int, samples: Samples, scores: Scores, judged: Judged
    ) -> Iterator[Output]:
        rows = np.flatnonzero(judged.flagged)
        starts = np.array([run.start for run in samples.runs], np.int64)
        owners = np.searchsorted(starts, rows, side="right") - 1
        columns = (
            owners,
            samples.groups[rows],
            samples.offsets[rows],
            samples.indices[rows],
            samples.ts_ns[rows],
            judged.score[rows],
            judged.bar[rows],
            scores.raw[rows],
            scores.p_value[rows],
            scores.partial[rows],
            samples.rows[samples.ends[rows]],
            scores.expected[rows],
            scores.contribution[rows],
            rows,
        )
        # To Python's numbers column by column: one by one it costs more than all the rest.
        for owner, *flagged, row in zip(*(column.tolist() for column in columns), strict=True):
            sensor = samples.runs[owner].sensor
            first = judged.incident.get(row)
            yield Output(
                topic=self._topics.anomalies,
                key=sensor.encode(),
                value=encode_anomaly(self._anomaly(sensor, partition, first, *flagged)),
                headers=self._anomaly_headers,
            )

    def _anomaly(  # noqa: PLR0917 - the columns of `_anomalies`, in their order
        self,
        sensor: str,
        partition: int,
        first: Place | None,
        group: int,
        offset: int,
        index: int,
        ts_ns: int,
        score: float,
        bar: float,
        raw: float,
        p_value: float,
        partial: bool,  # noqa: FBT001
        observed: list[float],
        expected: list[float],
        contribution: list[float],
    ) -> Anomaly:
        channels, topic = self._detector.channels, self._topics.readings
        return Anomaly(
            id=anomaly_id(topic, partition, offset, index),
            sensor_id=sensor,
            labels=dict(self._labels_of(sensor)),
            ts_ns=ts_ns,
            score=score,
            threshold=bar * self._detector.threshold_of(group, partial=partial),
            raw_score=raw,
            p_value=p_value,
            partial=partial,
            severity=Severity.of(score),
            observed={
                channel: None if isnan(value) else value
                for channel, value in zip(channels, observed, strict=True)
            },
            expected=dict(zip(channels, expected, strict=True)),
            contribution=dict(zip(channels, contribution, strict=True)),
            model=self._model_ref,
            group=sensor if group else POOLED,
            group_kind=GroupKind.SENSOR if group else GroupKind.POOLED,
            source=Source(topic=topic, partition=partition, offset=offset, index=index),
            incident=None if first is None else anomaly_id(topic, partition, *first[:2]),
        )


def _unpublished(runs: Sequence[Run], skipped: Mapping[str, int]) -> Iterator[Run]:
    """The samples that were not published before: of each sensor, the first ones may have been."""
    if not skipped:
        yield from runs
        return
    left = dict(skipped)
    for run in runs:
        passed = min(left.get(run.sensor, 0), run.stop - run.start)
        left[run.sensor] = left.get(run.sensor, 0) - passed
        if run.start + passed < run.stop:
            yield run._replace(start=run.start + passed)


def shortened(output: Output, room: int) -> Output:
    """The output with its value cut to `room` bytes, and a header that tells the whole length."""
    mark = (TRUNCATED, str(len(output.value)).encode())
    return replace(output, value=output.value[:room], headers=(*output.headers, mark))

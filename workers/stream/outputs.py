"""From scores to the records that are published: denoised frames, anomalies, dead letters. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import isnan

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
from workers.kafka.client import Record
from workers.stream.sensor_labels import LabelsOf, no_labels
from workers.stream.state.partition import DeadLetter, Pending

_FRAME_BYTES = 256 * 1024
_NUMBER_BYTES = 24

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


class OutputBuilder:
    """Builds the outputs of one model for one source topic."""

    def __init__(
        self,
        detector: Detector,
        topics: TopicSettings,
        *,
        denoised_content_type: str | None,
        labels_of: LabelsOf = no_labels,
    ) -> None:
        """Prepare the encoders; a `denoised_content_type` of None publishes no denoised frames."""
        self._detector = detector
        self._labels_of = labels_of
        self._topics = topics
        self._app_version = version("vigie")
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
        self._frame_rows = max(_FRAME_BYTES // (_NUMBER_BYTES * (len(detector.channels) + 3)), 1)
        self._anomaly_headers: Headers = (("content-type", ANOMALY_JSON.encode()),)

    def outputs(self, partition: int, pending: Pending, scores: Scores) -> Iterator[Output]:
        """Denoised frames, one a sensor (more if it is large), then anomalies.

        Both are in arrival order per sensor.

        Args:
            partition: the source partition.
            pending: what the partition kept for the request.
            scores: the request's scores, in its order.
        """
        if self._encoder is not None:
            for run in pending.runs:
                for start in range(run.start, run.stop, self._frame_rows):
                    part = slice(start, min(start + self._frame_rows, run.stop))
                    yield self._frame(run.sensor, part, partition, pending, scores)
        yield from self._anomalies(partition, pending, scores)

    def _frame(
        self, sensor: str, part: slice, partition: int, pending: Pending, scores: Scores
    ) -> Output:
        assert self._encoder is not None
        return Output(
            topic=self._topics.denoised,
            key=sensor.encode(),
            value=self._encoder.encode(
                sensor,
                pending.ts_ns[part],
                scores.denoised[part],
                scores.score[part],
                pending.offsets[part],
                pending.indices[part],
                model=self._model,
                source=(self._topics.readings, partition),
            ),
            headers=self._denoised_headers,
        )

    def dead_letter(self, partition: int, letter: DeadLetter, record: Record) -> Output:
        """The raw record, untouched, with the story of its failure in the headers."""
        return Output(
            topic=self._topics.dead_letters,
            key=record.key,
            value=record.value if record.value is not None else b"",
            headers=tuple(
                dead_letter_headers(
                    letter.failure,
                    topic=self._topics.readings,
                    partition=partition,
                    offset=letter.offset,
                    app_version=self._app_version,
                    original=[(name, value or b"") for name, value in record.headers],
                )
            ),
        )

    def _anomalies(self, partition: int, pending: Pending, scores: Scores) -> Iterator[Output]:
        rows = scores.flagged
        starts = np.array([run.start for run in pending.runs], np.int64)
        owners = np.searchsorted(starts, rows, side="right") - 1
        columns = (
            owners,
            pending.groups[rows],
            pending.offsets[rows],
            pending.indices[rows],
            pending.ts_ns[rows],
            scores.score[rows],
            scores.raw[rows],
            scores.p_value[rows],
            pending.observed[rows],
            scores.expected[rows],
            scores.contribution,
        )
        # To Python's numbers column by column: one by one it costs more than all the rest.
        for owner, *flagged in zip(*(column.tolist() for column in columns), strict=True):
            sensor = pending.runs[owner].sensor
            yield Output(
                topic=self._topics.anomalies,
                key=sensor.encode(),
                value=encode_anomaly(self._anomaly(sensor, partition, *flagged)),
                headers=self._anomaly_headers,
            )

    def _anomaly(  # noqa: PLR0917 - the columns of `_anomalies`, in their order
        self,
        sensor: str,
        partition: int,
        group: int,
        offset: int,
        index: int,
        ts_ns: int,
        score: float,
        raw: float,
        p_value: float,
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
            threshold=self._detector.threshold_of(group),
            raw_score=raw,
            p_value=p_value,
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
        )


def shortened(output: Output, room: int) -> Output:
    """The output with its value cut to `room` bytes, and a header that tells the whole length."""
    mark = (TRUNCATED, str(len(output.value)).encode())
    return replace(output, value=output.value[:room], headers=(*output.headers, mark))


def slice_scores(scores: Scores, start: int, stop: int) -> Scores:
    """The scores of samples `start` to `stop`, with their flagged samples counted from `start`."""
    first, last = np.searchsorted(scores.flagged, (start, stop))
    return Scores(
        score=scores.score[start:stop],
        raw=scores.raw[start:stop],
        p_value=scores.p_value[start:stop],
        expected=scores.expected[start:stop],
        denoised=scores.denoised[start:stop],
        flagged=scores.flagged[first:last] - start,
        contribution=scores.contribution[first:last],
    )


def join_scores(parts: Sequence[Scores]) -> Scores:
    """The scores of calls one behind the other, as if they had been one; at least one."""
    starts = np.cumsum([0, *(len(part.score) for part in parts)])
    return Scores(
        score=np.concatenate([part.score for part in parts]),
        raw=np.concatenate([part.raw for part in parts]),
        p_value=np.concatenate([part.p_value for part in parts]),
        expected=np.concatenate([part.expected for part in parts]),
        denoised=np.concatenate([part.denoised for part in parts]),
        flagged=np.concatenate(
            [part.flagged + start for part, start in zip(parts, starts[:-1], strict=True)]
        ),
        contribution=np.concatenate([part.contribution for part in parts]),
    )

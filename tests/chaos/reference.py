"""What must have come out, computed from the log of the source alone, offline.

Fates and windows are the oracle's, scores the detector's, flags, incidents and what is recorded
those of `tests.support.incident_twin`: no state machine, no replay, no batches as the stream cuts
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isnan
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
from pydantic_core import from_json

from detector.scoring import Detector
from schemas.codec import Decoder, encode_anomaly
from schemas.settings import Settings
from schemas.wire.anomaly import Anomaly, GroupKind, ModelRef, Severity, Source, anomaly_id
from schemas.wire.event import IncidentEvent
from tests.chaos import oracle
from tests.chaos.hooks.wrapping import POISON
from tests.chaos.outcome import Denoised, Flagged, Place
from tests.support.incident_terms import Terms
from tests.support.incident_twin import Answer, Heard, Judged, Logged, defined

_CHUNK: Final = 4_096
_LETTERS: Final = {
    oracle.Fate.SCORED: "s",
    oracle.Fate.WARMING_UP: "w",
    oracle.Fate.LATE: "d",
    oracle.Fate.DUPLICATE: "d",
}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must come out.

    Attributes:
        ends: first offset behind the log, by partition.
        verdicts: on each record, by (partition, offset).
        letters: key and value of each record that is a dead letter, by (partition, offset).
        denoised, flagged: by place.
        events: what happened to incidents, by id...
        causes: ...and the record that brought it about.
        recorded: what is recorded in the end, by partition and sensor...
        kept_from: ...of which nothing is whose last record lies before this, by partition.
    """

    ends: Mapping[int, int]
    verdicts: Mapping[tuple[int, int], oracle.Verdict]
    letters: Mapping[tuple[int, int], tuple[bytes | None, bytes]]
    denoised: dict[Place, Denoised] = field(default_factory=dict)
    flagged: dict[Place, Flagged] = field(default_factory=dict)
    events: dict[str, IncidentEvent] = field(default_factory=dict)
    causes: dict[str, tuple[int, int]] = field(default_factory=dict)
    recorded: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    kept_from: dict[int, int] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """Readings by fate, and records by "dead letters"."""
        counts = Counter(fate.value for v in self.verdicts.values() for fate in v.fates)
        counts["dead letters"] = sum(bool(v.stage) for v in self.verdicts.values())
        return counts


def expected_of(
    records: Sequence[Any], ends: Mapping[int, int], detector: Detector, settings: Settings
) -> Expected:
    """Compute it.

    Args:
        records: the whole source topic, by partition and offset.
        ends: of its partitions.
        detector: the model.
        settings: of the run.
    """
    rules = rules_of(detector, settings)
    logs: dict[int, list[oracle.Record]] = {partition: [] for partition in ends}
    raw = {(record.partition, record.offset): record for record in records}
    for partition, record in decoded(records, detector, settings):
        logs[partition].append(record)
    verdicts = {
        (partition, offset): verdict
        for partition, log in logs.items()
        for offset, verdict in oracle.verdicts(log, rules).items()
    }
    known = {
        (partition, record.offset): record for partition, log in logs.items() for record in log
    }
    expected = Expected(
        ends=ends,
        verdicts=verdicts,
        letters={at: (raw[at].key, raw[at].value or b"") for at, v in verdicts.items() if v.stage},
    )
    answers = dict(_answers(verdicts, known, detector))
    for partition, log in logs.items():
        cuts = [window[0].offset for window in oracle.cut(log, rules)]
        expected.kept_from[partition] = cuts[-2] if cuts[1:] else 0
        found = defined(
            Terms.of(
                detector,
                topic=settings.topics.readings,
                partition=partition,
                consumers=settings.kafka.group,
                max_stale_ms=max(round(settings.stream.max_stale_s * 1e3), 1),
            ),
            (_logged(partition, one, verdicts[partition, one.offset], answers) for one in log),
            cuts[1:],
        )
        expected.events.update({event.id: event for event in found.events})
        expected.causes.update({id_: (partition, at) for id_, at in found.causes.items()})
        expected.recorded.update(
            {(partition, sensor): document for sensor, document in found.documents.items()}
        )
        for (offset, nth), judged in found.judged.items():
            record, place = known[partition, offset], Place(partition, offset, nth)
            values = (None if isnan(v) else v for v in answers[place].denoised)
            reading = Denoised(
                place, record.sensor, record.readings[nth].ts_ns, judged.score, tuple(values)
            )
            expected.denoised[place] = reading
            if judged.incident is not None:
                expected.flagged[place] = _flag(
                    reading, answers[place], judged, detector, settings.topics.readings
                )
    return expected


def rules_of(detector: Detector, settings: Settings) -> oracle.Rules:
    """The rules of a run."""
    stream = settings.stream
    return oracle.Rules(
        receptive_field=detector.receptive_field,
        warm_up=detector.warm_up,
        max_gap_ns=max(round((stream.max_gap_s or detector.max_gap_s) * 1e9), 1),
        max_records=stream.max_restore_records,
        max_age_ms=max(round(stream.max_restore_age_s * 1e3), 2),
    )


def decoded(
    records: Sequence[Any], detector: Detector, settings: Settings
) -> Iterator[tuple[int, oracle.Record]]:
    """(partition, record) of each record, decoded one by one."""
    stream = settings.stream
    decoder = Decoder(
        detector.channels,
        wire_names=stream.channels,
        max_bytes=stream.max_record_bytes,
        default_content_type=stream.content_type,
    )
    for record in records:
        header = dict(record.headers).get("content-type")
        one = decoder.decode([record.value], [header])
        place = {"offset": record.offset, "stamp_ms": record.timestamp}
        if one.failures:
            yield record.partition, oracle.Record(**place, stage=one.failures[0].stage)
            continue
        ahead_ms = one.readings.ts_ns.max() / 1e6 - record.timestamp
        if stream.max_ahead_s and record.timestamp >= 0 and ahead_ms > stream.max_ahead_s * 1e3:
            yield record.partition, oracle.Record(**place, stage="clock")
            continue
        columns = one.readings
        yield (
            record.partition,
            oracle.Record(
                **place,
                sensor=columns.sensors[0],
                readings=tuple(
                    oracle.Reading(ts_ns, tuple(row), row[0] == POISON)
                    for ts_ns, row in zip(
                        columns.ts_ns.tolist(), columns.values.tolist(), strict=True
                    )
                ),
            ),
        )


class _Answered(NamedTuple):
    """What the model says of one reading, and what of it is published as it is."""

    answer: Answer
    observed: oracle.Row
    group: int
    raw: float
    p_value: float
    denoised: tuple[float, ...]


def _answers(
    verdicts: Mapping[tuple[int, int], oracle.Verdict],
    records: Mapping[tuple[int, int], oracle.Record],
    detector: Detector,
) -> Iterator[tuple[Place, _Answered]]:
    """Score each window by itself, many in a call."""
    windows = (
        (Place(*at, index), window)
        for at, verdict in verdicts.items()
        for index, window in verdict.windows.items()
    )
    while chunk := list(islice(windows, _CHUNK)):
        rows = np.array([row for _, window in chunk for row in window], np.float64)
        sensors = [records[place.partition, place.offset].sensor for place, _ in chunk]
        groups = np.array([detector.group_of(sensor) for sensor in sensors], np.int32)
        lengths = np.array([len(window) for _, window in chunk], np.int64)
        scores = detector.score(rows, np.cumsum(lengths) - 1, groups, lengths=lengths)
        for nth, (place, window) in enumerate(chunk):
            answer = Answer(
                score=float(scores.score[nth]),
                long=float(scores.levels[nth, 0]),
                short=float(scores.levels[nth, 1]),
                expected=tuple(scores.expected[nth].tolist()),
                shares=tuple(scores.contribution[nth].tolist()),
                latent=tuple(scores.latent[nth].tolist()),
                partial=bool(scores.partial[nth]),
            )
            yield (
                place,
                _Answered(
                    answer,
                    window[-1],
                    int(groups[nth]),
                    float(scores.raw[nth]),
                    float(scores.p_value[nth]),
                    tuple(scores.denoised[nth].tolist()),
                ),
            )


def _logged(
    partition: int,
    record: oracle.Record,
    verdict: oracle.Verdict,
    answers: Mapping[Place, _Answered],
) -> Logged:
    """A record as the definition of incidents takes it."""
    if verdict.stage:
        return Logged(record.offset, record.stamp_ms)
    readings = []
    for nth, (reading, fate) in enumerate(zip(record.readings, verdict.fates, strict=True)):
        answered = answers.get(Place(partition, record.offset, nth))
        answer = None if answered is None else answered.answer
        readings.append(Heard(reading.ts_ns, reading.row, _LETTERS[fate], answer))
    return Logged(record.offset, record.stamp_ms, record.sensor, tuple(readings))


def _flag(
    reading: Denoised, answered: _Answered, judged: Judged, detector: Detector, topic: str
) -> Flagged:
    place, channels, answer = reading.place, detector.channels, answered.answer
    assert judged.incident is not None
    threshold = detector.threshold_of(answered.group, partial=answer.partial)
    anomaly = Anomaly(
        id=anomaly_id(topic, place.partition, place.offset, place.nth),
        sensor_id=reading.sensor,
        ts_ns=reading.ts_ns,
        score=judged.score,
        threshold=judged.bar * threshold,
        raw_score=answered.raw,
        p_value=answered.p_value,
        partial=answer.partial,
        severity=Severity.of(judged.score),
        observed={
            name: None if isnan(value) else value
            for name, value in zip(channels, answered.observed, strict=True)
        },
        expected=dict(zip(channels, answer.expected, strict=True)),
        contribution=dict(zip(channels, answer.shares, strict=True)),
        model=ModelRef(name=detector.name, version=detector.version),
        group=reading.sensor if answered.group else "pooled",
        group_kind=GroupKind.SENSOR if answered.group else GroupKind.POOLED,
        source=Source(topic=topic, partition=place.partition, offset=place.offset, index=place.nth),
        incident=UUID(judged.incident),
    )
    return Flagged(place, str(anomaly.id), reading.sensor, from_json(encode_anomaly(anomaly)))

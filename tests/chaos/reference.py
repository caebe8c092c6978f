"""What must have come out, computed from the log of the source alone, offline.

Fates and windows are the oracle's, scores the detector's: no state machine, no replay, no batches
as the stream cuts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isnan
from typing import Any, Final

import numpy as np
from pydantic_core import from_json

from detector.scoring import Detector
from schemas.codec import Decoder, encode_anomaly
from schemas.settings import Settings
from schemas.wire.anomaly import Anomaly, GroupKind, ModelRef, Severity, Source, anomaly_id
from tests.chaos import oracle
from tests.chaos.hooks.wrapping import POISON
from tests.chaos.outcome import Denoised, Flagged, Place

_CHUNK: Final = 4_096


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must come out.

    Attributes:
        ends: first offset behind the log, by partition.
        verdicts: on each record, by (partition, offset).
        denoised, flagged: by place.
        keys: key and value of each record that is a dead letter, by (partition, offset).
    """

    ends: Mapping[int, int]
    verdicts: Mapping[tuple[int, int], oracle.Verdict]
    denoised: Mapping[Place, Denoised]
    flagged: Mapping[Place, Flagged]
    letters: Mapping[tuple[int, int], tuple[bytes | None, bytes]]

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
    denoised: dict[Place, Denoised] = {}
    flagged: dict[Place, Flagged] = {}
    for reading, flag in _scored(verdicts, known, detector, settings.topics.readings):
        denoised[reading.place] = reading
        if flag is not None:
            flagged[flag.place] = flag
    return Expected(
        ends=ends,
        verdicts=verdicts,
        denoised=denoised,
        flagged=flagged,
        letters={at: (raw[at].key, raw[at].value or b"") for at, v in verdicts.items() if v.stage},
    )


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


def _scored(
    verdicts: Mapping[tuple[int, int], oracle.Verdict],
    records: Mapping[tuple[int, int], oracle.Record],
    detector: Detector,
    topic: str,
) -> Iterator[tuple[Denoised, Flagged | None]]:
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
        flags = set(scores.flagged.tolist())
        for nth, (place, window) in enumerate(chunk):
            ts_ns = records[place.partition, place.offset].readings[place.nth].ts_ns
            reading = Denoised(
                place,
                sensors[nth],
                ts_ns,
                float(scores.score[nth]),
                tuple(None if isnan(v) else v for v in scores.denoised[nth].tolist()),
            )
            if nth not in flags:
                yield reading, None
                continue
            yield (
                reading,
                _flag(
                    reading,
                    topic=topic,
                    detector=detector,
                    group=int(groups[nth]),
                    raw=float(scores.raw[nth]),
                    p_value=float(scores.p_value[nth]),
                    observed=window[-1],
                    expected=scores.expected[nth].tolist(),
                    contribution=scores.contribution[nth].tolist(),
                ),
            )


def _flag(
    reading: Denoised,
    *,
    topic: str,
    detector: Detector,
    group: int,
    raw: float,
    p_value: float,
    observed: oracle.Row,
    expected: list[float],
    contribution: list[float],
) -> Flagged:
    place, channels = reading.place, detector.channels
    assert reading.score is not None
    anomaly = Anomaly(
        id=anomaly_id(topic, place.partition, place.offset, place.nth),
        sensor_id=reading.sensor,
        ts_ns=reading.ts_ns,
        score=reading.score,
        threshold=detector.threshold_of(group),
        raw_score=raw,
        p_value=p_value,
        severity=Severity.of(reading.score),
        observed={
            name: None if isnan(value) else value
            for name, value in zip(channels, observed, strict=True)
        },
        expected=dict(zip(channels, expected, strict=True)),
        contribution=dict(zip(channels, contribution, strict=True)),
        model=ModelRef(name=detector.name, version=detector.version),
        group=reading.sensor if group else "pooled",
        group_kind=GroupKind.SENSOR if group else GroupKind.POOLED,
        source=Source(topic=topic, partition=place.partition, offset=place.offset, index=place.nth),
    )
    return Flagged(place, str(anomaly.id), reading.sensor, from_json(encode_anomaly(anomaly)))

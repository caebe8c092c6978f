"""From the runs of `benchmarks.sizing_cases` to the constants of `workers.sizing`. Pure.

A least-squares fit without negative costs; each run counts by its share, so that a cheap one is met
as well as an expensive one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from benchmarks.sizing_cases import Case, Seen
from workers.sizing.measured import DetectorKind, Encoding, Line, Memory, Processor, Sizes

_VALUE_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Besides:
    """What is measured in runs of its own: processor microseconds.

    Attributes:
        network: of the autoencoder alone, a window, by channels.
        ship: of an ingest worker, a reading, for having it scored by an actor.
    """

    network: Mapping[int, float]
    ship: float


def processor_of(seen: Sequence[Seen], besides: Besides) -> Processor:
    """The costs that explain what the runs took."""
    by_record = _fit([s for s in seen if s.case.encoding is Encoding.FRAME], _read, _in_frames)
    score = _fit(seen, _score, _scored)
    publish = _fit(seen, lambda s: s.cost.publish + s.cost.wire, _published)
    readings = [s for s in seen if s.case.encoding is Encoding.READING and not s.case.sections]
    return Processor(
        read={
            Encoding.READING: _line((s.case.channels, s.cost.read) for s in readings),
            Encoding.FRAME: Line(base=by_record[1], per_channel=by_record[2]),
        },
        frame_record=by_record[0],
        fetch_record=publish[0],
        score={
            DetectorKind.PLAIN: Line(base=score[1], per_channel=score[2]),
            DetectorKind.FULL: Line(base=score[3], per_channel=score[4]),
        },
        score_call=score[0],
        network=_line(besides.network.items()),
        ship=besides.ship,
        publish=Line(base=publish[1], per_channel=publish[2]),
        publish_sensor=publish[3],
        commit=publish[4],
        restore={
            kind: _line(
                (s.case.channels, s.restore)
                for s in seen
                if s.case.encoding is kind and s.restore is not None
            )
            for kind in Encoding
        },
        broker_record=_broker(seen),
    )


def sizes_of(seen: Sequence[Seen]) -> Sizes:
    """Bytes in the broker's log."""

    def records(s: Seen) -> float:
        return s.bytes[_readings_of(s)] / s.case.readings

    def document(kind: str) -> float:
        # The median: a fleet that has just begun has little recorded of each sensor.
        return float(np.median([_of(s.bytes, kind) / max(_of(s.sent, kind), 1) for s in seen]))

    cleaned = _fit(seen, lambda s: _of(s.bytes, "denoised") / s.case.readings, _cleaned)
    return Sizes(
        record={
            Encoding.READING: _line(
                (s.case.channels, records(s)) for s in seen if s.case.encoding is Encoding.READING
            ),
            Encoding.FRAME: _line(
                (s.case.channels, records(s))
                for s in seen
                if s.case.encoding is Encoding.FRAME and s.case.frame_readings >= 100
            ),
        },
        cleaned=Line(base=cleaned[0], per_channel=cleaned[1]),
        cleaned_record=cleaned[2],
        state=document("sensor-state"),
        incident=document("incidents"),
    )


def memory_of(seen: Sequence[Seen], *, driver_mb: float) -> Memory:
    """A worker with few sensors, and what each sensor more takes besides its window."""
    plain = [
        s
        for s in seen
        if s.case.detector is DetectorKind.PLAIN and s.case.encoding is Encoding.READING
    ]
    few = min(plain, key=_sensors)
    many = max(plain, key=_sensors)
    more = many.case.sensors - few.case.sensors
    grown = (many.cost.resident_bytes - few.cost.resident_bytes) / max(more, 1)
    window = (many.case.detector.receptive_field - 1) * (many.case.channels + 1) * _VALUE_BYTES
    return Memory(
        worker_mb=few.cost.resident_bytes / 1e6,
        driver_mb=driver_mb,
        sensor_bytes=max(grown - window, 0.0),
    )


def predicted(
    case: Case, costs: Processor, *, calls: float, sensors: float, commits: float
) -> float:
    """Processor microseconds a reading, of an ingest worker.

    Args:
        case: the fleet.
        costs: of the model.
        calls: to the scorer, a reading.
        sensors: published of, a reading.
        commits: transactions, a reading.
    """
    records = case.records / case.readings
    frames = costs.frame_record if case.encoding is Encoding.FRAME else 0.0
    return (
        costs.read[case.encoding].at(case.channels)
        + records * (frames + costs.fetch_record)
        + costs.score[case.detector].at(case.channels)
        + costs.publish.at(case.channels)
        + calls * costs.score_call
        + sensors * costs.publish_sensor
        + commits * costs.commit
    )


def _broker(seen: Sequence[Seen]) -> float:
    """Of all runs together: in a short one a broker's own start is the largest part."""
    handled = [s.case.records + sum(s.sent.values()) for s in seen]
    return float(np.average([s.cost.broker for s in seen], weights=handled))


def _sensors(s: Seen) -> int:
    return s.case.sensors


def _read(s: Seen) -> float:
    return s.cost.read


def _in_frames(s: Seen) -> list[float]:
    return [s.cost.records, 1.0, s.case.channels]


def _score(s: Seen) -> float:
    return s.cost.score


def _scored(s: Seen) -> list[float]:
    lines = {kind: [0.0, 0.0] for kind in DetectorKind}
    lines[s.case.detector] = [1.0, s.case.channels]
    return [s.cost.calls, *lines[DetectorKind.PLAIN], *lines[DetectorKind.FULL]]


def _published(s: Seen) -> list[float]:
    return [s.cost.records, 1.0, s.case.channels, s.cost.sensors, s.cost.commits]


def _cleaned(s: Seen) -> list[float]:
    warm_up = (s.case.detector.receptive_field - 1) * s.case.sensors
    scored = 1.0 - warm_up / s.case.readings
    return [scored, scored * s.case.channels, _of(s.sent, "denoised") / s.case.readings]


def _of(by_topic: Mapping[str, int], ending: str) -> int:
    return sum(number for topic, number in by_topic.items() if topic.endswith(ending))


def _readings_of(s: Seen) -> str:
    (topic,) = (t for t in s.bytes if t.startswith(f"{s.case.encoding}-"))
    return topic


def _line(points: Iterable[tuple[int, float]]) -> Line:
    """The line through what was measured at several numbers of channels."""
    known = list(points)
    found = _solved([[1.0, float(channels)] for channels, _ in known], [cost for _, cost in known])
    return Line(base=found[0], per_channel=found[1])


def _fit(
    seen: Sequence[Seen], cost: Callable[[Seen], float], causes: Callable[[Seen], list[float]]
) -> list[float]:
    return _solved([causes(s) for s in seen], [cost(s) for s in seen])


def _solved(causes: list[list[float]], costs: list[float]) -> list[float]:
    matrix, target = np.array(causes), np.array(costs)
    solution, _ = nnls(matrix / target[:, None], np.ones(len(target)))
    return [float(value) for value in solution]

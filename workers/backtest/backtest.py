"""Scoring recorded readings: the live state machine and scoring function, without a broker.

A backtest equals a live run because it is the same code: readings pass through `PartitionState`,
with the same policies, and `Detector.score` sees the same windows. Rows arrive in the order of the
files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detector.evaluation import Evaluation, Outcome, evaluate, runs
from detector.scoring import Detector, Scores
from schemas.columns import Readings
from workers.data.files import FileColumns, FileFormatError, Layout, open_table
from workers.data.writer import open_readings
from workers.stream.state.counts import Counts
from workers.stream.state.partition import Batch, PartitionConfig, PartitionState, ScoreRequest
from workers.stream.state.restore import RestorePlan

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MAX_ROWS = 20_000_000
"""Held in memory with their scores; more are rejected."""


@dataclass(frozen=True, kw_only=True)
class ScoredSensor:
    """All rows of one sensor that the stream would have accepted, in order."""

    sensor: str
    ts_ns: IntArray  # event times, increasing, [n]
    values: FloatArray  # as they were read, NaN = missing, [n, C]
    score: FloatArray  # NaN where the window was not full, [n]
    denoised: FloatArray  # likewise, [n, C]
    labels: BoolArray | None  # True where the file calls the row anomalous, [n]

    @property
    def scored(self) -> BoolArray:
        """Rows with a score."""
        return np.isfinite(self.score)

    def labelled_spans(self) -> list[tuple[int, int]]:
        """First and last time of each labelled stretch."""
        if self.labels is None:
            return []
        return [
            (int(self.ts_ns[start]), int(self.ts_ns[end - 1])) for start, end in runs(self.labels)
        ]


def backtest(
    detector: Detector, chunks: Iterable[Readings], *, max_gap_s: float = 0.0
) -> Iterator[tuple[ScoreRequest, Scores]]:
    """Score readings as a live run would.

    Args:
        detector: the model.
        chunks: readings in arrival order, one reading a record, values [n, C] in the detector's
            channel order; the cut into chunks changes no score.
        max_gap_s: a longer silence of a sensor restarts its warm-up; 0 takes the model's.

    Yields:
        What was scored of each chunk (`samples.offsets` counts the records from 0), its scores.
    """
    gap_s = max_gap_s or detector.max_gap_s
    state = PartitionState(
        PartitionConfig(
            partition=0,
            channels=len(detector.channels),
            receptive_field=detector.receptive_field,
            max_gap_ns=max(round(gap_s * 1e9), 1),
        ),
        RestorePlan.cold_at(0),
        group_of=detector.group_of,
    )
    for chunk in chunks:
        records = len(chunk.positions)
        offsets = np.arange(state.next_offset, state.next_offset + records, dtype=np.int64)
        stamps_ms = np.full(records, -1, np.int64)  # files have none, and nothing is forgotten
        request = state.polled(
            Batch(offsets=offsets, stamps_ms=stamps_ms, readings=chunk, failures=())
        )
        if request is None:
            continue
        samples = request.samples
        scores = detector.score(samples.rows, samples.ends, samples.groups)
        yield state.scored(request.number, flagged=scores.flagged), scores


def score_files(
    paths: Sequence[Path], layout: Layout, detector: Detector, *, max_gap_s: float = 0.0
) -> tuple[list[ScoredSensor], Counts]:
    """Score the rows of files, one file after the other.

    Args:
        paths: in the order in which their rows would arrive.
        layout: of all of them; a channel of the model that it does not name is the column of the
            same name.
        detector: the model.
        max_gap_s: a longer silence restarts a sensor's warm-up; 0 takes the model's.

    Returns:
        One `ScoredSensor` per sensor in order of appearance, and where the rows went.

    Raises:
        FileFormatError: a file cannot be read, lacks a channel of the model, or there are too many
            rows.
    """
    rows = list(_batches(paths, layout, detector.channels))
    total = sum(len(batch) for batch in rows)
    score = np.full(total, np.nan)
    denoised = np.full((total, len(detector.channels)), np.nan)
    counts = Counts()
    for request, scores in backtest(detector, map(_readings, rows), max_gap_s=max_gap_s):
        score[request.samples.offsets] = scores.score
        denoised[request.samples.offsets] = scores.denoised
        counts += request.counts
    return _by_sensor(rows, score, denoised), counts


def write_scores(sensors: Sequence[ScoredSensor], channels: Sequence[str], path: Path) -> None:
    """Write every row: ts, sensor_id, score, flagged (0 or 1), cleaned channels, the file's label.

    Args:
        sensors: as `score_files` gives them; what has no score is empty.
        channels: of the model.
        path: `.parquet` is Parquet, everything else CSV; an existing file is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = ("score", "flagged", *channels)
    with open_readings(path, columns) as writer:
        for one in sensors:
            flagged = np.where(one.scored, one.score >= 1.0, np.nan)
            labels = np.zeros(len(one.ts_ns), np.int8) if one.labels is None else one.labels
            writer.write(
                sensors=[one.sensor] * len(one.ts_ns),
                ts_ns=one.ts_ns,
                values=np.column_stack([one.score, flagged, one.denoised]),
                labels=labels.astype(np.int8),
            )


def evaluate_sensors(sensors: Sequence[ScoredSensor], detector: Detector) -> Evaluation | None:
    """Figures over the sensors; None without labels or without a single score."""
    outcomes = [
        Outcome(
            ts_ns=one.ts_ns[one.scored], labels=one.labels[one.scored], scores=one.score[one.scored]
        )
        for one in sensors
        if one.labels is not None and one.scored.any()
    ]
    if not outcomes or not detector.interval_s > 0:
        return None
    return evaluate(outcomes, interval_s=detector.interval_s)


def most_telling(sensors: Sequence[ScoredSensor]) -> ScoredSensor:
    """The sensor with the most flagged rows inside labels, else the most flagged rows."""

    def worth(one: ScoredSensor) -> tuple[int, int]:
        flagged = one.score >= 1.0
        hits = 0 if one.labels is None else int(np.count_nonzero(flagged & one.labels))
        return hits, int(np.count_nonzero(flagged))

    return max(sensors, key=worth)


def _batches(
    paths: Sequence[Path], layout: Layout, channels: tuple[str, ...]
) -> Iterator[FileColumns]:
    foreign = sorted(set(layout.channels) - set(channels))
    if foreign:
        raise FileFormatError(
            f"--channel names {', '.join(foreign)}; the model has the channels "
            f"{', '.join(channels)}"
        )
    layout = replace(layout, channels={name: layout.channels.get(name, name) for name in channels})
    total = 0
    for table in [open_table(path, layout) for path in paths]:
        for batch in table.batches():
            total += len(batch)
            if total > MAX_ROWS:
                raise FileFormatError(f"{table.path}: more than {MAX_ROWS:,} rows in all")
            yield batch


def _readings(batch: FileColumns) -> Readings:
    n = len(batch)
    return Readings(
        positions=np.arange(n, dtype=np.int64),
        sensors=[batch.sensors[code] for code in batch.sensor_codes.tolist()],
        counts=np.ones(n, np.int64),
        ts_ns=batch.ts_ns,
        values=np.ascontiguousarray(batch.values),
    )


def _by_sensor(
    batches: Sequence[FileColumns], score: FloatArray, denoised: FloatArray
) -> list[ScoredSensor]:
    """Rows sensor by sensor, without late and repeated ones."""
    names: dict[str, int] = {}
    codes = []
    for batch in batches:
        own = np.array([names.setdefault(name, len(names)) for name in batch.sensors], np.int64)
        codes.append(own[batch.sensor_codes])
    if not codes:
        return []
    code = np.concatenate(codes)
    ts_ns = np.concatenate([batch.ts_ns for batch in batches])
    values = np.concatenate([batch.values for batch in batches])
    labels = [batch.labels for batch in batches if batch.labels is not None]
    label = np.concatenate(labels) if len(labels) == len(batches) else None
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(len(names) + 1))
    sensors = []
    for name, number in names.items():
        rows = order[starts[number] : starts[number + 1]]
        newest = np.maximum.accumulate(ts_ns[rows])
        fresh = np.append(True, ts_ns[rows][1:] > newest[:-1])
        rows = rows[fresh]
        sensors.append(
            ScoredSensor(
                sensor=name,
                ts_ns=ts_ns[rows],
                values=values[rows],
                score=score[rows],
                denoised=denoised[rows],
                labels=None if label is None else label[rows],
            )
        )
    return sensors

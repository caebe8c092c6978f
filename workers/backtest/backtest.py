"""Scoring and judging recorded readings: the live state machine, without a broker.

A backtest equals a live run because it is the same code: readings pass through `PartitionState`,
with the same policies, `Detector.score` sees the same windows, lengths and times, and the partition
decides what is flagged and what is an incident. The rows of a sensor arrive in the order of time.

Files have no log time: no sensor is forgotten, and no incident of one that fell silent is stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detector.evaluation import Evaluation, Outcome, evaluate
from detector.scoring import Detector, Scores
from detector.signal.scorable import Unscorable, unscorable
from detector.signal.series import true_runs
from schemas.columns import Readings
from schemas.wire.deed import Deed
from schemas.wire.incident import IncidentKind
from schemas.wire.limits import MAX_NAME_CHARS
from workers.backtest.incidents import FoundIncident, found_incidents
from workers.data.errors import FileFormatError
from workers.data.file.rows import FileRows
from workers.data.files import read_both
from workers.data.history import History, SensorRows
from workers.data.layout import Layout
from workers.stream.incident_events import IncidentEvents
from workers.stream.scoring.backend import Work
from workers.stream.sensor_labels import no_labels
from workers.stream.state.alarm_model import AlarmModel, AlarmPolicy
from workers.stream.state.counts import Counts
from workers.stream.state.incident import IncidentChange
from workers.stream.state.partition import Answered, Batch, PartitionConfig, PartitionState
from workers.stream.state.recorded import Judge, RecordedState
from workers.stream.state.restore import RestorePlan

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MAX_ROWS = 20_000_000
"""Held in memory with their scores; more are rejected."""
_CHUNK_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class ScoredSensor:
    """All rows of one sensor, in the order of time."""

    sensor: str
    ts_ns: IntArray  # event times, increasing, [n]
    values: FloatArray  # as they were read, NaN = missing, [n, C]
    score: FloatArray  # published: 1.0 is the threshold at the row; NaN where not scored, [n]
    bar: FloatArray  # that threshold, as a score of the first day; NaN likewise, [n]
    strength: FloatArray  # tail slopes beyond it; NaN likewise, [n]
    flagged: BoolArray  # [n]
    alarm: BoolArray  # rows in an incident, [n]
    off: BoolArray  # rows that were not judged: the sensor was off, [n]
    denoised: FloatArray  # NaN likewise, [n, C]
    whole: BoolArray  # rows scored by a whole window, [n]
    incidents: Sequence[FoundIncident]  # in order of time
    drifts: Sequence[FoundIncident]  # likewise
    labels: BoolArray | None  # True where the file calls the row anomalous, [n]
    settled: FloatArray | None = (
        None  # clean values of their own row; NaN where nobody knew, [n, C]
    )

    @property
    def scored(self) -> BoolArray:
        """Rows that were scored and judged."""
        judged: BoolArray = np.isfinite(self.score) & ~self.off
        return judged

    @property
    def judged_score(self) -> FloatArray:
        """The score, NaN where the row was not judged, below 1 where it is not flagged, [n].

        A rule beside the model may hold a row back whose score is above.
        """
        below = np.where(self.flagged, self.score, np.minimum(self.score, np.nextafter(1.0, 0.0)))
        judged: FloatArray = np.where(self.scored, below, np.nan)
        return judged

    @property
    def incident(self) -> IntArray:
        """Number of the incident that each row belongs to, from 1; 0 outside, [n]."""
        numbers = np.zeros(len(self.ts_ns), np.int64)
        for number, one in enumerate(self.incidents, start=1):
            numbers[one.first : one.until + 1] = number
        return numbers

    def labelled_spans(self) -> list[tuple[int, int]]:
        """First and last time of each labelled stretch."""
        if self.labels is None:
            return []
        return [
            (int(self.ts_ns[start]), int(self.ts_ns[end - 1]))
            for start, end in true_runs(self.labels)
        ]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a live run would judge.

    Attributes:
        max_gap_s: a longer silence of a sensor restarts its warm-up; 0 takes the model's.
        policy: rules and conditions that the operator set.
        deeds: what was done about people's wishes, to be done again.
    """

    max_gap_s: float = 0.0
    policy: AlarmPolicy = field(default_factory=AlarmPolicy)
    deeds: Sequence[Deed] = ()


def partition_of(
    detector: Detector, terms: Terms | None = None, *, partition: int = 0
) -> PartitionState:
    """A partition of which nothing has been read.

    Args:
        detector: the model.
        terms: how it judges.
        partition: its number, of which the ids of incidents are made.
    """
    terms = terms or Terms()
    gap_s = terms.max_gap_s or detector.max_gap_s
    return PartitionState(
        PartitionConfig(
            partition=partition,
            channels=len(detector.channels),
            receptive_field=detector.receptive_field,
            warm_up=detector.warm_up,
            max_gap_ns=max(round(gap_s * 1e9), 1),
        ),
        RestorePlan.cold_at(0),
        group_of=detector.group_of,
        recorded=RecordedState(
            Judge(
                model=AlarmModel.of(detector, terms.policy),
                group_of=detector.group_of,
                partition=partition,
                deeds=terms.deeds,
            )
        ),
    )


def backtest(
    detector: Detector, chunks: Iterable[Readings], state: PartitionState | None = None
) -> Iterator[tuple[Answered, Scores]]:
    """Score and judge readings as a live run would.

    Args:
        detector: the model.
        chunks: readings in arrival order, one reading a record, values [n, C] in the detector's
            channel order; the cut into chunks changes nothing.
        state: as `partition_of` begins it, which is the default; it holds what is open in the end.

    Yields:
        What was scored of each chunk (`samples.offsets` counts the records from 0) and judged, and
        its scores.
    """
    state = state or partition_of(detector)
    for chunk in chunks:
        records = len(chunk.positions)
        offsets = np.arange(state.next_offset, state.next_offset + records, dtype=np.int64)
        stamps_ms = np.full(records, -1, np.int64)  # files have none, and nothing is forgotten
        request = state.polled(
            Batch(offsets=offsets, stamps_ms=stamps_ms, readings=chunk, failures=())
        )
        if request is None:
            continue
        scores = Work.of(request.samples).scores(detector)
        yield state.scored(request.number, scores), scores


def read_for(detector: Detector, paths: Sequence[Path], layout: Layout) -> History:
    """Read the channels of a model from files; see `read_both_for`."""
    return read_both_for(detector, paths, layout)[1]


def read_both_for(
    detector: Detector, paths: Sequence[Path], layout: Layout
) -> tuple[list[FileRows], History]:
    """Read the channels of a model from files: the rows as they stand there, and the history.

    A channel that the layout does not name is the column of the same name.

    Raises:
        FileFormatError: a file cannot be read, lacks a channel of the model, there are too many
            rows, or a name is longer than the outputs of a stream can hold.
    """
    foreign = sorted(set(layout.channels) - set(detector.channels))
    if foreign:
        raise FileFormatError(
            f"--channel names {', '.join(foreign)}; the model has the channels "
            f"{', '.join(detector.channels)}"
        )
    rates = {f"{column}_per_s": column for column in layout.rate}
    named = {name: layout.channels.get(name, rates.get(name, name)) for name in detector.channels}
    files, history = read_both(paths, layout.model_copy(update={"channels": named}))
    if len(history) > MAX_ROWS:
        raise FileFormatError(f"{len(history):,} rows, at most {MAX_ROWS:,} are scored at once")
    for name in (*detector.channels, *(one.sensor for one in history.sensors)):
        if len(name) > MAX_NAME_CHARS:
            raise FileFormatError(
                f"the name {name[:40]}... has {len(name)} characters; a sensor or a channel of a "
                f"stream has at most {MAX_NAME_CHARS}"
            )
    return files, history


def score_history(
    history: History, detector: Detector, terms: Terms | None = None
) -> tuple[list[ScoredSensor], Counts]:
    """Score and judge the rows of each sensor.

    Args:
        history: with the channels of the detector, in its order.
        detector: the model.
        terms: how it judges.

    Returns:
        One `ScoredSensor` per sensor of the history, and where the rows went.
    """
    counts, scored = Counts(), []
    for number, one in enumerate(history.sensors):
        sensor, own = _score(one, number, detector, terms or Terms())
        scored.append(sensor)
        counts += own
    return scored, counts


def _score(
    one: SensorRows, number: int, detector: Detector, terms: Terms
) -> tuple[ScoredSensor, Counts]:
    """Score a sensor as if it had a partition of this number alone, its rows being the offsets."""
    n, counts = len(one), Counts()
    score, bar, strength = (np.full(n, np.nan) for _ in range(3))
    flagged, alarm, whole, off = (np.zeros(n, np.bool_) for _ in range(4))
    denoised = np.full((n, len(detector.channels)), np.nan)
    settled = denoised.copy() if detector.views.settling else None
    changes: list[IncidentChange] = []
    state = partition_of(detector, terms, partition=number)
    for answered, scores in backtest(detector, _chunks(one), state):
        judged, at = answered.judged, answered.request.samples.offsets
        score[at], bar[at], strength[at] = judged.score, judged.bar, judged.strength
        flagged[at], alarm[at] = judged.flagged, judged.alarm
        denoised[at], whole[at] = scores.denoised, ~scores.partial
        off[at] = False if judged.off is None else judged.off
        if settled is not None and scores.settled is not None:
            known = np.isfinite(scores.settled).any(axis=1)  # only of whole windows
            settled[at[known] - detector.settled_lag] = scores.settled[known]
        counts += answered.request.counts
        changes += judged.changes
    changes += state.recorded.standing()
    taken = np.where(alarm | flagged, strength, np.nan)
    events = IncidentEvents(
        detector,
        topic=terms.policy.topic,
        group="backtest",
        labels_of=no_labels,
    )
    found = found_incidents(changes, one.ts_ns, taken, events, number)
    return ScoredSensor(
        sensor=one.sensor,
        ts_ns=one.ts_ns,
        values=one.values,
        score=score,
        bar=bar,
        strength=strength,
        flagged=flagged,
        alarm=alarm,
        off=off,
        denoised=denoised,
        whole=whole,
        incidents=[each for each in found if each.told.kind is IncidentKind.ANOMALY],
        drifts=[each for each in found if each.told.kind is IncidentKind.DRIFT],
        labels=one.labels,
        settled=settled,
    ), counts


def unscored(
    sensors: Sequence[ScoredSensor], detector: Detector, *, max_gap_s: float = 0.0
) -> list[Unscorable]:
    """The sensors of which no row has a score, and why; arguments as for `score_history`."""
    none = {one.sensor: one.ts_ns for one in sensors if not one.scored.any()}
    return why_unscored(none, detector, max_gap_s=max_gap_s)


def why_unscored(
    times: Mapping[str, IntArray], detector: Detector, *, max_gap_s: float = 0.0
) -> list[Unscorable]:
    """Why a detector scores no reading of some sensors, by the times of these."""
    gap_ns = max(round((max_gap_s or detector.max_gap_s) * 1e9), 1)
    found = (
        unscorable(
            sensor,
            [ts_ns],
            receptive_field=detector.warm_up,
            max_gap_ns=gap_ns,
            needed=detector.warm_up,
        )
        for sensor, ts_ns in times.items()
    )
    return [one for one in found if one is not None]


def evaluate_sensors(sensors: Sequence[ScoredSensor], detector: Detector) -> Evaluation | None:
    """Figures over the sensors; None without labels or without a single score."""
    outcomes = [
        Outcome(
            ts_ns=one.ts_ns[one.scored],
            labels=one.labels[one.scored],
            scores=one.judged_score[one.scored],
        )
        for one in sensors
        if one.labels is not None and one.scored.any()
    ]
    if not outcomes or not detector.interval_s > 0:
        return None
    return evaluate(outcomes, interval_s=detector.interval_s)


def _chunks(one: SensorRows) -> Iterator[Readings]:
    for start in range(0, len(one), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        n = len(one.ts_ns[part])
        yield Readings(
            positions=np.arange(n, dtype=np.int64),
            sensors=[one.sensor] * n,
            counts=np.ones(n, np.int64),
            ts_ns=one.ts_ns[part],
            values=np.ascontiguousarray(one.values[part]),
        )

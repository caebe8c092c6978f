"""What a detector shows of the held-out time: labelled events, or faults that are put in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from detector.evaluation import Evaluation
from detector.scoring import Detector
from detector.signal.scaler import fit_row
from detector.signal.series import true_runs
from workers.backtest.backtest import ScoredSensor, evaluate_sensors, score_history
from workers.compare.faults import SLOT_LENGTHS, Kind, inject
from workers.compare.methods import Plan
from workers.compare.time_split import ComparisonError, TimeSplit
from workers.data.history import History, SensorRows

FALSE_SHARE = 0.01
"""Of the sound readings, at which methods are compared."""
_SHORTEST_FAULT = 16


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What a detector said of the held-out time.

    Attributes:
        quiet: of the sound rows: what it flags there is false. Of a file with labels, the labels'.
        faults: of the labelled events, or of the faults that were put in.
        injected: how many faults of each kind were put in; none where the file has labels.
        at_equal_rate: share of the faults that have a reading above the score that one sound
            reading in a hundred exceeds; NaN without faults. It compares methods, for it does not
            hang on their thresholds, which a detector cannot set so: it needs the labels.
        incidents: that the alarm rule opens on the rows as they were read.
    """

    quiet: Evaluation
    faults: Evaluation
    injected: Mapping[Kind, int]
    at_equal_rate: float
    incidents: int


def detection_of(detector: Detector, split: TimeSplit, plan: Plan) -> Detection:
    """Judge by the labels; where there are none, by faults that are put in."""
    held_out = _with_labels(split.held_out)
    scored, _ = score_history(held_out, detector)
    quiet = evaluate_sensors(scored, detector)
    if quiet is None:
        raise ComparisonError(
            f"no reading of the held-out time could be scored: windows of "
            f"{plan.receptive_field} readings without a gap are needed"
        )
    faults, injected, faulty = quiet, dict[Kind, int](), scored
    if not split.labelled:
        put_in, injected = with_faults(held_out, split.training, plan)
        faulty, _ = score_history(put_in, detector)
        found = evaluate_sensors(faulty, detector)
        assert found is not None, "the same rows were scored before"
        faults = found
    return Detection(
        quiet=quiet,
        faults=faults,
        injected=injected,
        at_equal_rate=_found_at_equal_rate(scored, faulty, detector.receptive_field),
        incidents=sum(len(one.incidents) for one in scored),
    )


def _found_at_equal_rate(
    sound: Sequence[ScoredSensor], faulty: Sequence[ScoredSensor], receptive_field: int
) -> float:
    """The share of the faults that stand above all but a hundredth of the sound readings.

    A sound reading has a whole window of sound ones.
    """
    normal = np.concatenate(
        [one.score[one.scored & ~_touched(_labels(one), receptive_field)] for one in sound]
    )
    peaks = [
        float(np.nanmax(one.score[start:end]))
        for one in faulty
        for start, end in true_runs(_labels(one))
        if np.isfinite(one.score[start:end]).any()
    ]
    if not len(normal) or not peaks:
        return math.nan
    return float(np.mean(np.array(peaks) > np.quantile(normal, 1.0 - FALSE_SHARE)))


def _touched(labels: npt.NDArray[np.bool_], rows: int) -> npt.NDArray[np.bool_]:
    """Whether a label lies in the last rows up to each."""
    touched: npt.NDArray[np.bool_] = np.convolve(labels, np.ones(rows))[: len(labels)] > 0
    return touched


def _labels(one: ScoredSensor) -> npt.NDArray[np.bool_]:
    assert one.labels is not None, "what has none is taken as sound"
    return one.labels


def _with_labels(history: History) -> History:
    """What has no labels is taken as sound."""
    none = [np.zeros(len(one), dtype=np.bool_) for one in history.sensors]
    return replace(
        history,
        sensors=tuple(
            one if one.labels is not None else replace(one, labels=empty)
            for one, empty in zip(history.sensors, none, strict=True)
        ),
    )


def fault_length(plan: Plan) -> int:
    """Readings of a fault that is put in: a window, and no fewer than 16."""
    return max(plan.receptive_field, _SHORTEST_FAULT)


def with_faults(
    held_out: History, training: History, plan: Plan
) -> tuple[History, dict[Kind, int]]:
    """The held-out rows with faults put in; see `faults`.

    Raises:
        ComparisonError: no sensor has room for a fault, or no channel moves.
    """
    sensors, kinds = list[SensorRows](), dict.fromkeys(Kind, 0)
    known = {one.sensor: one for one in training.sensors}
    for number, one in enumerate(held_out.sensors):
        _, spread = fit_row(known[one.sensor].values)
        moves = [
            channel
            for channel, column in enumerate(known[one.sensor].values.T)
            if len(np.unique(column[np.isfinite(column)])) > 1
        ]
        if not moves:
            sensors.append(one)
            continue
        found = inject(
            one.values,
            spread=spread,
            channels=moves,
            length=fault_length(plan),
            generator=np.random.default_rng([plan.seed, number]),
        )
        for kind in found.kinds:
            kinds[kind] += 1
        sensors.append(replace(one, values=found.rows, labels=found.labels))
    if not sum(kinds.values()):
        raise ComparisonError(
            f"there are no labels, and no room to put faults in: a sensor needs "
            f"{SLOT_LENGTHS * fault_length(plan):,} held-out readings and a channel "
            "that moves"
        )
    return replace(held_out, sensors=tuple(sensors)), kinds

"""What the calibration of a detector's scores comes to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from detector.calibration.alarm_numbers import AlarmNumbers
from detector.calibration.drift import DriftWatch
from detector.calibration.fusion import Fusion
from detector.calibration.log_fusion import LogFusion
from detector.calibration.threshold import Calibration


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Readings that alone set a threshold.

    Attributes:
        start_ns, end_ns: event times of the first and the last.
        factor: the threshold over what it would be without them.
    """

    sensor: str
    start_ns: int
    end_ns: int
    readings: int
    factor: float


@dataclass(frozen=True, kw_only=True)
class FittedScores:
    """Fusion and thresholds of every group.

    Attributes:
        fusion: features to raw score.
        calibration: of whole windows.
        partial: of windows that are not full yet; None where those are not scored.
        alarms: start numbers of the alarm rule.
        drift: reference epochs of the drift verdict.
        readings: that they rest on.
        standing_out: stretches of the history that alone set a threshold.
    """

    fusion: Fusion | LogFusion
    calibration: Calibration
    partial: Calibration | None
    alarms: AlarmNumbers
    drift: DriftWatch
    readings: int
    standing_out: Sequence[Stretch]


def alarm_numbers(
    levels: Sequence[Float64[np.ndarray, "_ levels"]], blocks: Sequence[Int64[np.ndarray, " _"]]
) -> AlarmNumbers:
    """Start numbers of the alarm rule.

    Args:
        levels: of the pooled group, then of each sensor with numbers of its own; in order of time.
        blocks: the block in time of each row.
    """
    own = slice(1, None) if len(levels) > 1 else slice(None)
    counts = [len(one) for one in levels[own]]
    numbers = AlarmNumbers.fit(
        np.concatenate(levels[own]),
        np.repeat(np.arange(1, len(counts) + 1), counts),
        np.concatenate(blocks[own]),
        n_groups=len(counts) + 1,
    )
    if len(levels) > 1:
        return numbers
    return AlarmNumbers(**{name: array[:1] for name, array in numbers.arrays().items()})


def drift_watch(levels: Sequence[Float64[np.ndarray, "_ levels"]], interval_s: float) -> DriftWatch:
    """Reference epochs of the drift verdict.

    Args:
        levels: of the pooled group, then of each sensor with numbers of its own; in order of time.
        interval_s: sampling interval.
    """
    own = levels[1:]
    return DriftWatch.fit(
        np.concatenate([one[:, 0] for one in own] or [np.empty(0)]),
        np.repeat(np.arange(1, len(own) + 1), [len(one) for one in own]),
        n_groups=len(levels),
        interval_s=interval_s,
    )

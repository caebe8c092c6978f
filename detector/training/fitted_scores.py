"""What the calibration of a detector's scores comes to."""

from collections.abc import Sequence
from dataclasses import dataclass

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
        standing_out: stretches of the history that alone set a threshold.
    """

    fusion: Fusion | LogFusion
    calibration: Calibration
    partial: Calibration | None
    standing_out: Sequence[Stretch]

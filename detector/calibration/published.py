"""Between levels, which the alarm rule reads, and published scores: 1 is the threshold."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int

from detector.calibration.fusion import LEVELS, Fusion
from detector.calibration.log_fusion import LogFusion
from detector.calibration.threshold import Calibration


def levels_of(
    score: Float64[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    fusion: Fusion | LogFusion,
    calibrations: Sequence[Calibration],
) -> Float64[np.ndarray, "levels n"]:
    """The levels that a published score stands for, in each view.

    Args:
        score: above 0.
        groups: calibration group of each.
        fusion: of the detector.
        calibrations: of whole windows, and of those that are not full.
    """
    thresholds = np.stack([one.threshold[groups] for one in calibrations])
    levels: Float64[np.ndarray, "levels n"] = (
        np.log(score * thresholds) * totals_of(fusion)[:, None]
    )
    return levels


def scores_of(
    levels: Float64[np.ndarray, " n"],
    view: int,
    group: int,
    fusion: Fusion | LogFusion,
    calibration: Calibration,
) -> Float64[np.ndarray, " n"]:
    """The published scores of levels of one view and one group."""
    scores: Float64[np.ndarray, " n"] = np.exp(levels / totals_of(fusion)[view])
    scores /= calibration.threshold[group]
    return scores


def totals_of(fusion: Fusion | LogFusion) -> Float64[np.ndarray, " levels"]:
    """How much the weights of a level sum up to: a raw score is their mean."""
    if not isinstance(fusion, LogFusion):
        return np.ones(LEVELS)
    totals: Float64[np.ndarray, " levels"] = fusion.weight.sum(axis=1)
    return totals

"""What of a model decides on alarms: the rule, the bars in published scores, the bands. Pure."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float64, Int

from detector.calibration.alarm_rule import AlarmRule
from detector.calibration.budget import Allowance
from detector.calibration.drift import DriftWatch
from detector.calibration.published import totals_of
from detector.explanation import band
from detector.scoring import Detector

NEVER_STALE = 2**62


@dataclass(frozen=True, kw_only=True)
class AlarmModel:
    """The part of a detector that judges scores.

    Attributes:
        rule, watch: None for a model that is older than them: then scores are as they come, and
            nothing opens.
        totals: sum of the weights of each level, see `published`.
        thresholds: raw scores of published score 1: of whole windows, of those not full yet.
        bands: half the width of the normal band around expected values.
        max_stale_ms: log time for which a sensor with an open incident may be silent.
        allowance: what the budget allows; None without a rule.
    """

    rule: AlarmRule | None
    watch: DriftWatch | None
    totals: Float64[np.ndarray, " levels"]
    thresholds: Float64[np.ndarray, "2 groups"]
    bands: Float64[np.ndarray, "groups channels"]
    max_stale_ms: int = NEVER_STALE
    allowance: Allowance | None = None

    @classmethod
    def of(cls, detector: Detector, *, max_stale_ms: int = NEVER_STALE) -> Self:
        """Of a detector."""
        head, identity = detector.head, detector.identity
        partial = head.partial or head.calibration
        return cls(
            rule=head.alarms,
            watch=head.drift,
            totals=totals_of(head.fusion),
            thresholds=np.stack([head.calibration.threshold, partial.threshold]).astype(float),
            bands=np.stack([band(detector, group) for group in range(detector.n_groups)]),
            max_stale_ms=max_stale_ms,
            allowance=None
            if head.alarms is None
            else Allowance.of(
                head.alarms.rate, interval_s=identity.interval_s, training=identity.training
            ),
        )

    def bars(
        self,
        levels: Float64[np.ndarray, " n"],
        partial: Bool[np.ndarray, " n"],
        groups: Int[np.ndarray, " n"],
    ) -> Float64[np.ndarray, " n"]:
        """Levels of the rule's thresholds as scores of a sensor's first day; see `published`."""
        view = partial.astype(np.int64)
        bars: Float64[np.ndarray, " n"]
        bars = np.exp(levels / self.totals[view]) / self.thresholds[view, groups]
        return bars

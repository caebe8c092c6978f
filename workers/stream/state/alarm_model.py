"""What decides on alarms beside what is recorded: the model, the rules, the log. Pure."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from jaxtyping import Bool, Float64, Int

from detector.calibration.alarm_rule import AlarmRule
from detector.calibration.budget import Allowance
from detector.calibration.drift import DriftWatch
from detector.calibration.likeness import Likeness
from detector.calibration.published import totals_of
from detector.explanation import band
from detector.rules import Rules
from detector.scoring import Detector
from workers.stream.state.off import OffRules

NEVER_STALE = 2**62
_FAR = 80.0
"""Logs of raw scores beyond are as far as can be; their exponentials must stay numbers."""


@dataclass(frozen=True, kw_only=True)
class AlarmPolicy:
    """What the operator set.

    Attributes:
        topic: of the readings, for the ids of incidents.
        max_stale_ms: log time for which a sensor with an open incident may be silent.
        rules: beside the model.
        off: when sensors are not judged.
    """

    topic: str = "vigie.readings"
    max_stale_ms: int = NEVER_STALE
    rules: Rules = field(default_factory=lambda: Rules(()))
    off: OffRules = field(default_factory=lambda: OffRules(()))


@dataclass(frozen=True, kw_only=True)
class AlarmModel:
    """The part of a detector that judges scores, and what the operator set.

    Attributes:
        version: of the detector.
        channels: names, in their order.
        rule: None for a model that is older than it: scores are as they come, nothing opens.
        watch: None for a model that is older than it.
        likeness: likewise; then no incident is suppressed.
        totals: sum of the weights of each level, see `published`.
        thresholds: raw scores of published score 1: of whole windows, of those not full yet.
        bands: half the width of the normal band around expected values.
        policy: what the operator set.
        allowance: what the budget allows; None without a rule.
    """

    version: str
    channels: tuple[str, ...]
    rule: AlarmRule | None
    watch: DriftWatch | None
    likeness: Likeness | None
    totals: Float64[np.ndarray, " levels"]
    thresholds: Float64[np.ndarray, "2 groups"]
    bands: Float64[np.ndarray, "groups channels"]
    policy: AlarmPolicy
    allowance: Allowance | None = None

    @classmethod
    def of(cls, detector: Detector, policy: AlarmPolicy | None = None) -> Self:
        """Of a detector."""
        head, identity = detector.head, detector.identity
        partial = head.partial or head.calibration
        return cls(
            version=detector.version,
            channels=detector.channels,
            rule=head.alarms,
            watch=head.drift,
            likeness=head.likeness,
            totals=totals_of(head.fusion),
            thresholds=np.stack([head.calibration.threshold, partial.threshold]).astype(float),
            bands=np.stack([band(detector, group) for group in range(detector.n_groups)]),
            policy=policy or AlarmPolicy(),
            allowance=None
            if head.alarms is None
            else Allowance.of(
                head.alarms.rate, interval_s=identity.interval_s, training=identity.training
            ),
        )

    @property
    def rate(self) -> float:
        """False incidents a reading that the budget allows."""
        assert self.rule is not None
        return self.rule.rate

    def bars(
        self,
        levels: Float64[np.ndarray, " n"],
        partial: Bool[np.ndarray, " n"],
        groups: Int[np.ndarray, " n"],
    ) -> Float64[np.ndarray, " n"]:
        """Levels of the rule's thresholds as scores of a sensor's first day; see `published`.

        A reading that is not judged, NaN, has the bar of the first day, 1.
        """
        view = partial.astype(np.int64)
        logs = np.clip(levels / self.totals[view], -_FAR, _FAR)
        bars = np.exp(logs) / self.thresholds[view, groups]
        judged: Float64[np.ndarray, " n"] = np.where(np.isnan(bars), 1.0, bars)
        return judged

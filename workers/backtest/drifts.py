"""Has the normal operation of a sensor left the one that its model was calibrated on?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.scoring import Detector
from workers.backtest.backtest import ScoredSensor


@dataclass(frozen=True, kw_only=True)
class DriftResult:
    """What the drift verdict says of the rows of one sensor.

    Attributes:
        sensor: whose.
        judged: epochs of its readings that were judged; None where the history was too short for
            a verdict ever to be given.
        drifting: whether a verdict stands at the last row.
        given_ns: when the first verdict was given; None without one.
        epochs: since so many epochs before that, most likely.
        epoch_s: how long an epoch is.
    """

    sensor: str
    judged: int | None
    drifting: bool = False
    given_ns: int | None = None
    epochs: int = 0
    epoch_s: float = 0.0

    @property
    def word(self) -> str:
        """`drifting`, `as calibrated`, `too few readings` or `no verdict`."""
        if self.judged is None:
            return "no verdict"
        if self.given_ns is not None:
            return "drifting" if self.drifting else "drifted, and is back"
        return "as calibrated" if self.judged else "too few readings"


def drift_of(one: ScoredSensor, detector: Detector) -> DriftResult | None:
    """The verdict on a sensor's rows; None for a model that is older than the verdict."""
    watch = detector.head.drift
    if watch is None:
        return None
    group = detector.group_of(one.sensor)
    if watch.count[group] == 0:
        return DriftResult(sensor=one.sensor, judged=None)
    first = one.drifts[0].told if one.drifts else None
    return DriftResult(
        sensor=one.sensor,
        judged=int(np.count_nonzero(one.whole)) // watch.epoch_rows,
        drifting=bool(one.drifts) and one.drifts[-1].told.end_ns is None,
        given_ns=None if first is None else first.opened_ns,
        epochs=0 if first is None or first.change is None else first.change.epochs,
        epoch_s=watch.epoch_rows * detector.interval_s,
    )

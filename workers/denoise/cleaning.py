"""Clean values of the rows of sensors, by the function that cleans the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.scoring import Detector
from detector.signal.scorable import Unscorable
from workers.backtest.backtest import ScoredSensor, Terms, score_history, why_unscored
from workers.data.history import BoolArray, FloatArray, History, IntArray
from workers.errors import VigieError


class NoSettledValuesError(VigieError):
    """The model has no settled values: train another one, or go without."""


@dataclass(frozen=True, kw_only=True)
class CleanedSensor:
    """The rows of one sensor, in the order of time.

    Attributes:
        ts_ns: event times, [n].
        observed: as they were read, NaN = missing, [n, C].
        clean: without their noise; as they were read where nothing cleaned them, [n, C].
        cleaned: rows that were cleaned, [n].
        settled: rows that were cleaned with hindsight, [n].
    """

    sensor: str
    ts_ns: IntArray
    observed: FloatArray
    clean: FloatArray
    cleaned: BoolArray
    settled: BoolArray

    def __len__(self) -> int:
        return len(self.ts_ns)

    @property
    def removed(self) -> FloatArray:
        """Reading less clean value; NaN where either is not there, [n, C]."""
        gone: FloatArray = np.where(self.cleaned[:, None], self.observed - self.clean, np.nan)
        return gone


def clean(
    history: History, detector: Detector, *, max_gap_s: float = 0.0
) -> Sequence[CleanedSensor]:
    """Clean the rows of each sensor as a live run would.

    From a detector that is settling (`Detector.settling`), a row has the value that is known
    `settled_lag` rows later; the last rows before a gap, of which nobody knew more in time, have
    the causal one. A missing value of a cleaned row has what it was predicted to be.

    Args:
        history: with the channels of the detector, in its order.
        detector: the model.
        max_gap_s: a longer silence of a sensor restarts its warm-up; 0 takes the model's.
    """
    sensors, _ = score_history(history, detector, Terms(max_gap_s=max_gap_s))
    return [_cleaned(one) for one in sensors]


def settling(detector: Detector) -> Detector:
    """The same detector, which says of each reading what it was with hindsight too.

    Raises:
        NoSettledValuesError: it cannot.
    """
    if not detector.settled_lag:
        told = detector.identity.training.get("denoising", {"why": "it is too old"})
        why = told.get("why", "its window is too short to look ahead")
        raise NoSettledValuesError(
            f"--settled: {detector.name}@{detector.version} has no settled values ({why}); go "
            "without, or train it on a longer history"
        )
    return detector.settling()


def _cleaned(one: ScoredSensor) -> CleanedSensor:
    known = _some(one.denoised)
    clean_values = np.where(known[:, None], one.denoised, one.values)
    late = np.zeros(len(known), np.bool_)
    if one.settled is not None:
        late = _some(one.settled)
        clean_values = np.where(late[:, None], one.settled, clean_values)
    return CleanedSensor(
        sensor=one.sensor,
        ts_ns=one.ts_ns,
        observed=one.values,
        clean=clean_values,
        cleaned=known | late,
        settled=late,
    )


def _some(values: FloatArray) -> BoolArray:
    """Rows with a value."""
    found: BoolArray = np.isfinite(values).sum(axis=1) > 0
    return found


def uncleaned(
    sensors: Sequence[CleanedSensor], detector: Detector, *, max_gap_s: float = 0.0
) -> list[Unscorable]:
    """The sensors of which no row was cleaned, and why; arguments as for `clean`."""
    none = {one.sensor: one.ts_ns for one in sensors if not one.cleaned.any()}
    return why_unscored(none, detector, max_gap_s=max_gap_s)

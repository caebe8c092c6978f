"""The seam: what the benchmark asks of a detector, its own or another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.detection.series import History, Mask, Rows, Times
from detector.evaluation import merged_runs

Ranges = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a detector says of every row of a stream, each from that row and those before it.

    Attributes:
        score: finite, larger is more anomalous, 1.0 is the label-free threshold, [T].
        incidents: first row and row after the last, [k, 2]; None = runs of rows at or above the
            threshold, those with fewer than 16 rows between them merged.
        settled: the score read some rows late, at a lag that the detector states: for ranking
            only, never for opening an alarm, [T].
        levels: what an alarm rule folds over, if the detector has one, [T, 3].
        blame: each channel's part, by the detector's own account; NaN rows = none, [T, C].
        errors: each channel's squared error in training deviations, likewise.
    """

    score: Rows
    incidents: Ranges | None = None
    settled: Rows | None = None
    levels: npt.NDArray[np.float32] | None = None
    blame: Rows | None = None
    errors: Rows | None = None

    @property
    def alarms(self) -> Ranges:
        """The incidents, or what stands for them."""
        return merged_runs(self.score >= 1.0) if self.incidents is None else self.incidents

    @property
    def flags(self) -> Mask:
        """Rows in alarm: inside an incident of the detector's rule, or above the threshold."""
        if self.incidents is None:
            return self.score >= 1.0
        flags = np.zeros(len(self.score), dtype=bool)
        for start, end in self.incidents:
            flags[start:end] = True
        return flags


class Fitted(Protocol):
    """A trained detector."""

    def score(self, rows: Rows, ts_ns: Times) -> Scored:
        """Score a whole stream that begins with the training rows, causally."""
        ...


Train = Callable[[History], Fitted]


@dataclass(frozen=True, kw_only=True)
class NamedDetector:
    """A line of the tables.

    Attributes:
        name: for `--detectors`.
        about: how it works, in one line.
        train: from a history without labels to a fitted detector.
        needs: a module that must be importable, of the dependency group `bench`; "" = none.
        quick: whether `--quick` runs it.
    """

    name: str
    about: str
    train: Train
    needs: str = ""
    quick: bool = True

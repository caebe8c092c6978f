"""What a set of flagged rows found: confusion matrix of rows, events, delays."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from detector.signal.series import true_runs

Mask = Bool[np.ndarray, " rows"]
Column = Float64[np.ndarray, " rows"]
Ranges = Int64[np.ndarray, "ranges 2"]
"""First row and row after the last of each range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counts(ABC):
    """Precision, recall and F1 of what was found, flagged in vain and missed; 0 of nothing."""

    def __add__(self, other: Self) -> Self:
        mine, others = asdict(self), asdict(other)
        return type(self)(**{name: count + others[name] for name, count in mine.items()})

    @property
    @abstractmethod
    def _found_false_missed(self) -> tuple[int, int, int]: ...

    @property
    def precision(self) -> float:
        """Share of what is flagged that is anomalous."""
        found, false, _ = self._found_false_missed
        return ratio(found, found + false)

    @property
    def recall(self) -> float:
        """Share of what is anomalous that is flagged."""
        found, _, missed = self._found_false_missed
        return ratio(found, found + missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        found, false, missed = self._found_false_missed
        return ratio(2 * found, 2 * found + false + missed)


@dataclass(frozen=True, kw_only=True, slots=True)
class PointCounts(_Counts):
    """The confusion matrix of rows. Add two to pool them."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0

    @property
    def _found_false_missed(self) -> tuple[int, int, int]:
        return self.true_positives, self.false_positives, self.false_negatives

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal rows that are flagged (FAR)."""
        return ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def missed_alarm_rate(self) -> float:
        """Share of anomalous rows that are not flagged (MAR)."""
        return ratio(self.false_negatives, self.true_positives + self.false_negatives)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventCounts(_Counts):
    """Events found and missed, and flagged runs that touch no event. Add two to pool them."""

    found: int = 0
    missed: int = 0
    false: int = 0

    @property
    def _found_false_missed(self) -> tuple[int, int, int]:
        return self.found, self.false, self.missed


def count_points(labels: Mask, flags: Mask) -> PointCounts:
    """Compare rows one by one, without any adjustment."""
    check_pair(labels, flags)
    hits = int(np.count_nonzero(labels & flags))
    positives, alarms = int(np.count_nonzero(labels)), int(np.count_nonzero(flags))
    return PointCounts(
        true_positives=hits,
        false_positives=alarms - hits,
        false_negatives=positives - hits,
        true_negatives=len(labels) - positives - alarms + hits,
    )


def count_events(labels: Mask, flags: Mask) -> EventCounts:
    """Count events with any flagged row in them, and flagged runs that touch no event."""
    check_pair(labels, flags)
    found = int(np.count_nonzero(any_inside(true_runs(labels), flags)))
    touching = int(np.count_nonzero(any_inside(true_runs(flags), labels)))
    return EventCounts(
        found=found, missed=len(true_runs(labels)) - found, false=len(true_runs(flags)) - touching
    )


def detection_delays(labels: Mask, flags: Mask) -> Int64[np.ndarray, " events"]:
    """Rows from the start of each event to its first flagged row; -1 for a missed event."""
    check_pair(labels, flags)
    events = true_runs(labels)
    hits = np.append(np.flatnonzero(flags), len(labels))
    first = hits[np.searchsorted(hits, events[:, 0])]
    return np.where(first < events[:, 1], first - events[:, 0], -1)


def ratio(part: float, whole: float) -> float:
    """The share of a part; 0 of nothing."""
    return part / whole if whole else 0.0


def check_pair(labels: Mask, values: Shaped[np.ndarray, " rows"]) -> None:
    """Reject columns that do not belong together.

    Raises:
        ValueError: not one length.
    """
    if labels.ndim != 1 or labels.shape != values.shape:
        raise ValueError(f"rows must have one length, got {labels.shape} and {values.shape}")


def any_inside(ranges: Ranges, mask: Mask) -> Bool[np.ndarray, " ranges"]:
    """Whether the mask is set anywhere in each range."""
    before = np.concatenate(([0], np.cumsum(mask)))
    inside: Bool[np.ndarray, " ranges"] = before[ranges[:, 1]] > before[ranges[:, 0]]
    return inside

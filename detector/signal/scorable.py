"""Why a sensor has no window, so that it can neither be learned from nor scored."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

import numpy as np
from jaxtyping import Int64

from detector.signal.series import runs


class Obstacle(Enum):
    """What keeps windows from being full."""

    FEW_READINGS = "few readings"
    """There are fewer than a window holds."""
    LONG_STEPS = "long steps"
    """Most of its steps are longer than the gap that restarts a window."""
    GAPS = "gaps"
    """No run of readings without a gap is long enough."""


@dataclass(frozen=True, kw_only=True)
class Unscorable:
    """A sensor without a window, in numbers; its text is a reason for people.

    Attributes:
        readings: all of them.
        longest: readings of the longest run without a gap (of one block, in training).
        step_s: median step; 0 with fewer than two readings.
        max_gap_s: a longer step restarts the window.
        needed: readings in a row that a window takes, or a training.
    """

    sensor: str
    readings: int
    longest: int
    step_s: float
    max_gap_s: float
    needed: int

    @property
    def obstacle(self) -> Obstacle:
        """The first of the reasons that holds."""
        if self.step_s > self.max_gap_s:
            return Obstacle.LONG_STEPS
        return Obstacle.FEW_READINGS if self.readings < self.needed else Obstacle.GAPS

    def summary(self) -> dict[str, Any]:
        """The numbers and the reason, JSON values only."""
        return asdict(self) | {"reason": str(self)}

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> "Unscorable":
        """What gave a summary."""
        return cls(**{one.name: summary[one.name] for one in fields(cls)})

    def __str__(self) -> str:
        if self.obstacle is Obstacle.LONG_STEPS:
            return f"its steps of {self.step_s:g} s are longer than the gap of {self.max_gap_s:g} s"
        if self.obstacle is Obstacle.FEW_READINGS:
            return f"{self.readings:,} readings, at least {self.needed:,} are needed"
        return (
            f"no {self.needed:,} readings in a row without a gap longer than {self.max_gap_s:g} s; "
            f"at most {self.longest:,} of its {self.readings:,}"
        )


def unscorable(
    sensor: str,
    pieces: Iterable[Int64[np.ndarray, " _"]],
    *,
    receptive_field: int,
    max_gap_ns: int,
    needed: int,
) -> Unscorable | None:
    """Why no window lies in one of the pieces; None if one does.

    Args:
        sensor: its id.
        pieces: event times, ascending in each; no window reaches from one into another.
        receptive_field: R, readings of a window.
        max_gap_ns: a longer step restarts the window.
        needed: readings in a row to speak of, R or what a training takes.
    """
    times = list(pieces)
    longest = max((end - start for one in times for start, end in runs(one, max_gap_ns)), default=0)
    if longest >= receptive_field:
        return None
    steps = np.concatenate([np.diff(one) for one in times] or [np.zeros(0, np.int64)])
    return Unscorable(
        sensor=sensor,
        readings=sum(map(len, times)),
        longest=longest,
        step_s=float(np.median(steps)) / 1e9 if len(steps) else 0.0,
        max_gap_s=max_gap_ns / 1e9,
        needed=needed,
    )

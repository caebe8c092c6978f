"""One incident by the definition: every reading that it took is kept, and looked up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from schemas.wire.incident import EndReason, Incident, SeenBy
from schemas.wire.verdict import FalseAlarm
from tests.support.incident_terms import Terms, ToldChannel, short, shown, suppressed_by

_MINUTE_NS: Final = 60 * 10**9
_POINTS: Final = 12
_MOST_LATENT: Final = 32


class Answer(NamedTuple):
    """What the model says of a scored reading; `long` is NaN while its sensor warms up."""

    score: float
    long: float
    short: float
    expected: tuple[float, ...]
    shares: tuple[float, ...]
    latent: tuple[float, ...] = ()
    partial: bool = False


class Heard(NamedTuple):
    """A reading: "s" scored, "w" accepted and not scored, "d" dropped."""

    ts_ns: int
    values: tuple[float, ...]
    fate: str
    answer: Answer | None = None


class Logged(NamedTuple):
    """A record; no `sensor` if it could not be read, but it has a time all the same."""

    offset: int
    stamp_ms: int
    sensor: str = ""
    readings: tuple[Heard, ...] = ()


class Spot(NamedTuple):
    """Where a reading lies in its partition, and its event time."""

    offset: int
    nth: int
    ts_ns: int


class Taken(NamedTuple):
    """A reading that an incident took."""

    spot: Spot
    score: float
    strength: float
    flagged: bool
    values: tuple[float, ...]
    answer: Answer


class IncidentLife:
    """An incident, with every reading that it took."""

    def __init__(
        self,
        terms: Terms,
        sensor: str,
        *,
        first: Spot,
        opened_ns: int,
        seen_by: SeenBy,
        flagged_before: int,
    ) -> None:
        self.sensor = sensor
        self.terms, self.first, self.opened_ns, self.seen_by = terms, first, opened_ns, seen_by
        self.flagged_before = flagged_before
        self.taken: list[Taken] = []
        self.sequence = self.told_ns = self.told_severity = 0
        self.charge = 0.0
        self.suppressed: tuple[str, str] | None = None

    def take(self, taken: Taken, remembered: Sequence[FalseAlarm]) -> None:
        """A reading more; where it is the farthest, it decides what the incident looks like."""
        self.taken.append(taken)
        is_first = len(self.taken) == 1
        if self.farthest is not taken or not (is_first or self.suppressed):
            return
        nearest = self.terms.nearest(self.sensor, taken.answer, remembered)
        if nearest is None and self.suppressed is not None:
            self.told_severity = 0
        self.suppressed = None if nearest is None else (str(nearest.id), str(nearest.incident))

    @property
    def farthest(self) -> Taken:
        """The first of the readings that were farthest beyond the bar."""
        return max(self.taken, key=lambda one: one.strength)

    @property
    def severity(self) -> int:
        return self.terms.severity(self.farthest.strength)

    @property
    def is_due(self) -> bool:
        late = self.taken[-1].spot.ts_ns - self.told_ns >= _MINUTE_NS
        return late or self.severity > self.told_severity

    @property
    def last_ns(self) -> int:
        flagged = [one.spot.ts_ns for one in self.taken if one.flagged]
        return flagged[-1] if flagged else self.opened_ns

    @property
    def flagged(self) -> int:
        return self.flagged_before + sum(one.flagged for one in self.taken)

    @property
    def total(self) -> float:
        total = 0.0
        for one in self.taken:  # `sum` is too exact
            total += one.score
        return total

    @property
    def peak(self) -> float:
        return max(one.score for one in self.taken)

    @property
    def latent(self) -> list[float]:
        """Of the farthest; a cut one would be like nothing."""
        latent = self.farthest.answer.latent
        return [short(value) for value in latent] if len(latent) <= _MOST_LATENT else []

    @property
    def points(self) -> tuple[int, int, list[tuple[float, ...]]]:
        """The main channel when it opened, the stride, and a reading for each stride."""
        channel = self._told(self.taken[0])[0].channel
        stride = 1
        while math.ceil(len(self.taken) / stride) > _POINTS:
            stride *= 2
        line = [
            (
                one.spot.ts_ns,
                *_singles(one.values[channel], one.answer.expected[channel], one.score),
            )
            for one in self.taken[::stride]
        ]
        return channel, stride, line

    def data(self, opened: tuple[int, int], reason: EndReason | None, at_ns: int) -> Incident:
        """As it is told now."""
        farthest = self.farthest
        return self.terms.incident(
            self.sensor,
            told=self._told(farthest),
            strength=farthest.strength,
            points=(self.points[0], self.points[2]),
            opened=opened,
            first=self.first,
            until=self.taken[-1].spot,
            opened_ns=self.opened_ns,
            last_ns=self.last_ns,
            end_ns=None if reason is None else at_ns,
            end_reason=reason,
            readings=len(self.taken),
            flagged=self.flagged,
            peak=self.peak,
            mean=self.total / len(self.taken),
            seen_by=self.seen_by,
            charge=self.charge,
            latent=self.latent,
            suppressed=suppressed_by(self.suppressed),
        )

    def _told(self, taken: Taken) -> list[ToldChannel]:
        return self.terms.told(self.sensor, taken.values, taken.answer)

    def recorded(self) -> dict[str, Any]:
        """What is recorded of it while it is open."""
        farthest = self.farthest
        channel, stride, line = self.points
        return {
            "kind": "anomaly",
            "seen_by": self.seen_by.value,
            "first": list(self.first),
            "opened_ns": self.opened_ns,
            "last_ns": self.last_ns,
            "until": list(self.taken[-1].spot),
            "readings": len(self.taken),
            "flagged": self.flagged,
            "total": self.total,
            "peak": self.peak,
            "strength": farthest.strength,
            "severity": self.severity,
            "told": [list(one) for one in self._told(farthest)],
            "latent": self.latent,
            "points": [channel, stride, len(self.taken), [shown(point) for point in line]],
            "raised_by": [],
            "held_back_by": [],
            "suppressed": None if self.suppressed is None else list(self.suppressed),
            "change": None,
            "charge": 0.0,
            "sequence": self.sequence,
            "told_ns": self.told_ns,
            "told_severity": self.told_severity,
        }


def _singles(*values: float) -> tuple[float, ...]:
    with np.errstate(over="ignore"):
        singles = [float(np.float32(value)) for value in values]
    return tuple(single if math.isfinite(single) else math.nan for single in singles)

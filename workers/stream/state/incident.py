"""One incident of one sensor, reading by reading, from its opening to its end. Pure.

Everything here is a sum, a maximum or a choice over the incident's readings in their order, so it
is the same however the log is cut into requests, and wherever a process is killed: the whole of it
is recorded with the sensor.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from math import isfinite, nan
from struct import Struct
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from schemas.wire.anomaly import anomaly_id
from schemas.wire.incident import MAX_EXCERPT, EndReason, IncidentKind, SeenBy

UPDATE_EVERY_NS: Final = 60 * 10**9
"""Event time between two updates that tell nothing but that it goes on."""


class Place(NamedTuple):
    """A reading of a sensor: offset of its record, its number in it, its event time."""

    offset: int
    nth: int
    ts_ns: int


class Told(NamedTuple):
    """A channel at the reading that was farthest out: its number, and its values there."""

    channel: int
    share: float
    observed: float | None
    expected: float
    band: float

    @classmethod
    def of(cls, channel: int, share: float, observed: float, expected: float, band: float) -> Told:
        """As it is recorded: rounded; NaN was missing."""
        seen = rounded(observed) if isfinite(observed) else None
        return cls(channel, rounded(share), seen, rounded(expected), rounded(band))


class What(StrEnum):
    """What happened to an incident."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"


_FLOAT: Final = Struct("<f")
_LEAST: Final = 1e-37
_LARGEST: Final = 3.4e38
_TOLD: Final = np.dtype(
    [
        ("channel", "<u2"),
        ("share", "<f4"),
        ("observed", "<f4"),
        ("expected", "<f4"),
        ("band", "<f4"),
    ]
)
_POINT: Final = np.dtype(
    [("ts", "<i8"), ("observed", "<f4"), ("expected", "<f4"), ("score", "<f4")]
)


@dataclass(slots=True)
class Points:
    """A line of at most `MAX_EXCERPT` points, evenly spread: when it is full, every second goes."""

    channel: int
    stride: int = 1
    passed: int = 0
    line: list[tuple[int, float, float, float]] = field(default_factory=list)
    """Event time, observed, expected, score; NaN is missing. Single precision: it is a picture."""

    def is_turn(self) -> bool:
        """Count the next reading; whether it is to be added."""
        self.passed += 1
        if (self.passed - 1) % self.stride == 0 and len(self.line) == MAX_EXCERPT:
            self.stride *= 2
            del self.line[1::2]
        return (self.passed - 1) % self.stride == 0

    def add(self, ts_ns: int, observed: float, expected: float, score: float) -> None:
        """Add a point."""
        self.line.append((ts_ns, _single(observed), _single(expected), _single(score)))

    def document(self) -> list[Any]:
        """As plain values."""
        packed = np.array(self.line, _POINT).tobytes()
        return [self.channel, self.stride, self.passed, b64encode(packed).decode()]

    @classmethod
    def of(cls, document: Sequence[Any]) -> Points:
        """What `document` gave."""
        channel, stride, passed, packed = document
        line = np.frombuffer(b64decode(packed, validate=True), _POINT).tolist()
        return cls(channel=channel, stride=stride, passed=passed, line=line)


@dataclass(slots=True)
class OpenIncident:
    """An incident that goes on.

    Attributes:
        kind: what it is about.
        seen_by: what opened it.
        first: the first flagged reading; the id is made of it.
        opened_ns: event time of the reading that opened it.
        last_ns: event time of the last flagged reading.
        until: the last reading.
        readings, flagged, total, peak: counts, sum and largest of the scores.
        strength: of the reading that was farthest out.
        severity: the highest of a reading.
        told: the channels with the largest shares there.
        latent: of that reading.
        points: of the main channel at the opening.
        raised_by, held_back_by: names of rules that raised readings of it, or held some back.
        suppressed: wish, incident that it looks like; None if it is not suppressed.
        change: of a drift: offset at or behind which it began, epochs since.
        sequence: events so far.
        told_ns, told_severity: event time of the latest of them, and the severity that it said.
    """

    kind: IncidentKind
    seen_by: SeenBy
    first: Place
    opened_ns: int
    last_ns: int
    until: Place
    readings: int = 0
    flagged: int = 0
    total: float = 0.0
    peak: float = 0.0
    strength: float = 0.0
    severity: int = 0
    told: tuple[Told, ...] = ()
    latent: tuple[float, ...] = ()
    points: Points | None = None
    raised_by: tuple[str, ...] = ()
    held_back_by: tuple[str, ...] = ()
    suppressed: tuple[str, str] | None = None
    change: tuple[int, int] | None = None
    charge: float = 0.0
    sequence: int = 0
    told_ns: int = 0
    told_severity: int = 0

    def take(self, place: Place, score: float, strength: float, *, flagged: bool) -> bool:
        """Add a reading; whether it is the one that was farthest out so far.

        Args:
            place: where it lies.
            score: published.
            strength: slopes of the tail beyond the bar.
            flagged: whether it is an anomaly.
        """
        self.until = place
        self.readings += 1
        self.total += score
        if flagged:
            self.flagged += 1
            self.last_ns = place.ts_ns
        self.peak = max(self.peak, score)
        if self.readings == 1 or strength > self.strength:
            self.strength = strength
            return True
        return False

    @property
    def is_due(self) -> bool:
        """Whether there is something to tell: more severe, or a minute of event time has passed."""
        return (
            self.severity > self.told_severity or self.until.ts_ns - self.told_ns >= UPDATE_EVERY_NS
        )

    def forget_model(self) -> None:
        """Drop what only the model that judged can put into words: places of its channels."""
        self.told, self.points, self.latent = (), None, ()

    def copy(self) -> OpenIncident:
        """As it is now."""
        points = self.points
        copied = None if points is None else replace(points, line=list(points.line))
        return replace(self, points=copied)

    def document(self) -> list[Any]:
        """As plain values in the order of the fields, for the sensor's document."""
        plain = {name: getattr(self, name) for name in _FIELDS}
        told = [
            (*one[:2], nan if one.observed is None else one.observed, *one[3:]) for one in self.told
        ]
        plain["told"] = _packed(np.array(told, _TOLD))
        plain["latent"] = _packed(np.array(self.latent, "<f4"))
        if self.points is not None:
            plain["points"] = self.points.document()
        return list(plain.values())

    @classmethod
    def of(cls, document: Sequence[Any]) -> OpenIncident:
        """What `document` gave, through JSON.

        Raises:
            ValueError, TypeError: it is not that.
        """
        plain: dict[str, Any] = dict(zip(_FIELDS, document, strict=True))
        plain["kind"], plain["seen_by"] = IncidentKind(plain["kind"]), SeenBy(plain["seen_by"])
        plain["first"], plain["until"] = Place(*plain["first"]), Place(*plain["until"])
        told = np.frombuffer(b64decode(plain["told"], validate=True), _TOLD)
        plain["told"] = tuple(Told.of(*one) for one in told.tolist())
        latent = np.frombuffer(b64decode(plain["latent"], validate=True), "<f4")
        plain["latent"] = tuple(map(rounded, latent.tolist()))
        if plain["points"] is not None:
            plain["points"] = Points.of(plain["points"])
        for name in ("raised_by", "held_back_by"):
            plain[name] = tuple(plain[name])
        for name in ("suppressed", "change"):
            plain[name] = None if plain[name] is None else tuple(plain[name])
        return cls(**plain)


_FIELDS: Final = tuple(one.name for one in fields(OpenIncident))


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """One thing that happened to an incident, to publish.

    Attributes:
        sensor: whose.
        what: opened, updated or resolved.
        at_ns: event time of the reading at which it happened.
        incident: as it was then.
        reason: why it ended; None of the others.
        end_ns: event time at which the end was certain; None of the others.
        opened_day, opened_week: incidents of the sensor that opened in that time, with this one.
    """

    sensor: str
    what: What
    at_ns: int
    incident: OpenIncident
    reason: EndReason | None = None
    end_ns: int | None = None
    opened_day: int = 0
    opened_week: int = 0


def incident_id(topic: str, partition: int, one: OpenIncident) -> UUID:
    """The id that an incident has in every run: of its first flagged reading, and its kind."""
    where = topic if one.kind is IncidentKind.ANOMALY else f"{topic}/{one.kind}"
    return anomaly_id(where, partition, one.first.offset, one.first.nth)


def rounded(value: float) -> float:
    """With the six digits that single precision keeps: that is how it is recorded."""
    kept = float(f"{min(max(value, -_LARGEST), _LARGEST):.6g}")
    # What comes back from single precision may lie just below the least: so compare it rounded.
    return kept if abs(kept) >= _LEAST else 0.0


def _packed(values: NDArray[Any]) -> str:
    return b64encode(values.tobytes()).decode()


def _single(value: float) -> float:
    """As it comes back from single precision; what is too large for it is drawn as missing."""
    try:
        single: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    except OverflowError:
        return nan
    return single if isfinite(single) else nan

"""Readings of some sensors as alarms take them, and what becomes of a request's samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int64

from detector.scoring import Scores
from schemas.wire.deed import Deed
from workers.stream.state.incident import IncidentChange, Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Accepted readings of u sensors, sensor by sensor, in their order.

    Attributes:
        sensors: names, none twice.
        rows: of each in the table.
        sizes: readings of each, at least 1.
        ts_ns, offsets, indices: event time, record, number in the record of each reading.
        clock_ms: log time at each.
        values: [k, C].
        at: which sample of the request each reading is; -1 is none, it was not scored.
    """

    sensors: Sequence[str]
    rows: Int64[np.ndarray, " u"]
    sizes: Int64[np.ndarray, " u"]
    ts_ns: Int64[np.ndarray, " k"]
    offsets: Int64[np.ndarray, " k"]
    indices: Int64[np.ndarray, " k"]
    clock_ms: Int64[np.ndarray, " k"]
    values: Float64[np.ndarray, "k channels"]
    at: Int64[np.ndarray, " k"]

    @property
    def starts(self) -> Int64[np.ndarray, " u"]:
        """The first reading of each sensor."""
        starts: Int64[np.ndarray, " u"] = np.cumsum(self.sizes) - self.sizes
        return starts

    def part(self, start: int, stop: int) -> Piece:
        """Readings `start` to `stop`, with the sensors that they are of."""
        if start == 0 and stop == len(self.at):
            return self
        ends = np.cumsum(self.sizes)
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(ends, stop, side="left")) + 1
        begins = np.maximum(ends - self.sizes, start)[first:last]
        rows = slice(start, stop)
        return Piece(
            sensors=self.sensors[first:last],
            rows=self.rows[first:last],
            sizes=np.minimum(ends, stop)[first:last] - begins,
            ts_ns=self.ts_ns[rows],
            offsets=self.offsets[rows],
            indices=self.indices[rows],
            clock_ms=self.clock_ms[rows],
            values=self.values[rows],
            at=self.at[rows],
        )

    def place(self, row: int) -> Place:
        """Where a reading lies."""
        return Place(int(self.offsets[row]), int(self.indices[row]), int(self.ts_ns[row]))


@dataclass(slots=True)
class Judged:
    """What becomes of the n samples of a request.

    Attributes:
        score: published; 1.0 is the threshold of the sensor as it was at the reading.
        bar: that threshold, as a score of the sensor's first day.
        flagged: whether each is an anomaly.
        alarm: whether each lies in an incident that has opened.
        off: whether each was not judged; None where all were.
        incident: of each flagged one the first reading of the incident that it belongs to, if it
            becomes one.
        held: how many a rule beside the model held back.
        skipped: how many of a sensor's first samples have been published before; by name.
        changes: what happened to incidents, sensor by sensor in order.
        deeds: wishes that were heeded.
    """

    score: Float64[np.ndarray, " n"]
    bar: Float64[np.ndarray, " n"]
    flagged: Bool[np.ndarray, " n"]
    alarm: Bool[np.ndarray, " n"]
    off: Bool[np.ndarray, " n"] | None = None
    incident: dict[int, Place] = field(default_factory=dict)
    held: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    changes: list[IncidentChange] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)

    @classmethod
    def of(cls, scores: Scores) -> Judged:
        """By the bars of the first day, before anything else is known."""
        n = len(scores.score)
        flagged = np.zeros(n, np.bool_)
        flagged[scores.flagged] = True
        return cls(
            score=scores.score.copy(),
            bar=np.ones(n),
            flagged=flagged,
            alarm=np.zeros(n, np.bool_),
        )

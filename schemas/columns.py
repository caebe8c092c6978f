"""Readings in columns: what the stream computes on once the wire format is behind it.

Numpy only, no validation: the codec builds these and guarantees what the field comments say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from jaxtyping import Float64, Int64

from schemas.wire.errors import RecordError, Stage
from schemas.wire.limits import MAX_MESSAGE_CHARS


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """The good records of one decoded batch and the readings they hold, in arrival order.

    A record holds one sensor, with one exception: a foreign one of several sensors
    (`schemas.codec.envelope`) is here as several, one after the other, under one position.

    Attributes:
        positions: index of each good record in the decoded batch, ascending.
        sensors: sensor of each record.
        counts: readings in each record, >= 1; they sum to their number.
        ts_ns: event time in nanoseconds since 1970-01-01T00:00:00Z.
        values: C-contiguous, in the decoder's channel order; NaN is a missing value, never an
            infinity.
    """

    positions: Int64[np.ndarray, " good"]
    sensors: list[str]
    counts: Int64[np.ndarray, " good"]
    ts_ns: Int64[np.ndarray, " readings"]
    values: Float64[np.ndarray, "readings channels"]

    @classmethod
    def of_record(
        cls,
        position: int,
        sensor: str,
        ts_ns: Int64[np.ndarray, " readings"],
        values: Float64[np.ndarray, "readings channels"],
    ) -> Self:
        """The readings of one record."""
        return cls(
            positions=np.array([position], dtype=np.int64),
            sensors=[sensor],
            counts=np.array([len(ts_ns)], dtype=np.int64),
            ts_ns=ts_ns,
            values=values,
        )

    def __len__(self) -> int:
        """Number of readings."""
        return len(self.ts_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One record that was not accepted: the makings of a dead letter.

    Attributes:
        position: index of the record in the decoded batch.
        stage: where it failed.
        exception: class name of the error.
        message: what is wrong and where, at most `MAX_MESSAGE_CHARS` characters.
    """

    position: int
    stage: Stage
    exception: str
    message: str

    @classmethod
    def of(cls, position: int, error: RecordError) -> Self:
        """The failure that `error` means for the record at `position`."""
        message = str(error)
        if len(message) > MAX_MESSAGE_CHARS:
            message = message[: MAX_MESSAGE_CHARS - 3] + "..."
        return cls(
            position=position, stage=error.stage, exception=type(error).__name__, message=message
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """A decoded batch: each record of it is in exactly one of the two.

    Attributes:
        readings: the good records.
        failures: the others, by ascending position.
    """

    readings: Readings
    failures: list[Failure]


@dataclass(kw_only=True, slots=True)
class Gathering:
    """Collects decoded pieces in any order and puts them into arrival order at the end."""

    n_channels: int
    pieces: list[Readings] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def add(self, piece: Readings) -> None:
        """Take in some good records; their positions are those of the whole batch."""
        self.pieces.append(piece)

    def reject(self, position: int, error: RecordError) -> None:
        """Take in one bad record."""
        self.failures.append(Failure.of(position, error))

    def decoded(self) -> Decoded:
        """Everything gathered, in arrival order."""
        self.failures.sort(key=lambda failure: failure.position)
        return Decoded(
            readings=in_order(concatenate(self.pieces, n_channels=self.n_channels)),
            failures=self.failures,
        )


def concatenate(pieces: Sequence[Readings], *, n_channels: int) -> Readings:
    """All records of the pieces, one behind the other; float64 [0, n_channels] values if none."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        empty = np.empty(0, dtype=np.int64)
        return Readings(
            positions=empty,
            sensors=[],
            counts=empty,
            ts_ns=empty,
            values=np.empty((0, n_channels), dtype=np.float64),
        )
    return Readings(
        positions=np.concatenate([piece.positions for piece in pieces]),
        sensors=[sensor for piece in pieces for sensor in piece.sensors],
        counts=np.concatenate([piece.counts for piece in pieces]),
        ts_ns=np.concatenate([piece.ts_ns for piece in pieces]),
        values=np.concatenate([piece.values for piece in pieces]),
    )


def in_order(readings: Readings) -> Readings:
    """The same records by ascending position, each with its readings in their order."""
    positions = readings.positions
    if len(positions) == 0 or bool((positions[1:] >= positions[:-1]).all()):
        return readings
    order = np.argsort(positions, kind="stable")
    counts = readings.counts[order]
    starts = (np.cumsum(readings.counts) - readings.counts)[order]
    # Row r of the result is row (start of its record) + (its rank in the record) of the input.
    rows = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return Readings(
        positions=positions[order],
        sensors=[readings.sensors[i] for i in order],
        counts=counts,
        ts_ns=readings.ts_ns[rows],
        values=readings.values[rows],
    )

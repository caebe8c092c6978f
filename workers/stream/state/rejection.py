"""Records of a decoded batch that are refused after all. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Decoded, Failure, Readings
from schemas.wire.errors import Stage


def refuse(
    decoded: Decoded, refused: NDArray[np.bool_], failure: Callable[[int], Failure]
) -> Decoded:
    """Turn good records of a batch into failures.

    Args:
        decoded: a decoded batch of m good records.
        refused: [m], which of them.
        failure: makes the failure of the good record of that number, 0 to m-1.
    """
    if not refused.any():
        return decoded
    failures = [failure(int(record)) for record in np.flatnonzero(refused)]
    return replace(
        decoded,
        readings=_without(decoded.readings, refused),
        failures=sorted([*decoded.failures, *failures], key=lambda failure: failure.position),
    )


def refuse_poison(decoded: Decoded, offsets: NDArray[np.int64], poison: Collection[int]) -> Decoded:
    """Turn the records that no scorer survives into failures.

    Args:
        decoded: a decoded batch.
        offsets: [r], of all its records.
        poison: offsets of such records in this partition.
    """
    if not poison or not len(decoded.readings):
        return decoded
    positions = decoded.readings.positions

    def failure(record: int) -> Failure:
        return Failure(
            position=int(positions[record]),
            stage=Stage.SCORING,
            exception="PoisonRecordError",
            message="scorers fail on this reading's window again and again, and on others not",
        )

    poisoned = np.isin(offsets[positions], np.fromiter(poison, np.int64, len(poison)))
    return refuse(decoded, poisoned, failure)


def _without(readings: Readings, records: NDArray[np.bool_]) -> Readings:
    rows = ~np.repeat(records, readings.counts)
    return Readings(
        positions=readings.positions[~records],
        sensors=[s for s, out in zip(readings.sensors, records, strict=True) if not out],
        counts=readings.counts[~records],
        ts_ns=readings.ts_ns[rows],
        values=readings.values[rows],
    )

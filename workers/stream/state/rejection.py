"""Records of a decoded batch that are rejected after all. Pure."""

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from schemas.columns import Decoded, Failure
from schemas.wire.errors import Stage
from workers.stream.state.slicing import at_offsets, without_records


def reject(
    decoded: Decoded, rejected: Bool[np.ndarray, " good"], failure: Callable[[int], Failure]
) -> Decoded:
    """Turn good records of a batch into failures.

    Args:
        decoded: a decoded batch.
        rejected: which of its good records; of a record of several sensors, all goes.
        failure: makes the failure of the good record of that number.
    """
    if not rejected.any():
        return decoded
    positions = decoded.readings.positions
    _, firsts = np.unique(positions[rejected], return_index=True)
    failures = [failure(record) for record in np.flatnonzero(rejected)[firsts].tolist()]
    return replace(
        decoded,
        readings=without_records(decoded.readings, np.isin(positions, positions[rejected])),
        failures=sorted([*decoded.failures, *failures], key=lambda failure: failure.position),
    )


def reject_poison(
    decoded: Decoded, offsets: Int64[np.ndarray, " records"], poison: Collection[int]
) -> Decoded:
    """Turn the records that no scorer survives into failures.

    Args:
        decoded: a decoded batch.
        offsets: of all its records.
        poison: offsets of such records in this partition.
    """
    if not poison:
        return decoded
    positions = decoded.readings.positions

    def failure(record: int) -> Failure:
        return Failure(
            position=int(positions[record]),
            stage=Stage.SCORING,
            exception="PoisonRecordError",
            message="scorers fail on this reading's window again and again, and on others not",
        )

    return reject(decoded, at_offsets(decoded.readings, offsets, poison), failure)

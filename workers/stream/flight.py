"""One scoring call under way, for several partitions at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.kafka.client import Record
from workers.stream.partition import PartitionState, ScoreRequest
from workers.stream.scorer import Scoring, Ticket


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One partition's share of a call: its samples are `start` to `stop` of the call's."""

    partition: int
    state: PartitionState
    number: int
    start: int
    stop: int
    records: Sequence[Record]
    stamps_ms: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flight:
    """A call, what it asks, and whom its scores belong to.

    Args:
        ticket: the call.
        parts: the partitions' shares, one behind the other.
        rows: float64 [T, C]; with `ends` and `groups` what `Detector.score` takes.
        ends: int64 [n], ascending.
        groups: int32 [n].
        offsets: int64 [n], the record of each sample.
    """

    ticket: Ticket
    parts: tuple[Part, ...]
    rows: NDArray[np.float64]
    ends: NDArray[np.int64]
    groups: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def place(self, sample: int) -> tuple[int, int]:
        """Partition and offset of the record of a sample."""
        part = next(part for part in self.parts if part.start <= sample < part.stop)
        return part.partition, int(self.offsets[sample])

    def __str__(self) -> str:
        """The partitions and offsets that it is about."""
        return ", ".join(
            f"partition {part.partition} offsets {part.records[0].offset} to "
            f"{part.records[-1].offset}"
            for part in self.parts
        )


Asked = tuple[int, PartitionState, ScoreRequest, Sequence[Record], NDArray[np.int64]]
"""A partition, its state, what it asks for, the records polled, and their timestamps."""


def take_off(scoring: Scoring, asked: Sequence[Asked]) -> Flight:
    """Merge the requests of several partitions into one call."""
    parts: list[Part] = []
    samples = base = 0
    ends = []
    for partition, state, request, records, stamps_ms in asked:
        stop = samples + len(request.ends)
        parts.append(
            Part(
                partition=partition,
                state=state,
                number=request.number,
                start=samples,
                stop=stop,
                records=records,
                stamps_ms=stamps_ms,
            )
        )
        ends.append(request.ends + base if base else request.ends)
        samples, base = stop, base + len(request.rows)
    requests = [request for _, _, request, _, _ in asked]
    if len(requests) == 1:
        rows, groups, offsets = requests[0].rows, requests[0].groups, requests[0].offsets
    else:
        rows = np.concatenate([request.rows for request in requests])
        groups = np.concatenate([request.groups for request in requests])
        offsets = np.concatenate([request.offsets for request in requests])
    all_ends = np.concatenate(ends)
    return Flight(
        ticket=scoring.submit(rows, all_ends, groups),
        parts=tuple(parts),
        rows=rows,
        ends=all_ends,
        groups=groups,
        offsets=offsets,
    )

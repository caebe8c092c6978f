"""One scoring call under way, for several partitions at once.

**Probes.** A reading of a warm-up is not scored, it only goes into the history: if no scorer
survives it, that would show in the first windows that hold it, whose own readings are innocent, and
after its offset was committed. So such readings are tried when they arrive: behind the samples, a
call holds them one behind the other, R to a window, whatever their sensors, and nobody looks at the
scores. A warm-up of R-1 readings costs about one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.scoring import POOLED
from workers.kafka.client import Record
from workers.stream.scoring.backend import Scoring, Ticket
from workers.stream.state.partition import PartitionState, ScoreRequest


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
        ends: int64 [n + p], ascending: n samples, then p probes.
        groups: int32 [n + p].
        offsets: int64 [n], the record of each sample.
        probed: (partition, offset) of each row of the probes, which are the last p * R rows but
            for zeros at their end.
    """

    ticket: Ticket
    parts: tuple[Part, ...]
    rows: NDArray[np.float64]
    ends: NDArray[np.int64]
    groups: NDArray[np.int32]
    offsets: NDArray[np.int64]
    probed: Sequence[tuple[int, int]]

    @property
    def samples(self) -> int:
        """How many of the call's scores belong to somebody: the first ones."""
        return len(self.offsets)

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
    probes = [request.unscored for request in requests if len(request.unscored)]
    probed: list[tuple[int, int]] = []
    if probes:
        field = asked[0][1].config.receptive_field
        tail = np.zeros((-sum(map(len, probes)) % field, probes[0].shape[1]))
        rows = np.concatenate([rows, *probes, tail])
        all_ends = np.concatenate([all_ends, np.arange(base + field - 1, len(rows), field)])
        groups = np.concatenate([groups, np.full(len(all_ends) - samples, POOLED, np.int32)])
        probed = [
            (partition, offset)
            for partition, _, request, _, _ in asked
            for offset in request.unscored_offsets.tolist()
        ]
    return Flight(
        ticket=scoring.submit(rows, all_ends, groups),
        parts=tuple(parts),
        rows=rows,
        ends=all_ends,
        groups=groups,
        offsets=offsets,
        probed=probed,
    )

"""One scoring call under way, for several partitions at once.

**Probes.** A reading of a warm-up is not scored, it only goes into the history: if no scorer
survives it, that would show in the first windows that hold it, whose own readings are innocent, and
after its offset was committed. So such readings are tried when they arrive: behind the samples, a
call holds them one behind the other, R to a window, whatever their sensors, and nobody looks at the
scores. A warm-up of R-1 readings costs about one sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from detector.scoring import POOLED, Scores
from workers.stream.owned_partition import PartitionRequest
from workers.stream.scoring.backend import Scoring, ScoringFuture
from workers.stream.state.partition import PartitionState

A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringCall:
    """A call, and whom its scores belong to.

    Args:
        future: its scores.
        requests: of the partitions, their samples one behind the other.
        rows: float64 [T, C]; with `ends` and `groups` what `Detector.score` takes.
        ends: int64 [n + p], ascending: n samples, then p probes, which are the last p * R rows (but
            for zeros at their end).
        groups: int32 [n + p].
    """

    future: ScoringFuture
    requests: Sequence[PartitionRequest]
    rows: NDArray[np.float64]
    ends: NDArray[np.int64]
    groups: NDArray[np.int32]

    @property
    def samples(self) -> int:
        """How many of the call's scores belong to somebody: the first ones."""
        return sum(len(asked.request.samples.ends) for asked in self.requests)

    def places(self) -> list[tuple[int, int]]:
        """Partition and offset of the record of each sample, then of each row of the probes."""
        return [
            (asked.partition.number, offset)
            for name in ("offsets", "unscored_offsets")
            for asked in self.requests
            for offset in getattr(asked.request.samples, name).tolist()
        ]

    def shares(self, scores: Scores) -> Iterator[tuple[PartitionRequest, Scores]]:
        """Each request with its own of the call's scores."""
        start = 0
        for asked in self.requests:
            stop = start + len(asked.request.samples.ends)
            yield asked, slice_scores(scores, start, stop)
            start = stop

    def __str__(self) -> str:
        """The partitions and offsets that it is about."""
        return ", ".join(
            f"partition {asked.partition.number} offsets {asked.records[0].offset} to "
            f"{asked.records[-1].offset}"
            for asked in self.requests
        )


def submit(scoring: Scoring, requests: Sequence[PartitionRequest]) -> ScoringCall:
    """Merge the requests of several partitions, at least one, into one call."""
    parts = [asked.request.samples for asked in requests]
    bases = np.cumsum([0, *(len(part.rows) for part in parts)]).tolist()
    rows = _joined([part.rows for part in parts])
    groups = _joined([part.groups for part in parts])
    ends = _joined([part.ends + base for part, base in zip(parts, bases, strict=False)])
    probes = [part.unscored for part in parts if len(part.unscored)]
    if probes:
        state = requests[0].partition.state
        assert isinstance(state, PartitionState)  # no other gives samples
        field = state.config.receptive_field
        tail = np.zeros((-sum(map(len, probes)) % field, probes[0].shape[1]))
        rows = np.concatenate([rows, *probes, tail])
        probe_ends = np.arange(bases[-1] + field - 1, len(rows), field)
        ends = np.concatenate([ends, probe_ends])
        groups = np.concatenate([groups, np.full(len(probe_ends), POOLED, np.int32)])
    return ScoringCall(
        future=scoring.submit(rows, ends, groups),
        requests=requests,
        rows=rows,
        ends=ends,
        groups=groups,
    )


def _joined(parts: Sequence[NDArray[A]]) -> NDArray[A]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def slice_scores(scores: Scores, start: int, stop: int) -> Scores:
    """The scores of samples `start` to `stop`, with their flagged samples counted from `start`."""
    first, last = np.searchsorted(scores.flagged, (start, stop))
    return Scores(
        score=scores.score[start:stop],
        raw=scores.raw[start:stop],
        p_value=scores.p_value[start:stop],
        expected=scores.expected[start:stop],
        denoised=scores.denoised[start:stop],
        flagged=scores.flagged[first:last] - start,
        contribution=scores.contribution[first:last],
    )


def join_scores(parts: Sequence[Scores]) -> Scores:
    """The scores of calls one behind the other, as if they had been one; at least one."""
    starts = np.cumsum([0, *(len(part.score) for part in parts)])
    return Scores(
        score=np.concatenate([part.score for part in parts]),
        raw=np.concatenate([part.raw for part in parts]),
        p_value=np.concatenate([part.p_value for part in parts]),
        expected=np.concatenate([part.expected for part in parts]),
        denoised=np.concatenate([part.denoised for part in parts]),
        flagged=np.concatenate(
            [part.flagged + start for part, start in zip(parts, starts[:-1], strict=True)]
        ),
        contribution=np.concatenate([part.contribution for part in parts]),
    )
